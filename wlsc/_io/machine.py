"""What a result has to be read with: the processor, the version of the sources, and the memory that was taken."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

#: Unit of what `resource` tells, which differs between the systems.
_KILOBYTE = 1 if sys.platform == "darwin" else 1024


def processor_name() -> str:
    """Name of the processor, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def source_commit(folder: Path) -> str:
    """Commit of the sources in ``folder``, with "-dirty" if they were changed since; "unknown" without git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def peak_memory(with_children: bool = False) -> int:
    """Largest resident memory of this process so far, in bytes; with that of the largest child it has waited for.

    A child begins as a copy of its parent, and as large: one that a large process starts for a moment counts as that.
    """
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * _KILOBYTE if with_children else 0
    return _own_peak() + children


def _own_peak() -> int:
    """Of this program alone, as Linux tells; elsewhere also of that which the process ran before."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KILOBYTE
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def cost_since(began: float, with_children: bool = False) -> dict[str, Any]:
    """What is spent since ``began``, a time of `time.perf_counter`: "duration_s", and "peak_memory_bytes" so far."""
    return {"duration_s": round(time.perf_counter() - began, 3), "peak_memory_bytes": peak_memory(with_children)}
