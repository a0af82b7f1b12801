"""Disks that are full or cannot be written, which a test mounts for its own processes only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.conftest import MOUNT_NAMESPACE, REPOSITORY, check_mount_namespaces

#: Runs commands of `wlsc` and of the shell one after the other, and notes what each `wlsc` ended with.
_SCRIPT = """
import json, subprocess, sys
from wlsc import cli

codes = []
steps, ends = json.loads(sys.argv[1]), sys.argv[2]
for command in steps:
    if command[0] != "wlsc":
        subprocess.run(["sh", "-ec", command[0]], check=True)
        continue
    sys.argv = command
    try:
        cli.main()
    except SystemExit as stop:
        codes.append(stop.code)
with open(ends, "w") as file:
    json.dump(codes, file)
"""


class Said(NamedTuple):
    """How each `wlsc` ended (0, or its message), and all that was printed to standard error."""

    ends: list[int | str]
    errors: str


def run_with_mounts(folder: Path, *commands: str | tuple[object, ...]) -> Said:
    """Run shell commands (text) and `wlsc` commands (tuples of arguments) that see the mounts made among them."""
    check_mount_namespaces()
    steps = [[each] if isinstance(each, str) else ["wlsc", *map(str, each)] for each in commands]
    ends = folder / "ends.json"
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "WLSC_RUNS_DIR": str(folder / "disk" / "runs")}
    environment |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    done = subprocess.run(
        [*MOUNT_NAMESPACE, sys.executable, "-c", _SCRIPT, json.dumps(steps), str(ends)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return Said(json.loads(ends.read_text()), done.stderr)


#: Shell commands on the folder ``disk``.
MOUNT_SMALL = "mount -t tmpfs -o size=4m none disk"
FILL = "head -c 4m /dev/zero >disk/ballast 2>/dev/null || true"
EMPTY = "rm disk/ballast"
READ_ONLY = "mount -o remount,ro disk"
WRITABLE = "mount -o remount,rw disk"
KEEP = "cp -r disk kept"
MOUNT_READ_ONLY = "mount --bind disk disk && mount -o remount,bind,ro disk"
