"""Coverage of all intervals of `wlsc.analysis.statistics`, and errors of whole families of verdicts, by simulation."""

import pytest
from scipy.stats import binom

from tests.analysis import coverage


@pytest.mark.parametrize("condition", coverage.ALL, ids=str)
def test_intervals_hold_the_truth_as_often_as_they_say_or_runs_are_too_few(condition, record_property):
    n_simulations = 1000 if isinstance(condition, coverage.DifferencesOfShares | coverage.Distances) else 4000
    n_answers, n_hits = condition.simulate(n_simulations, seed=1)
    record_property("simulations, intervals, of which hold the truth", f"{n_simulations}, {n_answers}, {n_hits}")
    coverage.assert_covered(n_simulations, n_answers, n_hits)


@pytest.mark.parametrize("skewness", [1.5, 2.0])
@pytest.mark.parametrize("n_runs", coverage.RUNS)
def test_runs_as_skewed_as_is_not_claimed_are_covered_less_but_not_badly(n_runs, skewness, record_property):
    n_simulations = 4000
    condition = coverage.Condition("normal", n_runs, 20, 0.95, skewness)
    n_answers, n_hits = condition.simulate(n_simulations, seed=2)
    record_property("simulations, intervals, of which hold the truth", f"{n_simulations}, {n_answers}, {n_hits}")
    assert binom.ppf(1e-3, n_simulations, 0.89) <= n_hits < 0.94 * n_simulations


@pytest.mark.parametrize("n_runs", [3, 10])
@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9, 1.0])
def test_true_nulls_are_seldom_supported_or_contradicted(n_runs, correlation, record_property):
    n_simulations = 4000
    n_supported, n_contradicted = coverage.wrong_families(n_runs, correlation, n_simulations, seed=3)
    record_property("simulations, supported, contradicted", f"{n_simulations}, {n_supported}, {n_contradicted}")
    assert max(n_supported, n_contradicted) <= binom.ppf(1 - 1e-3, n_simulations, 0.05)
