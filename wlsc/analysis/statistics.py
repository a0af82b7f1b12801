"""Intervals, tests and distances behind the numbers on the page, and the rules that turn them into verdicts.

The unit of replication is a training run; the units of one run (atoms, cells) share its data and are not independent.
`run_mean` makes an estimate of one number a run, `jackknife` one of what has no such number; `judge` turns estimates
into verdicts. Where runs are too few to say how far an estimate may be off, intervals, p-values and verdicts are
``Verdict.TOO_FEW_RUNS``, which is the text "too few runs" in tables and JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike

from wlsc._validation import check_count

MIN_RUNS = 3
"""Fewer training runs give no interval."""
MIN_EVENTS = 8
"""Shares that rest on fewer events, or on fewer units without it, in all runs together, give no interval."""
_ALPHA = 0.05
_SAME = 1e-12  # runs whose values differ by no more, relative to the largest, show no spread but rounding


class Verdict(StrEnum):
    """What the data say of a claim; ``TOO_FEW_RUNS`` also stands in place of an interval or a p-value."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    INCONCLUSIVE = "inconclusive"
    COMPARABLE = "comparable"
    TOO_FEW_RUNS = "too few runs"
    CANNOT_BE_TESTED = "cannot be tested"


TooFewRuns: TypeAlias = Literal[Verdict.TOO_FEW_RUNS]
Interval: TypeAlias = tuple[float, float]
"""(low, high)."""
Statistic: TypeAlias = Callable[[Mapping[str, Sequence[np.ndarray]], Any], float]
"""Maps the runs of every model, and the shared rows or None, to a number."""


@dataclass(frozen=True)
class Estimate:
    """A number with its variance, by independent sources: training runs, and data that all of them are compared to.

    Parameters
    ----------
    estimate
        The number.
    sources
        (variance, degrees of freedom) of every source, the variances not all 0; empty if the runs are too few.
    """

    estimate: float
    sources: tuple[tuple[float, float], ...]

    @property
    def standard_error(self) -> float | TooFewRuns:
        """Root of the sum of the variances."""
        return float(np.sqrt(sum(variance for variance, _ in self.sources))) if self.sources else Verdict.TOO_FEW_RUNS

    def interval(self, level: float = 0.95) -> Interval | TooFewRuns:
        """Return the ends of the confidence interval, θ ± √(Σ t(ν)² v), or that the runs are too few.

        v are the variances and t(ν) the (1 + level) / 2 quantiles of Student's t distribution with their degrees of
        freedom. Of one source it is Student's interval; of several, the squared half-widths of each alone are added
        [1]_, which holds the truth more often than it says (0.95 to 0.99 at a level of 0.95), where Welch's degrees
        of freedom do not reach 0.93 with three runs.

        Raises
        ------
        ValueError
            If the level does not lie between 0 and 1.

        References
        ----------
        .. [1] G. Y. Zou and A. Donner, Construction of confidence limits about effect measures: a general approach,
           Stat. Med. 27:1693 (2008).
        """
        if not 0 < level < 1:
            raise ValueError(f"level must lie between 0 and 1, got {level!r}")
        if not self.sources:
            return Verdict.TOO_FEW_RUNS
        half = self._half_width((1 - level) / 2)
        return self.estimate - half, self.estimate + half

    def p_value(self, null: float = 0.0) -> float | TooFewRuns:
        """Return the two-sided p-value of ``null``: 1 − the level of the interval that ends there, or too few runs."""
        if not self.sources:
            return Verdict.TOO_FEW_RUNS
        from scipy.optimize import bisect
        from scipy.special import stdtr

        distance = abs(self.estimate - null)
        # The tail lies between those that all of the variance would have with the most and with the fewest degrees.
        tails = [float(stdtr(df, -distance / cast(float, self.standard_error))) for _, df in self.sources]
        low, high = min(tails), max(tails)
        if low == high or self._half_width(high) >= distance:
            return 2 * high
        return 2 * float(bisect(lambda tail: self._half_width(tail) - distance, low, high))

    def _half_width(self, tail: float) -> float:
        from scipy.special import stdtrit

        return float(np.sqrt(sum(variance * stdtrit(df, tail) ** 2 for variance, df in self.sources)))


