"""Does the graph of codes order the atoms? Models at matched activity, each on several draws of images.

A study is a TOML file like those of `wlsc.experiments.studies.receptive_fields`, whose trainings it shares. Each of its
cells is one dictionary: its codes of held-out patches, and of surrogate patches that have their second moments and
lengths and nothing else, give two graphs; Moran's I of the atoms' properties is taken over both, and over sheets that
are laid out by the graph.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wlsc._validation import check_choice
from wlsc.analysis.gabor import fit_gabors
from wlsc.analysis.nulls import scale_mixture_like
from wlsc.analysis.topography import (
    Layout,
    Moran,
    axial,
    code_graph,
    filter_cosines,
    morans_i,
    random_layout,
    sheet_weights,
    spectral_layout,
    spectrum_cosines,
    swap_layout,
    tsne_layout,
    without_edges,
)
from wlsc.analysis.tuning import grating_tuning
from wlsc.experiments.matching import match_activity
from wlsc.experiments.runs import run_address
from wlsc.experiments.studies import receptive_fields
from wlsc.experiments.studies.base import load_measurement, measure_each, read_cells, save_measurement, write_once
from wlsc.experiments.studies.receptive_fields import Cell, Trained
from wlsc.inference.exact import infer_codes
from wlsc.models import SparseCodingAutoencoder

#: Share of its variance that a Gabor must explain for a filter to have an orientation, a frequency and a phase.
LEAST_R2 = 0.5

#: Strata along each axis of the patch, and of usage, within which orientation is permuted.
_N_PLACES, _N_USAGES = 3, 5

#: Patches on which the activity of codes over another model's atoms is matched.
_N_MATCHED = 1000

#: Draws of the edges that are removed, over which order is averaged.
_N_REMOVALS = 10

#: What gives the codes of a dictionary. Energies are squared responses.
ENCODERS = ("own", "wlsc", "sparse_coding", "nonnegative", "energies")

#: What a layout is given: the graph of the codes, or the filters, which it never is but for reference.
LAYOUTS: Mapping[str, Callable[[np.ndarray, np.ndarray, tuple[int, int], int], Layout]] = {
    "swap": lambda graph, filters, shape, seed: swap_layout(graph, shape, seed),
    "random_start": lambda graph, filters, shape, seed: swap_layout(graph, shape, seed, start="random"),
    "torus": lambda graph, filters, shape, seed: swap_layout(graph, shape, seed, torus=True),
    "spectral": lambda graph, filters, shape, seed: spectral_layout(graph, shape),
    "tsne": lambda graph, filters, shape, seed: tsne_layout(graph, shape, seed),
    "random": lambda graph, filters, shape, seed: random_layout(len(graph), shape, seed),
    "cosines": lambda graph, filters, shape, seed: swap_layout(filter_cosines(filters), shape, seed),
    "spectra": lambda graph, filters, shape, seed: swap_layout(
        spectrum_cosines(filters, _patch_shape(filters)), shape, seed
    ),
}


@dataclass(frozen=True)
class ModelSpec(receptive_fields.ModelSpec):
    """One dictionary with one way of coding.

    Attributes
    ----------
    title, kind, lam, like, size, options, data, training
        As in `wlsc.experiments.studies.receptive_fields`, of the dictionary.
    encoder
        One of `ENCODERS`: "own" is the model's; "wlsc", "sparse_coding" and "nonnegative" code over any atoms, λ such
        that the cell's activity is matched, atoms scaled to the patches' length or to 1; "energies" need no λ.
    """

    encoder: str = "own"


@dataclass(frozen=True, kw_only=True)
class Study(receptive_fields.Study):
    """All of a study; see the module.

    Attributes
    ----------
    name, data, training, variations, seed, device, cells, n_held_out, tolerance
        As in `wlsc.experiments.studies.receptive_fields`.
    measures
        "topography".
    models
        By name.
    side
        Atoms along each side of the sheet: every dictionary has side² of them.
    layouts
        Which of `LAYOUTS` are made, beside "swap".
    removed
        Shares of edges that are removed at random.
    n_permutations
        Of Moran's I.
    """

    models: dict[str, ModelSpec]  # type: ignore[assignment]
    measures: str = "topography"
    side: int = 16
    layouts: list[str] = field(default_factory=list)
    removed: list[float] = field(default_factory=list)
    n_permutations: int = 1000

    def n_units(self, cell: Cell, model: str) -> int:
        """Number of units of a model: those of the sheet, times its size."""
        return round(self.side**2 * self.models[model].size)


@dataclass(frozen=True)
class Measurement:
    """What is known of a cell.

    Attributes
    ----------
    cell
        The cell.
    summary
        "lam" of the codes, "activity", "reached", "n_excluded" by reason; "graph" and "surrogate": property → "I", "z",
        "p" of the graphs of codes of natural and of surrogate patches; "strata": what orientation is permuted within
        → "graph", "surrogate": I less its mean over those permutations; "sheets": layout → property → I, and
        "surrogate" for the swap layout of the surrogates' graph; "removed": share of edges → I of orientation; "cost".
    units
        One row per atom: "known" (it has an edge, and an orientation), "orientation_deg", "frequency", "x", "y",
        "phase_deg", "circular_variance", "r2", "usage".
    filters
        Shape (n_units, n_pixels).
    graph
        Of the codes of natural patches, shape (n_units, n_units).
    places
        Of the swap layout, shape (n_units, 2).
    """

    cell: Cell
    summary: dict[str, Any]
    units: np.recarray
    filters: np.ndarray
    graph: np.ndarray
    places: np.ndarray


def read_study(path: Path) -> Study:
    """Read a study from a TOML file with the tables of `Study`, groups as ``[[cells]]``.

    Raises
    ------
    ValueError
        If the file is missing, is no TOML, or has an unknown, missing or wrong entry.
    """
    study = read_cells(Study, path, "topography")
    for name, spec in study.models.items():
        check_choice(f"{path}: models.{name}.encoder", spec.encoder, ENCODERS)
    for name in study.layouts:
        check_choice(f"{path}: layouts", name, tuple(LAYOUTS))
    return study


def load_study(name: str, profile: str, folder: Path = Path("studies")) -> Study:
    """Read the study ``folder/profile/name.toml``; a notebook's folder holds ``studies``."""
    return read_study(folder / profile / f"{name}.toml")


