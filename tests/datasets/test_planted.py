"""Planted data: what they were made from is what they hold, by geometry that SciPy checks."""

import numpy as np
import pytest
from scipy.spatial import Delaunay

import wlsc
from wlsc.datasets.planted import load_planted, plant_simplices, plant_sparse


@pytest.mark.parametrize("n_coordinates", [2, 3, 5])
def test_samples_lie_in_the_delaunay_simplices_of_their_landmarks(n_coordinates):
    planted = plant_simplices(500, 30, 20, n_coordinates, seed=1)
    codes = planted.codes
    np.testing.assert_allclose(planted.samples, codes @ planted.dictionary, atol=1e-6)
    assert ((codes > 0).sum(1) == n_coordinates + 1).all()
    np.testing.assert_allclose(codes.sum(1), 1, atol=1e-6)
    axes = np.linalg.svd(planted.dictionary - planted.dictionary.mean(0), full_matrices=False)[2][:n_coordinates]
    low = [(points - planted.dictionary.mean(0)) @ axes.T for points in (planted.samples, planted.dictionary)]
    np.testing.assert_allclose(low[1] @ axes + planted.dictionary.mean(0), planted.dictionary, atol=1e-5)
    triangulation = Delaunay(low[1].astype(np.float64))
    found = triangulation.simplices[triangulation.find_simplex(low[0].astype(np.float64))]
    agree = [set(simplex) == set(np.flatnonzero(code)) for simplex, code in zip(found, codes, strict=True)]
    assert np.mean(agree) > 0.99  # the rest lie on a face, to the digits of float32


def test_weighted_l1_finds_the_simplex_until_noise_hides_it():
    """The theorem of K-Deep-Simplex: with the true landmarks, codes use the corners of the simplex that holds y."""
    shares = []
    for noise in (0.0, 0.01, 0.1):
        planted = plant_simplices(400, 25, 6, 3, noise=noise, seed=2)
        given = planted.samples.astype(np.float64), planted.dictionary.astype(np.float64)
        codes = wlsc.infer_codes(*given, 1e-4, tol=1e-11)
        inside = planted.codes.copy()
        found = (codes * (inside > 0)).sum(1)  # weight on the true corners
        shares.append(found.mean())
    assert shares[0] == pytest.approx(1, abs=1e-6)
    assert shares[0] > shares[1] > shares[2]


@pytest.mark.parametrize("signed", [True, False])
def test_sparse_samples_are_sums_of_so_many_atoms(signed):
    planted = plant_sparse(2000, 15, 8, 3, signed=signed, seed=3)
    np.testing.assert_allclose(planted.samples, planted.codes @ planted.dictionary, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(planted.dictionary, axis=1), 1, rtol=1e-6)
    used = planted.codes != 0
    assert (used.sum(1) == 3).all()
    assert abs(used.mean(0) - 0.2).max() < 4 * np.sqrt(0.16 / 2000)
    size = np.abs(planted.codes[used])
    assert 0.5 <= size.min() < 0.51 and 1.49 < size.max() <= 1.5
    assert (planted.codes < 0).any() == signed
    if signed:
        assert abs((planted.codes[used] < 0).mean() - 0.5) < 4 * 0.5 / np.sqrt(6000)


def test_planted_data_are_loaded_by_name():
    given = {"n_samples": 50, "n_atoms": 9, "n_features": 6, "seed": 7}
    assert np.array_equal(load_planted("simplices", **given).samples, plant_simplices(**given).samples)
    assert np.array_equal(load_planted("sparse", n_active=2, **given).codes, plant_sparse(n_active=2, **given).codes)


def test_noise_has_its_size_and_seeds_decide():
    for plant in (
        lambda **given: plant_simplices(3000, 9, 6, **given),
        lambda **given: plant_sparse(3000, 9, 6, 2, **given),
    ):
        noisy, clean = plant(noise=0.2, seed=4), plant(seed=4)
        assert np.array_equal(noisy.codes, clean.codes)
        assert np.std(noisy.samples - clean.samples) == pytest.approx(0.2, rel=0.05)
        assert np.array_equal(noisy.samples, plant(noise=0.2, seed=4).samples)
        assert not np.array_equal(clean.dictionary, plant(seed=5).dictionary)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plant_simplices(0, 9, 6), "n_samples must be an integer of at least 1, got 0"),
        (lambda: plant_simplices(9, 3, 6, 3), "n_atoms must be above n_coordinates = 3, got 3"),
        (lambda: plant_simplices(9, 9, 6, 7), "n_coordinates must lie between 2 and 6, got 7"),
        (lambda: plant_simplices(9, 20, 16, 9), "n_coordinates must lie between 2 and 8, got 9"),
        (lambda: plant_simplices(9, 9, 6, noise=-1.0), "noise must be a finite number of at least 0, got -1.0"),
        (lambda: load_planted("dense", n_samples=9), "source must be one of 'simplices', 'sparse', got 'dense'"),
        (lambda: plant_sparse(9, 5, 6, 6), "n_active must be at most n_atoms = 5, got 6"),
        (lambda: plant_sparse(9, 5, 6, 2, seed=-1), "seed must be an integer of at least 0, got -1"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
