from __future__ import annotations

import json
from itertools import chain, combinations, product

import numpy as np
import pytest
from scipy.optimize import brentq, linprog
from scipy.stats import binom, t, ttest_1samp, ttest_rel

from tests.analysis import coverage
from wlsc.analysis.statistics import (
    Comparison,
    Estimate,
    Verdict,
    beyond_floor,
    bin_units,
    binned_transport_distance,
    equivalence_verdict,
    holm,
    is_firm,
    jackknife,
    judge,
    median_resample_distance,
    run_mean,
    sampling_floor,
    verdict,
    weakest,
)

TOO_FEW = Verdict.TOO_FEW_RUNS


def grand_mean(models, _cells):
    return np.mean([run.mean() for run in models["wlsc"]])


def mean_difference(models, _cells):
    return np.mean([run.mean() for run in models["wlsc"]]) - np.mean([run.mean() for run in models["sparse coding"]])


def pooled_ratio(models, _cells):
    units = np.concatenate(models["wlsc"])
    return units[:, 0].sum() / units[:, 1].sum()


@pytest.mark.parametrize("n_runs", [3, 5, 10])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.999])
def test_mean_over_runs_is_student_s(n_runs, level):
    values = np.random.default_rng(n_runs).normal(0.4, 1, n_runs)
    found, exact = run_mean(values), ttest_1samp(values, 0.1)
    assert found.estimate == pytest.approx(values.mean())
    assert found.standard_error == pytest.approx(values.std(ddof=1) / np.sqrt(n_runs))
    assert found.interval(level) == pytest.approx(tuple(exact.confidence_interval(level)))
    assert found.p_value(0.1) == pytest.approx(exact.pvalue)


def test_paired_differences_are_those_of_the_paired_t_test():
    a, b = np.random.default_rng(1).normal(size=(2, 6))
    found, exact = run_mean(a - b), ttest_rel(a, b)
    assert found.interval() == pytest.approx(tuple(exact.confidence_interval()))
    assert found.p_value() == pytest.approx(exact.pvalue)


def test_p_values_far_out_are_those_of_student():
    values = 1 + 1e-5 * np.arange(4)
    assert run_mean(values).p_value() == pytest.approx(ttest_1samp(values, 0).pvalue, rel=1e-6)
    assert run_mean(values).p_value(values.mean()) == pytest.approx(1)


@pytest.mark.parametrize(
    "estimate",
    [
        run_mean([0.3]),
        run_mean([0.3, 0.4]),
        run_mean([0.3, 0.3, 0.3, 0.3]),
        run_mean([0.3 - 0.1, 0.2, 0.2]),  # equal but for rounding
        run_mean([0.0, 0.0, 0.0]),
        run_mean([0.01, 0.02, 0.04], n_events=7),
        jackknife({"wlsc": [np.arange(9.0)] * 2}, grand_mean),
        jackknife({"wlsc": list(np.arange(9.0).reshape(3, 3))}, grand_mean, n_events=7),
        jackknife({"wlsc": [np.arange(9.0)] * 5}, grand_mean),
    ],
)
def test_too_few_runs_is_a_value_of_its_own(estimate):
    assert np.isfinite(estimate.estimate)
    for found in (estimate.interval(), estimate.p_value(), estimate.standard_error):
        assert found is TOO_FEW
        assert f"{found}" == "too few runs"
        assert json.loads(json.dumps({"interval": found})) == {"interval": "too few runs"}
    assert verdict(estimate.interval(), [], estimate.p_value()) is TOO_FEW
    assert equivalence_verdict(estimate.interval(0.9), 1.0) is TOO_FEW


def test_enough_events_give_an_interval():
    assert run_mean([0.01, 0.02, 0.05], n_events=8).interval() == run_mean([0.01, 0.02, 0.05]).interval()


