"""Exact codes against every support tried and against DAQP; `make stress` runs many more of the same."""

import numpy as np
import pytest
from hypothesis import given, settings

import wlsc
from tests.inference.problems import FEW_ATOMS, check_against_reference, moved_problems
from tests.inference.reference import by_daqp, by_enumeration, values


@settings(deadline=None, max_examples=200)
@given(moved_problems(FEW_ATOMS))
def test_small_problems_against_all_supports(problem):
    check_against_reference(*problem)


@settings(deadline=None, max_examples=200)
@given(moved_problems())
def test_larger_problems_against_daqp(problem):
    check_against_reference(*problem)


@pytest.mark.parametrize("lam", [0.01, 0.1, 2.0])
def test_unique_codes_are_those_of_both_references(lam):
    rng = np.random.default_rng(0)
    patches, dictionary = rng.normal(size=(20, 4)), rng.normal(size=(6, 4))
    codes = wlsc.infer_codes(patches, dictionary, lam, tol=1e-12)
    np.testing.assert_allclose(codes, by_enumeration(patches, dictionary, lam), atol=1e-9)
    np.testing.assert_allclose(codes, by_daqp(patches, dictionary, lam), atol=1e-6)


def test_the_references_agree_where_codes_are_not_unique():
    rng = np.random.default_rng(1)
    patches, dictionary = rng.normal(size=(50, 3)), rng.normal(size=(6, 3))
    found = [values(patches, dictionary, solve(patches, dictionary, 0.0), 0.0) for solve in (by_enumeration, by_daqp)]
    np.testing.assert_allclose(*found, atol=1e-11)
