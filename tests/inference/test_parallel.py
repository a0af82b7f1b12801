"""Compiled code is kept on disk, and never used after a source that it came from has changed."""

import shutil
import subprocess
import sys
from pathlib import Path

from wlsc.inference import _parallel

INNER = """
from solvers._parallel import jit

@jit
def inner(value):
    return {factor} * value
"""
OUTER = """
from solvers._parallel import jit
from solvers.inner import inner

@jit
def outer(value):
    return inner(value)
"""


def outer_of_seven(folder):
    command = [sys.executable, "-c", "from solvers.outer import outer; print(outer(7))"]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_kept_machine_code_is_of_the_present_sources(tmp_path):
    package = tmp_path / "solvers"
    package.mkdir()
    shutil.copy(Path(_parallel.__file__), package)
    (package / "inner.py").write_text(INNER.format(factor=2))
    (package / "outer.py").write_text(OUTER)
    assert outer_of_seven(tmp_path) == "14"
    kept = {path: path.stat().st_mtime_ns for path in package.rglob("*.nbc")}
    assert kept
    assert outer_of_seven(tmp_path) == "14"
    assert {path: path.stat().st_mtime_ns for path in package.rglob("*.nbc")} == kept  # nothing was compiled again
    (package / "inner.py").write_text(INNER.format(factor=3))
    assert outer_of_seven(tmp_path) == "21"
