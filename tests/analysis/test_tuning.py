from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from wlsc.analysis.gabor import gabor
from wlsc.analysis.tuning import (
    drifting_gratings,
    encoder_tuning,
    grating_tuning,
    mapped_receptive_fields,
    tuning_from_responses,
)

SHAPE = (16, 16)


def gabors(shape=SHAPE, **changes):
    middle = {"x": (shape[1] - 1) / 2, "y": (shape[0] - 1) / 2}
    parameters = {"orientation_deg": 30.0, "frequency": 0.18, "sigma_x": 3.0, "sigma_y": 3.0, "amplitude": 1.0}
    return gabor(middle | parameters | {"signed_phase_deg": 90.0} | changes, shape)


def gabor_curve(orientations, preferred, frequency, sigma_x, sigma_y):
    """The Fourier transform of a Gabor at its own frequency, by orientation: its narrow-band limit, one Gaussian."""
    turned = np.radians(orientations - preferred)
    along, across = frequency * (np.cos(turned) - 1), frequency * np.sin(turned)
    one = np.exp(-2 * np.pi**2 * ((along * sigma_x) ** 2 + (across * sigma_y) ** 2))
    along = frequency * (np.cos(turned) + 1)
    return one + np.exp(-2 * np.pi**2 * ((along * sigma_x) ** 2 + (across * sigma_y) ** 2))


def curves(rates, n_phases=8):
    """Responses with the given mean rates that do not depend on phase."""
    return np.repeat(np.asarray(rates, dtype=float)[:, :, None], n_phases, axis=2)


# Stimuli


def test_gratings_follow_the_definition():
    stimuli = drifting_gratings((6, 9), 0.17, n_orientations=12, n_phases=5, contrast=2.0, dtype=torch.float64)
    assert stimuli.shape == (12, 5, 54)
    y, x = np.mgrid[:6, :9].astype(float)
    for k, orientation in enumerate(np.arange(12) * 15.0):
        direction = np.radians(90 - orientation)
        u = (x - 4) * np.cos(direction) + (y - 2.5) * np.sin(direction)
        for j in range(5):
            expected = 2 * np.cos(2 * np.pi * 0.17 * u - 2 * np.pi * j / 5)
            np.testing.assert_allclose(stimuli[k, j].numpy(), expected.ravel(), atol=1e-12)


def test_gratings_have_the_orientation_of_the_gabors_that_prefer_them():
    drive = drifting_gratings(SHAPE, 0.18, 36, 16, dtype=torch.float64).numpy() @ gabors(orientation_deg=40.0)[0]
    assert drive.max(1).argmax() * 5 == 40


# Tuning of filters


def test_tuning_of_a_gabor_follows_its_fourier_transform():
    wide = (48, 48)
    filters = np.concatenate([gabors(wide, sigma_y=sigma, orientation_deg=25.0) for sigma in (2.0, 3.0, 5.0)])
    tuning = grating_tuning(filters, wide)
    orientations = np.arange(72) * 2.5
    for unit, sigma_y in zip(tuning, (2.0, 3.0, 5.0), strict=True):
        np.testing.assert_allclose(unit.frequency, 0.18, rtol=0.01)
        np.testing.assert_allclose(unit.preferred_orientation_deg, 25, atol=0.05)
        expected = gabor_curve(orientations, 25.0, unit.frequency, 3.0, sigma_y)
        np.testing.assert_allclose(unit.rates / unit.rates.max(), expected / expected.max(), atol=0.01)
        resultant = abs(expected @ np.exp(2j * np.radians(orientations))) / expected.sum()
        np.testing.assert_allclose(unit.circular_variance, 1 - resultant, atol=0.01)


def test_rates_are_those_of_the_rectified_products_with_the_gratings():
    filters = np.random.default_rng(0).standard_normal((5, 12 * 15))
    for rectify, function in (
        ("half", lambda r: np.maximum(r, 0)),
        ("half_squared", lambda r: np.maximum(r, 0) ** 2),
        ("full", np.abs),
    ):
        tuning = grating_tuning(filters, (12, 15), n_orientations=18, n_phases=16, rectify=rectify)
        for unit, weights in zip(tuning, filters, strict=True):
            stimuli = drifting_gratings((12, 15), unit.frequency, 18, 16, dtype=torch.float64).numpy()
            np.testing.assert_allclose(unit.rates, function(stimuli @ weights).mean(1), rtol=1e-9)


