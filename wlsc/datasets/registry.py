"""Where the data come from: the registry, the download cache, the mirror.

Every data set stands in ``data/registry.toml`` with its licence, citation, addresses and, file by file, the
sha256 of what it must contain. A file is looked for in one place only:

- inside an installed package, or beside the registry, for what needs no download;
- else in the mirror, if the environment variable ``WLSC_DATA_DIR`` names one. A mirror replaces every
  download, is compared with the registry like everything else, and is never written to;
- else in the cache, which is filled by download: ``WLSC_CACHE_DIR``, or the user's cache folder.

Mirror and cache have the layout ``<data set>/<file>``, so a folder filled by hand can serve as either.
"""

from __future__ import annotations

import os
import tomllib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from wlsc._io.tables import from_table, suggestion
from wlsc.datasets._download import DownloadError, Retry, download, looks_like_html

_PACKAGE = Path(__file__).resolve().parent.parent
_IN_WHEEL = _PACKAGE / "_data" / "registry.toml"
REGISTRY = _IN_WHEEL if _IN_WHEEL.exists() else _PACKAGE.parent / "data" / "registry.toml"

_Entry = TypeVar("_Entry")

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff")
ARRAY_SUFFIXES = (".mat", ".npy")


class DataError(RuntimeError):
    """A registered file cannot be had: out of reach, damaged, or no place to put it."""


@dataclass(frozen=True)
class DataFile:
    """One file of a data set.

    Parameters
    ----------
    name
        File name.
    sha256, size
        What it must contain; ``None`` for a file inside an installed package, whose version decides.
    shipped
        Lies beside the registry; never downloaded.
    package, path
        The installed package that holds it, and where.
    credit
        Whom to name for this file, where it differs from the rest of the set.
    """

    name: str
    sha256: str | None = None
    size: int | None = None
    shipped: bool = False
    package: str | None = None
    path: str | None = None
    credit: str | None = None


@dataclass(frozen=True)
class DataSet:
    """One data set: what it is, who made it, what one may do with it, and its files by name.

    ``kind`` is ``"images"``, ``"digits"`` or ``"tables"``; in ``urls``, ``{file}`` stands for a file's name.
    """

    name: str
    title: str
    kind: str
    licence: str
    citation: str
    homepage: str
    urls: list[str]
    files: dict[str, DataFile]


class FileStatus(NamedTuple):
    """Where a file is looked for and what is wrong with it.

    ``origin`` is ``"package"``, ``"shipped"``, ``"mirror"`` or ``"cache"``; ``fault`` is None if all is well.
    """

    data_set: str
    file: str
    path: Path
    origin: str
    fault: str | None


@cache
def load_registry(path: Path = REGISTRY) -> dict[str, DataSet]:
    """Read the registry: data sets by name.

    Raises
    ------
    ValueError
        If the file is not a registry.
    """
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))
        return {name: _parse_data_set(name, entry) for name, entry in entries.items()}
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(f"registry must be a TOML file of data sets, got {path} ({error})") from None


def describe(name: str, registry: Path = REGISTRY) -> DataSet:
    """Return the registry's entry for the data set ``name``.

    Raises
    ------
    ValueError
        If there is no such data set.
    """
    return _look_up("data set", name, load_registry(registry))


def fetch(
    name: str, file: str | None = None, *, registry: Path = REGISTRY, retry: Retry | None = None
) -> dict[str, Path]:
    """Return verified local paths of a data set's files by file name, downloading what is not at hand.

    Two processes that ask for the same data set at once share the work: one downloads, the other waits.

    Parameters
    ----------
    name
        Data set.
    file
        Only this file of it.
    registry
        Another registry than the project's.
    retry
        How patiently to download; ``Retry()`` if None.

    Raises
    ------
    ValueError
        If there is no such data set or file.
    DataError
        If a file is out of reach or damaged, or the cache cannot be written.

    Warns
    -----
    UserWarning
        If a damaged file in the cache was thrown away.
    """
    data_set = describe(name, registry)
    entries = data_set.files.values() if file is None else [_look_up(f"file of {name}", file, data_set.files)]
    return {entry.name: _obtain(data_set, entry, registry, retry or Retry()) for entry in entries}


