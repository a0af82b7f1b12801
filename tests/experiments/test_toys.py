"""Toys that k-means cannot solve."""

import numpy as np
import pytest

from wlsc.experiments.toys import TOYS, crossing_weight, solve_toy


@pytest.mark.parametrize("name", TOYS)
def test_the_graph_of_a_toy_stays_within_its_shapes(name):
    toy = solve_toy(name, 0, n_points=1000)
    assert toy.points.shape == (1000, 2) and toy.dictionary.shape == (24, 2)
    np.testing.assert_allclose(toy.codes.sum(axis=1), 1, atol=1e-5)
    assert toy.crossing < 0.02  # by chance it is a half
    assert 0.5 <= toy.accuracy_of_k_means < 0.9


def test_circles_are_told_apart_by_their_graph():
    """Every seed of the book does; of two moons some do and some do not, and rounding may decide for one of them."""
    assert solve_toy("two circles", 0, n_points=1000).accuracy > 0.99


def test_weight_that_crosses_is_that_on_atoms_of_the_other_shape():
    codes = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.3, 0.7, 0.0], [0.0, 0.5, 0.5]])
    shapes = np.array([0, 0, 1, 1])  # atom 0 has 1.1 of shape 0, atom 1 0.9 against 1.2, atom 2 none against 0.5
    assert crossing_weight(codes, shapes) == pytest.approx((0.1 + 0.8 + 0.3) / 4)


@pytest.mark.tried("inputs")
def test_an_unknown_toy_is_refused():
    with pytest.raises(ValueError, match="name must be one of 'two moons', 'two circles', got 'spirals'"):
        solve_toy("spirals", 0)
