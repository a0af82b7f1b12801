"""What pages say of claims: numbers with intervals, words for verdicts, and tables of both.

The `quick` profile checks the code: it gives numbers and no verdicts. Only `full` speaks about the paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wlsc.analysis.statistics import Interval, TooFewRuns, Verdict
from wlsc.experiments.claims.base import Claim, Measured, read_claims

#: Stands where there is no number.
NONE = "–"


def gives_verdicts(profile: str) -> bool:
    """Tell whether a build of this profile says more than numbers."""
    return profile == "full"


@dataclass(frozen=True)
class Kept:
    """What is known of a claim from JSON: its verdict, whether that is firm, and its numbers by part.

    Results that were kept before verdicts were derived have a verdict by the rules of their time, and do not say
    whether it is firm: that is then None.
    """

    verdict: Verdict
    firm: bool | None
    numbers: Mapping[str, Measured]


def read_kept(saved: Mapping[str, Any]) -> dict[str, Kept]:
    """Return the claims of a saved JSON, of today's form or of the one before.

    Parameters
    ----------
    saved
        What `wlsc.companion.results.load_claims` or ``load_result("claims/…")`` returns.
    """
    known = {name: Kept(claim.verdict, claim.firm, claim.parts) for name, claim in read_claims(saved).items()}
    for name, entry in saved.items():
        if name not in known and isinstance(entry, Mapping) and "verdict" in entry:
            numbers = {
                part: Measured(estimate=found["estimate"], interval=tuple(found["interval"]))
                for part, found in entry.items()
                if isinstance(found, Mapping) and {"estimate", "interval"} <= set(found)
            }
            known[name] = Kept(Verdict(entry["verdict"]), None, numbers)
    return known


def say_number(found: Measured, digits: int = 2) -> str:
    """Write an estimate with its interval, as in "+0.08 [+0.07, +0.09]"."""
    if found.estimate is None:
        return NONE
    return f"{found.estimate:+.{digits}f} {say_interval(found.interval, digits)}".strip()


def say_interval(interval: Interval | TooFewRuns | None, digits: int = 2, sign: str = "+") -> str:
    """Write an interval in brackets, or why there is none."""
    if interval is None:
        return ""
    if interval is Verdict.TOO_FEW_RUNS:
        return f"({interval})"
    low, high = interval
    return f"[{low:{sign}.{digits}f}, {high:{sign}.{digits}f}]"


def say_numbers(numbers: Mapping[str, Measured], digits: int = 2) -> str:
    """Write the numbers of a claim, each after the name of its part if there are several."""
    if len(numbers) == 1:
        return say_number(next(iter(numbers.values())), digits)
    return ", ".join(f"{part} {say_number(found, digits)}" for part, found in numbers.items()) or NONE


def say_verdict(claim: Claim | Kept) -> str:
    """Write a verdict, and that it is not firm if an interval ends so near that another processor could turn it."""
    return f"**{claim.verdict}**" + (", *not firm*" if claim.firm is False else "")


def tabulate(
    claims: Mapping[str, Claim], claimed: Mapping[str, str], profile: str, digits: int = 2
) -> tuple[list[str], list[list[str]]]:
    """Make a table of claims, with a column of verdicts in a profile that gives them.

    Parameters
    ----------
    claims
        Name → what was found.
    claimed
        Name → the claim in words; these are the rows.
    profile
        Of the build.
    digits
        Decimals of estimates.

    Returns
    -------
    header, rows
        As `wlsc.companion.results.save_table` takes them.
    """
    header = ["claim", "verdict", "estimate [95 % interval]", "p, Holm", "runs"]
    rows = [
        [
            f"{name} {text}",
            say_verdict(claims[name]),
            say_numbers(claims[name].parts, digits),
            _say_p(claims[name]),
            str(max(part.n_runs for part in claims[name].parts.values()) or NONE),
        ]
        for name, text in claimed.items()
    ]
    if gives_verdicts(profile):
        return header, rows
    return header[:1] + header[2:], [row[:1] + row[2:] for row in rows]


def _say_p(claim: Claim) -> str:
    """The largest adjusted p-value of a claim's parts."""
    found = [part.p_holm for part in claim.parts.values()]
    numbers = [p for p in found if p is not None and p is not Verdict.TOO_FEW_RUNS]
    return f"{max(numbers):.2g}" if len(numbers) == len(found) else NONE
