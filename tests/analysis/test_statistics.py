from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from wlsc.analysis.statistics import wilson_interval


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (0, 79), (25, 79), (79, 79), (3, 10), (12, 10_000)])
def test_interval_is_that_of_scipy(successes, n, level):
    expected = binomtest(successes, n).proportion_ci(level, method="wilson")
    np.testing.assert_allclose(wilson_interval(successes, n, level), (expected.low, expected.high), atol=1e-12)


def test_arrays_broadcast():
    low, high = wilson_interval(np.array([[0], [5]]), np.array([10, 20, 30]))
    assert low.shape == high.shape == (2, 3)
    np.testing.assert_allclose((low[1, 2], high[1, 2]), wilson_interval(5, 30))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 0), "n must"),
        ((-1, 5), "successes"),
        ((6, 5), "successes"),
        ((np.nan, 5), "successes"),
        ((1, 5, 1), "level"),
    ],
)
def test_impossible_counts_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        wilson_interval(*arguments)
