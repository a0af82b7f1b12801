"""Weights and missing values: codes and dictionaries against brute force over the observed values."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import torch

import wlsc
from wlsc import WLSC
from wlsc.observed import alternate, infer_observed_codes, observed_terms, observed_update

LAM = 0.3


def with_gaps(n_samples=30, n_features=4, share=0.3, seed=0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    samples = rng.normal(size=(n_samples, n_features))
    gaps = rng.random(samples.shape) < share
    gaps[np.arange(n_samples), rng.integers(n_features, size=n_samples)] = False  # something of every sample is seen
    samples[gaps] = np.nan
    return samples


def objective(sample, atoms, code, lam=LAM) -> float:
    """The definition, value by value: what is NaN is in no sum."""
    total = 0.0
    for feature, value in enumerate(sample):
        if np.isnan(value):
            continue
        total += 0.5 * (value - sum(c * atom[feature] for c, atom in zip(code, atoms, strict=True))) ** 2
        total += lam * sum(c * (value - atom[feature]) ** 2 for c, atom in zip(code, atoms, strict=True))
    return total


@pytest.fixture
def problem():
    samples = with_gaps()
    atoms = np.random.default_rng(1).normal(size=(5, 4))
    return torch.from_numpy(samples), torch.from_numpy(atoms)


def test_terms_are_the_definition(problem):
    samples, atoms = problem
    codes = torch.from_numpy(np.random.default_rng(2).dirichlet(np.ones(5), size=30))
    expected = [objective(y, atoms.numpy(), x) for y, x in zip(samples.numpy(), codes.numpy(), strict=True)]
    np.testing.assert_allclose(observed_terms(samples, atoms, codes, LAM), expected, rtol=1e-12)


def test_no_other_code_is_better(problem):
    samples, atoms = problem
    codes = infer_observed_codes(samples, atoms, LAM).numpy()
    np.testing.assert_allclose(codes.sum(1), 1, atol=1e-9)
    for y, x in zip(samples.numpy()[:12], codes, strict=False):
        best = scipy.optimize.minimize(
            lambda code, y=y: objective(y, atoms.numpy(), code),
            np.full(5, 0.2),
            method="SLSQP",
            bounds=[(0, 1)] * 5,
            constraints={"type": "eq", "fun": lambda code: code.sum() - 1},
            options={"ftol": 1e-14, "maxiter": 500},
        )
        assert objective(y, atoms.numpy(), x) <= best.fun + 1e-8


def test_no_other_dictionary_is_better(problem):
    samples, atoms = problem
    rng = np.random.default_rng(3)
    codes, weights = rng.dirichlet(np.ones(5), size=30), rng.random(30) * 3
    updated = observed_update(samples, torch.from_numpy(weights), torch.from_numpy(codes), atoms, LAM).numpy()

    def total(flat):
        terms = [objective(y, flat.reshape(5, 4), x) for y, x in zip(samples.numpy(), codes, strict=True)]
        return float(weights @ terms)

    best = scipy.optimize.minimize(total, atoms.numpy().ravel(), method="BFGS", options={"gtol": 1e-7})
    assert total(updated.ravel()) <= best.fun + 1e-9
    np.testing.assert_allclose(updated.ravel(), best.x, atol=1e-5)  # BFGS stops at gradients of 1e-7


def test_without_gaps_codes_are_those_of_the_whole_problem():
    samples, atoms = np.random.default_rng(0).normal(size=(20, 4)), np.random.default_rng(1).normal(size=(5, 4))
    codes = infer_observed_codes(torch.from_numpy(samples), torch.from_numpy(atoms), LAM)
    np.testing.assert_array_equal(codes, wlsc.infer_codes(samples, atoms, LAM))


def test_the_objective_never_grows(problem):
    samples, atoms = problem
    _, history = alternate(samples, torch.ones(30), atoms, LAM, n_epochs=15, tol=0)
    steps = np.diff(history["objective"])
    assert len(steps) == 14 and (steps <= 1e-9).all() and steps[0] < 0


def test_a_weight_of_two_is_a_sample_that_stands_twice(problem):
    samples, atoms = problem
    counts = torch.from_numpy(np.random.default_rng(4).integers(0, 4, 30))
    weighted, _ = alternate(samples, counts, atoms, LAM, n_epochs=5, tol=0)
    repeated = samples.repeat_interleave(counts, dim=0)
    expected, _ = alternate(repeated, torch.ones(len(repeated)), atoms, LAM, n_epochs=5, tol=0)
    np.testing.assert_allclose(weighted, expected, atol=1e-6)  # codes are certified to 1e-6


class TestEstimator:
    def test_missing_values_are_learned_from_and_coded(self):
        samples = with_gaps(60)
        model = WLSC(n_atoms=5, lam=LAM, missing="observed", n_epochs=20, tol=0, random_state=0).fit(samples)
        assert np.isfinite(model.components_).all() and len(model.history_["objective"]) == 20
        codes = model.transform(samples)
        mean = np.mean([objective(y, model.components_, x) for y, x in zip(samples, codes, strict=True)])
        assert model.score(samples) == pytest.approx(-mean, rel=1e-9)
        assert mean < model.history_["objective"][0]

    def test_they_are_an_error_otherwise(self):
        with pytest.raises(ValueError, match="contains NaN"):
            WLSC(n_atoms=5).fit(with_gaps())
        with pytest.raises(ValueError, match="missing must be one of 'error', 'observed', got 'mean'"):
            WLSC(n_atoms=5, missing="mean").fit(with_gaps())

    def test_parts_must_be_complete(self):
        model = WLSC(n_atoms=5, missing="observed", random_state=0)
        with pytest.raises(ValueError, match="no missing values in partial_fit and fit_batches"):
            model.partial_fit(with_gaps())
        with pytest.raises(ValueError, match="no missing values in partial_fit and fit_batches"):
            model.fit_batches([with_gaps()])

    def test_what_nothing_is_known_of_is_refused(self):
        model = WLSC(n_atoms=5, missing="observed", random_state=0)
        empty = with_gaps()
        empty[:, 2] = np.nan
        with pytest.raises(ValueError, match="observed value of every feature, got none of feature 2"):
            model.fit(empty)
        with pytest.raises(ValueError, match="observed feature of every sample, got none of sample 0"):
            model.fit(with_gaps()).transform(np.full((1, 4), np.nan))
        with pytest.raises(ValueError, match="trainer must be 'closed_form' with sample weights or missing values"):
            WLSC(n_atoms=5, missing="observed", trainer="unrolled").fit(with_gaps())

    def test_samples_of_no_weight_play_no_part(self):
        samples = np.random.default_rng(0).normal(size=(60, 4))
        weights = np.ones(60)
        weights[40:] = 0
        options = {"n_atoms": 5, "lam": LAM, "random_state": 0}
        weighted = WLSC(**options).fit(samples, sample_weight=weights).components_
        np.testing.assert_array_equal(
            weighted, WLSC(**options).fit(samples[:40], sample_weight=np.ones(40)).components_
        )
        with pytest.raises(ValueError, match=r"zero"):
            WLSC(**options).fit(samples, sample_weight=np.zeros(60))
        with pytest.raises(ValueError, match=r"[Nn]egative"):
            WLSC(**options).fit(samples, sample_weight=-weights)
