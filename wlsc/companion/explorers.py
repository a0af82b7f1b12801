"""Explorers: pages of the book that answer while one plays with them.

Each function writes the data of one explorer as a script, which runs from a web server and from a file alike, and
returns what a notebook's cell displays: a still picture, and the scripts that put the explorer in its place. Readers
without JavaScript keep the picture. The scripts themselves lie in ``book/_static/explorers``.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np

from wlsc._io.files import write_text
from wlsc._validation import check_count, check_penalty
from wlsc.analysis.topography import sheet_weights
from wlsc.companion.results import output_folder
from wlsc.plots import CLASS_COLOURS, COLOURS

#: Grey levels of small pictures of which there are thousands, and the side above which they are halved.
_FEW_LEVELS, _SMALL_SIDE = 16, 14


@dataclass(frozen=True)
class Still:
    """The picture behind an explorer: a figure that the page shows, and its text for those who cannot see it.

    Attributes
    ----------
    figure
        File name of a figure saved by `wlsc.companion.results.save_figure`, such as "limits.svg".
    text
        What the figure shows.
    """

    figure: str
    text: str


@dataclass(frozen=True, repr=False)
class Explorer:
    """An explorer that Jupyter shows: its picture, and in the built book the explorer.

    Attributes
    ----------
    name
        Name of its data.
    kind
        Name of its script.
    still
        The picture behind it.
    """

    name: str
    kind: str
    still: Still

    @property
    def html(self) -> str:
        """Picture and scripts, as addressed from a page at the root of the site."""
        code = (f"_static/explorers/{script}.js" for script in ("core", "solver", self.kind))
        names = (*code, f"explorers/{self.name}.js")
        scripts = "".join(f'<script defer src="{escape(path)}"></script>\n' for path in names)
        return (
            '<link rel="stylesheet" href="_static/explorers/explorers.css">\n'
            f'<div class="wlsc-explorer" data-explorer="{escape(self.name)}">'
            f'<img src="_images/{escape(self.still.figure)}" alt="{escape(self.still.text)}" loading="lazy"></div>\n'
            f"{scripts}"
        )

    def __repr__(self) -> str:
        return f"Explorer({self.name})"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {"text/html": self.html}


def draw_digit(
    name: str,
    profile: str,
    dictionary: np.ndarray,
    lam: float,
    examples: np.ndarray,
    labels: Sequence[int] | np.ndarray,
    still: Still,
    unit_norm: bool = True,
    known: tuple[np.ndarray, Sequence[int] | np.ndarray] | None = None,
) -> Explorer:
    """Make the explorer in which one draws a digit and sees its exact code.

    Parameters
    ----------
    name
        Stable name of the data's script.
    profile
        Profile whose folder is used, unless ``WLSC_EXPLORERS_DIR`` names another.
    dictionary
        Atoms of square pictures, shape (n_atoms, side²); kept with 256 levels.
    lam
        Weight λ > 0 of the penalty at which the slider begins.
    examples, labels
        Pictures to begin with, shape (n_examples, side²), and what they show.
    still
        The picture behind the explorer.
    unit_norm
        Whether the dictionary was learned from pictures of Euclidean length 1; drawings are then scaled alike.
    known
        Codes over the dictionary, shape (n_samples, n_atoms), and the class of each sample, shape (n_samples,): the
        explorer then says which classes a drawing looks like. An atom passes its weight on to the classes of the
        samples that use it, in proportion to their weights.

    Returns
    -------
    Explorer
        Shows itself at the end of a notebook's cell.

    Raises
    ------
    ValueError
        If an argument is not what is described above.
    """
    atoms = _table("dictionary", dictionary)
    side = _side("dictionary", atoms)
    pictures = _table("examples", examples, n_columns=side**2)
    _check_rows("labels", labels, len(pictures))
    if check_penalty(lam) == 0:
        raise ValueError("lam must be above 0, where a slider of its logarithm can begin, got 0")
    ink = pictures / np.maximum(pictures.max(axis=1, keepdims=True), 1e-30) if unit_norm else pictures
    data = {
        "kind": "draw",
        "title": "Draw a digit",
        "dictionary": _quantised(atoms),
        "examples": _quantised(ink),
        "labels": np.asarray(labels).tolist(),
        "lam": float(lam),
        "unit_norm": unit_norm,
    }
    if known is not None:
        data |= _class_shares(*known, n_atoms=len(atoms))
    return _explorer(name, profile, data, still)


def _class_shares(codes: np.ndarray, labels: Sequence[int] | np.ndarray, n_atoms: int) -> dict[str, Any]:
    """Share of each class in the use of each atom; all of them 0 for an atom that no sample uses."""
    weights = _table("codes of known", codes, n_columns=n_atoms)
    _check_rows("labels of known", labels, len(weights))
    classes, indices = np.unique(labels, return_inverse=True)
    use = weights.T @ np.eye(len(classes))[indices]
    shares = use / np.maximum(use.sum(axis=1, keepdims=True), 1e-30)
    return {"shares": _packed(shares, "float32"), "classes": [str(name) for name in classes]}


def penalty_slider(
    name: str,
    profile: str,
    samples: np.ndarray,
    lams: Sequence[float] | np.ndarray,
    dictionaries: np.ndarray,
    still: Still,
) -> Explorer:
    """Make the explorer in which λ leads from the convex hull to k-means.

    The codes, those of a point that one moves among them, are computed on the page.

    Parameters
    ----------
    name, profile, still
        As for `draw_digit`, which also says what is returned and raised.
    samples
        Points of the plane, shape (n_samples, 2).
    lams
        Weights λ > 0 of the penalty, ascending, shape (n_lams,).
    dictionaries
        Atoms learned at each of them, shape (n_lams, n_atoms, 2).
    """
    points = _table("samples", samples, n_columns=2)
    weights, atoms = _path_of_dictionaries(lams, dictionaries, n_columns=2)
    data = {
        "kind": "penalty",
        "title": "From the convex hull to k-means",
        "samples": _packed(points, "float32"),
        "dictionaries": [_packed(dictionary, "float32") for dictionary in atoms],
        "lams": weights,
        "colours": {"samples": COLOURS["WLSC"], "atoms": COLOURS["sparse coding"], "own": "#000000"},
    }
    return _explorer(name, profile, data, still)


def patch_slider(
    name: str,
    profile: str,
    patches: np.ndarray,
    lams: Sequence[float] | np.ndarray,
    dictionaries: np.ndarray,
    still: Still,
) -> Explorer:
    """Make the explorer of one patch of an image: its code over the dictionary at one λ after another.

    The codes are computed on the page.

    Parameters
    ----------
    name, profile, still
        As for `draw_digit`, which also says what is returned and raised.
    patches
        Patches to choose from, shape (n_patches, side²).
    lams
        Weights λ > 0 of the penalty, ascending, shape (n_lams,).
    dictionaries
        Atoms learned at each of them, shape (n_lams, n_atoms, side²); kept with 256 levels.
    """
    pictures = _table("patches", patches)
    side = _side("patches", pictures)
    weights, atoms = _path_of_dictionaries(lams, dictionaries, n_columns=side**2)
    data = {
        "kind": "patch",
        "title": "One patch, from the convex hull to k-means",
        "patches": _packed(pictures, "float32"),
        "dictionaries": [_quantised(dictionary) for dictionary in atoms],
        "lams": weights,
    }
    return _explorer(name, profile, data, still)


def _path_of_dictionaries(lams: Any, dictionaries: Any, n_columns: int) -> tuple[list[float], list[np.ndarray]]:
    """Ascending λ, and as many atoms at each of them."""
    weights = np.asarray(lams, dtype=float)
    if weights.ndim != 1 or not len(weights) or not weights[0] > 0 or not (np.diff(weights) > 0).all():
        raise ValueError(f"lams must be ascending numbers above 0, got {lams!r}")
    _check_rows("dictionaries", dictionaries, len(weights))
    atoms = [_table("dictionaries[i]", dictionary, n_columns) for dictionary in dictionaries]
    for dictionary in atoms:
        _check_rows("dictionaries[i]", dictionary, len(atoms[0]))
    return weights.tolist(), atoms


def code_map(
    name: str,
    profile: str,
    points: np.ndarray,
    labels: np.ndarray,
    images: np.ndarray,
    dictionary: np.ndarray,
    codes: np.ndarray,
    still: Still,
    n_listed: int = 6,
) -> Explorer:
    """Make the explorer of an embedding of codes, which shows the digit under the pointer and its atoms.

    Pictures are small: images of more than 14 pixels a side are halved, and have 16 grey levels.

    Parameters
    ----------
    name, profile, still
        As for `draw_digit`, which also says what is returned and raised.
    points
        Shape (n_samples, 2).
    labels
        Class of each sample, shape (n_samples,), at most ten classes.
    images
        Shape (n_samples, side²).
    dictionary
        Atoms, shape (n_atoms, side²).
    codes
        Shape (n_samples, n_atoms), rows on the simplex.
    n_listed
        Heaviest atoms of each sample that are kept.
    """
    places = _table("points", points, n_columns=2)
    pictures, atoms = _table("images", images), _table("dictionary", dictionary)
    weights = _table("codes", codes, n_columns=len(atoms))
    for argument, values in (("labels", labels), ("images", pictures), ("codes", weights)):
        _check_rows(argument, values, len(places))
    classes, indices = np.unique(labels, return_inverse=True)
    if len(classes) > len(CLASS_COLOURS):
        raise ValueError(f"labels must name at most {len(CLASS_COLOURS)} classes, got {len(classes)}")
    n_kept = min(check_count("n_listed", n_listed), len(atoms))
    heaviest = np.argsort(-weights, axis=1, kind="stable")[:, :n_kept]
    low, high = places.min(axis=0), places.max(axis=0)
    centred = (places - (low + high) / 2) / max(float((high - low).max()), 1e-30) + 0.5
    data = {
        "kind": "map",
        "title": "Map of codes",
        "points": _packed(np.rint(centred * 65535), "uint16", 1 / 65535),
        "labels": _packed(indices[:, None], "uint8"),
        "names": [str(name) for name in classes],
        "colours": list(CLASS_COLOURS[: len(classes)]),
        "images": _quantised(_small("images", pictures), _FEW_LEVELS),
        "dictionary": _quantised(_small("dictionary", atoms)),
        "atoms": _packed(heaviest, "uint16"),
        "weights": _packed(np.rint(np.take_along_axis(weights, heaviest, axis=1) * 65535), "uint16", 1 / 65535),
    }
    return _explorer(name, profile, data, still)


@dataclass(frozen=True)
class Units:
    """Units of one model, for `electrode`; every array has one row per unit.

    Attributes
    ----------
    nx, ny
        Envelope widths of the fitted Gabor, in cycles.
    pictures
        Square pictures by name, (n_units, side²) each: the atom, its mapped receptive field.
    facts
        Numbers by name, (n_units,) each, such as r², phase, circular variance; NaN where there is none.
    rates
        Responses to gratings, (n_units, n_orientations) from 0 to below 180 degrees, if they were measured.
    """

    nx: np.ndarray
    ny: np.ndarray
    pictures: Mapping[str, np.ndarray]
    facts: Mapping[str, np.ndarray] = field(default_factory=dict)
    rates: np.ndarray | None = None


def electrode(
    name: str,
    profile: str,
    units: Mapping[str, Units],
    edges: Sequence[np.ndarray],
    counts: np.ndarray,
    still: Still,
) -> Explorer:
    """Make the explorer of units in the (nx, ny) plane over the counts of cells of a published table.

    Parameters
    ----------
    name, profile, still
        As for `draw_digit`, which also says what is returned and raised.
    units
        Fitted units of each model, by its name.
    edges, counts
        Bin edges along nx and ny, and cells per bin, shape (n_x_bins, n_y_bins).
    """
    if not units:
        raise ValueError("units must name at least one model, got none")
    cells = _table("counts", counts)
    n_edges = tuple(len(edge) for edge in edges)
    if n_edges != tuple(n_bins + 1 for n_bins in cells.shape):
        raise ValueError(f"edges must enclose the bins of counts, {cells.shape}, got {n_edges} edges")
    data = {
        "kind": "electrode",
        "title": "The electrode: units in the plane of nx and ny",
        "edges": [np.asarray(edge, dtype=float).tolist() for edge in edges],
        "counts": _packed(cells, "float32"),
        "models": [_unit_data(model, values) for model, values in units.items()],
    }
    return _explorer(name, profile, data, still)


def atom_sheet(
    name: str,
    profile: str,
    filters: np.ndarray,
    places: np.ndarray,
    shape: tuple[int, int],
    orientations_deg: np.ndarray,
    stimuli: np.ndarray,
    codes: np.ndarray,
    still: Still,
    n_listed: int = 4,
) -> Explorer:
    """Make the explorer of a sheet of atoms, which shows those around the pointer and the stimuli that tie them.

    A stimulus ties an atom to those in the cells around it by the product of its code on the atom and the sum of its
    codes on them, magnitudes all.

    Parameters
    ----------
    name, profile, still
        As for `draw_digit`, which also says what is returned and raised.
    filters
        Shape (n_atoms, side²).
    places
        Row and column of each atom on the sheet, integers, shape (n_atoms, 2).
    shape
        (rows, columns) of the sheet.
    orientations_deg
        Of each atom, 0 to below 180 degrees, NaN where there is none, shape (n_atoms,).
    stimuli
        Shape (n_stimuli, side²), as many as are listed or more.
    codes
        Shape (n_stimuli, n_atoms).
    n_listed
        Stimuli that are shown for each atom.
    """
    atoms, patches = _table("filters", filters), _table("stimuli", stimuli)
    weights = np.abs(_table("codes", codes, n_columns=len(atoms)))
    for argument, values, expected in (
        ("places", places, len(atoms)),
        ("orientations_deg", orientations_deg, len(atoms)),
        ("codes", weights, len(patches)),
    ):
        _check_rows(argument, values, expected)
    if check_count("n_listed", n_listed) > len(patches):
        raise ValueError(f"n_listed must be at most the number of stimuli ({len(patches)}), got {n_listed}")
    _side("filters", atoms)
    _side("stimuli", patches)
    ties = weights * (weights @ sheet_weights(places, shape))
    heaviest = np.argsort(-ties, axis=0, kind="stable")[:n_listed].T
    shown, numbers = np.unique(heaviest, return_inverse=True)
    cells = np.full(shape, len(atoms))
    cells[tuple(np.asarray(places).T)] = np.arange(len(atoms))
    data = {
        "kind": "sheet",
        "title": "The sheet of atoms",
        "shape": [int(size) for size in shape],
        "filters": _quantised(_relative(atoms)),
        "cells": _packed(cells, "uint16"),
        "stimuli": _quantised(_relative(patches[shown])),
        "ties": _packed(numbers.reshape(heaviest.shape), "uint16"),
        "orientations": _packed(np.nan_to_num(np.reshape(orientations_deg, (-1, 1)), nan=-1.0), "float32"),
    }
    return _explorer(name, profile, data, still)


def phase_slider(name: str, profile: str, treatments: Mapping[str, Mapping[str, np.ndarray]], still: Still) -> Explorer:
    """Make the explorer in which a slider goes through treatments of the images, and the phases follow.

    Parameters
    ----------
    name, profile, still
        As for `draw_digit`, which also says what is returned and raised.
    treatments
        Name of each treatment, such as "mean removed" → name of each model → folded phases in degrees, (n_units,),
        0 even … 90 odd.

    Returns
    -------
    Explorer
        Shows itself at the end of a notebook's cell.

    Raises
    ------
    ValueError
        If there is no treatment, or phases are missing or out of range.
    """
    if not treatments:
        raise ValueError("treatments must name at least one, got none")
    data = {
        "kind": "phases",
        "title": "Spatial phase and the treatment of images",
        "treatments": [
            {"name": treatment, "models": [_phase_data(model, values) for model, values in models.items()]}
            for treatment, models in treatments.items()
        ],
    }
    return _explorer(name, profile, data, still)


def _phase_data(model: str, phases: np.ndarray) -> dict[str, Any]:
    column = _table(f"phases of {model}", np.reshape(phases, (-1, 1)))
    if column.min() < 0 or column.max() > 90:
        raise ValueError(f"phases of {model} must lie in 0 … 90, got {column.min()} … {column.max()}")
    return {"name": model, "colour": _colour(model), "phases": _packed(column, "float32")}


def _colour(model: str) -> str:
    return COLOURS.get(model, CLASS_COLOURS[0])


def _unit_data(model: str, units: Units) -> dict[str, Any]:
    plane = _table(f"nx, ny of {model}", np.column_stack([units.nx, units.ny]))
    if not (plane > 0).all():
        raise ValueError(f"nx, ny of {model} must be above 0, as axes are logarithmic, got {plane.min()}")
    pictures = {name: _table(f"{name} of {model}", values) for name, values in units.pictures.items()}
    for name, picture in pictures.items():
        _side(f"{name} of {model}", picture)
    rates = None if units.rates is None else _table(f"rates of {model}", units.rates)
    measured = {**pictures, **units.facts} | ({} if rates is None else {"rates": rates})
    for name, values in measured.items():
        _check_rows(f"{name} of {model}", values, len(plane))
    facts = np.column_stack([*units.facts.values()]) if units.facts else None
    return {
        "name": model,
        "colour": _colour(model),
        "plane": _packed(plane, "float32"),
        "pictures": [{"name": name, "table": _quantised(_relative(values))} for name, values in pictures.items()],
        "names": list(units.facts),
        "facts": None if facts is None else _packed(facts, "float32"),
        "rates": None if rates is None else _packed(rates, "float32"),
    }


def _relative(pictures: np.ndarray) -> np.ndarray:
    """Pictures with a largest pixel of ±1: each is shown on its own grey scale."""
    return pictures / np.maximum(np.abs(pictures).max(axis=1, keepdims=True), 1e-30)


def _small(name: str, pictures: np.ndarray) -> np.ndarray:
    """Pictures of at most 14 pixels a side, if need be as means of squares of pixels."""
    side = _side(name, pictures)
    factor = -(-side // _SMALL_SIDE)
    if side % factor:
        raise ValueError(f"{name} must have a side that {factor} divides, got {side}")
    blocks = pictures.reshape(len(pictures), side // factor, factor, side // factor, factor)
    return blocks.mean(axis=(2, 4)).reshape(len(pictures), -1)


def _explorer(name: str, profile: str, data: Mapping[str, Any], still: Still) -> Explorer:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    write_text(output_folder("explorers", profile) / f"{name}.js", f"wlscExplorers.add({json.dumps(name)},{text});\n")
    return Explorer(name, data["kind"], still)


def _table(name: str, values: Any, n_columns: int | None = None) -> np.ndarray:
    """Values as a table of float64 numbers."""
    table = np.asarray(values, dtype=float)
    if table.ndim != 2 or 0 in table.shape or n_columns not in (None, table.shape[1]):
        expected = f"(n, {n_columns})" if n_columns else "(n, m)"
        raise ValueError(f"{name} must have shape {expected} with n at least 1, got {table.shape}")
    if not np.isfinite(table).all():
        raise ValueError(f"{name} must be finite, got NaN or infinite values")
    return table


def _check_rows(name: str, values: Any, expected: int) -> None:
    if len(values) != expected:
        raise ValueError(f"{name} must have one entry for each of {expected} rows, got {len(values)}")


def _side(name: str, pictures: np.ndarray) -> int:
    side = math.isqrt(pictures.shape[1])
    if side**2 != pictures.shape[1]:
        raise ValueError(f"{name} must hold square pictures, got {pictures.shape[1]} pixels")
    return side


def _quantised(values: np.ndarray, n_levels: int = 256) -> dict[str, Any]:
    """Values as equally spaced levels between their extremes: no value moves by more than half a step."""
    low, high = float(values.min()), float(values.max())
    step = (high - low) / (n_levels - 1) or 1.0
    return _packed(np.rint((values - low) / step), "uint8" if n_levels <= 256 else "uint16", step, low)


def _packed(values: np.ndarray, dtype: str, step: float = 1.0, offset: float = 0.0) -> dict[str, Any]:
    """A table as the scripts read it: offset + step · stored, little-endian, deflated, base64."""
    stored = np.ascontiguousarray(values, dtype=np.dtype(dtype).newbyteorder("<"))
    deflated = base64.b64encode(zlib.compress(stored.tobytes(), level=9)).decode("ascii")
    return {"dtype": dtype, "shape": stored.shape, "step": step, "offset": offset, "deflated": deflated}
