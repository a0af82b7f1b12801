"""What the jobs of a build leave behind: which cells of a study are done and why others are not, and what all took."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple


class CellStatus(NamedTuple):
    """How one cell of a study stands.

    Attributes
    ----------
    name
        The cell's.
    state
        "finished", "failed", "begun" (it runs, or was killed and can be resumed) or "not begun".
    seconds
        Time that it took, 0 if it is not finished.
    reason
        What it said when it failed.
    """

    name: str
    state: str
    seconds: float = 0.0
    reason: str = ""


class Cost(NamedTuple):
    """What one notebook took, with all that was trained for it.

    Attributes
    ----------
    notebook
        Name of the chapter.
    device
        "cpu" or "cuda".
    n_jobs
        Trainings and cells of studies that it reads, and itself.
    hours
        Device-hours: time of all these jobs, each on the device or the cores that it was given.
    """

    notebook: str
    device: str
    n_jobs: int
    hours: float


def cell_statuses(study: str, cells: Iterable[str], folder: Path) -> list[CellStatus]:
    """Say how the cells of a study stand whose jobs write to one folder of a build.

    Parameters
    ----------
    study
        Name of the study.
    cells
        Names of its cells.
    folder
        Folder of the build, such as ``_build/quick``: records lie in ``studied/STUDY``, what jobs said in
        ``logs/STUDY``.
    """
    return [_status(cell, folder / "studied" / study, folder / "logs" / study) for cell in cells]


def _status(cell: str, records: Path, logs: Path) -> CellStatus:
    record, log = records / f"{cell}.json", logs / f"{cell}.txt"
    if record.exists():
        return CellStatus(cell, "finished", _read(record)["duration_s"])
    if not log.exists():
        return CellStatus(cell, "not begun")
    said = log.read_text(encoding="utf-8", errors="replace")
    last = re.split(r"[\r\n]+", said.strip())[-1]
    if last.startswith("wlsc: ") or "Traceback (most recent call last)" in said:
        return CellStatus(cell, "failed", reason=last.removeprefix("wlsc: "))
    return CellStatus(cell, "begun")


def load_costs(folder: Path) -> list[Cost]:
    """Add up what every executed notebook of a build took, from the reports in its folder, in the order of names."""
    return [_cost(_read(path)) for path in sorted((folder / "reports").glob("[!.]*.json"))]


def _cost(report: dict[str, Any]) -> Cost:
    jobs = [report["duration_s"], *report["training_s"].values()]
    return Cost(report["notebook"], report["device"], len(jobs), sum(jobs) / 3600)


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))
