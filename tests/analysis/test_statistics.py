from __future__ import annotations

from itertools import chain, combinations, product

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.stats import binom, chisquare, ttest_1samp

from wlsc.analysis.statistics import (
    Bootstrap,
    Verdict,
    bin_units,
    binned_transport_distance,
    equivalence_verdict,
    hierarchical_bootstrap,
    holm,
    median_resample_distance,
    sampling_floor,
    verdict,
)


def grand_mean(models, _cells):
    return np.mean([run.mean() for run in models["wlsc"]])


def mean_difference(models, _cells):
    return np.mean([run.mean() for run in models["wlsc"]]) - np.mean([run.mean() for run in models["sparse coding"]])


def assert_variance(resamples, expected):
    # five standard errors of the variance of nearly normal values
    assert abs(resamples.var() / expected - 1) < 5 * np.sqrt(2 / len(resamples))


def test_two_level_bootstrap_has_the_mean_and_variance_of_the_closed_form():
    rng = np.random.default_rng(0)
    runs = rng.normal(size=(8, 1)) + 2 * rng.normal(size=(8, 12))
    boot = hierarchical_bootstrap({"wlsc": list(runs)}, grand_mean, 4000, seed=1)
    expected = (runs.mean(axis=1).var() + runs.var(axis=1).mean() / 12) / 8
    assert boot.estimate == pytest.approx(runs.mean())
    assert abs(boot.resamples.mean() - runs.mean()) < 4 * np.sqrt(expected / 4000)
    assert_variance(boot.resamples, expected)


def test_expected_variance_is_that_of_the_docstring():
    n_runs, n_units, between, within = 5, 4, 1.0, 6.0
    rng = np.random.default_rng(1)
    ratios = []
    true = (between + within / n_units) / n_runs
    for seed in range(300):
        runs = np.sqrt(between) * rng.normal(size=(n_runs, 1)) + np.sqrt(within) * rng.normal(size=(n_runs, n_units))
        ratios.append(
            hierarchical_bootstrap({"wlsc": list(runs)}, grand_mean, 60, seed=seed).resamples.var(ddof=1) / true
        )
    of_units = within / n_units / (between + within / n_units)
    expected = 1 - 1 / n_runs + of_units * (1 - 1 / n_units)
    assert abs(np.mean(ratios) - expected) < 4 * np.std(ratios) / np.sqrt(len(ratios))


def test_drawing_runs_alone_gives_every_draw_the_same_chance():
    runs = [np.array([1.0]), np.array([10.0]), np.array([100.0])]
    boot = hierarchical_bootstrap({"wlsc": runs}, lambda models, _: np.sum(models["wlsc"]), 5400, seed=0, within=False)
    sums, frequencies = np.unique([sum(draw) for draw in product([1, 10, 100], repeat=3)], return_counts=True)
    found, counts = np.unique(boot.resamples, return_counts=True)
    np.testing.assert_array_equal(found, sums)
    assert chisquare(counts, 5400 * frequencies / 27).pvalue > 1e-3


def test_pairing_removes_what_the_runs_share():
    rng = np.random.default_rng(2)
    shared = 10 * rng.normal(size=(12, 1))
    a, b = (list(shared + offset + rng.normal(size=(12, 1))) for offset in (0.5, 0.0))
    samples = {"wlsc": a, "sparse coding": b}
    paired, unpaired = (
        hierarchical_bootstrap(samples, mean_difference, 4000, seed=3, paired=paired, within=False).resamples
        for paired in (True, False)
    )
    assert_variance(paired, np.var(np.subtract(a, b)) / 12)
    assert_variance(unpaired, (np.var(a) + np.var(b)) / 12)


def test_models_need_equal_numbers_of_runs_only_if_paired():
    samples = {"wlsc": [np.arange(3.0)] * 4, "sparse coding": [np.arange(5.0)] * 2}
    assert hierarchical_bootstrap(samples, mean_difference, 5, seed=0, paired=False).resamples.shape == (5,)
    with pytest.raises(ValueError, match="4 of wlsc, 2 of sparse coding"):
        hierarchical_bootstrap(samples, mean_difference, 5, seed=0)


