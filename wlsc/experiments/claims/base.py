"""What is found of a claim: numbers, and the verdict that follows from them by the rules of `wlsc.analysis.statistics`.

A claim has one or more parts, all of which have to hold. A part is asked as a `Difference` or an `Equivalence`, and
`answer` judges all claims of a page together. A `Claim` keeps numbers and derives its verdict from them, also after it
was written as JSON and read again, so that a word can always be checked against the numbers beside it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from wlsc.analysis.statistics import (
    Comparison,
    Estimate,
    Interval,
    Judgement,
    TooFewRuns,
    Verdict,
    equivalence_verdict,
    is_firm,
    judge,
    verdict,
    weakest,
)

_Kind = TypeVar("_Kind", bound="Measured")


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Asks whether a number lies beyond a threshold.

    Attributes
    ----------
    primary
        Estimate in the primary setting; None for want of data.
    n_runs
        Training runs that it rests on.
    sensitivity
        Setting → estimate, None where one that was planned has no data.
    direction, threshold, allowance
        As of `wlsc.analysis.statistics.Comparison`.
    """

    primary: Estimate | None
    n_runs: int
    sensitivity: Mapping[str, Estimate | None] = field(default_factory=dict)
    direction: int = 1
    threshold: float = 0.0
    allowance: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Equivalence:
    """Asks whether a number is too close to 0 to matter.

    Attributes
    ----------
    primary
        Estimate; None for want of data.
    n_runs
        Training runs that it rests on.
    margin
        Δ, above 0, of `wlsc.analysis.statistics.equivalence_verdict`; None if there is no estimate.
    allowance
        How far an end of the interval may move for no better reason than another processor, at least 0.
    """

    primary: Estimate | None
    n_runs: int
    margin: float | None
    allowance: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A number with its interval, both None for want of data.

    Attributes
    ----------
    estimate
        The number.
    interval
        (low, high), of 95 % for a `Difference` and of 90 % for an `Equivalence`, or too few runs.
    """

    estimate: float | None
    interval: Interval | TooFewRuns | None


@dataclass(frozen=True, kw_only=True)
class Part(Measured):
    """The numbers of a claim, or of a part of it, from which its verdict follows.

    Attributes
    ----------
    n_runs
        Training runs that the estimate rests on.
    p, p_holm
        p-value of the threshold, alone and adjusted for the other claims of the page; None of an equivalence.
    sensitivity
        Setting → number.
    direction, threshold
        Of a difference.
    margin
        Δ of an equivalence, None of a difference.
    allowance
        How far ends may move for no better reason than another processor.
    firm
        Whether the verdict stays the same if they do.
    """

    n_runs: int
    p: float | TooFewRuns | None = None
    p_holm: float | TooFewRuns | None = None
    sensitivity: Mapping[str, Measured] = field(default_factory=dict)
    direction: int = 1
    threshold: float = 0.0
    margin: float | None = None
    allowance: float = 0.0
    firm: bool = True

    @property
    def verdict(self) -> Verdict:
        """What the numbers say."""
        if self.margin is not None:
            return equivalence_verdict(self.interval, self.margin)
        settings = [setting.interval for setting in self.sensitivity.values()]
        return verdict(self.interval, settings, self.p_holm, self.direction, self.threshold)


@dataclass(frozen=True)
class Claim:
    """What is found of a claim.

    Attributes
    ----------
    parts
        Name → numbers; a claim of one part has one.
    """

    parts: Mapping[str, Part]

    @property
    def verdict(self) -> Verdict:
        """What the numbers say: that of the weakest part."""
        return weakest([part.verdict for part in self.parts.values()])

    @property
    def firm(self) -> bool:
        """Whether all parts' verdicts are."""
        return all(part.firm for part in self.parts.values())


Questions = Mapping[str, Mapping[str, Difference | Equivalence]]
"""Claim → part → what is asked."""


def answer(questions: Questions) -> dict[str, Claim]:
    """Judge the claims of a page, whose differences are one family of tests (`wlsc.analysis.statistics.judge`).

    Parameters
    ----------
    questions
        Claim → part → what is asked. A claim of one part has one.

    Raises
    ------
    ValueError
        As by `wlsc.analysis.statistics.judge` and `equivalence_verdict`, if a claim has no part, or if an estimate of
        an equivalence has no margin.
    """
    family = {
        f"{claim}, {part}": _comparison(question)
        for claim, parts in questions.items()
        for part, question in parts.items()
        if isinstance(question, Difference)
    }
    judged = judge(family)

    def answered(claim: str, part: str, question: Difference | Equivalence) -> Part:
        if isinstance(question, Equivalence):
            return _equivalence(question)
        return _difference(question, judged[f"{claim}, {part}"])

    claims = {
        claim: Claim({part: answered(claim, part, question) for part, question in parts.items()})
        for claim, parts in questions.items()
    }
    for claim in claims.values():
        _ = claim.verdict  # what has none is refused here, and not where it is read
    return claims