@pytest.mark.parametrize("n_sources", [1, 2, 3])
def test_intervals_of_several_sources_add_their_squared_half_widths(n_sources):
    rng = np.random.default_rng(n_sources)
    sources = tuple(
        (float(v), int(df)) for v, df in zip(rng.random(n_sources), rng.integers(2, 90, n_sources), strict=True)
    )
    estimate = Estimate(1.5, sources)

    def half_width(level):
        return np.sqrt(sum(v * t.ppf((1 + level) / 2, df) ** 2 for v, df in sources))

    assert estimate.interval(0.9) == pytest.approx((1.5 - half_width(0.9), 1.5 + half_width(0.9)))
    level = brentq(lambda level: half_width(level) - 1.1, 1e-9, 1 - 1e-9, xtol=1e-13)
    assert estimate.p_value(0.4) == estimate.p_value(2.6) == pytest.approx(1 - level, abs=1e-9)
    assert estimate.p_value(1.5) == pytest.approx(1)
    assert 0 <= estimate.p_value(1e6) < 1e-6


def test_jackknife_of_a_mean_of_runs_is_student_s():
    runs = list(np.random.default_rng(2).normal(size=(5, 12)))
    found, exact = jackknife({"wlsc": runs}, grand_mean), ttest_1samp([run.mean() for run in runs], 0)
    assert found.interval() == pytest.approx(tuple(exact.confidence_interval()))
    assert found.p_value() == pytest.approx(exact.pvalue)


def test_pairing_removes_what_the_runs_share():
    rng = np.random.default_rng(3)
    offsets = 10 * rng.normal(size=(6, 1))
    a, b = (offsets + shift + rng.normal(size=(6, 7)) for shift in (0.5, 0.0))
    samples = {"wlsc": list(a), "sparse coding": list(b)}
    paired, unpaired = (jackknife(samples, mean_difference, paired=paired) for paired in (True, False))
    assert paired.interval() == pytest.approx(tuple(ttest_rel(a.mean(1), b.mean(1)).confidence_interval()))
    variances = [x.mean(1).var(ddof=1) / 6 for x in (a, b)]
    assert unpaired.standard_error == pytest.approx(np.sqrt(sum(variances)))
    assert [df for _, df in unpaired.sources] == [5, 5]


def test_jackknife_of_a_pooled_ratio_is_the_sum_over_runs_left_out():
    runs = [np.random.default_rng(n).uniform(1, 2, size=(n, 2)) for n in (3, 7, 4, 9)]
    found = jackknife({"wlsc": runs}, pooled_ratio)
    left_out = [pooled_ratio({"wlsc": [r for r in runs if r is not run]}, None) for run in runs]
    assert found.estimate == pooled_ratio({"wlsc": runs}, None)
    assert found.standard_error**2 == pytest.approx(3 / 4 * sum((x - np.mean(left_out)) ** 2 for x in left_out))


def test_shared_cells_add_their_variance_also_where_some_are_equal():
    rng = np.random.default_rng(4)
    runs, cells = list(rng.normal(size=(6, 10))), np.round(rng.normal(size=40), 1)
    assert len(np.unique(cells)) < 40
    found = jackknife({"wlsc": runs}, lambda models, rows: grand_mean(models, rows) - rows.mean(), shared=cells)
    of_runs, of_cells = np.var([run.mean() for run in runs], ddof=1) / 6, cells.var(ddof=1) / 40
    np.testing.assert_allclose(found.sources, [(of_runs, 5), (of_cells, 39)])


def test_models_need_equal_numbers_of_runs_only_if_paired():
    rng = np.random.default_rng(5)
    samples = {"wlsc": list(rng.normal(size=(4, 3))), "sparse coding": list(rng.normal(size=(3, 5)))}
    assert [df for _, df in jackknife(samples, mean_difference, paired=False).sources] == [3, 2]
    with pytest.raises(ValueError, match="4 of wlsc, 3 of sparse coding"):
        jackknife(samples, mean_difference)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ({}, "at least one model"),
        ({"wlsc": []}, r"samples\['wlsc'\] must hold at least one training run"),
        ({"wlsc": [np.ones(3), np.ones(0)]}, r"samples\['wlsc'\]\[1\] must hold at least one row"),
        ({"wlsc": [np.array([1.0, np.nan, np.inf])]}, r"samples\['wlsc'\]\[0\] must be finite, got 2 .* of 3"),
        ({"wlsc": [np.ones((2, 2, 2))]}, "1 or 2 dimensions"),
        ({"wlsc": [np.array(["a"])]}, "real numbers"),
        ({"ica": [np.ones(3)]}, r"\(ica\), got 'wlsc'"),
    ],
)
def test_impossible_samples_are_refused(samples, message):
    with pytest.raises(ValueError, match=message):
        jackknife(samples, grand_mean)


