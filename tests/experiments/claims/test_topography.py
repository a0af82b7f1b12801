"""T1 to T3 on synthetic dictionaries: every verdict can come out, and for the reason given."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import ttest_1samp, ttest_rel

from wlsc.analysis.statistics import Verdict
from wlsc.experiments.claims.base import answer
from wlsc.experiments.claims.topography import LEAST_SIDE, ask, by_draw, excess, paired_differences, values_of

N_DRAWS = 10


def dictionary(model, activity, seed, order, surrogate=0.0, sheet=0.5, within=None):
    """A measured dictionary whose graph has this order, and whose strata leave ``within`` of it."""
    left = order if within is None else within
    return SimpleNamespace(
        cell=SimpleNamespace(model=model, activity=activity, seed=seed),
        summary={
            "graph": {"orientation": {"I": order}},
            "surrogate": {"orientation": {"I": surrogate}},
            "strata": {name: {"graph": left, "surrogate": surrogate} for name in ("position", "usage")},
            "sheets": {
                "swap": {"orientation": sheet, "position": 0.3},
                "surrogate": {"orientation": 0.0, "position": 0.1 + 0.01 * seed},
            },
        },
    )


def draws(wlsc=0.2, peers=0.2, sheet=0.5, peers_sheet=0.5, noise=0.02, seed=0, **options):
    rng = np.random.default_rng(seed)
    found = []
    for draw in range(N_DRAWS):
        shared = rng.normal(0, 0.05)  # of the images: paired differences do not see it
        for activity in (8.0, 15.0):
            found.append(
                dictionary("wlsc", activity, draw, wlsc + shared + rng.normal(0, noise),
                           sheet=sheet + rng.normal(0, noise), **options)
            )  # fmt: skip
            for model in ("sparse_coding", "nonnegative"):
                order, on_sheet = peers + shared + rng.normal(0, noise), peers_sheet + rng.normal(0, noise)
                found.append(dictionary(model, activity, draw, order, sheet=on_sheet))
    return found


def test_t1_is_students_interval_of_the_excess_over_draws():
    measured = draws(surrogate=0.03)
    part = answer(ask(measured, 16))["T1"].parts["excess"]
    values = np.array([m.summary["graph"]["orientation"]["I"] - 0.03 for m in by_draw(measured, "wlsc").values()])
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    assert part.n_runs == N_DRAWS
    assert part.estimate == pytest.approx(values.mean())
    assert part.interval == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"wlsc": 0.2}, Verdict.SUPPORTED),
        ({"wlsc": -0.2}, Verdict.CONTRADICTED),
        ({"wlsc": 0.0}, Verdict.INCONCLUSIVE),
        ({"wlsc": 0.2, "surrogate": 0.2}, Verdict.INCONCLUSIVE),  # covariance and contrast give as much
    ],
)
def test_verdicts_of_t1(options, expected):
    assert answer(ask(draws(**options), 16))["T1"].verdict is expected


def test_t1_needs_orientation_to_be_ordered_within_strata_too():
    measured = draws(wlsc=0.2)
    for index, found in enumerate(measured):
        found.summary["strata"]["position"]["graph"] = 0.001 * (-1) ** index  # position explains it
        if found.cell.activity == 8.0:
            found.summary["strata"]["position"]["graph"] = 0.001 * (-1) ** found.cell.seed
    claim = answer(ask(measured, 16))["T1"]
    assert claim.parts["excess"].interval[0] > 0
    assert claim.verdict is Verdict.INCONCLUSIVE


def test_t2_pairs_draws_and_takes_the_mean_of_four_differences():
    measured = draws(wlsc=0.25, peers=0.2)
    part = answer(ask(measured, 16))["T2"].parts["excess"]
    ours = [values_of(measured, "wlsc", excess, activity) for activity in (8.0, 15.0)]
    theirs = [
        np.mean([values_of(measured, model, excess, activity) for model in ("sparse_coding", "nonnegative")], axis=0)
        for activity in (8.0, 15.0)
    ]
    expected = ttest_rel(np.mean(ours, axis=0), np.mean(theirs, axis=0)).confidence_interval(0.95)
    assert part.interval == pytest.approx((expected.low, expected.high))
    assert len(part.sensitivity) == 4


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"wlsc": 0.3, "sheet": 0.7}, Verdict.SUPPORTED),
        ({"wlsc": 0.3, "sheet": 0.5}, Verdict.INCONCLUSIVE),  # both have to be larger
        ({"wlsc": 0.3, "sheet": 0.3}, Verdict.CONTRADICTED),
        ({"wlsc": 0.1, "sheet": 0.3}, Verdict.CONTRADICTED),
    ],
)
def test_verdicts_of_t2(options, expected):
    assert answer(ask(draws(**options), 16))["T2"].verdict is expected


def test_t3_cannot_be_tested_on_a_small_sheet():
    measured = draws()
    assert answer(ask(measured, LEAST_SIDE - 1))["T3"].verdict is Verdict.CANNOT_BE_TESTED
    large = answer(ask(measured, LEAST_SIDE))["T3"]
    values = [0.3 - (0.1 + 0.01 * draw) for draw in range(N_DRAWS)]
    assert large.parts["position on the sheet"].estimate == pytest.approx(np.mean(values))
    assert large.verdict is Verdict.SUPPORTED


def test_draws_without_a_partner_are_left_out():
    measured = [found for found in draws() if (found.cell.model, found.cell.seed) != ("nonnegative", 4)]
    assert len(paired_differences(measured, "nonnegative", excess)) == N_DRAWS - 1
    assert answer(ask(measured, 16))["T2"].parts["excess"].n_runs == N_DRAWS - 1


def test_nothing_measured_cannot_be_tested():
    assert {claim.verdict for claim in answer(ask([], 16)).values()} == {Verdict.CANNOT_BE_TESTED}