def status(name: str | None = None, registry: Path = REGISTRY) -> list[FileStatus]:
    """Say for every file of a data set (of all, if None) whether it is there with the right size."""
    return _inspect(name, registry, lambda path, entry: _fault(path, entry, None))


def verify(name: str | None = None, registry: Path = REGISTRY) -> list[FileStatus]:
    """Say for every file of a data set (of all, if None) whether it is there with the right sha256."""
    import pooch

    return _inspect(name, registry, lambda path, entry: _fault(path, entry, pooch.file_hash))


def local_files(source: str | Path, registry: Path = REGISTRY) -> dict[str, Path]:
    """Return the reader's own files behind ``source`` by name: the images of a folder, sorted, or one file.

    Raises
    ------
    ValueError
        If there is no such path, or it is neither a folder with ``IMAGE_SUFFIXES`` nor a file with one of
        these or of the ``ARRAY_SUFFIXES``.
    """
    if not isinstance(source, (str, Path)):
        raise ValueError(f"source must be a name or a path, got {type(source).__name__}")
    path = Path(source).expanduser()
    if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES + ARRAY_SUFFIXES:
        return {path.name: path}
    if path.is_file():
        accepted = ", ".join(IMAGE_SUFFIXES + ARRAY_SUFFIXES)
        raise ValueError(f"source must be a file of a kind that can be read ({accepted}), got {path}")
    if not path.is_dir():
        known = load_registry(registry)
        raise ValueError(
            f"source must be one of {', '.join(known)}, or the path of a folder or file that exists, "
            f"got {str(source)!r}{suggestion(str(source), known)}"
        )
    images = sorted(file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file())
    if not images:
        raise ValueError(f"source must hold images ({', '.join(IMAGE_SUFFIXES)}), got the folder {path}")
    return {image.name: image for image in images}


def split_source(source: str | Path, registry: Path = REGISTRY) -> list[str | Path]:
    """Return the data sets of a sum such as ``"photographs+bsd68"``; any other source alone."""
    parts = source.split("+") if isinstance(source, str) else []
    return [*parts] if len(parts) > 1 and all(part in load_registry(registry) for part in parts) else [source]


def source_hashes(source: str | Path, registry: Path = REGISTRY) -> dict[str, str]:
    """Return the sha256 of every file behind a source of data, by file name.

    A registered file counts with the hash that the registry demands of it, so that this needs no download; a
    file inside an installed package, or one of the reader's, counts with the hash of what it holds now.

    Raises
    ------
    ValueError
        If the source is neither a data set nor a path with data.
    DataError
        If an installed package lacks its file.
    """
    if len(parts := split_source(source, registry)) > 1:
        return {name: value for part in parts for name, value in source_hashes(part, registry).items()}
    if not isinstance(source, str) or source not in load_registry(registry):
        return {name: _sha256(path) for name, path in local_files(source, registry).items()}
    data_set = describe(source, registry)
    return {
        name: entry.sha256 or _sha256(_obtain(data_set, entry, registry, Retry()))
        for name, entry in data_set.files.items()
    }


def _parse_data_set(name: str, entry: Any) -> DataSet:
    table = _named(name, entry, name)
    if isinstance(table.get("files"), dict):
        table["files"] = {file: _named(file, facts, f"{name}: {file}") for file, facts in table["files"].items()}
    data_set: DataSet = from_table(DataSet, table, name)
    for path in (name, *data_set.files):
        if Path(path).name != path:
            raise ValueError(f"{path!r} is not a plain name")
    return data_set


def _named(name: str, entry: Any, where: str) -> dict[str, Any]:
    """A table with the name that it stands under, which it must not give itself."""
    if not isinstance(entry, dict):
        raise ValueError(f"{where} must be a table, got {entry!r}")
    if "name" in entry:
        raise ValueError(f"{where} must be called by its title alone, got the key name = {entry['name']!r}")
    return {"name": name, **entry}


def _look_up(what: str, name: str, known: Mapping[str, _Entry]) -> _Entry:
    if name not in known:
        raise ValueError(f"{what} must be one of {', '.join(known)}, got {name!r}{suggestion(name, known)}")
    return known[name]


