"""More than 20,000 problems, of all shapes, offsets and scales, against independent solvers."""

from hypothesis import HealthCheck, given, settings

from tests.inference.problems import FEW_ATOMS, check_against_reference, moved_problems

N_PROBLEMS = 10_500


def solve_many(strategy, record_property):
    n_solved = 0

    @settings(deadline=None, max_examples=N_PROBLEMS, database=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def solve(problem):
        nonlocal n_solved
        check_against_reference(*problem)
        n_solved += 1

    solve()
    assert n_solved >= N_PROBLEMS
    record_property("problems", n_solved)


def test_small_problems_against_all_supports(record_property):
    solve_many(moved_problems(FEW_ATOMS), record_property)


def test_larger_problems_against_daqp(record_property):
    solve_many(moved_problems(), record_property)
