"""Where things lie, and how files are written so that nobody ever finds half of one."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_REPOSITORY = Path(__file__).resolve().parents[2]


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

    Raises
    ------
    OSError
        That names ``path``, if there is no room or the folder cannot be written.
    """
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.errno is None:  # a sentence of its own already
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):  # where nothing can be written, nothing can be removed either
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` in one step; see `replaced`."""
    with replaced(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def save_tensors(path: Path, tensors: Mapping[str, torch.Tensor], notes: Mapping[str, str] | None = None) -> None:
    """Write tensors by name, and notes beside them, in one step as a safetensors file; see `replaced`."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replaced(path) as temporary:
        try:
            save_file(contiguous, temporary, dict(notes or {}))
        except SafetensorError as error:
            raise OSError(f"{path} cannot be written ({error})") from None


def load_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read what `save_tensors` wrote: tensors by name, on the CPU, and the notes.

    Raises
    ------
    ValueError
        If the file is missing, cut off or of another format; nothing is ever unpickled.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a safetensors file that can be read ({error})") from None


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed process was writing to ``folder``; for whoever keeps the others waiting, see `locked`."""
    for leftover in folder.glob(".*"):
        leftover.unlink()


def lock_of(path: Path) -> Path:
    """File that `locked` holds; it stays when it is let go."""
    return path.with_name(f".{path.name}.lock")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes that want to make ``path`` waiting.

    Where nothing can be written nobody can make ``path``, and nobody waits: what is finished there can be read.
    """
    from filelock import FileLock

    lock = FileLock(lock_of(path))
    try:
        lock.acquire()
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EROFS):
            raise
    try:
        yield
    finally:
        lock.release()