def test_a_flag_is_true_or_false():
    with pytest.raises(ValueError, match="paired must be True or False, got 'no'"):
        jackknife({"wlsc": [np.ones(3)]}, grand_mean, paired="no")


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda: jackknife({"wlsc": [np.ones(3)]}, grand_mean, np.array([np.nan])), "shared must be finite"),
        (lambda: jackknife({"wlsc": [np.ones(3)]}, lambda *_: np.nan), "statistic must return a finite"),
        (lambda: jackknife({"wlsc": [np.ones(3)]}, lambda *_: np.ones(2)), "statistic must return a finite"),
        (lambda: run_mean([]), "values must hold at least one"),
        (lambda: run_mean([0.1, np.nan]), "values must be finite, got 1"),
        (lambda: run_mean(np.ones((3, 2))), r"values must have shape \(n_runs,\)"),
        (lambda: run_mean([0.1, 0.2, 0.3], n_events=-1), "n_events"),
        (lambda: run_mean([0.1, 0.2, 0.3]).interval(1.0), "level"),
        (lambda: beyond_floor(run_mean([0.1, 0.2, 0.3]), [0.4], np.empty(0)), "floor must hold"),
    ],
)
def test_impossible_estimates_are_refused(compute, message):
    with pytest.raises(ValueError, match=message):
        compute()


def test_distances_that_chance_alone_makes_give_no_interval():
    estimate, floor = run_mean([0.1, 0.2, 0.4]), np.linspace(0, 1, 101)
    assert beyond_floor(estimate, [0.96, 2.0], floor) is estimate
    below = beyond_floor(estimate, [0.94, 2.0], floor)
    assert below.estimate == estimate.estimate
    assert below.interval() is TOO_FEW


@pytest.mark.parametrize("condition", coverage.FEW, ids=str)
def test_intervals_hold_what_they_say(condition):
    n_simulations = 200
    coverage.assert_covered(n_simulations, *condition.simulate(n_simulations, seed=0))


@pytest.mark.parametrize("n_runs", [3, 10])
@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_true_nulls_are_seldom_supported_or_contradicted(n_runs, correlation):
    n_simulations = 300
    for n_wrong in coverage.wrong_families(n_runs, correlation, n_simulations, seed=1):
        assert n_wrong <= binom.ppf(1 - 1e-3, n_simulations, 0.05)


def test_median_distance_is_that_of_two_binomial_draws():
    values = np.repeat([0.0, 1.0], [30, 20])
    n_resamples = 2000
    found = median_resample_distance(values, lambda a, b: abs(a.sum() - b.sum()), n_resamples, seed=0)
    numbers = np.arange(51)
    chances = np.outer(*[binom.pmf(numbers, 50, 0.4)] * 2)
    distances = np.abs(np.subtract.outer(numbers, numbers))
    slack = 4 * np.sqrt(0.25 / n_resamples)
    assert chances[distances < found].sum() < 0.5 + slack
    assert chances[distances <= found].sum() > 0.5 - slack


def test_median_distance_refuses_cells_without_a_value():
    with pytest.raises(ValueError, match="values must be finite, got 1"):
        median_resample_distance(np.array([0.0, np.nan]), lambda a, b: 0.0, 10, seed=0)


def test_holm_by_hand():
    # sorted: 0.01 × 4, 0.013 × 3 (below the one before it), 0.04 × 2, 0.7
    found = holm({"C1": 0.04, "C2": 0.01, "C3": 0.7, "C4": 0.013})
    assert found == pytest.approx({"C1": 0.08, "C2": 0.04, "C3": 0.7, "C4": 0.04})
    assert list(found) == ["C1", "C2", "C3", "C4"]


@pytest.mark.parametrize("seed", range(5))
def test_holm_is_closed_testing_with_bonferroni(seed):
    rng = np.random.default_rng(seed)
    p_values = {str(i): p for i, p in enumerate(np.round(rng.random(6) ** 3, 2))}  # rounded, so that some are equal
    subsets = list(chain.from_iterable(combinations(p_values, size) for size in range(1, 7)))
    expected = {
        name: max(
            min(1, len(subset) * min(p_values[other] for other in subset)) for subset in subsets if name in subset
        )
        for name in p_values
    }
    assert holm(p_values) == pytest.approx(expected)