def test_the_optimum_is_that_of_a_fine_grid():
    filters = np.random.default_rng(1).standard_normal((20, 256))
    tuning = grating_tuning(filters, SHAPE)
    y, x = np.mgrid[:16, :16].reshape(2, -1)
    frequency, angle = np.meshgrid(np.linspace(1 / 16, 0.5, 150), np.radians(np.arange(180)), indexing="ij")
    wave = np.exp(2j * np.pi * (np.outer(frequency * np.cos(angle), x) + np.outer(frequency * np.sin(angle), y)))
    largest = np.abs(wave @ filters.T)
    for unit, modulus in zip(tuning, largest.T, strict=True):
        np.testing.assert_allclose(unit.frequency, frequency.ravel()[modulus.argmax()], rtol=0.01)


def test_half_wave_rectified_linear_units_modulate_by_half_pi():
    filters = np.random.default_rng(2).standard_normal((20, 256))
    np.testing.assert_allclose(grating_tuning(filters, SHAPE, n_phases=512).modulation_ratio, np.pi / 2, rtol=1e-4)
    np.testing.assert_allclose(grating_tuning(filters, SHAPE).modulation_ratio, np.pi / 2, rtol=2e-3)
    np.testing.assert_allclose(grating_tuning(filters, SHAPE, rectify="full").modulation_ratio, 0, atol=1e-12)


def test_an_isotropic_gaussian_is_not_tuned():
    blob = gabors(frequency=1e-9, sigma_x=1.7, sigma_y=1.7, signed_phase_deg=0.0)
    unit = grating_tuning(blob, SHAPE)[0]
    np.testing.assert_allclose((unit.circular_variance, unit.orthogonal_ratio), 1, atol=1e-4)
    assert unit.bandwidth_deg == 180
    assert unit.low_pass
    np.testing.assert_allclose(unit.frequency, 1 / 16)


def test_frequency_stays_in_the_range_that_is_given():
    filters = np.concatenate([gabors(), gabors(frequency=0.3)])
    tuning = grating_tuning(filters, SHAPE, frequency_range=(0.22, 0.25))
    np.testing.assert_allclose(tuning.frequency, [0.22, 0.25])
    assert tuning.low_pass.tolist() == [True, False]
    np.testing.assert_allclose(grating_tuning(filters, SHAPE, frequency_range=(0.2, 0.2)).frequency, 0.2)


def test_kind_and_precision_of_the_filters_make_no_difference():
    filters = np.random.default_rng(3).standard_normal((5, 256)).astype(np.float32)
    tuning = grating_tuning(filters, SHAPE)
    for same in (torch.from_numpy(filters), filters.astype(float), 1e6 * filters):
        np.testing.assert_allclose(grating_tuning(same, SHAPE).circular_variance, tuning.circular_variance, atol=1e-6)


def test_no_filters_give_no_rows():
    assert len(grating_tuning(np.empty((0, 256)), SHAPE)) == 0
    assert len(tuning_from_responses(np.empty((0, 8, 8)))) == 0


# Tuning from responses