def _comparison(question: Difference) -> Comparison:
    settings = list(question.sensitivity.values())
    return Comparison(question.primary, settings, question.direction, question.threshold, question.allowance)


def _difference(question: Difference, judged: Judgement) -> Part:
    return Part(
        **_numbers(question.primary),
        n_runs=question.n_runs,
        p=question.primary.p_value(question.threshold) if question.primary else None,
        p_holm=judged.p_holm,
        sensitivity={name: Measured(**_numbers(estimate)) for name, estimate in question.sensitivity.items()},
        direction=question.direction,
        threshold=question.threshold,
        allowance=question.allowance,
        firm=judged.firm,
    )


def _equivalence(question: Equivalence) -> Part:
    if (question.margin is None) != (question.primary is None):
        raise ValueError(f"margin must be given for an estimate, and only then, got {question.margin!r}")
    numbers = _numbers(question.primary, 0.9)
    ends = () if question.margin is None else (-question.margin, question.margin)
    return Part(
        **numbers,
        n_runs=question.n_runs,
        margin=question.margin,
        allowance=question.allowance,
        firm=is_firm(numbers["interval"], ends, question.allowance),
    )


def _numbers(estimate: Estimate | None, level: float = 0.95) -> dict[str, Any]:
    if estimate is None:
        return {"estimate": None, "interval": None}
    return {"estimate": estimate.estimate, "interval": estimate.interval(level)}


def write_claims(claims: Mapping[str, Claim], verdicts: bool) -> dict[str, Any]:
    """Return claims as JSON can hold them, for `read_claims`.

    Parameters
    ----------
    claims
        Name → what was found.
    verdicts
        Whether to write what follows from the numbers as well: "verdict" and "firm" of every claim.
    """
    written: dict[str, Any] = {}
    for name, claim in claims.items():
        written[name] = {"verdict": str(claim.verdict), "firm": claim.firm} if verdicts else {}
        written[name] |= dataclasses.asdict(claim)
        if not verdicts:
            for part in written[name]["parts"].values():
                del part["firm"]
    return written


def read_claims(saved: Mapping[str, Any]) -> dict[str, Claim]:
    """Return the claims among what a chapter saved: entries with "parts"; others are something else.

    The verdicts follow from the numbers: words that were written beside them are not looked at (`misstated`).

    Raises
    ------
    ValueError
        If a part has unknown or missing entries.
    """
    return {
        name: Claim({part: _part(f"{name}, {part}", numbers) for part, numbers in entry["parts"].items()})
        for name, entry in saved.items()
        if isinstance(entry, Mapping) and "parts" in entry
    }


def misstated(saved: Mapping[str, Any]) -> list[str]:
    """Say which written verdicts do not follow from the numbers beside them.

    Parameters
    ----------
    saved
        What a chapter saved, with or without verdicts.
    """
    return [
        f"{name} is said to be {saved[name]['verdict']}, and its numbers say {claim.verdict}"
        for name, claim in read_claims(saved).items()
        if saved[name].get("verdict", claim.verdict) != claim.verdict
    ]


def _part(where: str, saved: Mapping[str, Any]) -> Part:
    part = _made(Part, where, saved)
    settings = {name: _made(Measured, f"{where}, {name}", values) for name, values in part.sensitivity.items()}
    return dataclasses.replace(part, sensitivity=settings)


def _made(kind: type[_Kind], where: str, saved: Any) -> _Kind:
    """Make a `Measured` or a `Part` of what JSON holds, where intervals are lists and verdicts text."""
    try:
        return kind(**{name: _value(value) for name, value in saved.items()})
    except TypeError as error:
        raise ValueError(f"{where} must hold the numbers of a {kind.__name__}, got {saved}: {error}") from None


def _value(value: Any) -> Any:
    if isinstance(value, str):
        return Verdict(value)
    return tuple(value) if isinstance(value, Sequence) else value
