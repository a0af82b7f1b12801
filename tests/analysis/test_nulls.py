"""Phase-shuffled filters against NumPy's Fourier transform."""

import numpy as np
import pytest
import torch

from wlsc.analysis.nulls import phase_shuffled


def draw_filters(shape, n_filters=50):
    return np.random.default_rng(0).standard_normal((n_filters, shape[0] * shape[1]))


def spectra(filters, shape):
    return np.fft.fft2(filters.reshape(-1, *shape))


@pytest.mark.parametrize("shape", [(12, 12), (7, 7), (6, 9), (9, 6), (1, 8)])
def test_amplitudes_stay_and_phases_change(shape):
    filters = draw_filters(shape)
    shuffled = phase_shuffled(filters, shape, torch.Generator().manual_seed(0))
    assert shuffled.shape == filters.shape
    assert shuffled.dtype == np.float64
    before, after = spectra(filters, shape), spectra(shuffled, shape)
    rounding = 1e-13  # of transforms of at most 144 numbers about 1
    np.testing.assert_allclose(np.abs(after), np.abs(before), rtol=0, atol=rounding)
    np.testing.assert_allclose(np.linalg.norm(shuffled, axis=1), np.linalg.norm(filters, axis=1))
    correlations = (filters * shuffled).sum(1) / (filters**2).sum(1)
    assert np.abs(correlations).max() < 0.99


def test_phases_are_uniform_and_signs_are_even():
    filters = np.tile(draw_filters((8, 8), 1), (4000, 1))
    after = spectra(phase_shuffled(filters, (8, 8), torch.Generator().manual_seed(1)), (8, 8))
    directions = after / np.abs(after)
    assert np.abs(directions.mean(0)).max() < 5 / np.sqrt(4000)
    own_mirrors = np.ix_(range(4000), (0, 4), (0, 4))
    np.testing.assert_allclose(np.abs(directions[own_mirrors].real), 1)
    others = directions[:, 1, 2]
    shares, _ = np.histogram(np.angle(others), bins=8, range=(-np.pi, np.pi))
    assert ((shares - 500) ** 2 / 500).sum() < 24.3  # 99.9 % point of chi-squared with 7 degrees of freedom


def test_the_same_generator_gives_the_same_filters():
    filters = draw_filters((6, 6))
    first, second, third = (phase_shuffled(filters, (6, 6), torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, third)


def test_kind_and_dtype_are_kept_and_the_input_is_not_changed():
    filters = torch.from_numpy(draw_filters((6, 6))).float()
    before = filters.clone()
    shuffled = phase_shuffled(filters, (6, 6), torch.Generator().manual_seed(0))
    assert isinstance(shuffled, torch.Tensor)
    assert shuffled.dtype == torch.float32
    assert torch.equal(filters, before)
    assert torch.equal(phase_shuffled(torch.zeros(2, 36), (6, 6), torch.Generator()), torch.zeros(2, 36))


@pytest.mark.parametrize(
    ("filters", "shape", "message"),
    [
        (np.ones((3, 35)), (6, 6), "filters must have height \\* width = 36 features"),
        (np.full((3, 36), np.nan), (6, 6), "filters must be finite"),
        (np.ones((3, 36)), (6, 0), "patch_shape\\[1\\] must be an integer of at least 1"),
    ],
)
def test_bad_input(filters, shape, message):
    with pytest.raises(ValueError, match=message):
        phase_shuffled(filters, shape, torch.Generator())