def measure(study: Study, cell: Cell, show_progress: bool = False) -> Measurement:
    """Train a cell's dictionary and ask its graph for order, or find the measurement.

    Two processes that ask for one cell at one time compute it once.
    """
    began = time.perf_counter()
    spec = study.models[cell.model]
    # what codes over its atoms by another model has no activity of its own
    own = cell if spec.encoder == "own" or spec.like else dataclasses.replace(cell, activity=None)
    trained = receptive_fields.train(study, own, show_progress)
    address = {
        "run": run_address(trained.config),
        "cell": dataclasses.asdict(cell),
        "model": dataclasses.asdict(spec),
        "study": [study.side, study.layouts, study.removed, study.n_permutations, study.n_held_out, study.tolerance],
    }

    def write(path: Path) -> None:
        found = _measured(study, cell, trained)
        arrays = {name: getattr(found, name) for name in ("units", "filters", "graph", "places")}
        save_measurement(path, found.summary, arrays, began)

    summary, arrays = load_measurement(write_once(Path("cells", f"{cell.name}.npz"), address, __name__, write))
    return Measurement(cell, summary, arrays.pop("units").view(np.recarray), **arrays)


def measure_all(study: Study) -> list[Measurement]:
    """Measure all cells of a study, or find what was measured, with a bar of its progress."""
    return measure_each(study, measure)


def properties(units: np.recarray) -> dict[str, np.ndarray]:
    """Properties of atoms as `wlsc.analysis.topography` takes them, by name, shape (n_units,) each.

    "orientation" e^{2iθ}, its parts "cos 2θ" and "sin 2θ", "log frequency", "position" x + iy, "phase" cos 2φ (1 even,
    -1 odd) and "circular variance".
    """
    orientation = axial(units.orientation_deg)
    return {
        "orientation": orientation,
        "cos 2θ": orientation.real,
        "sin 2θ": orientation.imag,
        "log frequency": np.log(units.frequency),
        "position": units.x + 1j * units.y,
        "phase": np.cos(2 * np.radians(units.phase_deg)),
        "circular variance": units.circular_variance,
    }


def _measured(study: Study, cell: Cell, trained: Trained) -> Measurement:
    encode, lam, reached = _encoder(study, cell, trained)
    codes = encode(trained.held_out)
    surrogates = scale_mixture_like(trained.held_out, torch.Generator().manual_seed(cell.seed))
    graphs = {"graph": code_graph(codes), "surrogate": code_graph(encode(np.asarray(surrogates)))}
    units = _describe(trained.filters, (codes != 0).mean(axis=0), graphs["graph"])
    known = units.known
    values = properties(units[known])
    between = {name: graph[np.ix_(known, known)] for name, graph in graphs.items()}

    def ask(weights: np.ndarray, strata: Any = None, name: str = "orientation") -> Moran:
        return morans_i(values[name], weights, study.n_permutations, cell.seed, strata)

    def order(weights: np.ndarray) -> float:
        return morans_i(values["orientation"], weights, n_permutations=2).statistic

    sheets, layout = _sheets(study, cell, graphs, trained.filters, known, values)
    summary = {
        "lam": lam,
        "reached": reached,
        "activity": float((codes != 0).sum(axis=1).mean()),
        "n_excluded": {
            "without an edge": int((~graphs["graph"].any(axis=1)).sum()),
            f"r² below {LEAST_R2}": int((~(units.r2 >= LEAST_R2)).sum()),
        },
        **{key: {name: _told(ask(weights, name=name)) for name in values} for key, weights in between.items()},
        "strata": {
            what: {key: _beyond(ask(weights, strata)) for key, weights in between.items()}
            for what, strata in _strata(units[known]).items()
        },
        "sheets": sheets,
        "removed": {
            f"{share:g}": float(
                np.mean([order(without_edges(between["graph"], share, draw)) for draw in range(_N_REMOVALS)])
            )
            for share in study.removed
        },
    }
    return Measurement(cell, summary, units, trained.filters, graphs["graph"], layout.places)


