"""Codes of l1 sparse coding against scikit-learn, the KKT conditions and the duality gap, written out here."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Lasso

from tests.inference.degenerate import degenerate_problems
from wlsc.inference._lasso import solve_lasso
from wlsc.models import SparseCodingAutoencoder

TOLERANCE = {np.float32: 1e-5, np.float64: 1e-6}


def normalised(dictionary):
    norms = np.linalg.norm(dictionary, axis=1, keepdims=True)
    return dictionary / np.where(norms > 0, norms, 1)


def problem(seed=0, n_samples=30, n_atoms=40, n_features=12, dtype=np.float64):
    rng = np.random.default_rng(seed)
    dictionary = normalised(rng.normal(size=(n_atoms, n_features)))
    return rng.normal(size=(n_samples, n_features)).astype(dtype), dictionary.astype(dtype)


def infer(patches, dictionary, lam, nonnegative, initial_codes=None):
    model = SparseCodingAutoencoder(dictionary.shape[1], len(dictionary), lam, nonnegative=nonnegative)
    model.to(torch.as_tensor(dictionary).dtype).set_dictionary(torch.as_tensor(dictionary))
    return model.infer(torch.as_tensor(patches), initial_codes).numpy()


def objective(patches, dictionary, codes, lam):
    patches, dictionary, codes = (array.astype(np.float64) for array in (patches, dictionary, codes))
    return 0.5 * np.sum((patches - codes @ dictionary) ** 2, axis=1) + lam * np.abs(codes).sum(axis=1)


def scikit_learn(patches, dictionary, lam, nonnegative):
    patches, dictionary = patches.astype(np.float64), dictionary.astype(np.float64)
    # its objective is divided by the number of features
    lasso = Lasso(lam / patches.shape[1], fit_intercept=False, positive=nonnegative, tol=1e-13, max_iter=1_000_000)
    return np.array([lasso.fit(dictionary.T, patch).coef_ for patch in patches])


def relative_gap(patches, dictionary, codes, lam, nonnegative):
    """Primal minus dual objective at the residual scaled into the dual's feasible set, relative to ‖y‖²."""
    patches, dictionary, codes = (array.astype(np.float64) for array in (patches, dictionary, codes))
    residual = patches - codes @ dictionary
    correlation = residual @ dictionary.T
    largest = np.maximum((correlation if nonnegative else np.abs(correlation)).max(axis=1), lam)
    feasible = residual * (lam / largest)[:, None]
    energy = np.sum(patches**2, axis=1)
    dual = 0.5 * energy - 0.5 * np.sum((patches - feasible) ** 2, axis=1)
    return (objective(patches, dictionary, codes, lam) - dual) / np.where(energy > 0, energy, 1)


@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lam", [0.01, 0.3, 1.5])
def test_objective_equals_scikit_learn(lam, dtype, nonnegative):
    patches, dictionary = problem(dtype=dtype)
    codes = infer(patches, dictionary, lam, nonnegative)
    assert codes.dtype == dtype
    best = objective(patches, dictionary, scikit_learn(patches, dictionary, lam, nonnegative), lam)
    excess = objective(patches, dictionary, codes, lam) - best
    assert np.all(excess <= TOLERANCE[dtype] * np.sum(patches**2, axis=1))
    assert np.all(excess >= -1e-9 * np.sum(patches**2, axis=1))


@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("n_atoms", [8, 40])
def test_codes_equal_scikit_learn(n_atoms, nonnegative):
    patches, dictionary = problem(1, n_atoms=n_atoms)
    codes, _ = solve_lasso(torch.as_tensor(patches), torch.as_tensor(dictionary), 0.2, nonnegative, 1e-14)
    np.testing.assert_allclose(codes, scikit_learn(patches, dictionary, 0.2, nonnegative), atol=1e-6)


def test_penalty_above_every_correlation_gives_zeros():
    patches, dictionary = problem(2)
    largest = np.abs(patches @ dictionary.T).max()
    assert not infer(patches, dictionary, 1.01 * largest, False).any()
    assert infer(patches, dictionary, 0.9 * largest, False).any()


@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("layout", ["dense", "sparse"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_warm_start_ends_at_the_same_codes(dtype, layout, nonnegative):
    patches, dictionary = problem(3, dtype=dtype)
    start = torch.randn(30, 40, generator=torch.Generator().manual_seed(0)).to(torch.as_tensor(patches).dtype)
    before = start.clone()
    warm = infer(patches, dictionary, 0.3, nonnegative, start if layout == "dense" else start.to_sparse())
    assert torch.equal(start, before)
    cold = infer(patches, dictionary, 0.3, nonnegative)
    difference = objective(patches, dictionary, warm, 0.3) - objective(patches, dictionary, cold, 0.3)
    assert np.all(np.abs(difference) <= TOLERANCE[dtype] * np.sum(patches**2, axis=1))
    np.testing.assert_array_equal(infer(patches, dictionary, 0.3, nonnegative, torch.as_tensor(cold)) != 0, cold != 0)


def test_duplicate_atoms_and_zero_patches():
    patches, dictionary = problem(4, n_atoms=10)
    patches[::3] = 0
    double = np.concatenate([dictionary, dictionary, -dictionary])
    codes = infer(patches, double, 0.1, False)
    assert not codes[::3].any()
    folded = codes[:, :10] + codes[:, 10:20] - codes[:, 20:]
    np.testing.assert_allclose(folded, scikit_learn(patches, dictionary, 0.1, False), atol=1e-2)
    excess = objective(patches, double, codes, 0.1) - objective(patches, dictionary, folded, 0.1)
    assert np.all(np.abs(excess) <= 1e-6 * np.sum(patches**2, axis=1))


def test_no_samples_give_no_codes():
    patches, dictionary = problem(5, n_samples=0)
    assert infer(patches, dictionary, 0.1, False).shape == (0, 40)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_patches_must_be_finite(value):
    patches, dictionary = problem(6)
    patches[3, 2] = value
    with pytest.raises(ValueError, match="patches must be finite, got 1 NaN or infinite values of 360"):
        infer(patches, dictionary, 0.1, False)


@st.composite
def problems(draw):
    patches, dictionary, rng = draw(degenerate_problems(mirrored=True))
    scale = 10.0 ** draw(st.integers(-3, 3))
    start = rng.normal(size=(len(patches), len(dictionary)))
    start *= rng.random(start.shape) < 0.3
    return scale * patches, normalised(dictionary), draw(st.sampled_from([None, start]))


@settings(max_examples=200, deadline=None)
@given(
    problems(),
    st.sampled_from([1e-3, 1e-2, 0.1, 0.5]),
    st.booleans(),
    st.sampled_from([np.float32, np.float64]),
)
def test_degenerate_problems_reach_the_tolerance(instance, share, nonnegative, dtype):
    patches, dictionary = (array.astype(dtype) for array in instance[:2])
    lam = share * max(float(np.linalg.norm(patches, axis=1).max()), 1e-30)
    start = None if instance[2] is None else torch.as_tensor(instance[2].astype(dtype))
    codes = infer(patches, dictionary, lam, nonnegative, start)
    certificate = relative_gap(patches, dictionary, codes, lam, nonnegative)
    # the certificate itself is rounded in float32, as documented
    rounding = 1e-7 * np.abs(codes).sum(axis=1) / lam if dtype == np.float32 else 0
    assert np.all(certificate <= TOLERANCE[dtype] + rounding)
