"""C1 to C3, the claims of Figure 1A about receptive fields, asked of the measured trainings of a study.

`ask` puts all of them together for `wlsc.experiments.claims.base.answer`. Trainings of two models that share their
data, those of one seed, are compared with each other. What has a value of a single training rests on these values;
distances of units to recorded cells and differences of rare shares have none, and rest on the jackknife.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import numpy as np
from scipy.stats import ks_2samp

from wlsc.analysis.statistics import (
    Estimate,
    beyond_floor,
    bin_units,
    binned_transport_distance,
    jackknife,
    median_resample_distance,
    run_mean,
    sampling_floor,
)
from wlsc.datasets.physiology import BinnedCells, PhaseTable
from wlsc.experiments.claims.base import Difference, Equivalence, Questions
from wlsc.experiments.studies.receptive_fields import Measurement
from wlsc.experiments.units import (
    EVEN_DEG,
    ODD_DEG,
    PRIMARY,
    Setting,
    circular_variances,
    fits_of,
    is_broad,
    is_fitted,
    is_phase_known,
    known_phases,
    pair,
    pooled,
    select,
    settings_of,
    shapes,
)

#: Resamples of the recorded cells behind a margin or the noise of a table: neither is an interval.
_N_DRAWS = 1000
#: Units that a training must have fitted to have a distance to a table.
_FEWEST_UNITS = 5
#: Share of its filters that a baseline must have fitted to say anything.
_FEWEST_FITTED = 0.5

#: Name of the stand-in among the models of the study.
LLD = "lld"


def ask(
    measured: Sequence[Measurement],
    table: BinnedCells,
    phases: PhaseTable | None = None,
    seed: int = 0,
    allowances: Mapping[str, float] | None = None,
) -> Questions:
    """Ask C1a, C1b, C1c, C2, what stands in for it, and C3.

    Parameters
    ----------
    measured
        Trainings of the study.
    table
        Recorded cells by nx and ny.
    phases
        Recorded cells by phase, if there is a table of them.
    seed
        Of the resamples of cells behind the margins.
    allowances
        Claim → how far an end of its intervals may move for no better reason than another processor, 0 if it is left
        out.
    """
    allowed = {} if allowances is None else allowances
    return {
        "C1a": {"distance": phases_of_cells(measured, phases, seed, allowed.get("C1a", 0.0))},
        "C1b": two_classes(measured, allowed.get("C1b", 0.0)),
        "C1c": {"difference": odd_if_well_tuned(measured, allowed.get("C1c", 0.0))},
        "C2": {"difference": Equivalence(primary=None, n_runs=0, margin=None)},  # LLD's recipe is not public
        "C2, stand-in": {"difference": like_the_stand_in(measured, table, seed, allowed.get("C2", 0.0))},
        "C3": {"difference": broader_tuning(measured, allowed.get("C3", 0.0))},
    }


def phases_of_cells(
    measured: Iterable[Measurement], phases: PhaseTable | None, seed: int = 0, allowance: float = 0.0
) -> Equivalence:
    """C1a: the phases of WLSC's units are as near to those of the cells as samples of the cells are to each other.

    The distance is Kolmogorov and Smirnov's, the largest difference of the cumulative distributions of folded phase;
    its margin is the median distance between two resamples of the cells.

    Parameters
    ----------
    measured
        Trainings, of WLSC in the primary setting among them.
    phases
        Recorded cells; None where no table of them is at hand.
    seed
        Of the resamples of the cells.
    allowance
        As of `Equivalence`.
    """
    samples = [values for values in known_phases(select(measured, "wlsc")) if len(values)]
    if phases is None or not samples:
        return Equivalence(primary=None, n_runs=0, margin=None, allowance=allowance)
    cells = fold_phases(phases.phase_deg)
    margin = median_resample_distance(cells, _largest_gap, _N_DRAWS, seed)
    estimate = jackknife({"wlsc": samples}, lambda models, rows: _largest_gap(pooled(models["wlsc"]), rows), cells)
    return Equivalence(primary=estimate, n_runs=len(samples), margin=margin, allowance=allowance)


def fold_phases(phase_deg: np.ndarray) -> np.ndarray:
    """Fold phases (degrees) to 0, even, … 90, odd."""
    return np.abs((np.asarray(phase_deg, dtype=float) + 90) % 180 - 90)


def _largest_gap(first: np.ndarray, second: np.ndarray) -> float:
    return float(ks_2samp(first, second, method="asymp").statistic)


def two_classes(measured: Sequence[Measurement], allowance: float = 0.0) -> dict[str, Difference]:
    """C1b: the shares of even and of odd phases each exceed the 0.25 of a uniform distribution."""
    return {
        "even": _in_all_settings(measured, ("wlsc",), partial(_share, measured, lambda v: v <= EVEN_DEG), allowance),
        "odd": _in_all_settings(measured, ("wlsc",), partial(_share, measured, lambda v: v >= ODD_DEG), allowance),
    }


def _share(
    measured: Iterable[Measurement], counted: Callable[[np.ndarray], np.ndarray], setting: Setting
) -> tuple[Estimate | None, int]:
    """Mean share of the known phases that are counted, less 0.25, and the trainings that it rests on."""
    events = [counted(phases) for phases in known_phases(select(measured, "wlsc", setting)) if len(phases)]
    if not events:
        return None, 0
    n_events = int(pooled(events).sum())
    rarest = min(n_events, len(pooled(events)) - n_events)
    return run_mean([values.mean() - 0.25 for values in events], rarest), len(events)


def odd_if_well_tuned(measured: Sequence[Measurement], allowance: float = 0.0) -> Difference:
    """C1c: P(odd | well tuned) − P(odd | broadly tuned) > 0 among WLSC's units whose phase is known.

    A training may have no broadly tuned unit: the shares are those of all trainings together.
    """
    return _in_all_settings(measured, ("wlsc",), partial(_odd_if_well_tuned, measured), allowance)


def _odd_if_well_tuned(measured: Iterable[Measurement], setting: Setting) -> tuple[Estimate | None, int]:
    known = [fit[is_phase_known(fit)] for fit in fits_of(select(measured, "wlsc", setting))]
    samples = [np.stack([fit.phase_deg >= ODD_DEG, is_broad(fit)], axis=1) for fit in known if len(fit)]
    if not samples:
        return None, 0
    odd, broad = np.concatenate(samples).T
    rarest = min(int(np.sum((odd == a) & (broad == b))) for a in (0, 1) for b in (0, 1))
    return jackknife({"wlsc": samples}, lambda models, _: _difference_of_shares(models["wlsc"]), n_events=rarest), len(
        samples
    )


def _difference_of_shares(samples: Sequence[np.ndarray]) -> float:
    odd, broad = np.concatenate(samples).T
    # half a unit of each kind and outcome keeps shares defined where a training that is left out had all broad units
    well, broadly = ((odd[chosen].sum() + 0.5) / (chosen.sum() + 1) for chosen in (broad == 0, broad == 1))
    return float(well - broadly)


def broader_tuning(measured: Sequence[Measurement], allowance: float = 0.0) -> Difference:
    """C3: mean circular variance of the responses of live units, WLSC − two-sided sparse coding > 0.

    One of the sensitivity settings is the same difference of the filters alone.
    """
    models = ("wlsc", "sparse_coding")
    question = _in_all_settings(measured, models, partial(gap_of_tuning, measured), allowance)
    alone, _ = gap_of_tuning(measured, PRIMARY, "filter_circular_variance")
    return Difference(
        primary=question.primary,
        n_runs=question.n_runs,
        sensitivity={**question.sensitivity, f"{PRIMARY}, filters alone": alone},
        allowance=allowance,
    )


def gap_of_tuning(
    measured: Sequence[Measurement],
    setting: Setting = PRIMARY,
    quantity: str = "circular_variance",
    model: str = "wlsc",
    other: str = "sparse_coding",
) -> tuple[Estimate | None, int]:
    """Return the mean difference of two models' mean circular variances, None without data, and the number of pairs.

    Parameters
    ----------
    measured
        Trainings; those of one seed are compared.
    setting
        Of both models.
    quantity
        As of `wlsc.experiments.units.circular_variances`.
    model, other
        What is subtracted from what: ``model`` − ``other``.
    """
    pairs = [
        circular_variances(both, quantity)
        for both in pair(select(measured, model, setting), select(measured, other, setting))
    ]
    gaps = [first.mean() - second.mean() for first, second in pairs if len(first) and len(second)]
    return (run_mean(gaps), len(gaps)) if gaps else (None, 0)


def _in_all_settings(
    measured: Sequence[Measurement],
    models: Sequence[str],
    estimate: Callable[[Setting], tuple[Estimate | None, int]],
    allowance: float,
) -> Difference:
    primary, *others = settings_of(measured, *models)
    found, n_runs = estimate(primary)
    sensitivity = {str(setting): estimate(setting)[0] for setting in others}
    return Difference(primary=found, n_runs=n_runs, sensitivity=sensitivity, allowance=allowance)


def like_the_stand_in(
    measured: Sequence[Measurement], table: BinnedCells, seed: int = 0, allowance: float = 0.0
) -> Equivalence:
    """C2, of the LLD-style model that stands in: WLSC is as far from the recorded cells as it is.

    The margin is the median distance between two resamples of the cells. A stand-in of whose filters fewer than half
    pass the Gabor fit has failed, and says nothing.
    """
    margin = _margin(table, seed)
    samples = _histograms(measured, ("wlsc", LLD), table)
    if not all(samples.values()) or share_fitted(select(measured, LLD)) < _FEWEST_FITTED:
        return Equivalence(primary=None, n_runs=0, margin=None, allowance=allowance)
    estimate = _distance(samples, table, 0, seed, paired=False)
    return Equivalence(primary=estimate, n_runs=min(map(len, samples.values())), margin=margin, allowance=allowance)


def share_fitted(trainings: Iterable[Measurement]) -> float:
    """Return the mean share of units that pass the Gabor fit; NaN without a training."""
    shares = [is_fitted(fit).mean() for fit in fits_of(trainings)]
    return float(np.mean(shares)) if shares else float("nan")


def distance_to_table(
    measured: Iterable[Measurement], model: str, table: BinnedCells, unseen: int = 0, seed: int = 0
) -> Estimate | None:
    """Return the mean earth mover's distance (bins) of a model's trainings to recorded cells in the plane of nx and ny.

    Parameters
    ----------
    measured
        Trainings.
    model
        Name of a model.
    table
        Recorded cells by nx and ny.
    unseen
        Cells that are assumed to lie outside the table's bins, at least 0.
    seed
        Of the samples of the table itself, from which a distance has to differ to have an interval
        (`wlsc.analysis.statistics.beyond_floor`).

    Returns
    -------
    Estimate or None
        None if no training has at least 5 fitted units in the primary setting.
    """
    samples = _histograms(measured, (model,), table)
    return _distance(samples, table, unseen, seed) if samples[model] else None


def difference_in_distance(
    measured: Iterable[Measurement], other: str, table: BinnedCells, seed: int = 0
) -> Estimate | None:
    """Return the distance of WLSC to the recorded cells less that of another model trained on the same data."""
    first, second = select(measured, "wlsc"), select(measured, other)
    both = pair(first, second)
    samples = {
        "wlsc": _histograms_of([one for one, _ in both], table),
        other: _histograms_of([one for _, one in both], table),
    }
    if not samples["wlsc"] or len(samples["wlsc"]) != len(samples[other]):
        return None
    return _distance(samples, table, 0, seed)


def noise_of(table: BinnedCells, unseen: int = 0, seed: int = 0) -> np.ndarray:
    """Return distances between the table and samples of as many cells drawn from it: no model can lie below."""
    return sampling_floor(table.counts, int(table.counts.sum()), _N_DRAWS, seed, unseen)


def _margin(table: BinnedCells, seed: int) -> float:
    def distance(first: np.ndarray, second: np.ndarray) -> float:
        return binned_transport_distance(_counted(first, table), _counted(second, table))

    return median_resample_distance(_cells(table), distance, _N_DRAWS, seed)


def _cells(table: BinnedCells) -> np.ndarray:
    """The bin of every recorded cell, (n_cells, 2)."""
    filled = table.counts > 0
    return np.argwhere(filled).repeat(table.counts[filled], axis=0)


def _counted(bins: np.ndarray, table: BinnedCells) -> np.ndarray:
    counts = np.zeros(table.counts.shape)
    np.add.at(counts, tuple(bins.astype(int).T), 1)
    return counts


def _histograms(
    measured: Iterable[Measurement], models: Sequence[str], table: BinnedCells
) -> dict[str, list[np.ndarray]]:
    known = list(measured)
    return {model: _histograms_of(select(known, model), table) for model in models}


def _histograms_of(trainings: Iterable[Measurement], table: BinnedCells) -> list[np.ndarray]:
    """Fitted units in every bin and, last, outside all of them, (n_bins + 1,) a training with enough of them."""
    binned = [bin_units(values, table.edges) for values in shapes(trainings) if len(values) >= _FEWEST_UNITS]
    return [np.append(counts.ravel(), outside) for counts, outside in binned]


def _distance(
    samples: Mapping[str, Sequence[np.ndarray]], table: BinnedCells, unseen: int, seed: int, paired: bool = True
) -> Estimate:
    """Mean distance of the first model's trainings to the table, less that of the second if there is one."""

    def distances(models: Mapping[str, Sequence[np.ndarray]], cells: np.ndarray) -> list[float]:
        counts = _counted(cells, table)
        return [float(np.mean([_to(run, counts, unseen) for run in models[name]])) for name in samples]

    def statistic(models: Mapping[str, Sequence[np.ndarray]], cells: np.ndarray) -> float:
        first, *second = distances(models, cells)
        return first - sum(second)

    cells = _cells(table)
    estimate = jackknife(samples, statistic, cells, paired)
    return beyond_floor(estimate, distances(samples, cells), noise_of(table, unseen, seed))


def _to(run: np.ndarray, counts: np.ndarray, unseen: int) -> float:
    return binned_transport_distance(run[:-1].reshape(counts.shape), counts, run[-1], unseen)