def test_holm_refuses_what_is_not_a_p_value():
    for p in (np.nan, -0.1, 1.1):
        with pytest.raises(ValueError, match="p_values\\['C2'\\] must lie"):
            holm({"C1": 0.5, "C2": p})


def test_holm_counts_claims_with_too_few_runs_and_leaves_them_without_a_p_value():
    assert holm({"C1": TOO_FEW, "C2": 0.01, "C3": 0.02}) == {"C1": TOO_FEW, "C2": pytest.approx(0.03), "C3": 0.04}
    assert holm({"C1": TOO_FEW}) == {"C1": TOO_FEW}


ABOVE, BELOW, ACROSS = (0.1, 0.3), (-0.3, -0.1), (-0.1, 0.3)


@pytest.mark.parametrize(
    ("primary", "sensitivity", "direction", "expected"),
    [
        (ABOVE, [ABOVE] * 4, 1, "supported"),
        (ABOVE, [ABOVE] * 3 + [ACROSS], 1, "supported"),
        (ABOVE, [ABOVE] * 3 + [BELOW], 1, "supported"),
        (ABOVE, [ABOVE] * 3 + [None], 1, "supported"),
        (ABOVE, [ABOVE] * 2 + [ACROSS] * 2, 1, "inconclusive"),
        (ABOVE, [ABOVE] * 2 + [None] * 2, 1, "inconclusive"),
        (ABOVE, [ABOVE] * 2 + [ACROSS], 1, "inconclusive"),
        (ABOVE, [ABOVE], 1, "supported"),
        (ABOVE, [ACROSS], 1, "inconclusive"),
        (ABOVE, [], 1, "supported"),
        (ABOVE, [ABOVE] * 2 + [TOO_FEW] * 2, 1, "inconclusive"),
        (ABOVE, [ABOVE] * 3 + [TOO_FEW], 1, "supported"),
        (ABOVE, [ABOVE] * 4, -1, "contradicted"),
        (ABOVE, [BELOW] * 4, -1, "inconclusive"),
        (ABOVE, [ABOVE] * 3 + [BELOW], -1, "contradicted"),
        (ABOVE, [ABOVE] * 2 + [ACROSS] * 2, -1, "inconclusive"),
        (BELOW, [BELOW] * 4, -1, "supported"),
        (BELOW, [ABOVE] * 4, -1, "inconclusive"),
        (BELOW, [BELOW] * 4, 1, "contradicted"),
        (BELOW, [ABOVE] * 4, 1, "inconclusive"),
        (BELOW, [BELOW] * 3 + [None], 1, "contradicted"),
        (BELOW, [BELOW] * 2 + [None] * 2, 1, "inconclusive"),
        (BELOW, [], 1, "contradicted"),
        (ACROSS, [ABOVE] * 4, 1, "inconclusive"),
        (ACROSS, [ABOVE] * 4, -1, "inconclusive"),
        ((0.0, 0.3), [ABOVE] * 4, 1, "inconclusive"),
        ((-0.3, 0.0), [BELOW] * 4, 1, "inconclusive"),
        (TOO_FEW, [ABOVE] * 4, 1, "too few runs"),
        (None, [ABOVE] * 4, 1, "cannot be tested"),
        (None, [], 1, "cannot be tested"),
    ],
)
def test_verdicts(primary, sensitivity, direction, expected):
    p_holm = primary if primary in (None, TOO_FEW) else 0.05
    assert verdict(primary, sensitivity, p_holm, direction) is Verdict(expected)


@pytest.mark.parametrize("primary", [ABOVE, BELOW])
def test_a_p_value_above_5_percent_decides_nothing(primary):
    assert verdict(primary, [primary] * 4, 0.051) is Verdict.INCONCLUSIVE


def test_intervals_are_compared_with_the_threshold():
    assert verdict((-0.005, 0.1), [(-0.009, 0.0)], 0.01, threshold=-0.01) is Verdict.SUPPORTED
    assert verdict((-0.005, 0.1), [(-0.011, 0.0)], 0.01, threshold=-0.01) is Verdict.INCONCLUSIVE
    assert verdict((0.1, 0.19), [], 0.01, threshold=0.2) is Verdict.CONTRADICTED


