"""Simulated experiments whose truth is known: how often intervals hold it, and verdicts get it wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.stats import binom

from wlsc.analysis.statistics import Comparison, Estimate, Verdict, beyond_floor, jackknife, judge, run_mean, weakest

RUNS, UNITS, SHARES = (3, 5, 10), (20, 100, 400), (0.0, 0.5, 0.95)
RARE = (0.01, 0.02, 0.05, 0.25)
N_CELLS, N_BINS = 80, 6
EDGES = np.linspace(-1.5, 1.5, N_BINS - 1)

#: Units with mean 0 and variance 1.
UNIT_KINDS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "exponential": lambda rng, shape: rng.exponential(size=shape) - 1,
    "log-normal": lambda rng, shape: (rng.lognormal(size=shape) - np.exp(0.5)) / np.sqrt((np.e - 1) * np.e),
}


@dataclass(frozen=True)
class Condition:
    """An experiment: units of a kind, runs, units a run, and the share of the variance of runs' means that runs make.

    Runs' own effects are gamma distributed with a skewness of `skewness`, or normal with 0.
    """

    kind: str
    n_runs: int
    n_units: int
    share: float
    skewness: float = 0.0

    def __str__(self) -> str:
        return f"{self.kind}-{self.n_runs}x{self.n_units}-{self.share}-{self.skewness}"

    def simulate(self, n_simulations: int, seed: int) -> tuple[int, int]:
        """Return the numbers of intervals of 95 %, and of those that hold the truth, 0."""
        rng = np.random.default_rng(seed)
        n_answers = n_hits = 0
        for _ in range(n_simulations):
            interval = self._estimate(rng).interval()
            if interval is not Verdict.TOO_FEW_RUNS:
                n_answers += 1
                n_hits += interval[0] <= self._truth() <= interval[1]
        return n_answers, n_hits

    def _truth(self) -> float:
        return 0.0

    def _effects(self, rng: np.random.Generator) -> np.ndarray:
        if self.skewness == 0:
            return rng.normal(size=self.n_runs)
        shape = 4 / self.skewness**2
        return (rng.gamma(shape, size=self.n_runs) - shape) / np.sqrt(shape)

    def _estimate(self, rng: np.random.Generator) -> Estimate:
        units = UNIT_KINDS[self.kind](rng, (self.n_runs, self.n_units)).mean(axis=1) * np.sqrt(self.n_units)
        return run_mean(np.sqrt(1 - self.share) * units + np.sqrt(self.share) * self._effects(rng))


@dataclass(frozen=True)
class RareEvents(Condition):
    """Shares of units with an event of a probability that varies between runs by `share` of itself (beta)."""

    probability: float = 0.05

    def __str__(self) -> str:
        return f"{super().__str__()}-{self.probability}"

    def _truth(self) -> float:
        return self.probability

    def _estimate(self, rng: np.random.Generator) -> Estimate:
        p = np.full(self.n_runs, self.probability)
        if self.share:
            a = (1 - self.probability) / self.share**2 - self.probability
            p = rng.beta(a, a * (1 - self.probability) / self.probability, size=self.n_runs)
        events = rng.binomial(self.n_units, p)
        n_all = self.n_runs * self.n_units
        return run_mean(events / self.n_units, n_events=int(min(events.sum(), n_all - events.sum())))


@dataclass(frozen=True)
class DifferencesOfShares(Condition):
    """Share of an event among rare units less that among the others, of all runs together, by `jackknife`.

    The probabilities of the event, 0.3 and 0.5, vary between runs with a standard deviation of `share`.
    """

    probability: float = 0.05

    def __str__(self) -> str:
        return f"{super().__str__()}-{self.probability}"

    def _truth(self) -> float:
        return 0.3 - 0.5

    def _estimate(self, rng: np.random.Generator) -> Estimate:
        runs, counts = [], np.zeros((2, 2), dtype=int)
        for _ in range(self.n_runs):
            rare = rng.random(self.n_units) < self.probability
            of_others, of_rare = rng.normal((0.5, 0.3), self.share)
            events = rng.random(self.n_units) < np.where(rare, of_rare, of_others)
            runs.append(np.stack([rare, events], axis=1))
            np.add.at(counts, (rare.astype(int), events.astype(int)), 1)
        return jackknife({"units": runs}, difference_of_shares, n_events=int(counts.min()))


def difference_of_shares(models, _):
    rare, events = np.concatenate(models["units"]).T
    shares = [(events[chosen].sum() + 0.5) / (chosen.sum() + 1) for chosen in (rare, ~rare)]
    return shares[0] - shares[1]


@dataclass(frozen=True)
class Distances(Condition):
    """Mean distance of runs to recorded cells, that of one model or less that of another, by `jackknife`.

    Units are normal with a mean that is `shifts` from that of the cells, in standard deviations.
    """

    shifts: tuple[float, ...] = (0.8,)

    def __str__(self) -> str:
        return f"{super().__str__()}-{self.shifts}"

    def _runs(self, rng: np.random.Generator, shift: float, n_runs: int) -> np.ndarray:
        """Histograms, (n_runs, N_BINS)."""
        between = np.sqrt(self.share / (1 - self.share) / self.n_units)
        means = shift + between * rng.normal(size=(n_runs, 1))
        return histograms(means + rng.normal(size=(n_runs, self.n_units)))

    def _truth(self) -> float:
        known = _TRUTHS.get(self)
        if known is None:
            rng = np.random.default_rng(7)
            cells = histograms(rng.normal(size=(1, 2_000_000)))[0]
            means = [mean_distance(self._runs(rng, shift, 20_000), cells) for shift in self.shifts]
            known = _TRUTHS[self] = difference(means)
        return known

    def _estimate(self, rng: np.random.Generator) -> Estimate:
        samples = {str(i): list(self._runs(rng, shift, self.n_runs)) for i, shift in enumerate(self.shifts)}
        cells = np.digitize(rng.normal(size=N_CELLS), EDGES)

        def distances(models, rows):
            counts = np.bincount(rows, minlength=N_BINS)
            return [mean_distance(np.stack(runs), counts) for runs in models.values()]

        estimate = jackknife(samples, lambda models, rows: difference(distances(models, rows)), cells)
        counts = np.bincount(cells, minlength=N_BINS)
        floor = distance(rng.multinomial(N_CELLS, counts / N_CELLS, size=100), counts)
        return beyond_floor(estimate, distances(samples, cells), floor)


_TRUTHS: dict[Distances, float] = {}


def histograms(values: np.ndarray) -> np.ndarray:
    bins = np.digitize(values, EDGES)
    return np.stack([(bins == i).sum(axis=1) for i in range(N_BINS)], axis=1)


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Earth mover's distances along a line, in bins."""
    shares_a, shares_b = (counts / counts.sum(axis=-1, keepdims=True) for counts in (a, b))
    return np.abs(np.cumsum(shares_a - shares_b, axis=-1)).sum(axis=-1)