def test_shared_cells_add_their_variance_and_are_the_same_for_all_models_and_calls():
    rng = np.random.default_rng(4)
    cells = rng.normal(size=40)
    runs = list(rng.normal(size=(6, 10)))
    boot = hierarchical_bootstrap({"wlsc": runs}, lambda _, cells: cells.mean(), 4000, seed=5, shared=cells)
    assert_variance(boot.resamples, cells.var() / 40)
    other = hierarchical_bootstrap(
        {"ica": runs, "k-means": runs},
        lambda models, cells: np.array([cells.mean(), models["ica"][0][0]]),
        4000,
        seed=5,
        shared=cells,
        within=False,
    )
    np.testing.assert_array_equal(other.resamples[:, 0], boot.resamples)


def test_units_keep_their_rows_and_runs_their_sizes():
    runs = [np.column_stack([np.arange(n), -np.arange(n)]) for n in (3, 7)]

    def check(models, cells):
        assert cells is None
        assert {len(run) for run in models["wlsc"]} <= {3, 7}
        assert all((run.sum(axis=1) == 0).all() for run in models["wlsc"])
        return np.zeros(2)

    boot = hierarchical_bootstrap({"wlsc": runs}, check, 50, seed=0)
    assert boot.resamples.shape == (50, 2)


def coverage(n_runs, n_units, between, within, n_simulations, resample_units=True):
    """Number of 95 % intervals that hold the true mean, 0."""
    rng = np.random.default_rng(6)
    hits = 0
    for seed in range(n_simulations):
        runs = between * rng.normal(size=(n_runs, 1)) + within * rng.normal(size=(n_runs, n_units))
        boot = hierarchical_bootstrap({"wlsc": list(runs)}, grand_mean, 300, seed=seed, within=resample_units)
        low, high = boot.interval()
        hits += low <= 0 <= high
    return hits


def test_coverage_is_at_least_nominal_where_units_vary_as_much_as_runs():
    n_simulations = 200
    hits = coverage(10, 16, between=1, within=4, n_simulations=n_simulations)
    assert hits >= binom.ppf(1e-3, n_simulations, 0.95)


def test_expanded_intervals_of_runs_alone_have_the_coverage_that_they_say():
    n_simulations, n_runs = 300, 15
    hits = coverage(n_runs, 1, between=1, within=0, n_simulations=n_simulations, resample_units=False)
    assert binom.ppf(1e-3, n_simulations, 0.95) <= hits <= binom.ppf(1 - 1e-3, n_simulations, 0.95)


def test_expanded_interval_of_normal_resamples_is_student_s():
    rng = np.random.default_rng(9)
    values = rng.normal(size=6)
    resamples = values.mean() + values.std() / np.sqrt(6) * rng.normal(size=400_000)  # what resampling would tend to
    boot = Bootstrap(values.mean(), resamples, n_runs=6)
    exact = ttest_1samp(values, 0)
    # The end is a quantile of normal resamples, at the level 0.005 that Student's 0.025 of 5 degrees is; its standard
    # error √(0.005 · 0.995 / 400,000) / 0.0145 = 0.0077 of their deviation, 0.38, is 0.003: four of them.
    np.testing.assert_allclose(boot.interval(), exact.confidence_interval(0.95), rtol=0, atol=0.012)
    # Twice a share of resamples, whose standard error is √(1/4 / 400,000) = 0.0008 at most: four of them, twice.
    np.testing.assert_allclose(boot.p_value(), exact.pvalue, rtol=0, atol=0.0064)
    ends = boot.interval(0.9)
    # A share of resamples changes in steps of 1 / 400,000, twice of which is 5e-6; four of them, by interpolation.
    np.testing.assert_allclose([boot.p_value(end) for end in ends], 0.1, rtol=0, atol=2e-5)


