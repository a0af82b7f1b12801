"""Baselines against what they are said to be, with NumPy and SciPy beside them."""

import numpy as np
import pytest
from scipy import sparse
from scipy.spatial.distance import cdist

from wlsc.datasets.digits import load_digits
from wlsc.experiments.representations import BASELINES, encode_in_blocks, represent, split_signs


@pytest.fixture(scope="module")
def digits():
    return load_digits("embedded", unit_norm=True)[0][:400]


def test_pixels_are_the_samples(digits):
    found = represent("pixels", digits, 10, 0, {})
    assert found.codes is digits and found.n_parameters == 0 and found.labels is None


def test_pca_keeps_the_distances_that_its_components_span(digits):
    centred = digits - digits.mean(axis=0)
    values = np.linalg.eigvalsh(centred.T.astype(np.float64) @ centred)[::-1]
    codes = represent("pca", digits, 10, 0, {"n_components": 7}).codes
    np.testing.assert_allclose(np.sum(codes.astype(np.float64) ** 2, axis=0), values[:7], rtol=1e-4)


def test_nmf_is_non_negative_and_beats_the_mean(digits):
    found = represent("nmf", digits, 10, 0, {"n_components": 12})
    assert found.codes.min() >= 0 and found.codes.shape == (400, 12) and found.n_parameters == 12 * 64
    fitted = found.codes @ np.linalg.lstsq(found.codes, digits, rcond=None)[0]
    assert np.sum((digits - fitted) ** 2) < 0.5 * np.sum((digits - digits.mean(axis=0)) ** 2)


def test_landmarks_are_weights_on_the_nearest_centroids(digits):
    codes = represent("landmarks", digits, 10, 0, {"n_landmarks": 30, "n_nearest": 4}).codes
    assert sparse.issparse(codes) and codes.shape == (400, 30)
    np.testing.assert_array_equal(np.diff(codes.indptr), 4)
    np.testing.assert_allclose(codes.sum(axis=1), 1, rtol=1e-5)
    # the centroids come back as the weighted means of what k-means gave them: the heaviest landmark is the nearest
    heaviest = codes.toarray().argmax(axis=1)
    means = np.array([digits[heaviest == j].mean(axis=0) for j in np.unique(heaviest)])
    nearest = np.unique(heaviest)[cdist(digits, means).argmin(axis=1)]
    assert np.mean(nearest == heaviest) > 0.9


def test_the_graph_of_neighbours_tells_far_groups_apart():
    rng = np.random.default_rng(0)
    centres = 100 * np.eye(3, 5)
    groups = rng.integers(3, size=150)
    samples = (centres[groups] + rng.normal(size=(150, 5))).astype(np.float32)
    found = represent("neighbour_graph", samples, 3, 0, {"n_neighbors": 5})
    codes, n_components = found.codes, found.n_components
    assert n_components == 3
    same = groups[:, None] == groups
    products = codes @ codes.T
    assert products[same].min() > 0.99 > 0.01 > np.abs(products[~same]).max()


@pytest.mark.filterwarnings("ignore:Tensorflow not installed")
def test_umap_tells_far_groups_apart():
    rng = np.random.default_rng(1)
    groups = np.repeat([0, 1], 60)
    samples = (rng.normal(size=(120, 8)) + 30 * groups[:, None]).astype(np.float32)
    found = represent("umap", samples, 2, 0, {"n_components": 2})
    distances = cdist(found.codes, found.codes)
    same = groups[:, None] == groups
    assert found.codes.shape == (120, 2)
    assert distances[same].max() < distances[~same].min()


def test_mixmate_labels_by_the_subspace_of_a_sample():
    rng = np.random.default_rng(3)
    groups = rng.integers(2, size=300)
    inside = rng.exponential(size=(300, 4)).astype(np.float32)
    samples = np.where(groups[:, None] == 0, np.hstack([inside, 0 * inside]), np.hstack([0 * inside, inside]))
    found = represent("mixmate", samples, 2, 0, {"n_epochs": 2, "scale": 5})
    same = groups[:, None] == groups
    np.testing.assert_array_equal(found.labels[:, None] == found.labels, same)
    assert found.n_parameters == 2 * 50 * 8  # two autoencoders of 50 atoms


@pytest.mark.parametrize(
    ("kind", "options"), [("pca", {}), ("nmf", {}), ("neighbour_graph", {}), ("landmarks", {"n_landmarks": 20})]
)
def test_the_same_seed_gives_the_same_codes(digits, kind, options):
    first, second = (represent(kind, digits, 10, 3, options).codes for _ in range(2))
    difference = first - second
    assert not (difference.nnz if sparse.issparse(difference) else difference.any())


def test_signs_are_split_into_halves():
    codes = np.array([[1.0, -2.0], [0.0, 3.0]])
    expected = [[1, 0, 0, 2], [0, 3, 0, 0]]
    np.testing.assert_array_equal(split_signs(codes), expected)
    np.testing.assert_array_equal(split_signs(sparse.csr_array(codes)).toarray(), expected)
    for kept in (np.abs(codes), sparse.csr_array(np.abs(codes))):
        assert split_signs(kept) is kept


def test_blocks_are_encoded_in_order():
    samples = np.arange(20_000, dtype=np.float32)[:, None] % 7
    codes = encode_in_blocks(lambda block: block.clamp(min=2) - 2, samples)
    np.testing.assert_array_equal(codes.toarray(), np.maximum(samples - 2, 0))


def test_bad_input(digits):
    with pytest.raises(ValueError, match=r"kind must be one of 'pixels', .*, got 'autoencoder'"):
        represent("autoencoder", digits, 10, 0, {})
    with pytest.raises(ValueError, match=r"options of pca must be among its own, got \{'depth': 3\}"):
        represent("pca", digits, 10, 0, {"depth": 3})
    with pytest.raises(ValueError, match=r"n_clusters must be below the number of samples \(5\), got 5"):
        represent("neighbour_graph", digits[:5], 5, 0, {"n_neighbors": 2})
    assert set(BASELINES) >= {"pixels", "pca", "nmf", "umap", "neighbour_graph", "landmarks", "mixmate"}
