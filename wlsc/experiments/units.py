"""Units of measured conditions: which trainings are compared, which of their units, and what is summarised of them.

Everything here takes the `Measurement`s of a study of `wlsc.experiments.studies.receptive_fields`; each is a training.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from wlsc.analysis.statistics import MIN_RUNS
from wlsc.experiments.studies.receptive_fields import Measurement

#: Least r² of a Gabor fit: r > 0.7, the field's criterion.
FITTED_R2 = 0.49
#: Largest standard error of a phase that is known, in degrees.
KNOWN_PHASE_SE_DEG = 22.5
#: nx and ny of a broadly tuned unit lie below this edge of the bins of Ringach (2002).
BROAD = 0.302
#: Folded phases up to the first of these are even, from the second on odd (degrees): a quarter of all phases each.
EVEN_DEG, ODD_DEG = 22.5, 67.5
#: Below this nx the envelope holds less than one bar.
SHORT = 0.25


class Setting(NamedTuple):
    """What models are compared at: active atoms, atoms per effective dimension, and the variation of the data."""

    activity: float | None
    overcompleteness: float
    variation: str = "none"

    def __str__(self) -> str:
        activity = "own activity" if self.activity is None else f"{self.activity:g} active"
        words = [activity, f"{self.overcompleteness:g}×"]
        return ", ".join(words if self.variation == "none" else [*words, self.variation.replace("_", " ")])


#: The setting that the claims of Figure 1A are made of.
PRIMARY = Setting(10.0, 2.0)


def select(measured: Iterable[Measurement], model: str, setting: Setting = PRIMARY) -> list[Measurement]:
    """Return the trainings of a model in a setting, in the order of their seeds.

    Models without a matched activity have one set of trainings for all activities, and ICA, which has no more units
    than dimensions, one for all sizes.
    """
    sizes = [1.0 if model == "ica" else setting.overcompleteness]
    chosen = [
        one
        for one in measured
        if one.cell.model == model
        and one.cell.variation == setting.variation
        and one.cell.activity in (setting.activity, None)
        and one.cell.overcompleteness in sizes
    ]
    return sorted(chosen, key=lambda one: one.cell.seed)


def pair(first: Iterable[Measurement], second: Iterable[Measurement]) -> list[tuple[Measurement, Measurement]]:
    """Return the trainings of two models that share their data, those of one seed, in the order of seeds."""
    known = {one.cell.seed: one for one in second}
    return [
        (one, known[one.cell.seed]) for one in sorted(first, key=lambda one: one.cell.seed) if one.cell.seed in known
    ]


def settings_of(measured: Iterable[Measurement], *models: str) -> list[Setting]:
    """Return the settings in which all the models were trained often enough for an interval, `PRIMARY` first."""
    n_trainings = Counter(
        (Setting(one.cell.activity, one.cell.overcompleteness, one.cell.variation), one.cell.model) for one in measured
    )
    found = dict.fromkeys(setting for setting, _ in n_trainings)
    enough = [setting for setting in found if all(n_trainings[setting, model] >= MIN_RUNS for model in models)]
    return [PRIMARY, *(setting for setting in enough if setting != PRIMARY)]


def is_fitted(fit: np.recarray) -> np.ndarray:
    """Tell which units a Gabor function describes, by `FITTED_R2`; of the rows of `wlsc.fit_gabors`."""
    return np.asarray(fit.r2 > FITTED_R2)


def is_phase_known(fit: np.recarray) -> np.ndarray:
    """Tell which units are fitted and have a phase with a standard error of at most `KNOWN_PHASE_SE_DEG`."""
    return is_fitted(fit) & (fit.phase_se_deg <= KNOWN_PHASE_SE_DEG)


def is_broad(fit: np.recarray) -> np.ndarray:
    """Tell which units are fitted and broadly tuned in the sense of a small shape: nx and ny below `BROAD`."""
    return is_fitted(fit) & (fit.nx < BROAD) & (fit.ny < BROAD)


def known_phases(trainings: Iterable[Measurement], field: str = "filter") -> list[np.ndarray]:
    """Return the folded phases (degrees, 0 even … 90 odd) that are known, an array per training with that field."""
    return [fit.phase_deg[is_phase_known(fit)] for fit in fits_of(trainings, field)]


def shapes(trainings: Iterable[Measurement], field: str = "filter") -> list[np.ndarray]:
    """Return (nx, ny) of the fitted units, (n_units, 2) per training with that field."""
    return [np.stack([fit.nx, fit.ny], axis=1)[is_fitted(fit)] for fit in fits_of(trainings, field)]


def fits_of(trainings: Iterable[Measurement], field: str = "filter") -> list[np.recarray]:
    """Return the Gabor fits of one of `wlsc.experiments.studies.receptive_fields.FIELDS`, of trainings that have it."""
    return [one.fits[field] for one in trainings if field in one.fits]


def circular_variances(trainings: Iterable[Measurement], quantity: str = "circular_variance") -> list[np.ndarray]:
    """Return the circular variances of the live units, an array per training.

    Parameters
    ----------
    trainings
        Trainings.
    quantity
        "circular_variance" of the responses, or "filter_circular_variance" of the filters alone.
    """
    return [one.units[quantity][one.units.live] for one in trainings]


def pooled(arrays: Iterable[np.ndarray]) -> np.ndarray:
    """Return the values of all trainings together; an empty array if there is none."""
    return np.concatenate([*arrays, np.empty(0)])


def run_means(arrays: Iterable[np.ndarray]) -> np.ndarray:
    """Return the mean of each training that has a value."""
    return np.array([values.mean() for values in arrays if len(values)])


def odd_if_short(trainings: Iterable[Measurement]) -> tuple[int, int]:
    """Return how many filters with less than one bar, nx below `SHORT`, are odd, and how many there are."""
    phases = pooled(fit.phase_deg[is_phase_known(fit) & (fit.nx < SHORT)] for fit in fits_of(trainings))
    return int(np.sum(phases >= ODD_DEG)), len(phases)


def matched_cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the absolute cosines of the best one-to-one pairing of two dictionaries, their means over atoms taken off.

    Parameters
    ----------
    first, second
        (n_atoms, n_features) each; of dictionaries of different sizes the larger one keeps atoms without a partner.
    """
    from scipy.optimize import linear_sum_assignment

    units = [
        atoms / np.linalg.norm(atoms, axis=1, keepdims=True)
        for atoms in (first - first.mean(0), second - second.mean(0))
    ]
    cosines = np.abs(units[0] @ units[1].T)
    return np.asarray(cosines[linear_sum_assignment(-cosines)])
