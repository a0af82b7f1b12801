"""Tells which processes wait for a lock that another one holds."""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path


def note_attempts(log: Path) -> None:
    """Add a line to a file whenever this process tries to take a lock."""

    def note(event: str, arguments: tuple) -> None:
        if event == "fcntl.flock" and arguments[1] & fcntl.LOCK_EX:
            with log.open("a") as file:
                file.write(f"{os.getpid()}\n")

    sys.addaudithook(note)


def is_waiting(process: int, log: Path) -> bool:
    """Whether a process has tried again, as one does whom another keeps waiting."""
    return log.exists() and log.read_text().split().count(str(process)) > 1