def run_mean(values: ArrayLike, n_events: int | None = None) -> Estimate:
    """Return the mean over training runs of one number a run, or of the paired differences of two.

    The standard error is s / √R with R − 1 degrees of freedom: Student's t, exact if the values are normal. By
    simulation, in tests/stress/test_coverage.py, its intervals of 95 % hold the mean in 0.93 to 0.99 of experiments
    with 3, 5 or 10 runs if values are means over 20 units or more, also of exponential, log-normal or binary ones,
    and the runs' own effects have a skewness of at most 1. With a skewness of 2 it is 0.90, which so few runs cannot
    show; differences of models that are skewed alike are symmetric, and covered.

    The runs are too few if there are fewer than `MIN_RUNS`, if all values are the same, which shows no spread, or if
    shares count fewer than `MIN_EVENTS` events.

    Parameters
    ----------
    values
        (n_runs,), one number a training run.
    n_events
        If values are shares of units, or made of them: the number of units, over all runs, with the rarest of the
        outcomes that are counted, "the event did not happen" included.

    Raises
    ------
    ValueError
        If there is no value, or one that is not a finite number, or the number of events is negative.
    """
    numbers = _check_rows("values", values).astype(float)
    if numbers.ndim != 1:
        raise ValueError(f"values must have shape (n_runs,), got {numbers.shape}")
    mean, n_runs = float(numbers.mean()), len(numbers)
    if _are_few(n_runs, n_events) or _are_same(numbers):
        return Estimate(mean, ())
    return Estimate(mean, ((float(numbers.var(ddof=1) / n_runs), n_runs - 1),))


def jackknife(
    samples: Mapping[str, Sequence[np.ndarray]],
    statistic: Statistic,
    shared: np.ndarray | None = None,
    paired: bool = True,
    n_events: int | None = None,
) -> Estimate:
    """Estimate a statistic that has no value of a single run, such as a distance of all runs' units to recorded cells.

    With θ(−i) the statistic without run i, of k, the variance is (k − 1) / k Σ (θ(−i) − mean)², with k − 1 degrees of
    freedom; that of the shared rows is of the same form, one row left out at a time, and is added. Nothing is drawn
    at random. Of a mean of run-level values it is `run_mean`.

    The statistic has to change smoothly with its data, and is best an average over runs of each run's statistic: of
    mean distances of runs to 80 cells, and their differences, the intervals of 95 % hold the truth in 0.93 to 0.99 of
    simulated experiments with 3, 5 or 10 runs of 20 to 400 units (tests/stress/test_coverage.py). A distance near 0
    is not smooth: `beyond_floor` leaves out those that chance alone makes. Differences of two shares of all runs'
    units are covered as well if their events are counted.

    The runs are too few if a model has fewer than `MIN_RUNS`, if nothing that is left out changes the statistic, or
    if shares count fewer than `MIN_EVENTS` events.

    Parameters
    ----------
    samples
        Model → one array per training run, with one row per unit: (n_units,) or (n_units, n_values). Runs may differ
        in their number of units.
    statistic
        Called with a mapping of the form of ``samples``, whose arrays it may not change, and with the rows of
        ``shared`` (None if there are none), in any order; returns a finite number.
    shared
        (n_cells,) or (n_cells, n_values), for example the physiological cells, the same for all models.
    paired
        Run i of every model shares its data with run i of the others: they are left out together.
    n_events
        As for `run_mean`, of every share that the statistic is made of.

    Raises
    ------
    ValueError
        If the number of events is negative, there is no model, a model has no run, a run has no row or a value that is
        not a finite number, paired models differ in their number of runs, or the statistic is not finite or asks for a
        model that is not there.

    References
    ----------
    B. Efron and C. Stein, The jackknife estimate of variance, Ann. Stat. 9:586 (1981).
    """
    models = _check_samples(samples, paired)
    cells = None if shared is None else _check_rows("shared", shared)
    estimate = _evaluate(statistic, models, cells)
    if _are_few(min(map(len, models.values())), n_events):
        return Estimate(estimate, ())
    groups = [list(models)] if paired else [[name] for name in models]
    left_out = [
        np.array([_evaluate(statistic, rest, cells) for rest in _without_a_run(models, group)]) for group in groups
    ]
    if cells is not None and len(cells) > 1:
        _, first, n_equal = np.unique(cells, axis=0, return_index=True, return_counts=True)
        left_out.append(np.repeat([_evaluate(statistic, models, np.delete(cells, i, axis=0)) for i in first], n_equal))
    if all(_are_same(values) for values in left_out):
        return Estimate(estimate, ())
    return Estimate(estimate, tuple(((len(v) - 1) * float(np.var(v)), len(v) - 1) for v in left_out))


