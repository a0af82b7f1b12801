"""Many trainings of one question: models at matched activity, several seeds, one factor varied at a time.

A study is a TOML file. Its groups of *cells* say which models are trained at which activity, how often, and under which
variation of the data; each cell is one training and what is measured of its units. Measurements are found again by
their address, like the runs they are made of.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch

from wlsc._validation import check_choice
from wlsc.analysis.gabor import fit_gabors
from wlsc.analysis.nulls import phase_shuffled
from wlsc.analysis.tuning import encoder_tuning, grating_tuning, mapped_receptive_fields
from wlsc.datasets.natural_images import effective_dimension, whitening_matrix
from wlsc.dictionary import initialize_dictionary
from wlsc.experiments import (
    Config,
    DataConfig,
    ModelConfig,
    Run,
    load_data,
    run,
    run_address,
)
from wlsc.experiments.matching import Match, match_activity
from wlsc.experiments.studies.base import (
    BaseStudy,
    load_measurement,
    match_once,
    measure_each,
    read_cells,
    save_measurement,
    write_once,
)
from wlsc.models._filter_bank import FilterBank

#: Seeds of held-out patches are those of the training patches plus this.
_HELD_OUT = 1_000_000

#: Spatial frequencies of the gratings (cycles per pixel), their orientations and phases.
_FREQUENCIES = tuple(np.geomspace(1 / 12, 0.4, 7).round(4).tolist())
_N_ORIENTATIONS, _N_PHASES = 36, 8

_TUNING = ("circular_variance", "bandwidth_deg", "orthogonal_ratio", "modulation_ratio")

#: What a cell's units are measured on: the filter itself, and the field mapped by reverse correlation; each among
#: whitened pixels, and in pixels of the image.
FIELDS = ("filter", "mapped", "filter_in_image", "mapped_in_image")


@dataclass(frozen=True)
class ModelSpec:
    """One model of a study.

    Attributes
    ----------
    title
        Name for people.
    kind
        Kind of model of `wlsc.experiments`; or a null that is not trained: "random_patches" (filters are patches of
        the data) or "phase_shuffled" (filters are those of ``like`` with random phases).
    lam
        Where the search for λ starts; λ itself in cells without an activity to match.
    like
        Model whose matched λ is taken over, and whose filters a null shuffles.
    size
        Number of units as a share of the study's.
    options, data, training
        Options of the model's class; changes to the study's data options and training, as tables.
    """

    title: str
    kind: str
    lam: float = 0.0
    like: str = ""
    size: float = 1.0
    options: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CellGroup:
    """Cells that share their models and differ in everything else.

    Attributes
    ----------
    models
        Names of models.
    activities
        Mean numbers of non-zero codes to match; none where λ is the model's own.
    overcompleteness
        Atoms per effective dimension of the data.
    variations
        Names of variations; "none" for the study's own data.
    n_seeds
        Trainings, each with its own draw of images and of first atoms.
    fields
        Which of `FIELDS` are fitted.
    """

    models: list[str]
    activities: list[float] = field(default_factory=list)
    overcompleteness: list[float] = field(default_factory=lambda: [1.0])
    variations: list[str] = field(default_factory=lambda: ["none"])
    n_seeds: int = 1
    fields: list[str] = field(default_factory=lambda: ["filter"])


@dataclass(frozen=True, kw_only=True)
class Study(BaseStudy["Cell"]):
    """All of a study; see the module.

    Attributes
    ----------
    name, data, training, variations, seed, device
        As in every study.
    measures
        "receptive_fields".
    models
        By name.
    cells
        The cells.
    n_held_out
        Patches on which activity is measured.
    n_noise
        Noise stimuli of the reverse correlation.
    tolerance
        Largest relative deviation of a matched activity.
    """

    COMPARED: ClassVar = "models"

    models: dict[str, ModelSpec]
    cells: list[CellGroup]
    measures: str = "receptive_fields"
    n_held_out: int = 2000
    n_noise: int = 20_000
    tolerance: float = 0.05

    def n_units(self, cell: Cell, model: str) -> int:
        """Number of units of a model in a cell: its overcompleteness times the effective dimension of the data."""
        dimension = _dimension(self.data.source, json.dumps(self.data.options))
        return round(cell.overcompleteness * self.models[model].size * dimension)

    def expand(self, group: CellGroup) -> Iterator[Cell]:
        """Cells of a group: each model at each activity, size and variation, on each seed."""
        activities: list[float | None] = [*group.activities] or [None]
        for model, activity, size, variation, seed in itertools.product(
            group.models, activities, group.overcompleteness, group.variations, range(group.n_seeds)
        ):
            yield Cell(model, activity, size, variation, self.seed + seed, tuple(group.fields))

    def merged(self, known: Cell, cell: Cell) -> Cell:
        """The cell with the fields of both."""
        fields = sorted({*cell.fields, *known.fields}, key=FIELDS.index)
        return dataclasses.replace(cell, fields=tuple(fields))


@dataclass(frozen=True)
class Cell:
    """One training of a study. Its name is that of its coordinates."""

    model: str
    activity: float | None
    overcompleteness: float
    variation: str
    seed: int
    fields: tuple[str, ...]

    @property
    def name(self) -> str:
        """Coordinates in a word, such as ``wlsc-a10-x1-none-s0``."""
        activity = "own" if self.activity is None else f"a{self.activity:g}"
        return f"{self.model}-{activity}-x{self.overcompleteness:g}-{self.variation}-s{self.seed}"


@dataclass(frozen=True)
class Measurement:
    """What is known of a cell.

    Attributes
    ----------
    cell
        The cell.
    summary
        "lam", "activity" (on held-out patches), "n_units", "reached", "run" (folder), and "cost" of the whole
        cell, when it was measured: "duration_s", "peak_memory_bytes".
    units
        One row per unit. ``usage``: share of held-out patches whose code uses it; ``live``: it answers a grating;
        ``rates``: its mean response at every orientation from 0 to below 180 degrees; ``circular_variance``,
        ``bandwidth_deg``, ``orthogonal_ratio``, ``modulation_ratio`` of its response, and ``filter_circular_variance``
        of the rectified response of its filter alone.
    fits
        `wlsc.fit_gabors` of each of the cell's fields.
    filters
        (n_units, n_pixels), the filters or atoms.
    """

    cell: Cell
    summary: dict[str, Any]
    units: np.recarray
    fits: dict[str, np.recarray]
    filters: np.ndarray


def read_study(path: Path) -> Study:
    """Read a study from a TOML file with the tables of `Study`, groups as ``[[cells]]``.

    Raises
    ------
    ValueError
        If the file is missing, is no TOML, or has an unknown, missing or wrong entry.
    """
    study = read_cells(Study, path, "receptive_fields")
    for group in study.cells:
        for name in group.fields:
            check_choice(f"{path}: fields of cells", name, FIELDS)
    return study


def measure(study: Study, cell: Cell, show_progress: bool = False) -> Measurement:
    """Match, train and measure one cell, or find its measurement.

    Two processes that ask for one cell at one time compute it once.

    Parameters
    ----------
    study
        The study.
    cell
        One of ``study.list_cells()``.
    show_progress
        Show a bar for each training.
    """
    began = time.perf_counter()
    spec = study.models[cell.model]
    match = _match_of(study, cell, show_progress)
    config = _configured(study, cell, match)
    address = {
        "run": run_address(config),
        "cell": dataclasses.asdict(cell),
        "model": dataclasses.asdict(spec),
        "match": dataclasses.asdict(match),
        "n_held_out": study.n_held_out,
        "n_noise": study.n_noise,
    }

    def write(path: Path) -> None:
        _save(path, _measured(study, cell, config, match, show_progress), began)

    return _load(write_once(Path("cells", f"{cell.name}.npz"), address, __name__, write), cell)


class Trained(NamedTuple):
    """The training of a cell.

    Attributes
    ----------
    config
        Its configuration, λ matched.
    reached
        Whether the activity that was asked for was reached.
    run
        The run, None for a null that is not trained.
    filters
        Filters or atoms, shape (n_units, n_pixels).
    held_out
        Patches that it was not trained on, shape (n_held_out, n_pixels).
    """

    config: Config
    reached: bool
    run: Run | None
    filters: np.ndarray
    held_out: np.ndarray


def train(study: Study, cell: Cell, show_progress: bool = False) -> Trained:
    """Match and train a cell, or find its training."""
    match = _match_of(study, cell, show_progress)
    config = _configured(study, cell, match)
    trained, filters, _ = _trained(study, cell, config, show_progress)
    return Trained(config, match.reached, trained, filters.numpy(), _held_out(study, config).numpy())


def map_fields(study: Study, cell: Cell) -> np.ndarray:
    """Receptive fields of a measured cell's units, mapped with white noise among whitened pixels.

    Returns
    -------
    ndarray
        Shape (n_units, n_pixels).
    """
    config = _configured(study, cell, _match_of(study, cell, False))
    _, filters, encode = _trained(study, cell, config, False)
    return _mapped(encode, _shape(filters), _length(_held_out(study, config)), cell, study.n_noise).numpy()


def measure_all(study: Study) -> list[Measurement]:
    """Measure all cells of a study, or find what was measured, with a bar of its progress."""
    return measure_each(study, measure)


def _match_of(study: Study, cell: Cell, show_progress: bool) -> Match:
    """The match of a cell's own training, or of the model that it follows; it begins where the first seed's ended."""
    spec = study.models[cell.model]
    if cell.activity is None:
        return Match(spec.lam, math.nan, True, [])
    if spec.like:
        return _match_of(study, dataclasses.replace(cell, model=spec.like), show_progress)
    first = cell.seed == study.seed
    start = spec.lam if first else _match_of(study, dataclasses.replace(cell, seed=study.seed), show_progress).lam
    address = {
        "run": run_address(_configure(study, cell, cell.model, start)),
        "target": cell.activity,
        "n_held_out": study.n_held_out,
        "tolerance": study.tolerance,
    }

    def search() -> Match:
        return _search(study, cell, start, show_progress)

    return match_once(Path("matches", f"{cell.name}.json"), address, __name__, search)


def _search(study: Study, cell: Cell, start: float, show_progress: bool) -> Match:
    assert cell.activity is not None
    held_out = _held_out(study, _configure(study, cell, cell.model, start))

    def activity_of(lam: float) -> float:
        codes = run(_configure(study, cell, cell.model, lam), show_progress).codes(held_out.numpy())
        return float((codes != 0).sum(1).mean())

    return match_activity(activity_of, cell.activity, start, study.tolerance)


def _is_null(spec: ModelSpec) -> bool:
    return spec.kind in ("random_patches", "phase_shuffled")


def _configured(study: Study, cell: Cell, match: Match) -> Config:
    """The configuration of a cell's training; a null has that of the model that it follows."""
    spec = study.models[cell.model]
    model = cell.model if not _is_null(spec) else spec.like or cell.model
    return _configure(study, cell, model, match.lam)


