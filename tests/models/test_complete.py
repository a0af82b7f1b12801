"""Complete dictionaries: every rotation of a plane by brute force, and planted ones."""

import numpy as np
import pytest
import torch

from tests.models.test_neighbours import match_directions
from wlsc.models import CompleteDictionary


def planted(n_samples=4000, n_features=6, seed=0, share=0.2):
    rng = np.random.default_rng(seed)
    codes = rng.standard_normal((n_samples, n_features)) * (rng.random((n_samples, n_features)) < share)
    atoms = rng.standard_normal((n_features, n_features))
    return codes @ atoms, atoms


def fitted(samples, **options):
    model = CompleteDictionary(samples.shape[1], **options).double()
    model.fit(samples, torch.Generator().manual_seed(0))
    return model


@pytest.mark.parametrize("power", [3.0, 4.0])
def test_atoms_that_are_not_orthogonal_are_found(power):
    samples, atoms = planted()
    assert match_directions(fitted(samples, power=power).dictionary.numpy(), atoms) > 0.99


@pytest.mark.parametrize("power", [2.5, 3.0, 4.0])
def test_the_rotation_of_a_plane_is_the_best_of_all(power):
    samples, _ = planted(1000, n_features=2, seed=1)
    moments, axes = np.linalg.eigh(samples.T @ samples / len(samples))
    white = samples @ (axes / np.sqrt(moments)) @ axes.T
    angles = np.linspace(0, np.pi / 2, 2001)
    directions = np.stack([np.cos(angles), np.sin(angles)])
    normals = np.stack([-np.sin(angles), np.cos(angles)])
    best = ((np.abs(white @ directions) ** power) + (np.abs(white @ normals) ** power)).mean(0).max()
    assert fitted(samples, power=power).objectives[-1] == pytest.approx(best, rel=1e-5)  # the grid's


def test_the_objective_never_falls_and_reconstructions_are_exact():
    samples, _ = planted()
    model = fitted(samples)
    assert (np.diff(model.objectives) >= -1e-12).all() and len(model.objectives) < 500
    reconstruction, codes = model(torch.from_numpy(samples))
    np.testing.assert_allclose(reconstruction.numpy(), samples, atol=1e-10)
    np.testing.assert_allclose((codes.T @ codes / len(codes)).numpy(), np.eye(6), atol=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: CompleteDictionary(4, power=2.0), "power must be above 2, .* got 2.0"),
        (lambda: fitted(planted()[0] * [1, 1, 1, 1, 1, 0]), "samples must span all 6 dimensions"),
        (lambda: fitted(planted(5)[0]), "with at least 6 samples"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