def mean_distance(runs: np.ndarray, cells: np.ndarray) -> float:
    return float(distance(runs, cells).mean())


def difference(values: list[float]) -> float:
    return values[0] - (values[1] if len(values) > 1 else 0.0)


#: All of what the docstrings of `run_mean` and `jackknife` say.
ALL: list[Condition] = [
    *(
        Condition(*condition)
        for condition in product(UNIT_KINDS, RUNS, UNITS, SHARES, (0.0, 1.0))
        if condition[3] or not condition[4]
    ),
    *(RareEvents("binary", *c[:3], probability=c[3]) for c in product(RUNS, UNITS, (0.0, 0.4), RARE)),
    *(
        DifferencesOfShares("differences of shares", *c[:3], probability=c[3])
        for c in product(RUNS, UNITS, (0.0, 0.1), (0.05, 0.15))
    ),
    *(
        Distances("distances", *c[:3], shifts=c[3])
        for c in product(RUNS, UNITS, SHARES, [(0.8,), (0.15,), (0.8, 0.4), (0.5, -0.5), (0.15, -0.15)])
    ),
]
#: The ends of it.
FEW: list[Condition] = [
    *(
        Condition(kind, runs, 20, share, s)
        for kind in UNIT_KINDS
        for runs in (3, 10)
        for share, s in ((0, 0), (0.95, 1))
    ),
    *(RareEvents("binary", runs, 100, 0.4, probability=p) for runs in (3, 10) for p in (0.01, 0.25)),
    *(DifferencesOfShares("differences of shares", 3, n, 0.1, probability=0.15) for n in (20, 100)),
    *(Distances("distances", 3, 100, 0.5, shifts=shifts) for shifts in ((0.8,), (0.8, 0.4), (0.15, -0.15))),
]


def assert_covered(n_simulations: int, n_answers: int, n_hits: int) -> None:
    """Assert that intervals of 95 % hold the truth in 0.93 to 0.99 of cases, or that most answers are "too few runs".

    At most 0.07 of all experiments may mislead in any case. Where more than a tenth have no interval, the others may
    be wider than they say. A thousandth of the binomial's tail, on each side, is left to chance.
    """
    assert n_answers - n_hits <= binom.ppf(1 - 1e-3, n_simulations, 0.07)
    if n_answers > n_simulations / 2:
        assert n_hits >= binom.ppf(1e-3, n_answers, 0.93)
    if n_answers > 0.9 * n_simulations:
        assert n_hits <= binom.ppf(1 - 1e-3, n_answers, 0.99)


def wrong_families(n_runs: int, correlation: float, n_simulations: int, seed: int) -> tuple[int, int]:
    """Return in how many experiments any of three claims is supported, and contradicted, none of which is so.

    The second claim has two parts; every one has four sensitivity settings, whose run-level values are correlated with
    those of the primary setting.
    """
    rng = np.random.default_rng(seed)
    n_supported = n_contradicted = 0
    for _ in range(n_simulations):
        family = {}
        for name in ("a", "b1", "b2", "c"):
            primary = rng.normal(size=n_runs)
            others = correlation * primary + np.sqrt(1 - correlation**2) * rng.normal(size=(4, n_runs))
            family[name] = Comparison(run_mean(primary), [run_mean(other) for other in others])
        found = {name: judged.verdict for name, judged in judge(family).items()}
        claims = [found["a"], weakest([found["b1"], found["b2"]]), found["c"]]
        n_supported += Verdict.SUPPORTED in claims
        n_contradicted += Verdict.CONTRADICTED in claims
    return n_supported, n_contradicted
