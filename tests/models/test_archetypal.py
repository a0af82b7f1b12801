"""Archetypal autoencoders and archetypal analysis: their constraints, and the minimum against SciPy."""

import numpy as np
import pytest
import torch
from archetypes import AA
from scipy.optimize import minimize

from tests.test_simplex import project_by_bisection
from wlsc.models import ArchetypalAnalysis, ArchetypalAutoencoder
from wlsc.training import GradientTrainer, train


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(n_samples=60, n_features=5, seed=1):
    return torch.randn(n_samples, n_features, generator=seeded(seed), dtype=torch.float64)


def make(delta, seed=0):
    return ArchetypalAutoencoder(5, 8, 2, draw(12, seed=2), delta, seeded(seed)).double()


def hull_distance(point, anchors):
    """Distance to the convex hull, by SLSQP."""
    found = minimize(
        lambda weights: np.sum((point - weights @ anchors) ** 2),
        np.full(len(anchors), 1 / len(anchors)),
        jac=lambda weights: -2 * anchors @ (point - weights @ anchors),
        bounds=[(0, 1)] * len(anchors),
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1},
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-14},
    )
    return np.sqrt(found.fun)


@pytest.mark.parametrize("delta", [0.0, 0.3])
def test_atoms_stay_as_close_to_the_hull_as_delta_says(delta):
    model, samples = make(delta), draw(200).numpy()
    train(GradientTrainer(model, 0.02), samples, 10, 50, seed=0)
    scale = float(model.log_scale.detach().exp())
    atoms, anchors = model.dictionary.detach().numpy() / scale, model.anchors.numpy()
    distances = [hull_distance(atom, anchors) for atom in atoms]
    assert max(distances) <= delta + 1e-6
    assert np.isfinite(model.dictionary.detach().numpy()).all()
    weights = model.weights.detach()
    assert bool((weights >= 0).all())
    torch.testing.assert_close(weights.sum(1), torch.ones(8, dtype=torch.float64))
    assert scale != 1 and not torch.equal(model.weights, make(delta).weights)
    if delta:
        assert max(distances) > 0.01


def test_without_relaxation_there_is_none_and_nothing_is_nan():
    model = make(0.0)
    train(GradientTrainer(model, 0.02), draw(100).numpy(), 3, 50, seed=0)
    assert not bool(model.relaxation.any())
    assert all(bool(torch.isfinite(value).all()) for value in model.state_dict().values())


def test_constraints_are_euclidean_projections():
    model = make(0.3)
    with torch.no_grad():
        model.weights.add_(draw(8, 12, 4))
        model.relaxation.copy_(draw(8, 5, 5) * torch.linspace(0.01, 1, 8).unsqueeze(1))
    weights, relaxation = model.weights.detach().clone(), model.relaxation.detach().clone()
    model.constrain()
    expected = [project_by_bisection(row) for row in weights.numpy()]
    np.testing.assert_allclose(model.weights.detach().numpy(), expected, atol=1e-9)
    for row, projected in zip(relaxation.numpy(), model.relaxation.detach().numpy(), strict=True):
        np.testing.assert_allclose(projected, row * min(1, 0.3 / np.linalg.norm(row)), atol=1e-12)


def test_first_atoms_are_anchors_that_the_seed_draws():
    anchors = draw(12, seed=2)
    first, second = (make(1.0, seed).dictionary.detach() for seed in (0, 1))
    for atoms in (first, second):
        nearest = torch.cdist(atoms, anchors).min(1)
        assert float(nearest.values.max()) < 1e-6 and len(set(nearest.indices.tolist())) == 8  # cast from float32
    assert not torch.equal(first, second)


def test_a_loaded_dictionary_is_that_of_its_weights():
    model, other = make(0.5), make(0.5, seed=3)
    train(GradientTrainer(model, 0.02), draw(100).numpy(), 2, 50, seed=0)
    other.eval()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.dictionary, model.dictionary)


def test_a_dictionary_cannot_be_put_in_place_of_anchors():
    with pytest.raises(ValueError, match="dictionary must be None where anchors give the first atoms"):
        make(1.0).initialize(draw(), draw(8))


def polytope(n_corners=6, n_samples=300, seed=3):
    """Points of a polytope, and its corners, each of which is a sample."""
    rng = np.random.default_rng(seed)
    corners = rng.standard_normal((n_corners, 5))
    weights = rng.dirichlet(np.ones(n_corners), size=n_samples)
    return np.vstack([corners, weights @ corners]), corners


def test_archetypes_are_the_corners_of_a_polytope():
    samples, corners = polytope()
    model = ArchetypalAnalysis(5, 6, n_sweeps=300, tol=1e-6).double()
    model.fit(samples, seeded())
    nearest = np.linalg.norm(corners[:, None] - model.dictionary.numpy(), axis=2).min(1)
    assert nearest.max() < 0.05 * np.linalg.norm(corners, axis=1).mean()
    assert model.errors[-1] < 1e-3 * samples.var(0).sum()


def test_no_sweep_raises_the_error_and_the_error_is_that_of_exact_codes():
    samples = draw(150).numpy()
    model = ArchetypalAnalysis(5, 4, n_sweeps=30, tol=1e-9).double()
    model.fit(samples, seeded())
    assert len(model.errors) > 3 and (np.diff(model.errors) <= 1e-9).all()
    atoms = model.dictionary.numpy()
    squares = np.array([hull_distance(sample, atoms) ** 2 for sample in samples])
    codes = model.encode(torch.from_numpy(samples)).numpy()
    found = ((samples - codes @ atoms) ** 2).sum(1)
    np.testing.assert_allclose(found, squares, atol=1e-5)  # SLSQP's precision
    assert squares.mean() <= model.errors[-1] + 1e-6


def test_archetypes_lie_in_the_hull_of_the_samples():
    samples = draw(40).numpy()
    model = ArchetypalAnalysis(5, 6, n_sweeps=10).double()
    model.fit(samples, seeded())
    assert max(hull_distance(atom, samples) for atom in model.dictionary.numpy()) < 1e-4


def test_archetypal_analysis_is_no_worse_than_another_library():
    samples, _ = polytope(seed=8)
    samples = samples + 0.05 * np.random.default_rng(9).standard_normal(samples.shape)
    theirs = min(AA(6, n_init=1, max_iter=500, random_state=seed).fit(samples).rss_ for seed in range(3))
    ours = []
    for seed in range(3):
        model = ArchetypalAnalysis(5, 6, n_sweeps=300, tol=1e-5).double()
        model.fit(samples, seeded(seed))
        ours.append(model.errors[-1] * len(samples))
    assert min(ours) < 1.05 * theirs  # each stops at local minima of its own
