"""Intervals for the numbers on the page."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike


def wilson_interval(successes: ArrayLike, n: ArrayLike, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Return the Wilson score interval of a proportion, without continuity correction.

    With p = successes / n and z the normal quantile of (1 + level) / 2, its ends are

        (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n).

    Parameters
    ----------
    successes, n
        Numbers of successes and of trials, 0 ≤ successes ≤ n and n ≥ 1; any shapes that broadcast together.
    level
        Confidence level, between 0 and 1.

    Returns
    -------
    low, high : numpy.ndarray
        The ends, in 0 … 1, of the broadcast shape.

    Raises
    ------
    ValueError
        If a count or the level is out of range.

    References
    ----------
    E. B. Wilson, Probable inference, the law of succession, and statistical inference, J. Am. Stat. Assoc. 22:209
    (1927).
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level!r}")
    hits, trials = np.broadcast_arrays(np.asarray(successes, dtype=float), np.asarray(n, dtype=float))
    if not (trials >= 1).all():
        raise ValueError(f"n must be at least 1, got {n!r}")
    if not ((hits >= 0) & (hits <= trials)).all():
        raise ValueError(f"successes must lie between 0 and n, got {successes!r} of {n!r}")
    z2 = NormalDist().inv_cdf((1 + level) / 2) ** 2
    share = hits / trials
    middle = share + z2 / (2 * trials)
    half = np.sqrt(z2 * share * (1 - share) / trials + (z2 / (2 * trials)) ** 2)
    scale = 1 + z2 / trials
    return np.maximum((middle - half) / scale, 0), np.minimum((middle + half) / scale, 1)
