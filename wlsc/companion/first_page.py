"""What the first page says was found: the claims of both chapters, of results on all data alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wlsc.companion.verdicts import Kept, gives_verdicts, read_kept, say_numbers, say_verdict

#: Question → chapter's claims, claim, unit, and the figure or table that answers it.
QUESTIONS = {
    "Are the filters' phases those of macaque V1?": ("1a", "C1a", "", "fig-1a"),
    "Is there an even and an odd class?": ("1a", "C1b", "share − 0.25", "fig-c1-intervals"),
    "Are well-tuned units odd more often?": ("1a", "C1c", "difference of shares", "fig-c1-intervals"),
    "Is WLSC comparable to LLD?": ("1a", "C2", "", "tab-distances"),
    "Is it more broadly tuned than sparse coding?": ("1a", "C3", "circular variance", "fig-c3-intervals"),
    "Do digits' codes keep the classes of the pixels?": ("1b", "C4a", "purity", "fig-purity"),
    "Do they keep them better than sparse coding's?": ("1b", "C4b", "purity", "fig-purity"),
}

Known = Mapping[str, Mapping[str, Any] | None]
"""Name of a chapter's claims → what was saved; None if there is nothing."""


def choose(kept: Known, built: Known, reference: Mapping[str, Any] | None, profile: str) -> tuple[Known, str]:
    """Choose whose results are shown: this build's in a profile that gives verdicts, or else those that are kept.

    Parameters
    ----------
    kept, built
        What is kept with the sources, and what this build has saved.
    reference
        The reference of all data, which says what commit the kept results are of; None if there is none.
    profile
        Of the build.

    Returns
    -------
    claims, source
        Results, and a sentence that says where they come from.
    """
    if gives_verdicts(profile):
        return built, "These results are of this build."
    commit = reference["accepted"]["commit"][:8] if reference else "unknown"
    return (
        kept,
        f"These results are of commit {commit}, judged by the rules of that commit, and are kept with the sources.",
    )


def tabulate_found(found: Mapping[str, tuple[str, str]], claims: Known) -> tuple[list[str], list[list[str]]]:
    """Make the table of what was found.

    Parameters
    ----------
    found
        Question → answer and place, for what is no claim; these rows come first.
    claims
        Of each chapter.

    Returns
    -------
    header, rows
        As `wlsc.companion.results.save_table` takes them.
    """
    known = {name: {} if saved is None else read_kept(saved) for name, saved in claims.items()}
    rows = [[question, answer, place] for question, (answer, place) in found.items()]
    for question, (chapter, claim, unit, place) in QUESTIONS.items():
        rows.append([question, _say(known[chapter].get(claim), unit), f"{{numref}}`{place}`"])
    return ["question", "on all data", "see"], rows


def _say(claim: Kept | None, unit: str) -> str:
    if claim is None:
        return "not measured"
    if not any(number.estimate is not None for number in claim.numbers.values()):
        return say_verdict(claim)
    return f"{say_verdict(claim)}, {unit} {say_numbers(claim.numbers, digits=3)}"
