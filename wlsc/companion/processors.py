"""What another processor changes: the numbers of a build under several kinds of arithmetic of one machine.

Processors add in other orders, and a training carries the difference along. `measure` runs a book's notebooks under
each of `SETTINGS` and keeps by how much every printed number moves; the allowances of a reference follow from that
(`wlsc.companion.reference`). Machines on which a finished build was compared with its reference are kept beside it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wlsc._io.files import write_text
from wlsc._io.machine import source_commit
from wlsc.companion.printed import MARK, NUMBER, Printed, read_notebooks, value_of
from wlsc.companion.reference import Rule, find_rule
from wlsc.companion.reports import describe_capability, read_report


@dataclass(frozen=True)
class Setting:
    """One kind of arithmetic of a machine: environment variables, and threads of every job."""

    environment: Mapping[str, str] = field(default_factory=dict)
    threads: int = 1


_TORCH = {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE", "ONEDNN_MAX_CPU_ISA": "SSE41"}
_BLAS = {"OPENBLAS_CORETYPE": "Nehalem"}
_NUMBA = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}

#: Name → what is set. The first is what a build does anyway.
SETTINGS = {
    "one thread": Setting(),
    "two threads": Setting(threads=2),
    "torch without vector instructions": Setting(_TORCH),
    "BLAS of an old processor": Setting(_BLAS),
    "numba for any processor": Setting(_NUMBA),
    "all of these, one thread": Setting(_TORCH | _BLAS | _NUMBA),
    "all of these, two threads": Setting(_TORCH | _BLAS | _NUMBA, threads=2),
}

_FORMAT = 1
_OF_A_RECORD = ("capability", "versions", "commit", "numbers", "identical", "within", "drifted")


def measure(profile: str, scratch: Path, path: Path, rules: Sequence[Rule]) -> dict[str, Any]:
    """Run the notebooks of a profile under each of `SETTINGS`, and keep what moved in the file ``path``.

    Parameters
    ----------
    profile
        "quick" or "full".
    scratch
        Folder for what the runs leave behind; each begins from nothing.
    path
        JSON file to write; machines that it records stay.
    rules
        Those of the reference: words that it does not compare may change.

    Raises
    ------
    ValueError
        If ``path`` holds something else, before anything is run; or if words of a page depend on the arithmetic.
    """
    records = read_processors(path)["records"] if path.exists() else []
    books: dict[str, dict[str, list[Printed]]] = {}
    settings = []
    for name, setting in SETTINGS.items():
        folder = scratch / name.replace(" ", "-").replace(",", "")
        run_notebooks(profile, folder, setting)
        books[name] = read_notebooks(folder)
        settings.append({"name": name, "capability": read_report(folder)["capability"], **count(books, name)})
        print(f"{name}: {settings[-1]['identical']:,} of {settings[-1]['numbers']:,} numbers identical", flush=True)
    report = read_report(folder)
    found = {
        "format": _FORMAT,
        "profile": profile,
        "commit": source_commit(Path(__file__).parent),
        "versions": report["versions"],
        "settings": settings,
        "moved": find_movements(books),
        "records": records,
    }
    write_processors(path, found)
    if words := find_words(books, rules):
        raise ValueError("pages must say the same words under every arithmetic, got " + "; ".join(words))
    return found


def run_notebooks(
    profile: str, folder: Path, setting: Setting, repository: Path = Path(), pages: Sequence[str] = ()
) -> None:
    """Run the notebooks of a book, or some of them, from nothing into ``folder`` under one kind of arithmetic."""
    shutil.rmtree(folder, ignore_errors=True)
    folder = folder.resolve()
    scratch = {"WLSC_RUNS_DIR": str(folder / "runs"), "NUMBA_CACHE_DIR": str(folder / "numba")}
    targets = [str(folder / "notebooks" / f"{page}.ipynb") for page in pages] or ["notebooks"]
    command = [
        *(sys.executable, "-m", "snakemake", "--cores", "2", "--quiet", "all", "--nolock"),
        *("--config", f"profile={profile}", f"out={folder}", f"threads={setting.threads}", "--", *targets),
    ]
    done = subprocess.run(
        command, cwd=repository, env={**os.environ, **scratch, **setting.environment}, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"the notebooks of {profile} did not run under {dict(setting.environment)}:\n{done.stderr}")


def find_movements(books: Mapping[str, Mapping[str, Sequence[Printed]]]) -> dict[str, dict[str, list[float]]]:
    """By how much each number of each place differs at most between the first book and the others."""
    first, *others = books.values()
    moved: dict[str, dict[str, list[float]]] = {}
    for page, prints in first.items():
        for one in prints:
            values = _values(one.text)
            most = [0.0] * len(values)
            for text in _texts(others, page, one.name):
                if len(_values(text)) == len(values):
                    pairs = zip(most, values, _values(text), strict=True)
                    most = [max(known, abs(new - old)) for known, old, new in pairs]
            if any(most):
                moved.setdefault(page, {})[one.name] = [float(f"{value:.3g}") for value in most]
    return moved


def find_words(books: Mapping[str, Mapping[str, Sequence[Printed]]], rules: Sequence[Rule]) -> list[str]:
    """Places whose words, or the number of whose numbers, are others under another arithmetic, and should not be."""
    first, *others = books.values()
    return [
        f"{page}: {one.name} is {one.text!r} and {text!r}"
        for page, prints in first.items()
        for one in prints
        if find_rule(rules, page, one.name).within != "anything"
        for text in _texts(others, page, one.name)
        if NUMBER.split(text) != NUMBER.split(one.text)
    ]


def count(books: Mapping[str, Mapping[str, Sequence[Printed]]], name: str) -> dict[str, int]:
    """How many numbers the book under one setting prints, and how many of them as the first book does."""
    first = next(iter(books.values()))
    pairs = [
        (old, new)
        for page, prints in first.items()
        for one in prints
        for text in _texts([books[name]], page, one.name)
        for old, new in zip(NUMBER.findall(one.text), NUMBER.findall(text), strict=False)
    ]
    return {"numbers": len(pairs), "identical": sum(old == new for old, new in pairs)}


def _texts(books: Sequence[Mapping[str, Sequence[Printed]]], page: str, name: str) -> list[str]:
    found = [{one.name: one.text for one in book.get(page, ())}.get(name, "") for book in books]
    return [text for text in found if text != MARK]


def _values(text: str) -> list[float]:
    return [value_of(token) for token in NUMBER.findall(text)]


def read_processors(path: Path) -> dict[str, Any]:
    """Read what `measure` has kept.

    Raises
    ------
    ValueError
        If the file is missing, of another format, or a record of a machine lacks a field.
    """
    if not path.exists():
        raise ValueError(f"processors must have been measured before (make processors), got no file {path}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} must be JSON, got {error}") from None
    if not isinstance(found, dict) or found.get("format") != _FORMAT:
        kept = found.get("format") if isinstance(found, dict) else type(found).__name__
        raise ValueError(f"{path} must have format {_FORMAT}, got {kept}")
    for record in found["records"]:
        if missing := [name for name in _OF_A_RECORD if name not in record]:
            raise ValueError(
                f"{path}: a record of a machine must have {', '.join(_OF_A_RECORD)}, got none of {missing[0]}"
            )
    return found


def write_processors(path: Path, found: Mapping[str, Any]) -> None:
    """Write what was measured, a place a line, so that version control shows what has changed."""
    pages = [
        f"  {json.dumps(page)}: {{\n"
        + ",\n".join(f"   {json.dumps(n, ensure_ascii=False)}: {m}" for n, m in places.items())
        + "\n  }"
        for page, places in found["moved"].items()
    ]
    rest = {name: value for name, value in found.items() if name != "moved"}
    path.parent.mkdir(parents=True, exist_ok=True)
    head = json.dumps(rest, indent=1, ensure_ascii=False)
    write_text(path, head[:-2] + ',\n "moved": {\n' + ",\n".join(pages) + "\n }\n}\n")


def record_machine(path: Path, record: Mapping[str, Any]) -> None:
    """Keep how a build on the machine at hand agreed with its reference; one of the same arithmetic gives way to it."""
    found = read_processors(path)
    others = [known for known in found["records"] if known["capability"] != record["capability"]]
    write_processors(path, found | {"records": [*others, dict(record)]})


def list_machines(found: Mapping[str, Any] | None) -> tuple[list[str], list[list[str]]]:
    """Say under which arithmetic the numbers were computed, and how they agreed.

    Parameters
    ----------
    found
        What `measure` has kept; None where it has not been run.

    Returns
    -------
    tuple
        Header and rows of a table, in Markdown: first the kinds of arithmetic of the machine where `measure` was run,
        compared with its first; then the machines on which a build was compared with the reference.
    """
    header = ["where", "arithmetic", "torch, NumPy", "numbers", "identical", "within allowance", "drifted"]
    if found is None:
        return header, [["not measured", *["–"] * (len(header) - 1)]]
    rows = [
        [setting["name"], describe_capability(setting), _versions(found), *_counted(setting)]
        for setting in found["settings"]
    ]
    rows += [
        ["a finished build", describe_capability(known), _versions(known), *_counted(known)]
        for known in found["records"]
    ]
    return header, rows


def _versions(known: Mapping[str, Any]) -> str:
    return ", ".join(known["versions"].get(name, "–") for name in ("torch", "numpy"))


def _counted(known: Mapping[str, Any]) -> list[str]:
    return [f"{known[name]:,}" if name in known else "–" for name in ("numbers", "identical", "within", "drifted")]
