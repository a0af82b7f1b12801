"""Sweeps: one training for every model, λ, size of the dictionary and seed, each a job with a record of its own.

A sweep is a study, a TOML file, whose *cells* only train: λ is given and not searched for, so that no cell waits for
another, and what a cell leaves is a run of `wlsc.experiments`, which a job that was killed resumes. The file also
says what a job may take, for schedulers that want to know.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from wlsc._validation import check_choice, check_count, check_penalty
from wlsc.experiments import Config, DataConfig, ModelConfig, Run, run
from wlsc.experiments.studies.base import BaseStudy, read_cells

#: Kinds of models and of data that can be swept over: those with a λ to vary, and those that such a model codes.
_MODELS, _DATA = ("wlsc", "sparse_coding", "hard_threshold"), ("natural_images", "digits")


@dataclass(frozen=True)
class ModelSpec:
    """One model of a sweep.

    Attributes
    ----------
    kind
        Kind of model of `wlsc.experiments`.
    options
        Of the model's class, a table.
    """

    like: ClassVar[str] = ""  # no model takes anything over from another, see `base.read_cells`

    kind: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CellGroup:
    """Cells that share their models; every combination of the lists is trained.

    Attributes
    ----------
    models
        Names of models.
    lams
        Weights of the penalty.
    n_atoms
        Sizes of the dictionary.
    variations
        Names of variations of the data; "none" for the study's own.
    n_seeds
        Trainings of each combination: other first atoms, other batches, the same data.
    """

    models: list[str]
    lams: list[float]
    n_atoms: list[int]
    variations: list[str] = field(default_factory=lambda: ["none"])
    n_seeds: int = 1


@dataclass(frozen=True, kw_only=True)
class Study(BaseStudy["Cell"]):
    """All of a sweep; see the module.

    Attributes
    ----------
    name, data, training, variations, seed, device
        As in every study.
    measures
        "trainings".
    mem_mb, runtime
        Memory (MB) and time (minutes) that one job may take.
    models
        By name.
    cells
        The cells.
    """

    COMPARED: ClassVar = "models"

    mem_mb: int
    runtime: int
    models: dict[str, ModelSpec]
    cells: list[CellGroup]
    measures: str = "trainings"

    def expand(self, group: CellGroup) -> Iterator[Cell]:
        """Cells of a group: each model at each λ, size and variation, on each seed."""
        for model, lam, n_atoms, variation, seed in itertools.product(
            group.models, group.lams, group.n_atoms, group.variations, range(group.n_seeds)
        ):
            yield Cell(model, lam, n_atoms, variation, self.seed + seed)

    def merged(self, known: Cell, cell: Cell) -> Cell:
        """The cell: its name says all of it."""
        return cell


@dataclass(frozen=True)
class Cell:
    """One training of a sweep. Its name is that of its coordinates."""

    model: str
    lam: float
    n_atoms: int
    variation: str
    seed: int

    @property
    def name(self) -> str:
        """Coordinates in a word, such as ``wlsc-l0.1-m196-none-s0``."""
        return f"{self.model}-l{self.lam!r}-m{self.n_atoms}-{self.variation}-s{self.seed}"


@dataclass(frozen=True)
class Measurement:
    """What is known of a cell.

    Attributes
    ----------
    cell
        The cell.
    run
        The finished training.
    """

    cell: Cell
    run: Run

    @property
    def summary(self) -> dict[str, Any]:
        """Coordinates, "objective" and "activity" after the last epoch, "n_epochs", "run" (folder), "cost"."""
        history = self.run.history
        return {
            "model": self.cell.model,
            "lam": self.cell.lam,
            "n_atoms": self.cell.n_atoms,
            "variation": self.cell.variation,
            "seed": self.cell.seed,
            "objective": history["objective"][-1],
            "activity": history["activity"][-1],
            "n_epochs": len(history["objective"]),
            "run": self.run.path.name,
            "cost": self.run.cost,
        }


def read_study(path: Path) -> Study:
    """Read a sweep from a TOML file with the tables of `Study`, groups as ``[[cells]]``.

    Raises
    ------
    ValueError
        If the file is missing, is no TOML, or has an unknown, missing or wrong entry.
    """
    study = read_cells(Study, path, "trainings")
    check_choice(f"{path}: data.kind", study.data.kind, _DATA)
    check_count(f"{path}: mem_mb", study.mem_mb)
    check_count(f"{path}: runtime", study.runtime)
    for name, spec in study.models.items():
        check_choice(f"{path}: models.{name}.kind", spec.kind, _MODELS)
    for group in study.cells:
        check_count(f"{path}: n_seeds of cells", group.n_seeds)
        for n_atoms in group.n_atoms:
            check_count(f"{path}: n_atoms of cells", n_atoms)
        for lam in group.lams:
            check_penalty(lam)
    return study


def measure(study: Study, cell: Cell, show_progress: bool = False) -> Measurement:
    """Train one cell, or find its run, or resume it where it was interrupted; see `wlsc.experiments.run`."""
    spec = study.models[cell.model]
    options = study.data.options | study.variations[cell.variation]
    config = Config(
        f"{study.name}-{cell.model}",
        DataConfig(study.data.kind, study.data.source, options),
        ModelConfig(spec.kind, cell.n_atoms, cell.lam, spec.options),
        study.training,
        cell.seed,
        study.device,
    )
    return Measurement(cell, run(config, show_progress))
