"""Eq. 1 = Eq. 2 = the corrected traces, the objective and its certificates, against SciPy and finite differences."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.spatial.distance import cdist

import wlsc
from tests.inference.degenerate import degenerate_problems
from wlsc.problem import quadratic_terms


def draw(seed, n_samples=5, n_atoms=4, n_features=3):
    rng = np.random.default_rng(seed)
    codes = rng.dirichlet(np.ones(n_atoms), size=n_samples)
    return rng.normal(size=(n_samples, n_features)), rng.normal(size=(n_atoms, n_features)), codes


def minimum(patch, dictionary, lam):
    """Minimise one sample's objective by SciPy's SLSQP, from several starts."""

    def value(code):
        return 0.5 * np.sum((patch - code @ dictionary) ** 2) + lam * code @ np.sum((patch - dictionary) ** 2, axis=1)

    n_atoms = len(dictionary)
    starts = [np.full(n_atoms, 1 / n_atoms), *np.eye(n_atoms)]
    constraint = {"type": "eq", "fun": lambda code: code.sum() - 1}
    options = {"ftol": 1e-14, "maxiter": 500}
    results = [
        minimize(value, s, bounds=[(0, 1)] * n_atoms, constraints=constraint, method="SLSQP", options=options)
        for s in starts
    ]
    return min(result.fun for result in results)


@pytest.mark.equation("eq-graph", "wlsc.laplacian_quadratic_form")
@pytest.mark.equation("eq-1", "wlsc.laplacian_quadratic_form")
@pytest.mark.equation("eq-2", "wlsc.weighted_l1")
@pytest.mark.parametrize("seed", range(10))
def test_graph_form_is_weighted_l1_is_corrected_traces(seed):
    patches, dictionary, codes = draw(seed)
    by_definition = np.sum(codes * cdist(patches, dictionary, "sqeuclidean"))
    traces = np.sum(patches**2) + codes.sum(0) @ np.sum(dictionary**2, 1) - 2 * np.sum(patches * (codes @ dictionary))
    assert wlsc.laplacian_quadratic_form(patches, dictionary, codes) == pytest.approx(by_definition)
    assert wlsc.weighted_l1(patches, dictionary, codes) == pytest.approx(by_definition)
    assert traces == pytest.approx(by_definition)  # 1 · tr(RᵀRW) = 2 tr(YᵀAX)


@pytest.mark.equation("eq-bias-variance", "wlsc.weighted_l1")
def test_the_penalty_is_the_error_plus_the_spread():
    patches, dictionary, codes = draw(4)
    means = codes @ dictionary
    error = np.sum((patches - means) ** 2)
    spread = np.sum(codes * cdist(means, dictionary, "sqeuclidean"))
    assert wlsc.weighted_l1(patches, dictionary, codes) == pytest.approx(error + spread)


@pytest.mark.equation("eq-dirichlet", "wlsc.weighted_l1")
def test_energy_of_the_walk_is_the_penalty_at_means_and_no_more_at_others():
    patches, dictionary, codes = draw(5, n_samples=12)
    usage = codes.sum(axis=0)
    walk = codes / usage @ codes.T
    energy = 0.5 * np.sum(walk * cdist(patches, patches, "sqeuclidean"))
    means = codes.T @ patches / usage[:, None]
    assert wlsc.weighted_l1(patches, means, codes) == pytest.approx(energy)
    assert wlsc.weighted_l1(patches, dictionary, codes) > energy


@pytest.mark.equation("eq-objective", "wlsc.objective")
def test_objective_by_definition():
    patches, dictionary, codes = draw(0)
    error = np.sum((patches - codes @ dictionary) ** 2, axis=1)
    penalty = np.sum(codes * cdist(patches, dictionary, "sqeuclidean"), axis=1)
    expected = np.mean(0.5 * error + 0.7 * penalty)
    assert wlsc.objective(patches, dictionary, codes, 0.7) == pytest.approx(expected)


@pytest.mark.equation("eq-gradient", "wlsc.problem.quadratic_terms")
def test_quadratic_terms_are_the_gradient_up_to_a_constant():
    patches, dictionary, codes = (torch.as_tensor(array) for array in draw(1))
    codes.requires_grad_()
    (wlsc.objective(patches, dictionary, codes, 0.3) * len(patches)).backward()
    gram, linear = quadratic_terms(patches, dictionary, 0.3)
    difference = codes.grad - (codes.detach() @ gram - linear)
    torch.testing.assert_close(difference - difference[:, :1], torch.zeros_like(difference))


@pytest.mark.equation("eq-gap", "wlsc.frank_wolfe_gap")
@pytest.mark.parametrize("lam", [0.0, 0.05, 1.0])
def test_gap_bounds_the_distance_to_the_minimum(lam):
    patches, dictionary, codes = draw(2)
    gaps = wlsc.frank_wolfe_gap(patches, dictionary, codes, lam)
    for index, patch in enumerate(patches):
        value = wlsc.objective(patch[None], dictionary, codes[index][None], lam)
        assert value - minimum(patch, dictionary, lam) <= gaps[index] + 1e-9


@settings(deadline=None, max_examples=100)
@given(degenerate_problems(), st.integers(-6, 6), st.sampled_from([0.0, 1e-3, 0.1, 10.0]))
def test_gap_bounds_the_distance_to_any_other_codes(problem, magnitude, lam):
    patches, dictionary, rng = problem
    patches, dictionary, n_atoms = 10.0**magnitude * patches, 10.0**magnitude * dictionary, len(dictionary)
    codes = rng.dirichlet(np.full(n_atoms, 0.5), size=len(patches))
    gaps = wlsc.frank_wolfe_gap(patches, dictionary, codes, lam)
    distances = cdist(patches, dictionary, "sqeuclidean")

    def values(given):
        return 0.5 * np.sum((patches - given @ dictionary) ** 2, axis=1) + lam * np.sum(given * distances, axis=1)

    corners = [np.tile(corner, (len(patches), 1)) for corner in np.eye(n_atoms)]
    others = [*corners, *rng.dirichlet(np.full(n_atoms, 0.5), size=(5, len(patches)))]
    rounding = 1e-12 * (1 + lam) * max(np.max(patches**2), np.max(dictionary**2)) * patches.shape[1]
    for other in others:
        assert np.all(values(codes) - values(other) <= gaps + rounding)


@pytest.mark.equation("eq-gap", "wlsc.kkt_residual")
def test_residual_vanishes_at_the_optimum_and_ignores_units():
    patches, dictionary, codes = draw(3)
    single = dictionary[:1]
    assert wlsc.kkt_residual(patches, single, np.ones((5, 1)), 0.2).max() == 0
    residual = wlsc.kkt_residual(patches, dictionary, codes, 0.2)
    assert residual.min() > 0
    np.testing.assert_allclose(wlsc.kkt_residual(1e4 * patches, 1e4 * dictionary, codes, 0.2), residual, rtol=1e-9)


def test_all_zero_problem_has_no_residual():
    assert wlsc.kkt_residual(np.zeros((2, 3)), np.zeros((4, 3)), np.full((2, 4), 0.25), 0.1).tolist() == [0, 0]


def test_kinds_and_dtypes_are_kept():
    arrays = [array.astype(np.float32) for array in draw(4)]
    assert isinstance(wlsc.weighted_l1(*arrays), np.ndarray)
    assert wlsc.weighted_l1(*arrays).dtype == np.float32
    tensors = [torch.as_tensor(array) for array in arrays]
    assert wlsc.objective(*tensors, 0.1).dtype == torch.float32
    assert wlsc.kkt_residual(*tensors, 0.1).dtype == torch.float64  # certificates are always float64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patches": np.zeros(3)}, r"patches must have 2 dimensions, got shape \(3,\)"),
        ({"dictionary": np.zeros((4, 2))}, "agree in the number of features, got 3 and 2"),
        ({"dictionary": np.zeros((0, 3))}, "at least one atom"),
        ({"codes": np.zeros((5, 3))}, r"codes must have shape \(n_samples, n_atoms\) = \(5, 4\), got \(5, 3\)"),
        ({"codes": np.full((5, 4), 0.3)}, "codes must lie on the probability simplex"),
        ({"codes": np.full((5, 4), np.nan)}, "codes must be finite, got 20 NaN"),
        ({"dictionary": np.zeros((4, 3), np.float32)}, "dictionary must have the dtype and device of patches"),
        ({"lam": -1}, "lam must be a finite number of at least 0, got -1"),
        ({"lam": np.nan}, "lam must be a finite number"),
        ({"lam": "much"}, "lam must be a number of at least 0, got 'much'"),
    ],
)
def test_bad_input(change, message):
    patches, dictionary, codes = draw(0)
    arguments = {"patches": patches, "dictionary": dictionary, "codes": codes, "lam": 0.1} | change
    with pytest.raises(ValueError, match=message):
        wlsc.kkt_residual(**arguments)
