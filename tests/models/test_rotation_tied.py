"""Rotation-tied sparse coding: rotations by SciPy and NumPy, projections by least squares, and planted orbits."""

import numpy as np
import pytest
import torch
from scipy.ndimage import rotate
from scipy.optimize import linear_sum_assignment

from wlsc.dictionary import SufficientStatistics
from wlsc.models import RotationTiedSparseCoding
from wlsc.models.rotation_tied import rotation_matrices
from wlsc.training import ClosedFormTrainer, UnrolledTrainer, train

SIDE = 5


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def make(group="C4", n_atoms=16, lam=0.1, **options):
    model = RotationTiedSparseCoding(SIDE**2, n_atoms, lam, group=group, generator=seeded(), **options).double()
    model.constrain()  # in double precision too
    return model


def draw(n_samples=40, seed=1):
    return torch.randn(n_samples, SIDE**2, generator=seeded(seed), dtype=torch.float64)


@pytest.mark.parametrize("order", [4, 8])
def test_quarter_turns_move_pixels_as_numpy_does(order):
    patches = draw().numpy()
    matrices = rotation_matrices(SIDE, order).double().numpy()
    for quarter in range(4):
        expected = np.rot90(patches.reshape(-1, SIDE, SIDE), quarter, axes=(1, 2)).reshape(-1, SIDE**2)
        assert np.array_equal(patches @ matrices[quarter * order // 4], expected)


def test_eighth_turns_interpolate_as_scipy_does():
    image = np.zeros((9, 9))
    image[3:6, 2:7] = np.random.default_rng(0).random((3, 5))  # away from the border, where the two differ
    turned = image.ravel() @ rotation_matrices(9, 8)[1].double().numpy()
    expected = rotate(image, 45, reshape=False, order=1, mode="constant")
    np.testing.assert_allclose(turned.reshape(9, 9), expected, atol=1e-5)  # float32 grid


@pytest.mark.parametrize("group", ["C4", "C8"])
def test_dictionary_is_made_of_orbits_after_every_way_to_change_it(group):
    order = 4 if group == "C4" else 8
    matrices = rotation_matrices(SIDE, order).double().numpy()

    def check(model):
        atoms = model.dictionary.detach().numpy().reshape(-1, order, SIDE**2)
        np.testing.assert_allclose(np.linalg.norm(atoms[:, 0], axis=1), 1, rtol=1e-9)
        np.testing.assert_allclose(atoms, np.einsum("bi,gij->bgj", atoms[:, 0], matrices), atol=1e-9)

    model = make(group)
    check(model)
    model.set_dictionary(draw(16))
    check(model)
    train(UnrolledTrainer(model, 1e-2), draw(), 2, 20, seed=0)
    check(model)
    train(ClosedFormTrainer(model), draw(), 2, 20, seed=0)
    check(model)


@pytest.mark.parametrize("group", ["C4", "C8"])
def test_projection_is_the_nearest_tied_dictionary(group):
    order = 4 if group == "C4" else 8
    given = draw(16).numpy()
    model = make(group)
    model.set_dictionary(torch.from_numpy(given))
    stacked = rotation_matrices(SIDE, order).double().numpy().transpose(0, 2, 1).reshape(-1, SIDE**2)
    for index in range(16 // order):
        orbit = given[index * order : (index + 1) * order]
        best = np.linalg.lstsq(stacked, orbit.ravel(), rcond=None)[0]
        np.testing.assert_allclose(model.base[index].detach().numpy(), best / np.linalg.norm(best), atol=1e-6)


def test_error_of_rotation_is_none_for_quarters_and_named_for_eighths():
    assert make().rotation_error() == 0
    smooth = make("C8", 8)
    wave = torch.linspace(-1, 1, SIDE, dtype=torch.float64)
    blob = torch.exp(-2 * (wave[:, None] ** 2 + wave**2)).flatten()
    smooth.set_dictionary(blob.repeat(8, 1))
    base = smooth.base[0].detach().numpy()
    twice = base @ np.linalg.matrix_power(rotation_matrices(SIDE, 8)[1].double().numpy(), 2)
    expected = np.sum((twice - np.rot90(base.reshape(SIDE, SIDE)).ravel()) ** 2) / np.sum(base**2)
    assert smooth.rotation_error() == pytest.approx(expected, rel=1e-6)
    rough = make("C8", 8)
    assert 0 < smooth.rotation_error() < rough.rotation_error()


@pytest.mark.parametrize("group", ["C4", "C8"])
def test_update_lowers_the_error_at_fixed_codes(group):
    model, samples = make(group), draw(200)
    codes = model.infer(samples)
    before = (samples - codes @ model.dictionary).square().sum()
    updated = model.updated_dictionary(SufficientStatistics.of(codes, samples))
    assert (samples - codes @ updated).square().sum() < 0.999 * before


def test_planted_orbits_are_found():
    rng = np.random.default_rng(0)
    base = rng.standard_normal((3, SIDE**2))
    base /= np.linalg.norm(base, axis=1, keepdims=True)
    atoms = np.vstack([np.rot90(atom.reshape(SIDE, SIDE), g).ravel() for atom in base for g in range(4)])
    codes = rng.standard_normal((2000, 12)) * (rng.random((2000, 12)) < 0.1)
    samples = (codes @ atoms).astype(np.float32)
    model = RotationTiedSparseCoding(SIDE**2, 12, 0.2, generator=seeded())
    train(ClosedFormTrainer(model), samples, 15, 200, seed=0)
    overlap = np.abs(model.dictionary.detach().numpy() @ atoms.T)
    rows, columns = linear_sum_assignment(-overlap)
    assert overlap[rows, columns].min() > 0.98


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_features": 24}, "n_features must be a square number, the pixels of a square patch, got 24"),
        ({"n_atoms": 10}, "n_atoms must be a multiple of 4, the rotations of C4, got 10"),
        ({"n_atoms": 12, "group": "C8"}, "n_atoms must be a multiple of 8, the rotations of C8, got 12"),
        ({"group": "C6"}, "group must be one of 'C4', 'C8', got 'C6'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        RotationTiedSparseCoding(**({"n_features": 25, "n_atoms": 16, "lam": 0.1} | options))
