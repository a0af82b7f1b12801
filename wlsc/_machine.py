"""What a result has to be read with: the processor, the version of the sources, and the memory that was taken."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
from pathlib import Path


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


def peak_memory() -> int:
    """Largest resident memory of this process, or of one that it has waited for, so far, in bytes."""
    kilobyte = 1 if sys.platform == "darwin" else 1024  # the unit differs between the systems
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) * kilobyte
