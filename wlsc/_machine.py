"""What a result has to be read with: the processor, the version of the sources, and the memory that was taken."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


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
    kilobyte = 1 if sys.platform == "darwin" else 1024  # the unit differs between the systems
    counted = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)[: 1 + with_children]
    return sum(resource.getrusage(who).ru_maxrss for who in counted) * kilobyte


def cost_since(began: float, with_children: bool = False) -> dict[str, Any]:
    """What is spent since ``began``, a time of `time.perf_counter`: "duration_s", and "peak_memory_bytes" so far."""
    return {"duration_s": round(time.perf_counter() - began, 3), "peak_memory_bytes": peak_memory(with_children)}