def _place(data_set: DataSet, entry: DataFile, registry: Path) -> tuple[Path, str]:
    """Return the one path where the file is looked for, and its origin."""
    if entry.package is not None:
        from importlib.util import find_spec

        spec = find_spec(entry.package)
        folder = Path(spec.origin).parent if spec and spec.origin else Path(entry.package)
        return folder / str(entry.path), "package"
    if entry.shipped:
        return registry.parent / data_set.name / entry.name, "shipped"
    if mirror := os.environ.get("WLSC_DATA_DIR"):
        return Path(mirror).expanduser() / data_set.name / entry.name, "mirror"
    return _cache() / data_set.name / entry.name, "cache"


def _cache() -> Path:
    import platformdirs

    return Path(os.environ.get("WLSC_CACHE_DIR") or platformdirs.user_cache_dir("wlsc")).expanduser()


def _sha256(path: Path) -> str:
    """Hash a file, once per process as long as it does not change."""
    facts = path.stat()
    return _sha256_of_version(path, facts.st_size, facts.st_mtime_ns, facts.st_ino)


@cache
def _sha256_of_version(path: Path, size: int, mtime_ns: int, inode: int) -> str:
    import pooch

    return pooch.file_hash(path)


def _fault(path: Path, entry: DataFile, hasher: Callable[[Path], str] | None) -> str | None:
    """Say what is wrong with the file, or None; without ``hasher`` only presence and size are looked at."""
    if not path.is_file():
        return "is missing"
    size = path.stat().st_size
    if entry.size is not None and size != entry.size:
        page = " and looks like an HTML page" if _starts_like_html(path) else ""
        return f"holds {size:,} bytes instead of {entry.size:,}{page}"
    if hasher is None or entry.sha256 is None:
        return None
    found = hasher(path)
    return None if found == entry.sha256 else f"has the sha256 {found} instead of {entry.sha256}"


def _starts_like_html(path: Path) -> bool:
    with path.open("rb") as stream:
        return looks_like_html(stream.read(64))


def _inspect(name: str | None, registry: Path, fault: Callable[[Path, DataFile], str | None]) -> list[FileStatus]:
    data_sets = load_registry(registry).values() if name is None else [describe(name, registry)]
    found = []
    for data_set in data_sets:
        for entry in data_set.files.values():
            path, origin = _place(data_set, entry, registry)
            found.append(FileStatus(data_set.name, entry.name, path, origin, fault(path, entry)))
    return found


def _obtain(data_set: DataSet, entry: DataFile, registry: Path, retry: Retry) -> Path:
    """Return the path of a file that holds what the registry says."""
    path, origin = _place(data_set, entry, registry)
    try:
        fault = _fault(path, entry, _sha256)
        if fault is None:
            return path
        if origin == "cache":
            _fill_cache(path, data_set, entry, retry)
            return path
    except OSError as error:
        advice = ": make room, or name another folder in WLSC_CACHE_DIR" if origin == "cache" else ""
        raise DataError(f"{path} cannot be read or written ({error.strerror or error}){advice}") from None
    advice = {
        "package": f"reinstall the package {entry.package}",
        "shipped": "reinstall wlsc",
        "mirror": "put the right file there, or unset WLSC_DATA_DIR, which names this folder, to download it",
    }[origin]
    raise DataError(f"{path} {fault}: {advice}")


def _fill_cache(path: Path, data_set: DataSet, entry: DataFile, retry: Retry) -> None:
    """Download one file into the cache, unless another process did while this one waited for the lock."""
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.parent / ".lock"):
        fault = _fault(path, entry, _sha256)
        if fault is None:
            return
        for leftover in path.parent.glob("tmp*"):  # of a download that was killed
            leftover.unlink()
        if path.exists():
            path.unlink()
            warnings.warn(f"{path} {fault}: it was thrown away and is fetched again", stacklevel=2)
        urls = [url.format(file=entry.name) for url in data_set.urls]
        try:
            download(urls, path, str(entry.sha256), int(entry.size or 0), retry)
        except DownloadError as error:
            raise DataError(
                f"{entry.name} of the data set {data_set.name} could not be downloaded ({error}): put the "
                f"file by hand at {path}, or set WLSC_DATA_DIR to a folder that holds "
                f"{data_set.name}/{entry.name}"
            ) from None