def test_circular_variance_of_simple_curves():
    orientations = np.radians(np.arange(36) * 5)
    single = np.zeros(36)
    single[7] = 3.0
    tuning = tuning_from_responses(curves([single, np.ones(36), 1 + np.cos(2 * orientations)]))
    np.testing.assert_allclose(tuning.circular_variance, [0, 1, 0.5], atol=1e-12)
    np.testing.assert_allclose(tuning.orthogonal_ratio, [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(tuning.rates[0], single)


def test_bandwidth_follows_its_definition():
    """Interpolate at one degree, smooth, find the two crossings: written out in a loop."""
    rng = np.random.default_rng(4)
    for n_orientations in (12, 18, 36, 90, 180):
        angles = np.arange(n_orientations) * 180 / n_orientations
        rates = np.exp(np.cos(2 * np.radians(angles - rng.uniform(0, 180))) * rng.uniform(0.5, 8))
        rates = rates * rng.uniform(0.9, 1.1, n_orientations)
        degrees = np.arange(180)
        fine = np.interp(degrees, np.append(angles, 180), np.append(rates, rates[0]))
        smooth = np.zeros(180)
        for offset in range(-26, 27):
            smooth += (1 + np.cos(np.pi * offset / 27)) * np.roll(fine, offset)
        peak, level = smooth.argmax(), smooth.max() / np.sqrt(2)
        width = 0.0
        for sign in (-1, 1):
            step = next(s for s in range(180) if smooth[(peak + sign * s) % 180] < level)
            before, after = smooth[(peak + sign * (step - 1)) % 180], smooth[(peak + sign * step) % 180]
            width += step - 1 + (before - level) / (before - after)
        unit = tuning_from_responses(curves([rates]))[0]
        np.testing.assert_allclose(unit.bandwidth_deg, width / 2, rtol=1e-9)
        assert abs((unit.preferred_orientation_deg - peak + 90) % 180 - 90) <= 0.5


def test_the_sharpest_bandwidth_is_that_of_the_window():
    single = np.zeros(180)
    single[0] = 1.0
    expected = 27 / np.pi * np.arccos(2 / np.sqrt(2) - 1)  # where (1 + cos(π δ/27)) / 2 = 1/√2
    np.testing.assert_allclose(tuning_from_responses(curves([single])).bandwidth_deg, expected, rtol=1e-3)


def test_modulation_ratio_of_sinusoids():
    phase = np.arange(16) * 2 * np.pi / 16
    responses = np.stack([1 + depth * np.cos(phase - 0.4) for depth in (0, 0.3, 1)])[:, None] * np.ones((1, 8, 1))
    np.testing.assert_allclose(tuning_from_responses(responses).modulation_ratio, [0, 0.3, 1], atol=1e-12)


def test_dead_units_get_a_row_without_a_warning():
    responses = np.random.default_rng(5).random((3, 12, 8))
    responses[1] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tuning = tuning_from_responses(responses)
        filters = grating_tuning(np.concatenate([gabors(), np.zeros((1, 256))]), SHAPE)
    assert tuning.dead.tolist() == [False, True, False]
    for name in ("circular_variance", "bandwidth_deg", "orthogonal_ratio", "modulation_ratio"):
        assert np.isnan(tuning[name]).tolist() == [False, True, False]
    assert filters.dead.tolist() == [False, True]
    assert np.isnan(filters.frequency).tolist() == [False, True]
    assert not filters.low_pass.any()


# Codes of any model


def test_encoder_of_a_rectified_filter_is_tuned_as_the_filter():
    filters = np.concatenate([gabors(orientation_deg=angle, sigma_y=2.0) for angle in (10.0, 75.0, 140.0)])
    weights = torch.from_numpy(filters)
    frequencies = np.geomspace(0.1, 0.3, 9)
    for encode in (lambda s: (s @ weights.T).relu(), lambda s: (s @ weights.T).relu().numpy()):
        coded = encoder_tuning(encode, SHAPE, frequencies, n_orientations=72, n_phases=64, dtype=torch.float64)
        for unit, own in zip(coded, filters, strict=True):
            direct = grating_tuning(own[None], SHAPE, (unit.frequency, unit.frequency))[0]
            for name in ("circular_variance", "bandwidth_deg", "orthogonal_ratio", "modulation_ratio"):
                np.testing.assert_allclose(unit[name], direct[name], atol=1e-9)
        rates = np.stack(
            [np.maximum(drifting_gratings(SHAPE, f, 72, 64).double().numpy() @ filters.T, 0).mean(1).max(0)
             for f in frequencies]
        )  # fmt: skip
        np.testing.assert_allclose(coded.frequency, frequencies[rates.argmax(0)])


@pytest.mark.parametrize("kind", ["white", "binary", "hartley"])
def test_reverse_correlation_recovers_linear_filters(kind):
    filters = np.random.default_rng(6).standard_normal((3, 6 * 8))
    weights = torch.from_numpy(filters)
    scores = []
    for seed in range(20):
        mapped = mapped_receptive_fields(
            lambda s: 5 + s @ weights.T,
            (6, 8),
            3000,
            seed,
            kind=kind,
            contrast=0.5,
            batch_size=700,
            dtype=torch.float64,
        )
        scores.append((mapped.fields - weights) / mapped.standard_errors)
    scores = torch.stack(scores)
    assert abs(float(scores.mean())) < 4 / np.sqrt(scores.numel())
    np.testing.assert_allclose(float(scores.std()), 1, atol=0.1)


def test_reverse_correlation_of_a_rectified_unit_is_half_its_filter():
    weights = torch.from_numpy(gabors(sigma_x=1.5))
    mapped = mapped_receptive_fields(lambda s: (s @ weights.T).relu(), SHAPE, 40_000, seed=0, dtype=torch.float64)
    scores = (mapped.fields - weights / 2) / mapped.standard_errors  # Bussgang's theorem: E[x relu(w·x)] = w/2
    np.testing.assert_allclose(float(scores.std()), 1, atol=0.15)


def test_standard_errors_agree_with_all_stimuli_at_once():
    kept = []

    def encode(stimuli):
        kept.append(stimuli.numpy())
        return (stimuli[:, :3] ** 2 + stimuli[:, 3:6]).numpy()

    mapped = mapped_receptive_fields(encode, (4, 5), 1000, seed=3, batch_size=300)
    assert [len(batch) for batch in kept] == [300, 300, 300, 100]
    stimuli = np.concatenate(kept).astype(float)
    codes = stimuli[:, :3] ** 2 + stimuli[:, 3:6]
    terms = stimuli[:, None, :] * (codes - codes.mean(0))[:, :, None]
    assert isinstance(mapped.fields, np.ndarray)
    np.testing.assert_allclose(mapped.fields, terms.mean(0), atol=1e-6)
    np.testing.assert_allclose(mapped.standard_errors, terms.std(0) / np.sqrt(1000), rtol=1e-4)


@pytest.mark.parametrize("kind", ["white", "binary", "hartley"])
def test_noise_repeats_and_has_unit_covariance(kind):
    seen = []

    def encode(stimuli):
        seen.append(stimuli)
        return stimuli[:, :1]

    for seed in (1, 1, 2):
        mapped_receptive_fields(encode, (4, 3), 20_000, seed, kind=kind, batch_size=20_000)
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])
    np.testing.assert_allclose(np.cov(seen[0].numpy().T), np.eye(12), atol=0.05)
    np.testing.assert_allclose(seen[0].mean(0).numpy(), 0, atol=0.05)