def _are_few(n_runs: int, n_events: int | None) -> bool:
    few_events = n_events is not None and check_count("n_events", n_events, minimum=0) < MIN_EVENTS
    return n_runs < MIN_RUNS or few_events


def _are_same(values: np.ndarray) -> bool:
    return bool(np.ptp(values) <= _SAME * np.abs(values).max())


def _without_a_run(models: _Models, group: Sequence[str]) -> Iterable[_Models]:
    """Yield the models with each run of a group of them left out in turn."""
    for i in range(len(models[group[0]])):
        yield _Models({name: runs[:i] + runs[i + 1 :] if name in group else runs for name, runs in models.items()})


class _Models(dict[str, list[np.ndarray]]):
    """Runs by model, for a statistic that may ask for a model that is not there."""

    def __missing__(self, name: str) -> list[np.ndarray]:
        raise ValueError(f"statistic must ask for the models in samples ({', '.join(self)}), got {name!r}")


def _evaluate(statistic: Statistic, models: _Models, cells: np.ndarray | None) -> float:
    value = np.asarray(statistic(models, cells), dtype=float)
    if value.ndim or not np.isfinite(value):
        raise ValueError(f"statistic must return a finite number, got {value}")
    return float(value)


def _resample(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rows.take(rng.integers(len(rows), size=len(rows)), axis=0)


def _check_samples(samples: Mapping[str, Sequence[np.ndarray]], paired: bool) -> _Models:
    if not samples:
        raise ValueError("samples must hold at least one model, got none")
    for name, runs in samples.items():
        if not len(runs):
            raise ValueError(f"samples[{name!r}] must hold at least one training run, got none")
    if paired and len({len(runs) for runs in samples.values()}) > 1:
        numbers = ", ".join(f"{len(runs)} of {name}" for name, runs in samples.items())
        raise ValueError(f"samples must hold the same number of runs of every model if paired, got {numbers}")
    return _Models(
        {
            name: [_check_rows(f"samples[{name!r}][{i}]", run) for i, run in enumerate(runs)]
            for name, runs in samples.items()
        }
    )


def _check_rows(label: str, rows: ArrayLike) -> np.ndarray:
    """Return rows of finite numbers, at least one, as an array."""
    array = np.asarray(rows)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{label} must hold real numbers, got dtype {array.dtype}")
    if array.ndim not in (1, 2) or array.size == 0:
        raise ValueError(f"{label} must hold at least one row, in 1 or 2 dimensions, got shape {array.shape}")
    if not np.isfinite(array).all():
        n_bad = int((~np.isfinite(array)).sum())
        raise ValueError(f"{label} must be finite, got {n_bad} NaN or infinite values of {array.size}")
    return array


def median_resample_distance(
    values: np.ndarray, distance: Callable[[np.ndarray, np.ndarray], float], n_resamples: int, seed: int
) -> float:
    """Return the median distance between two bootstrap resamples of the same cells.

    It says how far apart two samples of this size lie that differ by chance alone: the margin Δ within which a
    difference counts as none.

    Parameters
    ----------
    values
        (n_cells,) or (n_cells, n_values).
    distance
        Called with two resamples of the shape of ``values``.
    n_resamples
        Number of pairs of resamples.
    seed
        At least 0.

    Raises
    ------
    ValueError
        If there is no cell or a value is not a finite number.
    """
    check_count("n_resamples", n_resamples)
    cells = _check_rows("values", values)
    rng = np.random.default_rng(check_count("seed", seed, minimum=0))
    return float(np.median([distance(_resample(cells, rng), _resample(cells, rng)) for _ in range(n_resamples)]))


def holm(p_values: Mapping[str, float | TooFewRuns]) -> dict[str, float | TooFewRuns]:
    """Return p-values adjusted for their number: a claim at or below α in all of them holds at family-wise level α.

    With p(1) ≤ … ≤ p(m), the adjusted p(k) is the largest of min(1, (m − j + 1) p(j)) over j ≤ k. A claim with too few
    runs counts as one of the m, with p = 1, and stays without a p-value.

    Parameters
    ----------
    p_values
        Claim → p-value, 0 … 1, or too few runs.

    Raises
    ------
    ValueError
        If a p-value is out of range.

    References
    ----------
    S. Holm, A simple sequentially rejective multiple test procedure, Scand. J. Stat. 6:65 (1979).
    """
    numbers = {name: 1.0 if p is Verdict.TOO_FEW_RUNS else p for name, p in p_values.items()}
    for name, p in numbers.items():
        if not 0 <= p <= 1:
            raise ValueError(f"p_values[{name!r}] must lie in 0 … 1, got {p!r}")
    adjusted: dict[str, float] = {}
    largest = 0.0
    for rank, name in enumerate(sorted(numbers, key=numbers.__getitem__)):
        largest = max(largest, min(1.0, (len(numbers) - rank) * float(numbers[name])))
        adjusted[name] = largest
    return {name: Verdict.TOO_FEW_RUNS if p is Verdict.TOO_FEW_RUNS else adjusted[name] for name, p in p_values.items()}


@dataclass(frozen=True)
class Comparison:
    """A difference that a claim is about, in its primary setting and in those that may turn out to matter to it.

    Parameters
    ----------
    primary
        Estimate in the primary setting; None for want of data.
    sensitivity
        Estimates in the sensitivity settings; None where one that was planned has no data.
    direction
        On which side of the threshold the claim has it, 1 or −1.
    threshold
        The value under the null hypothesis.
    allowance
        How far an end of an interval may move, at least 0, for no better reason than another processor or other seeds.
    """

    primary: Estimate | None
    sensitivity: Sequence[Estimate | None] = ()
    direction: int = 1
    threshold: float = 0.0
    allowance: float = 0.0


@dataclass(frozen=True)
class Judgement:
    """A verdict, the p-value behind it adjusted by `holm` (None for want of data), and whether it is firm."""

    verdict: Verdict
    p_holm: float | TooFewRuns | None
    firm: bool


def judge(comparisons: Mapping[str, Comparison]) -> dict[str, Judgement]:
    """Judge a family of claims by `verdict`, with p-values that `holm` adjusts for the number of those with data.

    All that is judged on a page belongs in one family. A claim of two parts enters with each of them, and
    `weakest` puts them together: then the chance that any true null is called *supported*, or *contradicted*, is at
    most 5 %, which tests/analysis/test_statistics.py shows by simulation.

    A verdict is *firm* if it stays the same where all estimates move by their allowances, either way, and no end of
    the primary interval lies within the allowance of the threshold.

    Parameters
    ----------
    comparisons
        Name of a claim, or of its part, → what it rests on.

    Raises
    ------
    ValueError
        If a direction is not 1 or −1 or an allowance is negative.
    """
    for name, comparison in comparisons.items():
        if not comparison.allowance >= 0:
            raise ValueError(f"comparisons[{name!r}].allowance must be at least 0, got {comparison.allowance!r}")
    verdicts, adjusted = _verdicts(comparisons, 0)
    moved = [_verdicts(comparisons, sign)[0] for sign in (-1, 1)]
    return {
        name: Judgement(
            verdicts[name],
            adjusted.get(name),
            all(other[name] is verdicts[name] for other in moved)
            and is_firm(_interval(comparison.primary), [comparison.threshold], comparison.allowance),
        )
        for name, comparison in comparisons.items()
    }


def _verdicts(
    comparisons: Mapping[str, Comparison], sign: int
) -> tuple[dict[str, Verdict], dict[str, float | TooFewRuns]]:
    """Return verdicts and adjusted p-values with every threshold moved by ``sign`` times its allowance."""
    thresholds = {name: c.threshold + sign * c.allowance for name, c in comparisons.items()}
    adjusted = holm(
        {name: c.primary.p_value(thresholds[name]) for name, c in comparisons.items() if c.primary is not None}
    )
    verdicts = {
        name: verdict(
            _interval(c.primary),
            [_interval(estimate) for estimate in c.sensitivity],
            adjusted.get(name),
            c.direction,
            thresholds[name],
        )
        for name, c in comparisons.items()
    }
    return verdicts, adjusted


def _interval(estimate: Estimate | None) -> Interval | TooFewRuns | None:
    return None if estimate is None else estimate.interval()


def verdict(
    primary: Interval | TooFewRuns | None,
    sensitivity: Sequence[Interval | TooFewRuns | None],
    p_holm: float | TooFewRuns | None,
    direction: int = 1,
    threshold: float = 0.0,
    share: float = 0.75,
) -> Verdict:
    """Judge a claimed difference by the intervals of its primary setting and of its sensitivity settings.

    - *supported*: the primary interval lies beyond the threshold in the claimed direction, the adjusted p-value is at
      most 0.05, and the intervals of at least ``share`` of the sensitivity settings lie beyond it in that direction;
    - *contradicted*: all of that holds in the other direction;
    - *inconclusive*: otherwise;
    - *too few runs*: there is no interval of the primary setting because of that;
    - *cannot be tested*: there are no data for the primary setting.

    With no sensitivity settings the primary setting decides alone: none of them disagrees. A setting that was planned
    and has no data is None, not left out: it counts as one that does not agree, as one with too few runs does.

    Parameters
    ----------
    primary
        95 % interval of the difference in the primary setting; None if data are absent.
    sensitivity
        95 % interval in each sensitivity setting.
    p_holm
        p-value of the threshold in the primary setting, adjusted for the number of claims (`holm`); None or too few
        runs if the primary interval is.
    direction
        Claimed sign of the difference less the threshold, 1 or −1.
    threshold
        The difference under the null hypothesis.
    share
        Of the sensitivity settings that have to agree, 0 … 1.

    Raises
    ------
    ValueError
        If an interval's ends are NaN or out of order, the p-value is missing or out of range, or the direction or the
        share is out of range.
    """
    if direction not in (1, -1):
        raise ValueError(f"direction must be 1 or -1, got {direction!r}")
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in 0 … 1, got {share!r}")
    sides = [_side(f"sensitivity[{i}]", interval, threshold) for i, interval in enumerate(sensitivity)]
    side = _side("primary", primary, threshold)
    if primary is None:
        return Verdict.CANNOT_BE_TESTED
    if primary is Verdict.TOO_FEW_RUNS:
        return Verdict.TOO_FEW_RUNS
    if p_holm is None or p_holm is Verdict.TOO_FEW_RUNS or not 0 <= p_holm <= 1:
        raise ValueError(f"p_holm must lie in 0 … 1 where there is a primary interval, got {p_holm!r}")
    if side == 0 or p_holm > _ALPHA or sides.count(side) < share * len(sides):
        return Verdict.INCONCLUSIVE
    return Verdict.SUPPORTED if side == direction else Verdict.CONTRADICTED


def equivalence_verdict(interval: Interval | TooFewRuns | None, margin: float | None) -> Verdict:
    """Judge whether a difference is too small to matter, by two one-sided tests at 5 % each.

    *Comparable*: the 90 % interval of the difference lies within ±margin, which rejects both that the difference is
    −margin or less and that it is margin or more. *Inconclusive*: otherwise, whether the groups differ or the data
    are too few. *Too few runs*: there is no interval because of that. *Cannot be tested*: the interval or the margin
    is None for want of data.

    Parameters
    ----------
    interval
        90 % interval of the difference.
    margin
        Δ, above 0, in the unit of the difference.

    Raises
    ------
    ValueError
        If the interval's ends are NaN or out of order, or the margin is not above 0.

    References
    ----------
    D. J. Schuirmann, A comparison of the two one-sided tests procedure and the power approach for assessing the
    equivalence of average bioavailability, J. Pharmacokinet. Biopharm. 15:657 (1987).
    """
    if margin is not None and not margin > 0:
        raise ValueError(f"margin must be above 0, got {margin!r}")
    if interval is None or margin is None:
        return Verdict.CANNOT_BE_TESTED
    if interval is Verdict.TOO_FEW_RUNS:
        return Verdict.TOO_FEW_RUNS
    low, high = _ends("interval", interval)
    return Verdict.COMPARABLE if -margin < low and high < margin else Verdict.INCONCLUSIVE


def is_firm(interval: Interval | TooFewRuns | None, thresholds: Sequence[float], allowance: float) -> bool:
    """Return whether both ends of an interval lie further than ``allowance`` from all thresholds.

    A verdict is not firm where an end lies nearer: what is known to move ends could turn it. Without an interval
    there is no end that could.

    Parameters
    ----------
    interval
        That the verdict follows from.
    thresholds
        With which its ends are compared: the null value of a difference, ±Δ of an equivalence.
    allowance
        At least 0.

    Raises
    ------
    ValueError
        If the interval's ends are NaN or out of order, or the allowance is negative.
    """
    if not allowance >= 0:
        raise ValueError(f"allowance must be at least 0, got {allowance!r}")
    if interval is None or interval is Verdict.TOO_FEW_RUNS:
        return True
    ends = _ends("interval", interval)
    return all(abs(end - threshold) > allowance for end in ends for threshold in thresholds)


_FROM_THE_WEAKEST = (
    Verdict.CONTRADICTED,
    Verdict.CANNOT_BE_TESTED,
    Verdict.TOO_FEW_RUNS,
    Verdict.INCONCLUSIVE,
    Verdict.COMPARABLE,
    Verdict.SUPPORTED,
)


def weakest(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict on a claim of several parts, all of which have to hold.

    It is *contradicted* if a part is, else *cannot be tested*, *too few runs* or *inconclusive* if a part is, in this
    order, and *supported* if all are.

    Raises
    ------
    ValueError
        If there is no part.
    """
    parts = list(verdicts)
    if not parts:
        raise ValueError("verdicts must hold at least one verdict, got none")
    return min(parts, key=_FROM_THE_WEAKEST.index)


def _side(label: str, interval: Interval | TooFewRuns | None, threshold: float) -> int:
    """Return 1 or −1 if the interval lies above or below the threshold, 0 if it holds it or there is none."""
    if interval is None or interval is Verdict.TOO_FEW_RUNS:
        return 0
    low, high = _ends(label, interval)
    return int(low > threshold) - int(high < threshold)


def _ends(label: str, interval: Interval) -> Interval:
    low, high = interval
    if not low <= high:
        raise ValueError(f"{label} must be an interval (low, high) with low ≤ high, got ({low}, {high})")
    return low, high


def bin_units(values: np.ndarray, edges: Sequence[np.ndarray]) -> tuple[np.ndarray, int]:
    """Count units in the bins of a published table.

    A bin holds its lower edge, and the last one of an axis its upper edge too.

    Parameters
    ----------
    values
        (n_units, n_axes), without NaN.
    edges
        Ascending bin edges along each axis.

    Returns
    -------
    counts : numpy.ndarray
        int64, one axis per array of edges.
    outside : int
        Units in none of the bins.

    Raises
    ------
    ValueError
        If the values do not have one column per axis, or one of them is NaN.
    """
    units = np.asarray(values, dtype=float)
    if units.ndim != 2 or units.shape[1] != len(edges):
        raise ValueError(f"values must have shape (n_units, {len(edges)}), got {units.shape}")
    if np.isnan(units).any():
        raise ValueError(f"values must be numbers, got NaN in {int(np.isnan(units).any(axis=1).sum())} rows")
    counts = np.histogramdd(units, bins=edges)[0].astype(np.int64)
    return counts, len(units) - int(counts.sum())


def binned_transport_distance(
    counts_a: np.ndarray, counts_b: np.ndarray, outside_a: float = 0, outside_b: float = 0
) -> float:
    """Return the earth mover's distance between two histograms over the same bins and one cell outside them.

    It is the mean distance, in bins, by which units have to move to turn one histogram into the other. Bins lie as
    far apart as their centres (Euclidean, a bin's width on each axis being 1), so that they have to be equally wide
    on the scale that matters: of equal ratio for a logarithmic one. Where the units outside lie is not known: they
    are as near as they can be, one bin further than the number of bins between a bin and the nearest border. The
    distance is therefore a lower bound of the one with their places known; if all histograms have units outside, the
    triangle inequality need not hold.

    Parameters
    ----------
    counts_a, counts_b
        Units in each bin, at least 0, of the same shape; each histogram is divided by its sum.
    outside_a, outside_b
        Units of each histogram outside the bins.

    Raises
    ------
    ValueError
        If the shapes differ, a count is negative or not finite, or a histogram is empty.

    References
    ----------
    Y. Rubner, C. Tomasi and L. J. Guibas, The earth mover's distance as a metric for image retrieval,
    Int. J. Comput. Vis. 40:99 (2000); solved by R. Flamary et al., POT: Python Optimal Transport,
    J. Mach. Learn. Res. 22:78 (2021).
    """
    if np.shape(counts_a) != np.shape(counts_b):
        raise ValueError(f"counts_b must have the shape of counts_a, {np.shape(counts_a)}, got {np.shape(counts_b)}")
    masses_a = _proportions("counts_a", counts_a, outside_a)
    masses_b = _proportions("counts_b", counts_b, outside_b)
    import ot

    return float(ot.emd2(masses_a, masses_b, _distances_between_bins(np.shape(counts_a))))


def sampling_floor(counts: np.ndarray, n_cells: int, n_draws: int, seed: int, outside: float = 0) -> np.ndarray:
    """Return distances between a histogram and samples drawn from it: what a perfect model could reach.

    Parameters
    ----------
    counts
        Cells in each bin.
    n_cells
        Size of each sample: as many as were recorded.
    n_draws
        Number of samples.
    seed
        At least 0.
    outside
        Cells outside the bins.

    Returns
    -------
    numpy.ndarray
        (n_draws,), in the unit of `binned_transport_distance`.

    Raises
    ------
    ValueError
        If a count is negative or not finite, or the histogram is empty.
    """
    check_count("n_cells", n_cells)
    check_count("n_draws", n_draws)
    rng = np.random.default_rng(check_count("seed", seed, minimum=0))
    draws = rng.multinomial(n_cells, _proportions("counts", counts, outside), size=n_draws)
    shape = np.shape(counts)
    return np.array([binned_transport_distance(counts, draw[:-1].reshape(shape), outside, draw[-1]) for draw in draws])


def beyond_floor(estimate: Estimate, distances: Sequence[float], floor: np.ndarray) -> Estimate:
    """Return an estimate made of distances, without an interval where one of them is what chance alone makes.

    A distance between samples changes smoothly with them only where it is well above 0: no interval of `jackknife` is
    to be trusted where a distance is not above 95 % of those that samples of the cells have to the cells.

    Parameters
    ----------
    estimate
        A distance, or a difference of distances.
    distances
        Those that it is made of.
    floor
        (n_draws,), distances of samples of the cells to the cells: `sampling_floor`.

    Raises
    ------
    ValueError
        If the floor is empty or holds a value that is not a finite number.
    """
    highest = np.quantile(_check_rows("floor", floor), 0.95)
    return estimate if min(distances) > highest else Estimate(estimate.estimate, ())


def _proportions(label: str, counts: np.ndarray, outside: float) -> np.ndarray:
    """Return the shares of all bins, flattened, and of the cell outside them."""
    masses = np.append(np.asarray(counts, dtype=float), outside)
    if not (np.isfinite(masses).all() and (masses >= 0).all() and masses.sum() > 0):
        raise ValueError(
            f"{label} and the units outside must be finite, at least 0 and not all 0, "
            f"got {np.sum(counts)} units in the bins and {outside} outside, the fewest in one of them {masses.min()}"
        )
    return masses / masses.sum()


def _distances_between_bins(shape: tuple[int, ...]) -> np.ndarray:
    """Return (n_bins + 1, n_bins + 1) distances between bins of width 1, the cell outside them being the last."""
    places = np.indices(shape).reshape(len(shape), -1).T
    to_border = np.minimum(places, np.array(shape) - 1 - places).min(axis=1)
    distances = np.zeros((len(places) + 1, len(places) + 1))
    distances[:-1, :-1] = np.linalg.norm(places[:, None] - places, axis=2)
    distances[-1, :-1] = distances[:-1, -1] = 1 + to_border
    return distances
