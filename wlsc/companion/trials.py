"""What was tried to break the book, and how often it held: the counts that runs of the tests leave behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from wlsc.companion.reports import describe_capability

#: Kind of trial → how the report calls it. Tests name their kind with the marker ``tried``, or record a count of it.
KINDS = {
    "kills": "processes killed, whose work was resumed or done again",
    "faults": "faults injected and survived: disks, downloads, notebooks",
    "inputs": "bad inputs tried: files, configurations, parameters, scripts in text",
    "builds": "builds from nothing, compared byte for byte",
    "numbers": "printed numbers verified against the reference",
    "problems": "problems solved exactly, held against independent solvers",
}


def list_trials(runs: Mapping[str, Mapping[str, Any] | None]) -> tuple[list[str], list[list[str]]]:
    """Say what was tried, how the runs ended, and when and where they were.

    Parameters
    ----------
    runs
        Command → what its last run left in ``results/tests``, or None if there is nothing.

    Returns
    -------
    tuple
        Header and rows of a table, in Markdown. Counts are of tests that passed; what failed and why others were
        skipped is named, and what was not run says so.
    """
    rows: dict[str, Callable[[Mapping[str, Any]], str]] = {
        **{title: partial(_describe_kind, kind) for kind, title in KINDS.items()},
        "all tests": _describe_outcomes,
        "when": lambda run: run["finished"][:10],
        "commit": lambda run: run["commit"][:12],
        "arithmetic": _describe_arithmetic,
    }
    cells = [
        [title, *(describe(run) if run else "not run" for run in runs.values())] for title, describe in rows.items()
    ]
    return ["tried", *runs], cells


def _describe_kind(kind: str, run: Mapping[str, Any]) -> str:
    trial = run["tried"].get(kind)
    if trial is None:
        return "not run"
    failed = [f"{trial[outcome]:,} {outcome}" for outcome in ("failed", "skipped") if trial[outcome]]
    return ", ".join([f"{trial['count']:,} in {trial['passed']:,} test{'s' * (trial['passed'] != 1)}", *failed])


def _describe_arithmetic(run: Mapping[str, Any]) -> str:
    """Where the tests ran, and where the numbers came from that they compared with."""
    reference = run.get("measured", {}).get("arithmetic of the reference")
    return describe_capability(run) + (f"; the reference: {reference}" if reference else "")


def _describe_outcomes(run: Mapping[str, Any]) -> str:
    """How many tests ended how; which failed and why others were skipped, unless the run kept neither."""
    named = {
        "failed": [f"`{name}`" for name in run.get("failures", ())],
        "skipped": [f"{reason} ({number:,})" for reason, number in run.get("skips", {}).items()],
    }
    return ", ".join(
        f"{run[outcome]:,} {outcome}" + (f": {', '.join(names)}" if (names := named.get(outcome)) else "")
        for outcome in ("passed", "failed", "skipped")
    )