# Arguments


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tuning_from_responses(np.ones((2, 7, 8))), "n_orientations must be even"),
        (lambda: tuning_from_responses(np.ones((2, 8, 2))), "n_phases"),
        (lambda: tuning_from_responses(np.ones((2, 8))), "responses must have 3 dimensions"),
        (lambda: tuning_from_responses(-np.ones((2, 8, 8))), "responses must be at least 0"),
        (lambda: grating_tuning(np.ones((2, 8)), (3, 3)), "filters must have height"),
        (lambda: grating_tuning(np.ones((2, 9)), (3, 3), (0.1, 0.6)), "frequency_range"),
        (lambda: encoder_tuning(lambda s: s, (3, 3), []), "frequencies"),
        (lambda: grating_tuning(np.ones((2, 9)), (3, 3), rectify="none"), "rectify"),
        (lambda: drifting_gratings((3, 3), 0.0), "frequencies"),
        (lambda: drifting_gratings((3, 3), 0.1, contrast=0), "contrast"),
        (lambda: encoder_tuning(lambda s: s[:5], (3, 3), [0.1]), "codes must have one row"),
        (lambda: encoder_tuning(lambda s: s, (3, 3), [0.1]), "responses must be at least 0"),
        (lambda: mapped_receptive_fields(lambda s: s, (3, 3), 1, 0), "n_stimuli"),
        (lambda: mapped_receptive_fields(lambda s: s, (3, 3), 9, 0, kind="pink"), "kind"),
        (lambda: mapped_receptive_fields(lambda s: s, (3, 3), 9, 0, contrast=float("nan")), "contrast"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