def test_share_of_sensitivity_cells_is_what_is_asked_for():
    assert verdict(ABOVE, [ABOVE, ACROSS], 0.01, share=0.5) == "supported"
    assert verdict(ABOVE, [ABOVE, ACROSS], 0.01, share=0.51) == "inconclusive"


@pytest.mark.parametrize(
    ("interval", "margin", "expected"),
    [
        ((-0.1, 0.1), 0.2, "comparable"),
        ((0.1, 0.19), 0.2, "comparable"),
        ((-0.2, 0.1), 0.2, "inconclusive"),
        ((-0.1, 0.2), 0.2, "inconclusive"),
        ((0.3, 0.4), 0.2, "inconclusive"),
        ((-0.4, -0.3), 0.2, "inconclusive"),
        ((-9, 9), 0.2, "inconclusive"),
        (TOO_FEW, 0.2, "too few runs"),
        (TOO_FEW, None, "cannot be tested"),
        (None, 0.2, "cannot be tested"),
        ((-0.1, 0.1), None, "cannot be tested"),
    ],
)
def test_verdicts_of_equivalence(interval, margin, expected):
    assert equivalence_verdict(interval, margin) is Verdict(expected)


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        (lambda: verdict((0.3, 0.1), [], 0.01), "primary must be an interval"),
        (lambda: verdict((np.nan, 0.1), [], 0.01), "primary must be an interval"),
        (lambda: verdict(ABOVE, [ABOVE, (0.1, np.nan)], 0.01), r"sensitivity\[1\] must be an interval"),
        (lambda: verdict(ABOVE, [], 0.01, direction=0), "direction"),
        (lambda: verdict(ABOVE, [], 0.01, share=75), "share"),
        (lambda: verdict(ABOVE, [], None), "p_holm"),
        (lambda: verdict(ABOVE, [], TOO_FEW), "p_holm"),
        (lambda: verdict(ABOVE, [], 1.5), "p_holm"),
        (lambda: is_firm((0.3, 0.1), [0.0], 0.1), "interval must be an interval"),
        (lambda: is_firm(ABOVE, [0.0], -0.1), "allowance"),
        (lambda: judge({"C1": Comparison(None, allowance=-1.0)}), r"comparisons\['C1'\].allowance"),
        (lambda: judge({"C1": Comparison(None, direction=2)}), "direction"),
        (lambda: weakest([]), "at least one verdict"),
        (lambda: equivalence_verdict((0.3, 0.1), 1.0), "interval must be an interval"),
        (lambda: equivalence_verdict(ABOVE, 0.0), "margin"),
        (lambda: equivalence_verdict(ABOVE, np.nan), "margin"),
    ],
)
def test_impossible_verdicts_are_refused(judge, message):
    with pytest.raises(ValueError, match=message):
        judge()


@pytest.mark.parametrize(
    ("interval", "thresholds", "allowance", "expected"),
    [
        ((0.1, 0.3), [0.0], 0.09, True),
        ((0.1, 0.3), [0.0], 0.11, False),
        ((-0.3, -0.1), [0.0], 0.11, False),
        ((-0.1, 0.3), [0.0], 0.09, True),
        ((-0.1, 0.3), [0.0], 0.11, False),
        ((-0.3, 0.1), [-0.2, 0.2], 0.11, False),
        ((-0.1, 0.1), [-0.2, 0.2], 0.09, True),
        ((0.0, 0.3), [0.0], 0.0, False),
        (TOO_FEW, [0.0], 1.0, True),
        (None, [0.0], 1.0, True),
    ],
)
def test_a_verdict_is_firm_where_no_end_can_reach_a_threshold(interval, thresholds, allowance, expected):
    assert is_firm(interval, thresholds, allowance) is expected


ORDER = ["contradicted", "cannot be tested", "too few runs", "inconclusive", "supported"]


@pytest.mark.parametrize(("first", "second"), list(product(range(5), repeat=2)))
def test_a_claim_is_as_good_as_its_weakest_part(first, second):
    assert weakest([Verdict(ORDER[first]), Verdict(ORDER[second])]) is Verdict(ORDER[min(first, second)])