def _sheets(
    study: Study,
    cell: Cell,
    graphs: Mapping[str, np.ndarray],
    filters: np.ndarray,
    known: np.ndarray,
    values: Mapping[str, np.ndarray],
) -> tuple[dict[str, dict[str, float]], Layout]:
    """Moran's I over neighbours on each sheet, and the layout by swaps."""
    shape = (study.side, study.side)
    layouts = {
        name: LAYOUTS[name](graphs["graph"], filters, shape, cell.seed)
        for name in dict.fromkeys(["swap", *study.layouts])
    }
    layouts["surrogate"] = LAYOUTS["swap"](graphs["surrogate"], filters, shape, cell.seed)
    found = {}
    for name, layout in layouts.items():
        weights = sheet_weights(layout.places[known], shape, torus=name == "torus")
        found[name] = {key: morans_i(value, weights, n_permutations=2).statistic for key, value in values.items()}
    return found, layouts["swap"]


def _told(moran: Moran) -> dict[str, float]:
    return {"I": moran.statistic, "z": moran.z, "p": moran.p_value}


def _beyond(moran: Moran) -> float:
    """I beyond what its strata make."""
    return float(moran.statistic - moran.permuted.mean())


def _strata(units: np.recarray) -> dict[str, np.ndarray]:
    """Strata of equal numbers of units: thirds along x times thirds along y; fifths of usage."""
    from scipy.stats import rankdata

    def parts(values: np.ndarray, n_parts: int) -> np.ndarray:
        return np.floor((rankdata(values, "ordinal") - 1) * n_parts / len(values)).astype(int)

    return {
        "position": _N_PLACES * parts(units.x, _N_PLACES) + parts(units.y, _N_PLACES),
        "usage": parts(units.usage, _N_USAGES),
    }


def _describe(filters: np.ndarray, usage: np.ndarray, graph: np.ndarray) -> np.recarray:
    shape = _patch_shape(filters)
    fits = fit_gabors(filters.astype(np.float64), shape)
    names = ("orientation_deg", "frequency", "x", "y", "phase_deg", "r2")
    units = np.recarray(
        len(filters),
        dtype=[("known", bool), *((name, float) for name in (*names, "circular_variance", "usage"))],
    )
    for name in names:
        units[name] = fits[name]
    units.circular_variance = grating_tuning(filters.astype(np.float64), shape).circular_variance
    units.usage = usage
    units.known = (units.r2 >= LEAST_R2) & graph.any(axis=1)
    return units


def _encoder(study: Study, cell: Cell, trained: Trained) -> tuple[Callable[[np.ndarray], np.ndarray], float, bool]:
    """What gives codes over a cell's atoms, its λ, and whether the activity that was asked for was reached."""
    kind = study.models[cell.model].encoder
    if kind == "own":
        if trained.run is None:
            raise ValueError(f"encoder of {cell.model} must be another than 'own', since nothing was trained")
        return trained.run.codes, trained.config.model.lam, trained.reached
    if kind == "energies":
        return lambda patches: (patches @ trained.filters.T) ** 2, 0.0, True
    atoms = trained.filters / np.linalg.norm(trained.filters, axis=1, keepdims=True)
    if kind == "wlsc":
        atoms = atoms * np.sqrt((trained.held_out**2).sum(axis=1).mean())
    if cell.activity is None:
        raise ValueError(f"activities of {cell.model} must be given, since its codes are matched")
    few = trained.held_out[:_N_MATCHED]
    match = match_activity(
        lambda lam: float((_codes(kind, atoms, lam, few) != 0).sum(axis=1).mean()),
        cell.activity,
        trained.config.model.lam or 0.1,
        study.tolerance,
    )
    return lambda patches: _codes(kind, atoms, match.lam, patches), match.lam, match.reached


def _codes(kind: str, atoms: np.ndarray, lam: float, patches: np.ndarray) -> np.ndarray:
    if kind == "wlsc":
        return np.asarray(infer_codes(patches, atoms.astype(patches.dtype), lam))
    model = SparseCodingAutoencoder(atoms.shape[1], len(atoms), lam, nonnegative=kind == "nonnegative")
    model.set_dictionary(torch.as_tensor(atoms))
    return model.infer(torch.as_tensor(patches)).numpy()


def _patch_shape(filters: np.ndarray) -> tuple[int, int]:
    side = math.isqrt(filters.shape[1])
    return side, side