def test_same_seed_same_resamples():
    samples = {"wlsc": list(np.random.default_rng(7).normal(size=(5, 9)))}
    first, again, other = (hierarchical_bootstrap(samples, grand_mean, 20, seed=seed).resamples for seed in (8, 8, 9))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_interval_and_p_value_are_those_counted_by_hand():
    boot = Bootstrap(np.array([2.0, 0.0]), np.array([[-1.0, 0], [0, 0], [1, 0], [2, 0], [3, 0], [4, 0], [5, 0]]))
    low, high = boot.interval(0.5)
    np.testing.assert_allclose([low[0], high[0]], [0.5, 3.5])
    np.testing.assert_allclose(boot.p_value(), [2 * (1 + 2) / 8, 1])  # −1 and 0 are not above 0
    np.testing.assert_allclose(boot.p_value(null=9.0), [2 / 8, 2 / 8])


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
        hierarchical_bootstrap(samples, grand_mean, 10, seed=0)


@pytest.mark.parametrize("flag", ["paired", "within"])
def test_flags_are_true_or_false(flag):
    with pytest.raises(ValueError, match=f"{flag} must be True or False, got 'no'"):
        hierarchical_bootstrap({"wlsc": [np.ones(3)]}, grand_mean, 10, seed=0, **{flag: "no"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_resamples": 0}, "n_resamples"),
        ({"seed": -1}, "seed"),
        ({"shared": np.array([np.nan])}, "shared must be finite"),
        ({"statistic": lambda *_: np.nan}, "statistic must return a finite"),
        ({"statistic": lambda *_: np.ones((2, 2))}, "statistic must return a finite"),
    ],
)
def test_impossible_options_of_the_bootstrap_are_refused(changes, message):
    arguments = {"samples": {"wlsc": [np.ones(3)]}, "statistic": grand_mean, "n_resamples": 10, "seed": 0} | changes
    with pytest.raises(ValueError, match=message):
        hierarchical_bootstrap(**arguments)


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
        (ABOVE, [ABOVE] * 4, -1, "contradicted"),
        (ABOVE, [BELOW] * 4, -1, "contradicted"),
        (BELOW, [BELOW] * 4, -1, "supported"),
        (BELOW, [ABOVE] * 4, -1, "inconclusive"),
        (BELOW, [ABOVE] * 4, 1, "contradicted"),
        (BELOW, [], 1, "contradicted"),
        (ACROSS, [ABOVE] * 4, 1, "inconclusive"),
        (ACROSS, [ABOVE] * 4, -1, "inconclusive"),
        ((0.0, 0.3), [ABOVE] * 4, 1, "inconclusive"),
        ((-0.3, 0.0), [BELOW] * 4, 1, "inconclusive"),
        (None, [ABOVE] * 4, 1, "cannot be tested"),
        (None, [], 1, "cannot be tested"),
    ],
)
def test_verdicts(primary, sensitivity, direction, expected):
    assert verdict(primary, sensitivity, direction) is Verdict(expected)


def test_share_of_sensitivity_cells_is_what_is_asked_for():
    assert verdict(ABOVE, [ABOVE, ACROSS], share=0.5) == "supported"
    assert verdict(ABOVE, [ABOVE, ACROSS], share=0.51) == "inconclusive"


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
        (None, 0.2, "cannot be tested"),
        ((-0.1, 0.1), None, "cannot be tested"),
    ],
)
def test_verdicts_of_equivalence(interval, margin, expected):
    assert equivalence_verdict(interval, margin) is Verdict(expected)


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        (lambda: verdict((0.3, 0.1), []), "primary must be an interval"),
        (lambda: verdict((np.nan, 0.1), []), "primary must be an interval"),
        (lambda: verdict(ABOVE, [ABOVE, (0.1, np.nan)]), r"sensitivity\[1\] must be an interval"),
        (lambda: verdict(ABOVE, [], direction=0), "direction"),
        (lambda: verdict(ABOVE, [], share=75), "share"),
        (lambda: equivalence_verdict((0.3, 0.1), 1.0), "interval must be an interval"),
        (lambda: equivalence_verdict(ABOVE, 0.0), "margin"),
        (lambda: equivalence_verdict(ABOVE, np.nan), "margin"),
    ],
)
def test_impossible_verdicts_are_refused(judge, message):
    with pytest.raises(ValueError, match=message):
        judge()


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
