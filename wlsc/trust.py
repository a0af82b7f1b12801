"""What was tried to break the book, and how often it held: the counts that runs of the tests leave behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Kind of trial → how the report calls it. Tests name their kind with the marker ``tried``, or record a count of it.
KINDS = {
    "kills": "processes killed, whose work was resumed or done again",
    "faults": "faults injected and survived: disks, downloads, notebooks",
    "inputs": "bad inputs tried: files, configurations, parameters, scripts in text",
    "builds": "builds from nothing, compared byte for byte",
    "numbers": "printed numbers verified against the reference",
}


def describe_trials(runs: Mapping[str, Mapping[str, Any] | None]) -> str:
    """Say in a Markdown table what was tried, and in a line below it when, where, and how the runs ended.

    Parameters
    ----------
    runs
        Command → what its last run left in ``results/tests``, or None if there is nothing.

    Returns
    -------
    str
        Counts of tests that passed; what was not run says so.
    """
    lines = [f"| tried | {' | '.join(f'`{command}`' for command in runs)} |", f"|---|{'---:|' * len(runs)}"]
    for kind, title in KINDS.items():
        cells = [_count(run["tried"].get(kind)) if run else "not run" for run in runs.values()]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    ends = [f"`{command}` {_end(run)}" for command, run in runs.items()]
    return "\n".join([*lines, "", "; ".join(ends) + "."])


def _count(trial: Mapping[str, int] | None) -> str:
    if trial is None:
        return "not run"
    words = [f"{trial['count']:,} in {trial['passed']:,} test{'s' * (trial['passed'] != 1)}"]
    words += [f"{trial[outcome]:,} {outcome}" for outcome in ("failed", "skipped") if trial[outcome]]
    return ", ".join(words)


def _end(run: Mapping[str, Any] | None) -> str:
    if run is None:
        return "was not run"
    outcomes = ", ".join(f"{run[outcome]:,} {outcome}" for outcome in ("passed", "failed", "skipped"))
    return f"ran on {run['finished'][:10]} at commit {run['commit'][:12]} on an {run['processor']}: {outcomes}"