def _configure(study: Study, cell: Cell, model: str, lam: float) -> Config:
    spec = study.models[model]
    shared = study.data.options | study.variations[cell.variation] | {"seed": cell.seed}
    source = shared.pop("source", study.data.source)
    n_atoms = study.n_units(cell, model)
    training = dataclasses.replace(study.training, **spec.training)
    kind = "wlsc" if _is_null(spec) else spec.kind
    return Config(
        f"{study.name}-{model}",
        DataConfig(study.data.kind, source, shared | spec.data),
        ModelConfig(kind, n_atoms, float(f"{lam:.6g}"), spec.options),
        training,
        cell.seed,
        study.device,
    )


@cache
def _dimension(source: str, options: str) -> float:
    """Effective dimension of a study's own data."""
    return effective_dimension(load_data(DataConfig("natural_images", source, json.loads(options))))


def _held_out(study: Study, config: Config) -> torch.Tensor:
    """Other patches of the same kind, as large as the study's own."""
    changed = {
        "seed": config.data.options["seed"] + _HELD_OUT,
        "patch_size": study.data.options["patch_size"],
        "n_patches": study.n_held_out,
        "resample_images": False,
    }
    return torch.as_tensor(load_data(dataclasses.replace(config.data, options=config.data.options | changed)))