def differences(mean, n_runs=5, sd=0.1):
    """An estimate whose mean and standard deviation are these."""
    values = np.linspace(-1, 1, n_runs)
    return run_mean(mean + sd * values / values.std(ddof=1))


def test_a_family_is_judged_with_p_values_that_know_its_size():
    strong, weak = differences(1.0), differences(0.15)
    p = {name: estimate.p_value() for name, estimate in (("strong", strong), ("weak", weak))}
    assert p["weak"] < 0.05 < 2 * p["weak"]
    comparisons = {
        "strong": Comparison(strong, [strong] * 4),
        "against": Comparison(strong, [strong] * 4, direction=-1),
        "weak": Comparison(weak),
        "weak too": Comparison(weak),
        "few": Comparison(run_mean([1.0, 1.1])),
        "no data": Comparison(None, [strong]),
    }
    found = judge(comparisons)
    assert {name: str(judged.verdict) for name, judged in found.items()} == {
        "strong": "supported",
        "against": "contradicted",
        "weak": "inconclusive",
        "weak too": "inconclusive",
        "few": "too few runs",
        "no data": "cannot be tested",
    }
    assert found["strong"].p_holm == pytest.approx(5 * p["strong"])
    assert found["weak"].p_holm == pytest.approx(3 * p["weak"])
    assert found["few"].p_holm is TOO_FEW
    assert found["no data"].p_holm is None
    assert judge({"weak": Comparison(weak)})["weak"].verdict is Verdict.SUPPORTED


def test_a_judgement_is_firm_if_nothing_within_the_allowance_turns_it():
    low, high = differences(1.0).interval()
    edge = min(low, high)
    for allowance, firm in ((0.9 * edge, True), (1.1 * edge, False)):
        assert judge({"C": Comparison(differences(1.0), allowance=allowance)})["C"].firm is firm
    # sensitivity settings can turn a verdict as well, whose primary interval is far from the threshold
    nearly = differences(0.15)
    judged = judge({"C": Comparison(differences(1.0), [nearly], allowance=2 * min(nearly.interval()))})["C"]
    assert (judged.verdict, judged.firm) == (Verdict.SUPPORTED, False)
    # and an end near the threshold is marked, also where the sensitivity settings decide
    judged = judge({"C": Comparison(nearly, [differences(0.0)] * 4, allowance=2 * min(nearly.interval()))})["C"]
    assert (judged.verdict, judged.firm) == (Verdict.INCONCLUSIVE, False)


def test_thresholds_shift_what_is_judged():
    judged = judge({"C": Comparison(differences(0.0), [differences(0.0)], threshold=-0.5)})["C"]
    assert judged.verdict is Verdict.SUPPORTED
    assert judged.p_holm == pytest.approx(differences(0.5).p_value())


def test_units_are_counted_bin_by_bin():
    edges = (np.array([1.0, 2.0, 4.0]), np.array([0.0, 1.0, 2.0, 3.0]))
    rng = np.random.default_rng(0)
    values = np.vstack([rng.uniform(0, 5, size=(200, 2)), [[1, 0], [2, 1], [4, 3], [np.inf, 1]]])
    expected = np.zeros((2, 3), dtype=int)
    for x, y in values:
        for i, j in product(range(2), range(3)):
            in_x = edges[0][i] <= x < edges[0][i + 1] or (x == 4 and i == 1)
            in_y = edges[1][j] <= y < edges[1][j + 1] or (y == 3 and j == 2)
            expected[i, j] += in_x and in_y
    counts, outside = bin_units(values, edges)
    np.testing.assert_array_equal(counts, expected)
    assert outside == len(values) - expected.sum()


def test_no_unit_is_counted_as_none():
    counts, outside = bin_units(np.empty((0, 2)), (np.arange(3.0), np.arange(4.0)))
    assert counts.shape == (2, 3)
    assert counts.sum() == outside == 0


def test_units_without_a_value_are_refused():
    edges = (np.arange(3.0), np.arange(4.0))
    with pytest.raises(ValueError, match=r"shape \(n_units, 2\), got \(5,\)"):
        bin_units(np.zeros(5), edges)
    with pytest.raises(ValueError, match="NaN in 1 rows"):
        bin_units(np.array([[0.5, np.nan], [0.5, 0.5]]), edges)


