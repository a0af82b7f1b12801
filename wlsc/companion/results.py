"""What a notebook leaves behind: figures and tables with stable names, and a small JSON of what was found."""

from __future__ import annotations

import base64
import csv
import itertools
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from wlsc import plots
from wlsc._io.files import build_folder, replaced, write_text


@dataclass(frozen=True, repr=False)
class SavedFigure:
    """A figure on disk that Jupyter shows."""

    path: Path

    def __repr__(self) -> str:
        return f"SavedFigure({self.path.name})"  # a whole path would name one machine in a published notebook

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        if self.path.suffix == ".svg":
            return {"image/svg+xml": self.path.read_text(encoding="utf-8")}
        return {"image/png": base64.b64encode(self.path.read_bytes()).decode("ascii")}


def save_figure(
    figure: Figure, name: str, profile: str, data: Mapping[str, Sequence[Any] | np.ndarray], suffix: str = ".svg"
) -> SavedFigure:
    """Save a figure and the numbers in it as ``name``.svg (or .png) and ``name``.csv.

    Parameters
    ----------
    figure
        What to save.
    name
        Stable name, such as "fig-1a".
    profile
        Profile whose folder of figures is used, unless ``WLSC_FIGURES_DIR`` names another.
    data
        Columns of the table, by name; shorter columns end early.
    suffix
        ".svg", or ".png" for pictures of many pixels.

    Returns
    -------
    SavedFigure
        Shows itself at the end of a notebook's cell.
    """
    folder = output_folder("figures", profile)
    path = folder / f"{name}{suffix}"
    with replaced(path) as temporary:
        plots.save(figure, temporary)
        if suffix == ".png":
            _give_palette(temporary)
    columns = [np.asarray(column).ravel().tolist() for column in data.values()]
    _write_csv(folder / f"{name}.csv", list(data), itertools.zip_longest(*columns, fillvalue=""))
    return SavedFigure(path)


def _give_palette(path: Path) -> None:
    """Write a PNG anew with at most 256 colours: a figure has few, and weighs a third then."""
    from PIL import Image

    pixels = Image.open(path).convert("RGB")
    pixels.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(path, "PNG", optimize=True)


@dataclass(frozen=True)
class SavedTable:
    """A table on disk that Jupyter shows."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def _repr_markdown_(self) -> str:
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def save_table(name: str, profile: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> SavedTable:
    """Save a table as ``name``.csv among the figures, for a page to include with the directive ``saved-table``.

    Parameters
    ----------
    name
        Stable name, such as "verdicts-1a".
    profile
        Profile whose folder of figures is used, unless ``WLSC_FIGURES_DIR`` names another.
    header
        What stands over the columns; Markdown.
    rows
        Entries of each row, as many as the header has; Markdown.

    Returns
    -------
    SavedTable
        Shows itself at the end of a notebook's cell.

    Raises
    ------
    ValueError
        If a row is longer or shorter than the header.
    """
    lines = [list(map(str, row)) for row in rows]
    for line in lines:
        if len(line) != len(header):
            raise ValueError(f"rows must have an entry for each of {len(header)} columns, got {len(line)}: {line}")
    _write_csv(output_folder("figures", profile) / f"{name}.csv", header, lines)
    return SavedTable(list(header), lines)


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with replaced(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def save_claims(name: str, profile: str, claims: Mapping[str, Any]) -> None:
    """Save what a chapter found as ``name``.json, for other chapters and for readers."""
    write_text(output_folder("claims", profile) / f"{name}.json", json.dumps(claims, indent=1) + "\n")


def load_claims(name: str, profile: str) -> dict[str, Any]:
    """Load what a chapter found.

    Raises
    ------
    ValueError
        If that chapter has not been run in this profile.
    """
    path = output_folder("claims", profile) / f"{name}.json"
    if not path.exists():
        raise ValueError(f"claims must have been saved by the chapter {name} before, got no file {path}")
    return json.loads(path.read_text(encoding="utf-8"))


def load_result(name: str, folder: Path = Path("../results")) -> dict[str, Any] | None:
    """Load a result that is kept with the sources, ``folder/name.json``; None where it was not measured.

    Parameters
    ----------
    name
        Such as "benchmarks/inference".
    folder
        Where results are kept, seen from a notebook's folder.
    """
    path = folder / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def measured(value: object) -> str:
    """Mark a value in a page's Markdown as measured during the build: a time, or memory, which the next build has anew.

    What is marked is left out where books are compared, and nothing else is. Glued values are marked where the text
    quotes them: ``[{glue:text}`key`]{.measured}``.
    """
    return f"[{value}]{{.measured}}"


def output_folder(kind: str, profile: str) -> Path:
    """Folder of a profile's "figures", "claims" or "explorers", made if it is missing."""
    named = os.environ.get(f"WLSC_{kind.upper()}_DIR")
    folder = Path(named) if named else build_folder() / profile / kind
    folder.mkdir(parents=True, exist_ok=True)
    return folder
