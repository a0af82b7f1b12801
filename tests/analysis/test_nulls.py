"""Phase-shuffled filters against NumPy's Fourier transform; scale mixtures against the moments that they must keep."""

import numpy as np
import pytest
import torch

from wlsc.analysis.nulls import phase_shuffled, scale_mixture_like


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


def test_scale_mixtures_keep_second_moments_and_lengths():
    rng = np.random.default_rng(0)
    samples = rng.laplace(size=(4000, 6)) @ rng.normal(size=(6, 6)) * rng.lognormal(size=(4000, 1))
    surrogate = scale_mixture_like(samples, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(np.linalg.norm(surrogate, axis=1), np.linalg.norm(samples, axis=1))
    moments, expected = surrogate.T @ surrogate, samples.T @ samples
    # both are imposed in turn, lengths last: moments are met but for what that last step moves
    assert np.linalg.norm(moments - expected) < 0.01 * np.linalg.norm(expected)


def test_scale_mixtures_have_no_sparse_directions():
    """Independent sparse sources of equal length lose their kurtosis and keep everything of second order."""
    rng = np.random.default_rng(0)
    sources = rng.laplace(size=(20_000, 8))
    sources /= np.linalg.norm(sources, axis=1, keepdims=True)
    surrogate = scale_mixture_like(sources, torch.Generator().manual_seed(0))
    uniform = rng.normal(size=(20_000, 8))
    uniform /= np.linalg.norm(uniform, axis=1, keepdims=True)

    def fourth(values):
        return np.mean(values**4) / np.mean(values**2) ** 2

    assert fourth(surrogate) == pytest.approx(fourth(uniform), rel=0.02)
    assert fourth(sources) > 1.2 * fourth(uniform)


@pytest.mark.tried("inputs")
def test_samples_of_a_scale_mixture_must_fill_their_space():
    generator = torch.Generator()
    with pytest.raises(ValueError, match="samples must be more than their 6 features and none of them 0"):
        scale_mixture_like(np.ones((5, 6)), generator)
    with pytest.raises(ValueError, match="got 9 of which 1 are 0"):
        scale_mixture_like(np.concatenate([np.ones((8, 3)), np.zeros((1, 3))]), generator)
