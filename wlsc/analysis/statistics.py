"""Intervals, tests and distances behind the numbers on the page, and the rules that turn them into verdicts.

The unit of replication is a training run; the units of one run (atoms, cells) share its data and are not independent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from wlsc._validation import check_count, check_flag

Interval: TypeAlias = tuple[float, float]
"""(low, high)."""
Statistic: TypeAlias = Callable[[Mapping[str, Sequence[np.ndarray]], Any], ArrayLike]
"""Maps the runs of every model, and the shared rows or None, to a number or a 1-D array."""


@dataclass(frozen=True)
class Bootstrap:
    """A statistic and its bootstrap distribution.

    Parameters
    ----------
    estimate
        The statistic of the data themselves: a number, or (n_values,).
    resamples
        (n_resamples,) or (n_resamples, n_values), the statistic of each resample.
    n_runs
        Number of training runs that were resampled, if intervals shall be expanded for it: with few runs percentiles
        are too narrow, as a normal interval with the variance of the sample is, and the tails are taken further out,
        to where those of Student's t distribution would be [1]_.

    References
    ----------
    .. [1] T. C. Hesterberg, What teachers should know about the bootstrap: resampling in the undergraduate statistics
       curriculum, The American Statistician 69 (2015) 371–386, §4.
    """

    estimate: np.float64 | np.ndarray
    resamples: np.ndarray
    n_runs: int | None = None

    def interval(self, level: float = 0.95) -> tuple[Any, Any]:
        """Return the ends of the percentile interval: the (1 ± level) / 2 quantiles of the resamples, or expanded ones.

        Both are numbers, or (n_values,).

        Raises
        ------
        ValueError
            If the level does not lie between 0 and 1.
        """
        _check_level(level)
        tail = (1 - level) / 2
        if self.n_runs is not None and self.n_runs > 1:
            from scipy.stats import norm, t

            tail = norm.sf(t.isf(tail, self.n_runs - 1) * np.sqrt(self.n_runs / (self.n_runs - 1)))
        low, high = np.quantile(self.resamples, [tail, 1 - tail], axis=0)
        return low, high

    def p_value(self, null: float = 0.0) -> Any:
        """Return the two-sided p-value of ``null``, a number or (n_values,), by inversion of the percentile interval.

        With B resamples t*, p = min(1, 2 (1 + min(#{t* ≤ null}, #{t* ≥ null})) / (B + 1)): the data count as one
        resample, so that p is never 0. Where intervals are expanded, p is the level of the expanded one that ends at
        ``null``.

        References
        ----------
        A. C. Davison and D. V. Hinkley, Bootstrap Methods and their Application (1997), Ch. 4.
        """
        below = (self.resamples <= null).sum(axis=0)
        above = (self.resamples >= null).sum(axis=0)
        tail = np.minimum(0.5, (1 + np.minimum(below, above)) / (len(self.resamples) + 1))
        if self.n_runs is not None and self.n_runs > 1:
            from scipy.stats import norm, t

            tail = t.sf(norm.isf(tail) * np.sqrt((self.n_runs - 1) / self.n_runs), self.n_runs - 1)
        return 2 * tail


def hierarchical_bootstrap(
    samples: Mapping[str, Sequence[np.ndarray]],
    statistic: Statistic,
    n_resamples: int,
    seed: int,
    shared: np.ndarray | None = None,
    paired: bool = True,
    within: bool = True,
) -> Bootstrap:
    """Resample training runs, units within each drawn run, and the data that all models are compared to.

    Every resample draws as many runs, and as many units of each drawn run, as there are, with replacement; a run
    drawn twice has its units drawn twice.

    For the mean of R runs of n units, the expected variance of the resamples is 1 − 1/R + w (1 − 1/n) times the true
    one, with w the share of the variance of a run's mean that is due to its units: conservative if units vary, a little
    narrow if w is small and runs are few. Drawing runs alone gives 1 − 1/R for every w. Intervals of the result are
    expanded for the number of runs, so that they hold the mean at least as often as they say.

    Parameters
    ----------
    samples
        Model → one array per training run, with one row per unit: (n_units,) or (n_units, n_values). Runs may differ
        in their number of units.
    statistic
        Called with a mapping of the form of ``samples``, whose arrays it may not change, and with the rows of
        ``shared`` (None if there are none); returns a finite number or 1-D array.
    n_resamples
        At least 1.
    seed
        At least 0. Draws of the shared rows depend on nothing but the seed and their number: they are the same in
        another call with other models.
    shared
        (n_cells,) or (n_cells, n_values), for example the physiological cells: resampled once per resample, the
        same for all models.
    paired
        Run i of every model shares its data with run i of the others: all models get the same draw of runs.
    within
        Resample units as well as runs.

    Returns
    -------
    Bootstrap
        The statistic of the data and of each resample.

    Raises
    ------
    ValueError
        If an argument is of the wrong type, there is no model, a model has no run, a run has no row or a value that is
        not a finite number, paired models differ in their number of runs, or the statistic is not finite or asks for a
        model that is not there.

    References
    ----------
    A. C. Davison and D. V. Hinkley, Bootstrap Methods and their Application (1997), §3.8, on hierarchical data.
    """
    check_count("n_resamples", n_resamples)
    check_count("seed", seed, minimum=0)
    check_flag("paired", paired)
    check_flag("within", within)
    models = _check_samples(samples, paired)
    cells = None if shared is None else _check_rows("shared", shared)
    for_runs, for_units, for_cells = np.random.default_rng(seed).spawn(3)

    estimate = _evaluate(statistic, models, cells)
    resamples = []
    for _ in range(n_resamples):
        drawn = _resample_runs(models, paired, for_runs)
        if within:
            drawn = _Models({name: [_resample(run, for_units) for run in runs] for name, runs in drawn.items()})
        resamples.append(_evaluate(statistic, drawn, None if cells is None else _resample(cells, for_cells)))
    return Bootstrap(estimate, np.array(resamples), min(map(len, models.values())))


class _Models(dict[str, list[np.ndarray]]):
    """Runs by model, for a statistic that may ask for a model that is not there."""

    def __missing__(self, name: str) -> list[np.ndarray]:
        raise ValueError(f"statistic must ask for the models in samples ({', '.join(self)}), got {name!r}")


def _resample(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rows.take(rng.integers(len(rows), size=len(rows)), axis=0)


def _resample_runs(models: _Models, paired: bool, rng: np.random.Generator) -> _Models:
    numbers = {name: len(runs) for name, runs in models.items()}
    if paired:
        n_runs = min(numbers.values())  # the same for all of them
        picks = dict.fromkeys(models, rng.integers(n_runs, size=n_runs))
    else:
        picks = {name: rng.integers(n_runs, size=n_runs) for name, n_runs in numbers.items()}
    return _Models({name: [runs[pick] for pick in picks[name]] for name, runs in models.items()})


def _evaluate(statistic: Statistic, models: _Models, cells: np.ndarray | None) -> np.float64 | np.ndarray:
    value = np.asarray(statistic(models, cells), dtype=float)
    if value.ndim > 1 or not np.isfinite(value).all():
        raise ValueError(f"statistic must return a finite number or 1-D array, got {value}")
    return value[()]  # a number rather than an array without dimensions


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


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return p-values adjusted for their number: a claim at or below α in all of them holds at family-wise level α.

    With p(1) ≤ … ≤ p(m), the adjusted p(k) is the largest of min(1, (m − j + 1) p(j)) over j ≤ k.

    Parameters
    ----------
    p_values
        Claim → p-value, 0 … 1.

    Raises
    ------
    ValueError
        If a p-value is out of range.

    References
    ----------
    S. Holm, A simple sequentially rejective multiple test procedure, Scand. J. Stat. 6:65 (1979).
    """
    for name, p in p_values.items():
        if not 0 <= p <= 1:
            raise ValueError(f"p_values[{name!r}] must lie in 0 … 1, got {p!r}")
    adjusted: dict[str, float] = {}
    largest = 0.0
    for rank, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * float(p_values[name])))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}


