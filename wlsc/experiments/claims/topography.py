"""T1 to T3, whether the graph of codes gives a map, asked of the measured dictionaries of a study.

`ask` puts all of them together for `wlsc.experiments.claims.base.answer`. The unit of replication is a draw of images:
dictionaries of one seed share it and are compared with each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from wlsc.analysis.statistics import Estimate, run_mean
from wlsc.experiments.claims.base import Difference, Questions
from wlsc.experiments.studies.topography import Measurement

#: Activity of the primary setting, and all at which WLSC is compared with ℓ1.
PRIMARY, ACTIVITIES = 8.0, (8.0, 15.0)

#: What WLSC is compared with.
PEERS = ("sparse_coding", "nonnegative")

#: Fewest atoms along a side of a sheet that could hold four column spacings: one is about 16 atoms.
LEAST_SIDE = 64

Quantity = Callable[[Measurement], float]
"""A number of one dictionary."""


def excess(found: Measurement) -> float:
    """Moran's I of orientation on the graph of natural patches less that on the graph of the surrogates."""
    return float(found.summary["graph"]["orientation"]["I"] - found.summary["surrogate"]["orientation"]["I"])


def excess_within(strata: str) -> Quantity:
    """Return the same excess beyond what permutations within strata, "position" or "usage", leave."""

    def quantity(found: Measurement) -> float:
        given = found.summary["strata"][strata]
        return float(given["graph"] - given["surrogate"])

    return quantity


def sheet_order(found: Measurement, name: str = "orientation", layout: str = "swap") -> float:
    """Moran's I of a property over the neighbours on a sheet."""
    return float(found.summary["sheets"][layout][name])


def ask(measured: Sequence[Measurement], side: int, allowance: float = 0.0) -> Questions:
    """Ask T1, T2 and T3.

    Parameters
    ----------
    measured
        Dictionaries, of "wlsc", "sparse_coding" and "nonnegative" among them.
    side
        Atoms along a side of their sheets.
    allowance
        How far an end of an interval may move for no better reason than another processor.
    """
    return {
        "T1": {"excess": orders_orientation(measured, allowance)},
        "T2": {
            "excess": more_than_sparse_coding(measured, excess, allowance),
            "sheet": more_than_sparse_coding(measured, sheet_order, allowance),
        },
        "T3": {"position on the sheet": like_v1(measured, side, allowance)},
    }


def by_draw(measured: Sequence[Measurement], model: str, activity: float | None = PRIMARY) -> dict[int, Measurement]:
    """Return the dictionaries of a model at an activity by the seed of their images, in ascending order."""
    found = {m.cell.seed: m for m in measured if (m.cell.model, m.cell.activity) == (model, activity)}
    return dict(sorted(found.items()))


def values_of(
    measured: Sequence[Measurement], model: str, quantity: Quantity, activity: float | None = PRIMARY
) -> np.ndarray:
    """Return a number of each dictionary of a model, (n_draws,)."""
    return np.array([quantity(found) for found in by_draw(measured, model, activity).values()])


def paired_differences(
    measured: Sequence[Measurement], other: str, quantity: Quantity, activity: float = PRIMARY
) -> np.ndarray:
    """Return WLSC's number less that of another model on the same images, (n_draws,)."""
    ours, theirs = (by_draw(measured, model, activity) for model in ("wlsc", other))
    return np.array([quantity(ours[seed]) - quantity(theirs[seed]) for seed in ours if seed in theirs])


def orders_orientation(measured: Sequence[Measurement], allowance: float = 0.0) -> Difference:
    """T1: the excess of WLSC is above 0, also with orientation permuted within strata of position and of usage."""
    found = values_of(measured, "wlsc", excess)
    return Difference(
        primary=_mean(found),
        n_runs=len(found),
        sensitivity={
            f"within strata of {strata}": _mean(values_of(measured, "wlsc", excess_within(strata)))
            for strata in ("position", "usage")
        },
        allowance=allowance,
    )


def more_than_sparse_coding(measured: Sequence[Measurement], quantity: Quantity, allowance: float = 0.0) -> Difference:
    """T2: a number of WLSC less that of ℓ1, two-sided and non-negative, at two matched activities, is above 0.

    The primary number is the mean of the four differences of one draw; each of them alone is a sensitivity setting.
    """
    settings = {
        f"{other}, activity {activity:g}": paired_differences(measured, other, quantity, activity)
        for other in PEERS
        for activity in ACTIVITIES
    }
    n_draws = min(map(len, settings.values()))
    together = np.mean([differences[:n_draws] for differences in settings.values()], axis=0)
    return Difference(
        primary=_mean(together),
        n_runs=n_draws,
        sensitivity={name: _mean(differences) for name, differences in settings.items()},
        allowance=allowance,
    )


def like_v1(measured: Sequence[Measurement], side: int, allowance: float = 0.0) -> Difference:
    """T3: position orders the sheet of WLSC more than that of the surrogates' graph, on four column spacings a side.

    There are no data on sheets of fewer than 64 × 64 atoms: they hold about one hypercolumn, and no map of V1 can be
    told from other maps there.
    """
    if side < LEAST_SIDE:
        return Difference(primary=None, n_runs=0, allowance=allowance)
    found = values_of(measured, "wlsc", lambda m: sheet_order(m, "position") - sheet_order(m, "position", "surrogate"))
    return Difference(primary=_mean(found), n_runs=len(found), allowance=allowance)


def _mean(values: np.ndarray) -> Estimate | None:
    return run_mean(values) if len(values) else None
