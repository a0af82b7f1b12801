"""The LGN-style toy: its map is cyclic and orthogonal, its codes those of many layers, its gradients right."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import sparse_encode

from tests.finite_differences import assert_gradient
from wlsc.models import LinearGroupAutoencoder
from wlsc.training import GradientTrainer, train


def make(n_features=6, order=4, **options):
    return LinearGroupAutoencoder(n_features, 2, order, 0.1, torch.Generator().manual_seed(0), **options).double()


def draw(n_samples=20, n_features=6, seed=1):
    return torch.randn(n_samples, n_features, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("n_features", "order"), [(6, 4), (7, 5), (2, 2)])
def test_the_map_is_a_rotation_whose_last_power_is_none(n_features, order):
    model = make(n_features, order)
    turn = model.power(1).detach().numpy()
    np.testing.assert_allclose(turn @ turn.T, np.eye(n_features), atol=1e-10)
    np.testing.assert_allclose(np.linalg.matrix_power(turn, order), np.eye(n_features), atol=1e-9)
    assert np.abs(turn - np.eye(n_features)).max() > 0.1
    atoms = model.dictionary.detach().numpy()
    for index, base in enumerate(model.base.detach().numpy()):
        for step in range(order):
            np.testing.assert_allclose(
                atoms[index * order + step], base @ np.linalg.matrix_power(turn, step), atol=1e-9
            )


def test_many_layers_give_the_codes_of_lasso():
    model, samples = make(n_layers=3000), draw()
    atoms = model.dictionary.detach().numpy()
    expected = sparse_encode(samples.numpy(), atoms, algorithm="lasso_cd", alpha=0.1, max_iter=10**5)
    with torch.no_grad():
        ours = model.objective(samples, model.encode(samples)).numpy()
        theirs = model.objective(samples, torch.from_numpy(expected)).numpy()
    np.testing.assert_allclose(ours, theirs, atol=1e-4)  # where scikit-learn stops


def test_gradient_of_the_loss_at_a_fixed_step():
    model, samples = make(n_layers=300), draw(8)  # converged, where the step does not matter
    model.training_loss(samples)[0].backward()
    assert_gradient(lambda: model.training_loss(samples)[0], model.base, every=3)
    assert_gradient(lambda: model.training_loss(samples)[0], model.skew, every=5)


def test_training_learns_the_shift_of_planted_orbits():
    """Cyclic shifts of two atoms: one map explains all samples, and a random one does not."""
    rng = np.random.default_rng(0)
    atoms = np.vstack([np.roll(base, step) for base in rng.standard_normal((2, 8)) for step in range(8)])
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    samples = (rng.standard_normal((500, 16)) * (rng.random((500, 16)) < 0.1)) @ atoms

    def learn(planes):
        model = LinearGroupAutoencoder(8, 2, 8, 0.05, torch.Generator().manual_seed(0))
        model.skew.requires_grad_(planes)
        return train(GradientTrainer(model, 2e-2), samples.astype(np.float32), 20, 100, seed=0)["objective"][-1]

    assert learn(True) < 0.95 * learn(False)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LinearGroupAutoencoder(6, 2, 1, 0.1), "order must be an integer of at least 2, got 1"),
        (lambda: LinearGroupAutoencoder(6, 2, 4, 0.0), "lam must be a finite number greater than 0"),
        (lambda: make().initialize(draw(), draw(8)), "dictionary must be None where atoms are the orbits"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
