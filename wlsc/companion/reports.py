"""What the jobs of a build have left on record: how long each took, and how much memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Bytes that a build may take at most, by profile.
MOST_MEMORY = {"quick": 2 * 2**30, "full": 8 * 2**30}


@dataclass(frozen=True)
class Job:
    """A training, a study or one cell of it, or a notebook; ``memory`` (bytes) is None in records of old builds."""

    kind: str
    name: str
    seconds: float
    memory: int | None


def read_jobs(folder: Path) -> list[Job]:
    """Read the records of a build in ``folder``: trainings first, notebooks last."""
    jobs = []
    for kind, records in (("training", "trained"), ("study", "studied"), ("notebook", "reports")):
        for path in sorted((folder / records).rglob("[!.]*.json")):
            record = json.loads(path.read_text(encoding="utf-8"))
            jobs.append(Job(kind, path.stem, record["duration_s"], record.get("peak_memory_bytes")))
    return jobs


def read_report(folder: Path) -> dict[str, Any]:
    """Read the report of the notebook of a build that finished last.

    Raises
    ------
    ValueError
        If no notebook has been run in ``folder``.
    """
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in (folder / "reports").glob("[!.]*.json")]
    if not reports:
        raise ValueError(f"folder must hold a build, such as _build/quick, got {folder}")
    return max(reports, key=lambda report: report["finished"])


def most_memory(jobs: Sequence[Job]) -> int:
    """The most memory (bytes) that a build on two cores can take: the two largest jobs at one time."""
    return sum(sorted(job.memory or 0 for job in jobs)[-2:])


def describe_memory(jobs: Sequence[Job]) -> str:
    """Say how much memory a build takes at most, and whether that was measured of every job."""
    unknown = sum(job.memory is None for job in jobs)
    missing = f" (not measured of {unknown} of {len(jobs)} jobs)" if unknown else ""
    return f"Two jobs at a time take at most {most_memory(jobs) / 2**30:.1f} GiB{missing}."
