"""What the pages of a finished book print: every number, and the data of every figure and explorer in short."""

from __future__ import annotations

import base64
import csv
import dataclasses
import hashlib
import json
import re
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wlsc.companion.notebooks import find_claims

if TYPE_CHECKING:
    from nbformat import NotebookNode

#: A number as pages print it. Digits of words, as in V1, are none.
NUMBER = re.compile(r"(?<![\w.])[+\-−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![A-Za-z_\d])")

#: What `wlsc.companion.results.measured` writes; the value may itself have brackets.
MEASURED = re.compile(r"\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\{\.measured\}")

#: Stands for a value that was measured during the build.
MARK = "(measured)"


@dataclass(frozen=True)
class Printed:
    """What a page prints in one place.

    Attributes
    ----------
    name
        Unique on its page.
    text
        As printed; it may hold several numbers, or none.
    column
        Name of what it stands in together with others that are as spread as it is.
    """

    name: str
    text: str
    column: str


def read_book(folder: Path) -> dict[str, list[Printed]]:
    """Read all that the chapters of a finished build print, by page.

    Raises
    ------
    ValueError
        If no build has been finished in ``folder``.
    """
    if not (folder / "html" / "index.html").exists():
        raise ValueError(f"folder must hold a finished build, such as _build/quick, got {folder}")
    paths = sorted((folder / "notebooks").glob("[!.]*.ipynb"))
    return {path.stem: _read_page(path) for path in paths if (folder / "html" / f"{path.stem}.html").exists()}


def _read_page(path: Path) -> list[Printed]:
    import nbformat

    notebook, folder = nbformat.read(path, as_version=4), path.parents[1]
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    found = [Printed("run time and memory", MARK, "")] if "```{measured}" in text else []
    found += _of_outputs(notebook, measured_keys(text))
    for name in re.findall(r"^```\{saved-table\} ([\w-]+)", text, flags=re.MULTILINE):
        found += _of_table(name, *_read_csv(folder / "figures" / f"{name}.csv"))
    for name in dict.fromkeys(re.findall(r"\bfigures/([\w-]+)\.(?:svg|png)\b", text)):
        found += _of_figure(folder / "figures" / f"{name}.csv")
    for name in _explorers(notebook):
        found += _of_explorer(folder / "explorers" / f"{name}.js")
    for name in find_claims(notebook):
        claims = json.loads((folder / "claims" / f"{name}.json").read_text(encoding="utf-8"))
        found += _of_claims(f"claims/{name}.json", claims)
    return _named_apart(found)


def measured_keys(text: str) -> list[str]:
    """Keys of the glued values that the Markdown of a page marks as measured during the build."""
    return re.findall(r"\[\{glue:text\}`([^`]+)`\]\{\.measured\}", text)


def _named_apart(found: list[Printed]) -> list[Printed]:
    """Number what has the same name as something before it."""
    seen: Counter[str] = Counter()
    named = []
    for one in found:
        seen[one.name] += 1
        number = seen[one.name]
        named.append(dataclasses.replace(one, name=f"{one.name} ({number})") if number > 1 else one)
    return named


def _of_outputs(notebook: NotebookNode, measured: Collection[str]) -> Iterator[Printed]:
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if key := output.get("metadata", {}).get("scrapbook", {}).get("name"):
                value = data["application/papermill.record/text/plain"].strip("'")
                yield Printed(f"glue {key}", MARK if key in measured else value, "")
            elif data.get("text/plain", "").startswith("SavedTable("):
                continue  # read from its file, under its name
            elif "text/markdown" in data:
                yield from _of_markdown(data["text/markdown"])
            elif set(data) <= {"text/plain", "text/latex"}:
                line = cell.source.strip().splitlines()[-1]
                yield Printed(f"output of {line}", (data.get("text/plain") or output.text).strip(), "")


def _of_markdown(text: str) -> Iterator[Printed]:
    for is_table, lines in groupby(text.splitlines(), key=lambda line: line.startswith("|")):
        if is_table:
            header, _, *rows = map(_cells, lines)
            yield from _of_table(header[0], header, rows)
        elif sentence := MEASURED.sub(MARK, " ".join(filter(None, lines))):
            yield Printed(f"text: {NUMBER.split(sentence)[0].strip()[:60]}", sentence, "")


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]


def _of_table(table: str, header: list[str], rows: list[list[str]]) -> Iterator[Printed]:
    """Cells of a table, called by its name, their row and their column; a row by two cells if one does not tell."""
    n_labels = 1 if len({row[0] for row in rows}) == len(rows) else 2
    for row in rows:
        label = ", ".join(row[:n_labels])
        for column, text in zip(header[n_labels:], row[n_labels:], strict=True):
            yield Printed(f"{table}: {label} | {column}", MEASURED.sub(MARK, text), f"{table} | {column}")


def _of_claims(place: str, claims: Mapping[str, Any]) -> Iterator[Printed]:
    for key, value in claims.items():
        if isinstance(value, Mapping):
            yield from _of_claims(f"{place}: {key}", value)
        else:
            text = f"[{', '.join(map(_short, value))}]" if isinstance(value, list) else _short(value)
            yield Printed(f"{place}: {key}", text, place)


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _read_csv(path: Path) -> tuple[list[str], list[list[str]]]:
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return header, rows


def _of_figure(path: Path) -> Iterator[Printed]:
    """How many entries each column of a figure's data has, and their distribution; a digest if they are words."""
    header, rows = _read_csv(path)
    for column, cells in zip(header, zip(*rows, strict=True), strict=True):
        entries = [cell for cell in cells if cell]
        yield Printed(f"{path.name}: {column}, count", str(len(entries)), "")
        yield Printed(f"{path.name}: {column}", _fingerprint(entries), "")


def _explorers(notebook: NotebookNode) -> list[str]:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    shown = "".join(output.get("data", {}).get("text/html", "") for output in outputs)
    return re.findall(r'data-explorer="([\w-]+)"', shown)


def _of_explorer(path: Path) -> Iterator[Printed]:
    """The same of each table in the data of an explorer, which `wlsc.companion.explorers` has packed."""
    text = path.read_text(encoding="utf-8")
    for place, table in _tables(json.loads(text[text.index(",") + 1 : text.rindex(")")])):
        stored = np.frombuffer(zlib.decompress(base64.b64decode(table["deflated"])), table["dtype"])
        yield Printed(f"{path.name}: {place}, count", str(len(stored)), "")
        known = stored[np.isfinite(stored)].astype(float)
        yield Printed(f"{path.name}: {place}", _distribution(table["offset"] + table["step"] * known), "")


def _tables(data: Any, place: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """All packed tables within ``data``, and the keys and names that lead to them."""
    if isinstance(data, list):
        for index, entry in enumerate(data):
            name = entry.get("name", index) if isinstance(entry, Mapping) else index
            yield from _tables(entry, f"{place} {name}")
    elif isinstance(data, Mapping) and "deflated" in data:
        yield place.strip(), data
    elif isinstance(data, Mapping):
        for key, entry in data.items():
            yield from _tables(entry, f"{place} {key}")


def _fingerprint(entries: list[str]) -> str:
    try:
        return _distribution(np.array(entries, float))
    except ValueError:
        return f"sha256 {hashlib.sha256(chr(10).join(entries).encode()).hexdigest()[:16]}"


def _distribution(values: np.ndarray) -> str:
    if not len(values):
        return "empty"
    facts = {"mean": values.mean(), "deviation": values.std(), "least": values.min(), "most": values.max()}
    return ", ".join(f"{name} {value:.6g}" for name, value in facts.items())
