"""What studies of every kind share: a TOML file with groups of cells, and files found again by their address."""

from __future__ import annotations

import dataclasses
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np

from wlsc._io.files import locked, replaced, runs_folder, write_text
from wlsc._io.machine import cost_since
from wlsc._io.tables import from_table, read_toml
from wlsc._validation import check_choice, check_file_name
from wlsc.experiments import DataConfig, TrainingConfig, digest
from wlsc.experiments.matching import Match
from wlsc.experiments.sources import source_hashes


class Named(Protocol):
    """A cell: one point of a study."""

    @property
    def name(self) -> str:
        """Its coordinates in a word."""
        ...


C = TypeVar("C", bound=Named)
S = TypeVar("S", bound="BaseStudy[Any]")
M = TypeVar("M")


@dataclass(frozen=True, kw_only=True)
class BaseStudy(ABC, Generic[C]):
    """A study of any kind; classes of studies add what is compared, by name, under ``COMPARED``.

    Attributes
    ----------
    name, measures
        Name of the file; kind of the study.
    data, training
        As in `wlsc.experiments.Config`, for every cell.
    cells
        Groups of cells: each names what it compares, its variations and its number of seeds.
    variations
        Changes to the options of the data, by name.
    seed
        Seed of the first run of a cell; the others follow.
    device
        "cpu", "cuda" or "auto", for the trainings.
    """

    COMPARED: ClassVar[str]

    name: str
    data: DataConfig
    training: TrainingConfig
    cells: list[Any]
    variations: dict[str, dict[str, Any]]
    measures: str
    seed: int = 0
    device: str = "cpu"

    @abstractmethod
    def expand(self, group: Any) -> Iterator[C]:
        """Cells of a group."""

    @abstractmethod
    def merged(self, known: C, cell: C) -> C:
        """One cell for two of the same name, measured as both ask."""

    def list_cells(self) -> list[C]:
        """All cells, each once, in the order of the file."""
        found: dict[str, C] = {}
        for group in self.cells:
            for cell in self.expand(group):
                found[cell.name] = self.merged(found.get(cell.name, cell), cell)
        return list(found.values())

    def cell(self, name: str) -> C:
        """The cell of that name.

        Raises
        ------
        ValueError
            If there is none.
        """
        cells = {cell.name: cell for cell in self.list_cells()}
        check_choice("cell", name, tuple(cells))
        return cells[name]


def read_cells(kind: type[S], path: Path, measures: str) -> S:
    """Read a study of one ``kind`` from a TOML file with the tables of that class, groups as ``[[cells]]``.

    Raises
    ------
    ValueError
        If the file is missing, is no TOML, measures something else, or has an unknown, missing or wrong entry.
    """
    table = read_toml(path, "study")
    given = {"name": path.stem, **table, "variations": {"none": {}} | table.get("variations", {})}
    study: S = from_table(kind, given, str(path))
    check_choice(f"{path}: measures", study.measures, (measures,))
    compared = getattr(study, kind.COMPARED)
    for name in (study.name, *compared, *study.variations):
        check_file_name(f"{path}: names of {kind.COMPARED} and variations", name)
    for group in study.cells:
        for what, known in ((kind.COMPARED, compared), ("variations", study.variations)):
            for name in getattr(group, what):
                check_choice(f"{path}: {what} of cells", name, tuple(known))
    for name, spec in compared.items():
        if spec.like:
            check_choice(f"{path}: {kind.COMPARED}.{name}.like", spec.like, tuple(compared))
    return study


def write_once(path: Path, address: Mapping[str, Any], module: str, write: Callable[[Path], None]) -> Path:
    """Find what was computed at an address, or compute it.

    Two processes that ask for the same at one time compute it once.

    Parameters
    ----------
    path
        Where it lies in the folder of runs, without what the address adds to its name.
    address
        All that the numbers depend on, beside the code.
    module
        Name of the module that computes them: its sources belong to the address.
    write
        Computes, and writes to the path that it is given.

    Returns
    -------
    Path
        The file.
    """
    key = digest({**address, "sources": source_hashes(f"import {module}")})[:16]
    found = runs_folder() / path.with_name(f"{path.stem}-{key}{path.suffix}")
    found.parent.mkdir(parents=True, exist_ok=True)
    with locked(found):
        if not found.exists():
            write(found)
    return found


def match_once(path: Path, address: Mapping[str, Any], module: str, search: Callable[[], Match]) -> Match:
    """Find a match of activity, or search for it; see `write_once`."""

    def write(found: Path) -> None:
        write_text(found, json.dumps(dataclasses.asdict(search())))

    match = json.loads(write_once(path, address, module, write).read_text(encoding="utf-8"))
    return Match(**match | {"trials": [tuple(trial) for trial in match["trials"]]})


def save_measurement(path: Path, summary: Mapping[str, Any], arrays: Mapping[str, np.ndarray], began: float) -> None:
    """Write what was measured of a cell to one file, in one step, and with it "cost", what it took since ``began``."""
    told = np.array(json.dumps({**summary, "cost": cost_since(began)}))
    with replaced(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, summary=told, **arrays)


def load_measurement(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read what `save_measurement` wrote: the summary, and the arrays by name."""
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    return json.loads(str(arrays.pop("summary"))), arrays


def measure_each(study: BaseStudy[C], measure: Callable[[Any, C], M]) -> list[M]:
    """Measure all cells of a study, or find what was measured, with a bar of its progress."""
    from tqdm import tqdm

    return [measure(study, cell) for cell in tqdm(study.list_cells(), desc=study.name, unit="cell")]
