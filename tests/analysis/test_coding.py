"""Measures of codes against loops over samples, SciPy's entropy and scikit-learn."""

import numpy as np
import pytest
import torch
from scipy.sparse import coo_array, csr_array
from scipy.stats import entropy
from sklearn.datasets import load_digits
from sklearn.metrics import r2_score

from wlsc.analysis.coding import (
    activity,
    amortisation_gap,
    description_length,
    normalised_error,
    sparse_probing,
    unused_atoms,
)


def draw_codes(n_samples=50, n_atoms=9, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.standard_normal((n_samples, n_atoms)) * (rng.random((n_samples, n_atoms)) < 0.3)
    codes[:, 4] = 0
    return codes


@pytest.mark.parametrize(
    "kind", [np.asarray, torch.from_numpy, csr_array, coo_array, lambda x: torch.from_numpy(x).to_sparse()]
)
def test_activity_and_unused_atoms_of_every_kind_of_codes(kind):
    codes = draw_codes()
    codes[:3] = 0
    codes[0, 2] = 0.5
    expected = [sum(value != 0 for value in row) for row in codes]
    assert activity(kind(codes)).tolist() == expected
    assert unused_atoms(kind(codes)).tolist() == [4]
    rare = np.zeros((50, 9))
    rare[:5, 0] = rare[:6, 1] = 1
    assert unused_atoms(kind(rare), 0.1).tolist() == [0, *range(2, 9)]


def test_stored_zeros_are_no_activity():
    stored = csr_array((np.array([1.0, 0.0, 2.0]), np.array([0, 1, 2]), np.array([0, 3])), shape=(1, 4))
    assert activity(stored).tolist() == [2] and unused_atoms(stored).tolist() == [1, 3]
    assert stored.nnz == 3  # what was given stays as it was


def test_normalised_error_is_one_less_the_explained_variance():
    rng = np.random.default_rng(0)
    samples = rng.standard_normal((40, 3)) + 5
    made = samples + 0.3 * rng.standard_normal((40, 3))
    expected = 1 - r2_score(samples, made, multioutput="variance_weighted")
    assert normalised_error(samples, torch.from_numpy(made)) == pytest.approx(expected, rel=1e-12)
    assert normalised_error(samples, np.tile(samples.mean(0), (40, 1))) == pytest.approx(1)


def test_probes_find_the_atom_of_a_class_and_not_more_than_there_is():
    rng = np.random.default_rng(1)
    labels = rng.integers(3, size=600)
    codes = rng.random((600, 8))
    codes[:, 5] += 5 * (labels == 1)  # tells class 1
    codes[:, 2] += 5 * (labels == 0)
    split = slice(0, 400), slice(400, 600)
    found = sparse_probing(codes[split[0]], labels[split[0]], csr_array(codes[split[1]]), labels[split[1]], 1)
    assert found[0] == found[1] == 1
    both = sparse_probing(codes[split[0]], labels[split[0]], codes[split[1]], labels[split[1]], 2)
    assert found[2] < 0.99 < both[2]  # class 2 is where neither is
    random = sparse_probing(codes[split[0], :2], labels[split[0]], codes[split[1], :2], labels[split[1]], 2)
    assert abs(random - 0.5).max() < 4 * 0.5 / np.sqrt(60)


def test_codes_that_are_all_the_same_tell_nothing():
    labels = np.arange(10) % 2
    assert sparse_probing(np.ones((10, 3)), labels, np.ones((10, 3)), labels, 1).tolist() == [0.5, 0.5]


def test_more_atoms_tell_digits_better_and_scale_does_not_matter():
    digits, labels = load_digits(return_X_y=True)
    scale = np.random.default_rng(2).uniform(0.01, 100, 64)
    one, ten = (sparse_probing(digits[:1000], labels[:1000], digits[1000:], labels[1000:], k) for k in (1, 10))
    assert ten.shape == (10,) and 0.6 < one.mean() < ten.mean() < 1
    scaled = sparse_probing(digits[:1000] * scale, labels[:1000], digits[1000:] * scale, labels[1000:], 10)
    np.testing.assert_allclose(scaled, ten, atol=0.01)  # the scaling rounds, and with it where the regression stops


def test_description_length_of_each_part():
    rng = np.random.default_rng(3)
    codes, dictionary, bias = draw_codes(), rng.standard_normal((9, 5)), rng.standard_normal(5)
    samples = codes @ dictionary + bias + 0.1 * rng.standard_normal((50, 5))
    found = description_length(samples, csr_array(codes), dictionary, 0.05, bias)
    support = sum(entropy([share, 1 - share], base=2) for share in (codes != 0).mean(0))
    assert found.support == pytest.approx(support, rel=1e-12)
    steps = 0.05 / np.linalg.norm(dictionary, axis=1)
    multiples = np.rint(codes / steps).astype(int)
    counts = np.unique(multiples[codes != 0], return_counts=True)[1]
    assert found.values == pytest.approx(entropy(counts, base=2) * (codes != 0).sum() / 50, rel=1e-12)
    residual = np.rint((samples - (multiples * steps) @ dictionary - bias) / 0.05)
    counts = np.unique(residual, return_counts=True)[1]
    assert found.residual == pytest.approx(entropy(counts, base=2) * 5, rel=1e-12)
    assert found.total == pytest.approx(found.support + found.values + found.residual)


def test_the_right_dictionary_is_the_shorter_description():
    rng = np.random.default_rng(4)
    codes = np.abs(draw_codes(2000))
    dictionary = rng.standard_normal((9, 30))
    samples = codes @ dictionary + 0.01 * rng.standard_normal((2000, 30))
    right = description_length(samples, codes, dictionary, 0.02).total
    nothing = description_length(samples, np.zeros_like(codes), dictionary, 0.02)
    assert nothing.support == nothing.values == 0
    assert right < 0.6 * nothing.total


def test_gap_of_amortisation():
    gap = amortisation_gap(np.array([1.0, 2.0, 4.0]), torch.tensor([1.0, 1.5, 3.0]))
    assert gap == pytest.approx((0.5, 0.5 / (5.5 / 3), 1.0))
    assert np.isnan(amortisation_gap(np.ones(2), np.zeros(2)).relative)


CODES, LABELS = np.random.default_rng(0).random((6, 4)), np.array([0, 1, 0, 1, 0, 1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: unused_atoms(CODES, 1.5), "share must lie in 0 … 1, got 1.5"),
        (lambda: activity(CODES * np.nan), "codes must be finite"),
        (lambda: activity(csr_array(CODES * np.nan)), "codes must be finite"),
        (lambda: normalised_error(CODES, CODES[:3]), r"reconstructions must have the shape of samples, \(6, 4\), got"),
        (lambda: normalised_error(np.ones((3, 2)), np.ones((3, 2))), "samples must not all be the same"),
        (
            lambda: sparse_probing(CODES, None, CODES, LABELS, 1),
            "labels must give the class .* the data have no labels",
        ),
        (lambda: sparse_probing(CODES, LABELS, CODES, LABELS[1:], 1), r"test_labels must give .* 6 samples, got"),
        (lambda: sparse_probing(CODES, LABELS, CODES, LABELS, 5), r"n_probed must be at most .* \(4\), got 5"),
        (lambda: sparse_probing(CODES, LABELS, CODES[:, 1:], LABELS, 1), "test_codes must have 4 atoms"),
        (lambda: sparse_probing(CODES, LABELS * 0, CODES, LABELS, 1), "labels must hold at least two classes"),
        (lambda: description_length(CODES, CODES, np.ones((4, 4)), 0.0), "precision must be .* greater than 0"),
        (
            lambda: description_length(CODES, CODES, np.ones((3, 4)), 1.0),
            "samples, codes, dictionary and bias must fit",
        ),
        (lambda: amortisation_gap(np.ones(3), np.ones(2)), "exact_losses must have one entry for each of losses"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