def _measured(study: Study, cell: Cell, config: Config, match: Match, show_progress: bool) -> Measurement:
    spec = study.models[cell.model]
    held_out = _held_out(study, config)
    activity = math.nan
    trained, filters, encode = _trained(study, cell, config, show_progress)
    usage = torch.full((len(filters),), math.nan)
    if trained is not None and not _is_null(spec) and not isinstance(trained.model(), FilterBank):
        used = torch.as_tensor(trained.codes(held_out.numpy()) != 0).double()
        usage, activity = used.mean(0), float(used.sum(1).mean())
    summary = {
        "lam": config.model.lam,
        "activity": activity,
        "reached": match.reached,
        "n_units": len(filters),
        "run": trained.path.name if trained else None,
    }
    return Measurement(
        cell,
        summary,
        _tuning(encode, filters, held_out, usage),
        _fits(encode, filters, held_out, cell, config, study.n_noise),
        filters.numpy(),
    )


def _trained(
    study: Study, cell: Cell, config: Config, show_progress: bool
) -> tuple[Run | None, torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
    """The training of a cell, if there is one, its filters, and what gives the rates of its units."""
    kind = study.models[cell.model].kind
    if kind == "random_patches":
        filters = _random_filters(config)
        return None, filters, _linear(filters)
    trained = run(config, show_progress)
    filters = torch.as_tensor(trained.dictionary)
    if kind == "phase_shuffled":
        shuffled = phase_shuffled(filters, _shape(filters), torch.Generator().manual_seed(cell.seed))
        filters = torch.as_tensor(shuffled)
        return trained, filters, _linear(filters)
    return trained, filters, _encoder(trained.model())


def _random_filters(config: Config) -> torch.Tensor:
    generator = torch.Generator().manual_seed(config.seed)
    return torch.as_tensor(initialize_dictionary(load_data(config.data), config.model.n_atoms, generator))


def _linear(filters: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    def respond(stimuli: torch.Tensor) -> torch.Tensor:
        return (stimuli @ filters.T).clamp_min(0)

    return respond


def _encoder(model: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """Rates of a model's units: its codes or responses, of which signed ones count where they are positive.

    Gratings and noise come with their negatives, so that the negative half of a signed code is tuned alike.
    """
    if isinstance(model, FilterBank):

        def respond(stimuli: torch.Tensor) -> torch.Tensor:
            return model.respond(stimuli).clamp_min(0)

        return respond

    def infer(stimuli: torch.Tensor) -> torch.Tensor:
        return model.infer(stimuli).clamp_min(0)

    return infer


def _shape(filters: torch.Tensor) -> tuple[int, int]:
    side = math.isqrt(filters.shape[1])
    return side, side


def _length(patches: torch.Tensor) -> float:
    """Root mean square length of patches: stimuli are made as strong."""
    return float(patches.square().sum(1).mean().sqrt())


def _tuning(
    encode: Callable[[torch.Tensor], torch.Tensor], filters: torch.Tensor, patches: torch.Tensor, usage: torch.Tensor
) -> np.recarray:
    shape = _shape(filters)
    contrast = _length(patches) / math.sqrt(filters.shape[1] / 2)  # a grating of contrast 1 has that length
    measured = encoder_tuning(encode, shape, _FREQUENCIES, _N_ORIENTATIONS, _N_PHASES, contrast)
    alone = grating_tuning(filters, shape)
    columns = {name: measured[name] for name in _TUNING} | {
        "filter_circular_variance": alone.circular_variance,
        "usage": usage.numpy(),
    }
    rates = ("rates", float, measured.rates.shape[1:])
    units = np.recarray(len(filters), dtype=[("live", bool), rates, *((name, float) for name in columns)])
    units.live = ~measured.dead
    units.rates = measured.rates
    for name, values in columns.items():
        units[name] = values
    return units


def _fits(
    encode: Callable[[torch.Tensor], torch.Tensor],
    filters: torch.Tensor,
    patches: torch.Tensor,
    cell: Cell,
    config: Config,
    n_noise: int,
) -> dict[str, np.recarray]:
    shape, length = _shape(filters), _length(patches)
    matrix = torch.as_tensor(whitening_matrix(shape[0], config.data.options.get("cutoff", 0.4))).to(filters)

    def fields(name: str) -> torch.Tensor:
        if name == "filter":
            return filters
        if name == "filter_in_image":
            return filters @ matrix
        return _mapped(encode, shape, length, cell, n_noise, matrix if name == "mapped_in_image" else None)

    return {name: fit_gabors(fields(name).double(), shape) for name in cell.fields}


def _mapped(
    encode: Callable[[torch.Tensor], torch.Tensor],
    shape: tuple[int, int],
    length: float,
    cell: Cell,
    n_noise: int,
    whitening: torch.Tensor | None = None,
) -> torch.Tensor:
    """Fields mapped with white noise that is as long as a patch, after the whitening where there is one."""
    root = math.sqrt(math.prod(shape)) if whitening is None else float(whitening.square().sum().sqrt())
    through = encode if whitening is None else lambda stimuli: encode(stimuli @ whitening.T)
    mapped = mapped_receptive_fields(through, shape, n_noise, cell.seed + _HELD_OUT, contrast=length / root)
    return torch.as_tensor(mapped.fields)


def _save(path: Path, measurement: Measurement, began: float) -> None:
    fits = {f"fit_{name}": fit for name, fit in measurement.fits.items()}
    arrays = {"units": measurement.units, "filters": measurement.filters, **fits}
    save_measurement(path, measurement.summary, arrays, began)


def _load(path: Path, cell: Cell) -> Measurement:
    summary, arrays = load_measurement(path)
    fits = {name: arrays[f"fit_{name}"].view(np.recarray) for name in cell.fields}
    return Measurement(cell, summary, arrays["units"].view(np.recarray), fits, arrays["filters"])
