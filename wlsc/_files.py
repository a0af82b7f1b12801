"""Where things lie, and how files are written so that nobody ever finds half of one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_REPOSITORY = Path(__file__).resolve().parents[1]


def build_folder() -> Path:
    """Folder of all that is generated: ``_build`` in the repository, or here if the package is installed alone."""
    return (_REPOSITORY if (_REPOSITORY / "pyproject.toml").exists() else Path.cwd()) / "_build"


def runs_folder() -> Path:
    """Folder of finished and interrupted trainings: ``WLSC_RUNS_DIR``, or ``runs`` in `build_folder`."""
    named = os.environ.get("WLSC_RUNS_DIR")
    return Path(named).expanduser() if named else build_folder() / "runs"


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; what is written there takes the place of ``path`` in one step.

    A reader finds the old file or the new one, never a part of either, and an error leaves the old one alone.
    """
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` in one step; see `replaced`."""
    with replaced(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes that want to make ``path`` waiting."""
    from filelock import FileLock

    with FileLock(path.with_name(f".{path.name}.lock")):
        yield