def transport_by_linear_programming(masses_a, masses_b, costs):
    n_a, n_b = costs.shape
    sums = np.vstack([np.kron(np.eye(n_a), np.ones(n_b)), np.kron(np.ones(n_a), np.eye(n_b))])
    masses = np.append(masses_a / masses_a.sum(), masses_b / masses_b.sum())
    return linprog(costs.ravel(), A_eq=sums[:-1], b_eq=masses[:-1]).fun  # the last equation follows from the others


def lattice_costs(shape):
    """Distances between bins, and from each to the nearest place of the lattice that is outside, one by one."""
    bins = list(product(*map(range, shape)))
    beyond = [place for place in product(*(range(-1, n + 1) for n in shape)) if place not in bins]
    costs = np.array([[np.hypot.reduce(np.subtract(a, b)) for b in bins] for a in bins])
    outside = [min(np.hypot.reduce(np.subtract(a, place)) for place in beyond) for a in bins]
    return np.block([[costs, np.array(outside)[:, None]], [np.array(outside), 0.0]])


@pytest.mark.parametrize("shape", [(5, 5), (3, 6), (7,)])
@pytest.mark.parametrize("outside", [(0, 0), (0, 9), (14, 3)])
def test_transport_distance_is_that_of_the_linear_programme(shape, outside):
    rng = np.random.default_rng(1)
    a, b = rng.poisson(1.5, size=(2, *shape))
    expected = transport_by_linear_programming(np.append(a, outside[0]), np.append(b, outside[1]), lattice_costs(shape))
    assert binned_transport_distance(a, b, *outside) == pytest.approx(expected, abs=1e-9)


def test_transport_distance_is_a_lower_bound_of_the_one_with_all_places_known():
    rng = np.random.default_rng(2)
    places = np.array(list(product(range(7), repeat=2)))
    costs = np.linalg.norm(places[:, None] - places, axis=2)
    for _ in range(10):
        a, b = rng.poisson(1.0, size=(2, 7, 7))
        inner_a, inner_b = a[1:-1, 1:-1], b[1:-1, 1:-1]
        found = binned_transport_distance(inner_a, inner_b, a.sum() - inner_a.sum(), b.sum() - inner_b.sum())
        assert 0 < found <= transport_by_linear_programming(a.ravel(), b.ravel(), costs) + 1e-9


def test_transport_distance_ignores_scale_and_is_0_between_equals():
    counts = np.random.default_rng(3).poisson(2.0, size=(4, 4))
    assert binned_transport_distance(counts, 3 * counts, 5, 15) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones((2, 2)), np.ones((2, 3))), "counts_b must have the shape"),
        ((np.zeros((2, 2)), np.ones((2, 2))), "counts_a and the units outside"),
        ((np.ones((2, 2)), np.array([[1, -1], [1, 1]])), "counts_b and the units outside"),
        ((np.ones((2, 2)), np.array([[1, np.nan], [1, 1]])), "counts_b and the units outside"),
        ((np.ones((2, 2)), np.ones((2, 2)), -1), "counts_a and the units outside"),
    ],
)
def test_impossible_histograms_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        binned_transport_distance(*arguments)


def test_floor_between_two_bins_is_the_deviation_of_a_binomial():
    counts, n_cells = np.array([30, 49]), 79
    floor = sampling_floor(counts, n_cells, 2000, seed=0)
    draws = np.arange(n_cells + 1)
    expected = np.sum(binom.pmf(draws, n_cells, 30 / 79) * np.abs(draws - 30) / n_cells)
    assert floor.shape == (2000,)
    assert abs(floor.mean() - expected) < 4 * floor.std() / np.sqrt(2000)
    np.testing.assert_array_equal(floor, sampling_floor(counts, n_cells, 2000, seed=0))


def test_floor_draws_cells_outside_too():
    # one bin, at distance 1 from the cell outside
    floor = sampling_floor(np.array([60]), 80, 2000, seed=0, outside=20)
    draws = np.arange(81)
    expected = np.sum(binom.pmf(draws, 80, 0.25) * np.abs(draws - 20) / 80)
    assert abs(floor.mean() - expected) < 4 * floor.std() / np.sqrt(2000)