class Verdict(StrEnum):
    """What the data say of a claim."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    INCONCLUSIVE = "inconclusive"
    COMPARABLE = "comparable"
    CANNOT_BE_TESTED = "cannot be tested"


def verdict(
    primary: Interval | None, sensitivity: Sequence[Interval | None], direction: int = 1, share: float = 0.75
) -> Verdict:
    """Judge a claimed difference by the intervals of its primary setting and of its sensitivity settings.

    - *supported*: the primary interval lies beyond zero in the claimed direction, and so does that of at least
      ``share`` of the sensitivity settings;
    - *contradicted*: the primary interval lies beyond zero the other way;
    - *inconclusive*: otherwise;
    - *cannot be tested*: there are no data for the primary setting.

    With no sensitivity settings the primary setting decides alone: none of them disagrees. A setting that was planned
    and has no data is None, not left out: it counts as one that does not agree.

    Parameters
    ----------
    primary
        95 % interval of the difference in the primary setting; None if data are absent.
    sensitivity
        95 % interval in each sensitivity setting.
    direction
        Claimed sign of the difference, 1 or −1.
    share
        Of the sensitivity settings that have to agree, 0 … 1.

    Raises
    ------
    ValueError
        If an interval's ends are NaN or out of order, or the direction or the share is out of range.
    """
    if direction not in (1, -1):
        raise ValueError(f"direction must be 1 or -1, got {direction!r}")
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in 0 … 1, got {share!r}")
    signs = [_side_of_zero(f"sensitivity[{i}]", interval) for i, interval in enumerate(sensitivity)]
    if primary is None:
        return Verdict.CANNOT_BE_TESTED
    side = _side_of_zero("primary", primary)
    if side == -direction:
        return Verdict.CONTRADICTED
    if side == direction and signs.count(direction) >= share * len(signs):
        return Verdict.SUPPORTED
    return Verdict.INCONCLUSIVE


def equivalence_verdict(interval: Interval | None, margin: float | None) -> Verdict:
    """Judge whether a difference is too small to matter, by two one-sided tests at 5 % each.

    *Comparable*: the 90 % interval of the difference lies within ±margin, which rejects both that the difference is
    −margin or less and that it is margin or more. *Inconclusive*: otherwise, whether the groups differ or the data
    are too few. *Cannot be tested*: the interval or the margin is None for want of data.

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
    if interval is not None:
        _check_interval("interval", interval)
    if interval is None or margin is None:
        return Verdict.CANNOT_BE_TESTED
    low, high = interval
    return Verdict.COMPARABLE if -margin < low and high < margin else Verdict.INCONCLUSIVE


def _side_of_zero(label: str, interval: Interval | None) -> int:
    """Return 1 or −1 if the interval lies above or below zero, 0 if it holds zero or there is none."""
    if interval is None:
        return 0
    _check_interval(label, interval)
    low, high = interval
    return int(low > 0) - int(high < 0)


def _check_interval(label: str, interval: Interval) -> None:
    low, high = interval
    if not low <= high:
        raise ValueError(f"{label} must be an interval (low, high) with low ≤ high, got ({low}, {high})")


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


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level!r}")
