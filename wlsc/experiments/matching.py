"""The λ at which a model is as active as asked for, so that models are compared at equal sparsity."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from wlsc._validation import check_positive

#: Most trainings that the search for one λ may take, and the largest step between two of them in log λ.
_MOST_TRIALS, _LARGEST_STEP = 14, math.log(10)


@dataclass(frozen=True)
class Match:
    """Where the search for a λ ended.

    Attributes
    ----------
    lam, activity
        λ and the activity on held-out patches that it gave.
    reached
        Whether that is within the tolerance of what was asked for.
    trials
        (λ, activity) of every training on the way.
    """

    lam: float
    activity: float
    reached: bool
    trials: list[tuple[float, float]]


def match_activity(
    activity_of: Callable[[float], float], target: float, start: float, tolerance: float = 0.05
) -> Match:
    """Find the λ at which a model is as active as asked for: bisection of log λ, sped up by interpolation.

    Activity falls as λ rises, about as a power. From ``start`` the search walks, by the power that the last trials
    show, until two values of λ enclose the target; then it halves what they enclose, or interpolates in log λ and log
    activity where that falls well inside.

    Parameters
    ----------
    activity_of
        Trains at a λ and returns the mean number of non-zero codes on held-out patches.
    target
        Activity that is asked for, above 0.
    start
        First λ, above 0.
    tolerance
        Largest relative deviation of the activity.

    Returns
    -------
    Match
        The trial that came closest, and whether that is close enough.

    Raises
    ------
    ValueError
        If ``target``, ``start`` or ``tolerance`` is not above 0.
    """
    for name, value in (("target", target), ("start", start), ("tolerance", tolerance)):
        check_positive(name, value)
    trials: list[tuple[float, float]] = []
    low: tuple[float, float] | None = None  # the largest λ that is too active, with its activity
    high: tuple[float, float] | None = None
    lam = start
    while len(trials) < _MOST_TRIALS:
        activity = activity_of(lam)
        trials.append((lam, activity))
        if abs(activity / target - 1) <= tolerance:
            return Match(lam, activity, True, trials)
        if activity > target:
            low = (lam, activity)
        else:
            high = (lam, activity)
        if low and high:
            lam = _between(low, high, target)
        else:
            lam *= _outward(trials, target)
    lam, activity = min(trials, key=lambda trial: abs(math.log(max(trial[1], 1e-9) / target)))
    return Match(lam, activity, False, trials)


def _outward(trials: list[tuple[float, float]], target: float) -> float:
    """Factor of λ that reaches the target if activity goes on as the power that the last two trials show."""
    logs = [(math.log(lam), math.log(max(activity, 0.1))) for lam, activity in trials[-2:]]
    exponent = -1.0
    if len(logs) == 2:
        exponent = min(max((logs[1][1] - logs[0][1]) / (logs[1][0] - logs[0][0]), -4.0), -0.2)
    step = (math.log(target) - logs[-1][1]) / exponent
    return math.exp(min(max(1.1 * step, -_LARGEST_STEP), _LARGEST_STEP))


def _between(low: tuple[float, float], high: tuple[float, float], target: float) -> float:
    ends = [math.log(low[0]), math.log(high[0])]
    activities = [math.log(low[1]), math.log(max(high[1], 1e-9))]
    share = (activities[0] - math.log(target)) / (activities[0] - activities[1])
    share = share if 0.1 <= share <= 0.9 else 0.5
    return math.exp(ends[0] + share * (ends[1] - ends[0]))
