from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import curve_fit

import wlsc
from tests.devices import NEEDS_CUDA
from wlsc.analysis import gabor as module
from wlsc.analysis.gabor import cramer_rao, fit_gabors, gabor, gabor_integral

SHAPE = (16, 16)
SHAPE_FIELDS = ("x", "y", "orientation_deg", "frequency", "sigma_x", "sigma_y", "amplitude", "signed_phase_deg")


def reference_gabor(params, shape=SHAPE):
    """The definition written out for one filter: rows are y, columns x, bars anticlockwise from the horizontal."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    theta = np.pi / 2 - np.radians(params["orientation_deg"])
    u = (x - params["x"]) * np.cos(theta) + (y - params["y"]) * np.sin(theta)
    v = (y - params["y"]) * np.cos(theta) - (x - params["x"]) * np.sin(theta)
    envelope = np.exp(-(u**2) / (2 * params["sigma_x"] ** 2) - v**2 / (2 * params["sigma_y"] ** 2))
    wave = np.cos(2 * np.pi * params["frequency"] * u + np.radians(params["signed_phase_deg"]))
    return (params["amplitude"] * envelope * wave).ravel()


def reference_gabors(parameters, shape=SHAPE):
    rows = zip(*(np.asarray(parameters[name]) for name in SHAPE_FIELDS), strict=True)
    return np.stack([reference_gabor(dict(zip(SHAPE_FIELDS, row, strict=True)), shape) for row in rows])


def random_parameters(rng, n, nx_range=(0.2, 1.2)):
    """Draw Gabors that mostly lie inside a 16×16 patch and that its pixels resolve."""
    kept = {name: np.empty(0) for name in SHAPE_FIELDS}
    while len(kept["x"]) < n:
        frequency = np.exp(rng.uniform(np.log(0.05), np.log(0.35), 4 * n))
        nx = np.exp(rng.uniform(*np.log(nx_range), 4 * n))
        ny = np.exp(rng.uniform(np.log(0.15), np.log(1.2), 4 * n))
        drawn = {
            "x": rng.uniform(5, 10, 4 * n),
            "y": rng.uniform(5, 10, 4 * n),
            "orientation_deg": rng.uniform(0, 180, 4 * n),
            "frequency": frequency,
            "sigma_x": nx / frequency,
            "sigma_y": ny / frequency,
            "amplitude": np.exp(rng.uniform(-1, 1, 4 * n)),
            "signed_phase_deg": rng.uniform(-180, 180, 4 * n),
        }
        widths = np.stack([drawn["sigma_x"], drawn["sigma_y"]])
        fits = ((widths > 0.8) & (widths < 5)).all(0)
        kept = {name: np.concatenate([kept[name], drawn[name][fits]])[:n] for name in SHAPE_FIELDS}
    return kept


def wrapped(difference, period):
    return (difference + period / 2) % period - period / 2


def deviations(fits, parameters):
    """Errors of every estimate; where the orientation wraps round at 180°, the phase is reversed."""
    errors = {name: fits[name] - parameters[name] for name in SHAPE_FIELDS}
    phase = np.where(np.abs(errors["orientation_deg"]) > 90, -1, 1) * fits["signed_phase_deg"]
    errors["signed_phase_deg"] = wrapped(phase - parameters["signed_phase_deg"], 360)
    errors["orientation_deg"] = wrapped(errors["orientation_deg"], 180)
    for n, sigma in (("nx", "sigma_x"), ("ny", "sigma_y")):
        errors[n] = fits[n] - parameters[sigma] * parameters["frequency"]
    return errors


def error_field(name):
    return {"orientation_deg": "orientation_se_deg", "signed_phase_deg": "phase_se_deg"}.get(name, f"{name}_se")


@pytest.fixture(scope="module")
def noisy():
    """Gabors of all widths at a signal-to-noise ratio of 10, their fits and their Cramér–Rao bounds."""
    rng = np.random.default_rng(2)
    narrow, broad = random_parameters(rng, 1600), random_parameters(rng, 400, nx_range=(0.05, 0.2))
    parameters = {name: np.concatenate([narrow[name], broad[name]]) for name in SHAPE_FIELDS}
    clean = reference_gabors(parameters)
    variance = (clean**2).mean(1) / 10
    noise = rng.standard_normal(clean.shape) * np.sqrt(variance)[:, None]
    fits = fit_gabors(clean + noise, SHAPE)
    nx = parameters["sigma_x"] * parameters["frequency"]
    return fits, deviations(fits, parameters), cramer_rao(parameters, SHAPE, variance), nx


# The function itself


def test_gabor_agrees_with_its_definition():
    parameters = random_parameters(np.random.default_rng(0), 30, nx_range=(0.05, 1.2))
    rounding = 1e-13  # of float64, with amplitudes about 1
    for shape in (SHAPE, (9, 14)):
        np.testing.assert_allclose(gabor(parameters, shape), reference_gabors(parameters, shape), rtol=0, atol=rounding)


@pytest.mark.parametrize(("orientation", "constant_along"), [(0, (0, 1)), (90, (1, 0)), (45, (-1, 1)), (135, (1, 1))])
def test_orientation_is_that_of_the_bars(orientation, constant_along):
    parameters = dict.fromkeys(SHAPE_FIELDS, 1.0) | {"orientation_deg": orientation, "frequency": 0.1}
    parameters |= {"x": 7.5, "y": 7.5, "sigma_x": 1e4, "sigma_y": 1e4, "signed_phase_deg": 20.0}
    image = gabor(parameters, SHAPE).reshape(SHAPE)
    rows, columns = constant_along
    moved = np.roll(image, (rows, columns), axis=(0, 1))
    # the envelope falls by x²/2σ², 3e-7
    np.testing.assert_allclose(moved[1:-1, 1:-1], image[1:-1, 1:-1], rtol=0, atol=1e-6)
    across = np.roll(image, (columns, -rows), axis=(0, 1))
    assert np.abs(across - image)[1:-1, 1:-1].max() > 0.3


@pytest.mark.equation("eq-gabor-mean", "wlsc.analysis.gabor.gabor_integral")
def test_integral_over_the_plane_ties_mean_to_phase_and_nx():
    parameters = random_parameters(np.random.default_rng(1), 40, nx_range=(0.1, 0.6))
    parameters |= {"x": parameters["x"] + 60, "y": parameters["y"] + 60, "sigma_x": parameters["sigma_x"] + 0.5}
    # The trapezoidal rule on a Gaussian converges geometrically: what is left is its spectrum beyond that of the grid,
    # which the narrowest (σ = 1.01) sets: the aliases of the worst of these Gabors add up to 3.71e-7.
    summed = gabor(parameters, (136, 136)).sum(1)
    np.testing.assert_allclose(gabor_integral(parameters), summed, rtol=0, atol=4e-7)
    odd = parameters | {"signed_phase_deg": np.full(40, 90.0)}
    np.testing.assert_allclose(gabor_integral(odd), 0, atol=1e-14)  # cos 90° is 6e-17, times 2π σx σy


def test_a_frequency_of_zero_is_a_gaussian():
    parameters = dict.fromkeys(SHAPE_FIELDS, 5.0) | {"frequency": 0.0, "signed_phase_deg": 0.0, "amplitude": 2.0}
    y, x = np.mgrid[:16, :16] - 5
    expected = 2 * np.exp(-(x**2 + y**2) / 50).ravel()
    np.testing.assert_allclose(gabor(parameters, SHAPE)[0], expected, rtol=0, atol=2e-15)  # a few roundings of 2


def test_rows_without_a_fit_are_nan():
    fits = fit_gabors(
        np.stack([np.zeros(256), reference_gabors(random_parameters(np.random.default_rng(0), 1))[0]]), SHAPE
    )
    images = gabor(fits, SHAPE)
    assert np.isnan(images[0]).all()
    assert np.isfinite(images[1]).all()
    with pytest.raises(ValueError, match="parameters must be finite"):
        cramer_rao(fits, SHAPE, 1.0)


@pytest.mark.parametrize("change", [{"frequency": -0.1}, {"sigma_x": 0.0}, {"sigma_y": -1.0}])
def test_impossible_parameters_are_refused(change):
    with pytest.raises(ValueError, match="parameters must hold"):
        gabor(dict.fromkeys(SHAPE_FIELDS, 1.0) | change, SHAPE)


def test_missing_fields_are_named():
    with pytest.raises(ValueError, match="sigma_y"):
        gabor({name: [1.0] for name in SHAPE_FIELDS if name != "sigma_y"}, SHAPE)


# Recovery and precision


@pytest.mark.equation("eq-nx-ny", "wlsc.fit_gabors")
@pytest.mark.parametrize("shape", [(16, 16), (12, 20)])
def test_noise_free_gabors_are_recovered(shape):
    parameters = random_parameters(np.random.default_rng(3), 60)
    filters = reference_gabors(parameters, shape)
    before = filters.copy()
    fits = fit_gabors(filters, shape)
    np.testing.assert_array_equal(filters, before)
    assert (fits.reason == "").all()
    assert fits.r2.min() > 1 - 1e-9
    for name, error in deviations(fits, parameters).items():
        scale = 180 if name.endswith("deg") else 1
        assert np.abs(error).max() < 1e-3 * scale, name
    np.testing.assert_allclose(fits.phase_deg, np.degrees(np.arcsin(np.abs(np.sin(np.radians(fits.signed_phase_deg))))))


def test_fit_is_that_of_the_returned_parameters():
    filters = np.random.default_rng(4).standard_normal((20, 256))
    fits = fit_gabors(filters, SHAPE)
    residual = filters - reference_gabors(fits)
    expected = 1 - (residual**2).sum(1) / (filters**2).sum(1)
    rounding = 4 * np.finfo(float).eps * np.maximum(fits.amplitude, 1) ** 2  # where a wave is all but cancelled, more
    assert (np.abs(fits.r2 - expected) <= rounding).all()


@pytest.mark.parametrize(("low", "high"), [(0.2, 0.3), (0.3, 0.45), (0.45, 0.7), (0.7, 1.2)])
def test_median_errors_reach_the_cramer_rao_bound(noisy, low, high):
    _, errors, bound, nx = noisy
    chosen = (nx >= low) & (nx < high)
    normal = np.random.default_rng(5).standard_normal((500, chosen.sum()))
    for name, error in errors.items():
        at_bound = np.median(np.abs(normal * bound[error_field(name)][chosen]))
        assert np.median(np.abs(error[chosen])) <= 1.2 * at_bound, name


def test_signed_phase_is_unbiased(noisy):
    _, errors, _, nx = noisy
    sine = np.sin(np.radians(errors["signed_phase_deg"][nx >= 0.2]))
    assert abs(sine.mean()) < 3 * sine.std() / np.sqrt(len(sine))
    assert sine.std() < 0.3


def test_standard_errors_cover_the_truth(noisy):
    fits, errors, _, nx = noisy
    for chosen, lowest in ((nx >= 0.2, 0.92), (nx < 0.2, 0.9)):
        for name, error in errors.items():
            covered = np.abs(error[chosen]) <= 1.96 * fits[error_field(name)][chosen]
            assert lowest < covered.mean() < 0.99, name


def test_unidentifiable_where_the_bound_says_so(noisy):
    fits, _, bound, nx = noisy
    relative = bound.nx_se / nx
    assert fits.unidentifiable[relative > 0.5].mean() > 0.9
    assert fits.unidentifiable[relative < 0.1].mean() < 0.01
    np.testing.assert_array_equal(fits.unidentifiable, 1.959964 * fits.nx_se >= fits.nx)


def test_a_derivative_of_a_gaussian_has_no_nx():
    y, x = np.mgrid[:16, :16] - 7.5
    edge = x * np.exp(-(x**2 + y**2) / 18)
    noise = 0.1 * np.random.default_rng(6).standard_normal((50, 256))
    fits = fit_gabors(edge.ravel() + noise, SHAPE)
    assert fits.unidentifiable.mean() > 0.9
    assert np.median(fits.phase_deg) > 80


def test_cramer_rao_bound_agrees_with_finite_differences():
    parameters = random_parameters(np.random.default_rng(7), 6)
    bound = cramer_rao(parameters, SHAPE, 0.01)
    rtol = 1e-7  # central differences are off by h² = 1e-10 and by rounding over h, 1e-11; the inverse adds to that
    for index in range(6):
        one = {name: float(parameters[name][index]) for name in SHAPE_FIELDS}
        columns = []
        for name in SHAPE_FIELDS:
            h = 1e-5 * max(abs(one[name]), 1)
            up, down = one | {name: one[name] + h}, one | {name: one[name] - h}
            columns.append((reference_gabor(up) - reference_gabor(down)) / (2 * h))
        jacobian = np.stack(columns, axis=1)
        covariance = 0.01 * np.linalg.inv(jacobian.T @ jacobian)
        for place, name in enumerate(SHAPE_FIELDS):
            np.testing.assert_allclose(bound[error_field(name)][index], covariance[place, place] ** 0.5, rtol=rtol)
        for n, sigma in (("nx", "sigma_x"), ("ny", "sigma_y")):
            gradient = np.zeros(8)
            gradient[SHAPE_FIELDS.index("frequency")] = one[sigma]
            gradient[SHAPE_FIELDS.index(sigma)] = one["frequency"]
            expected = (gradient @ covariance @ gradient) ** 0.5
            np.testing.assert_allclose(bound[f"{n}_se"][index], expected, rtol=rtol)


# What follows from the parameters


def test_envelope_inside_agrees_with_brute_force():
    parameters = random_parameters(np.random.default_rng(8), 12)
    parameters["x"], parameters["sigma_y"] = np.linspace(0, 11, 12), np.linspace(1, 7, 12)
    fits = fit_gabors(reference_gabors(parameters, (16, 12)), (16, 12))
    step = 0.05
    y, x = np.mgrid[-40:56:step, -40:52:step] + step / 2
    patch = (x > -0.5) & (x < 11.5) & (y > -0.5) & (y < 15.5)
    for fit in fits:
        theta = np.pi / 2 - np.radians(fit.orientation_deg)
        u = (x - fit.x) * np.cos(theta) + (y - fit.y) * np.sin(theta)
        v = (y - fit.y) * np.cos(theta) - (x - fit.x) * np.sin(theta)
        energy = np.exp(-((u / fit.sigma_x) ** 2) - (v / fit.sigma_y) ** 2)
        share = energy[patch].sum() / energy.sum()
        # Edges of the patch are edges of the grid: the error of the midpoint rule, 7e-5 for steps of 0.1, 2e-5 here.
        np.testing.assert_allclose(fit.envelope_inside, share, rtol=0, atol=2e-5)
        assert fit.truncated == (fit.envelope_inside < 0.9)


def test_bandwidths_are_those_of_the_passband():
    parameters = random_parameters(np.random.default_rng(9), 12, nx_range=(0.25, 1.0))
    fits = fit_gabors(reference_gabors(parameters), SHAPE)
    u = np.arange(-60, 60, 0.25)
    for fit in fits:
        # spectrum of the complex Gabor along the wave vector, and along a line at right angles to it through its tip
        k = np.linspace(0, 3 * fit.frequency, 1501)
        along = np.abs(np.exp(-(u**2) / (2 * fit.sigma_x**2)) @ np.exp(2j * np.pi * np.outer(u, fit.frequency - k)))
        passed = k[along >= along.max() / 2]
        np.testing.assert_allclose(fit.frequency_bandwidth, np.log2(passed[-1] / passed[0]), rtol=0.02)
        q = np.linspace(0, 3 / fit.sigma_y, 1501)
        across = np.abs(np.exp(-(u**2) / (2 * fit.sigma_y**2)) @ np.exp(2j * np.pi * np.outer(u, q)))
        edge = q[across >= across.max() / 2][-1]
        np.testing.assert_allclose(
            fit.orientation_bandwidth_deg, 2 * np.degrees(np.arctan(edge / fit.frequency)), rtol=0.01
        )


def test_low_pass_filters_have_no_lower_half_height():
    parameters = dict.fromkeys(SHAPE_FIELDS, 7.0) | {"frequency": 0.1, "sigma_x": 1.5, "sigma_y": 2.0}
    fit = fit_gabors(gabor(parameters, SHAPE), SHAPE)[0]
    np.testing.assert_allclose(fit.nx, 0.15, rtol=0, atol=1e-8)  # where the fit stops: its relative tolerance is 1e-10
    assert fit.frequency_bandwidth == np.inf


# Against SciPy


@pytest.fixture(scope="module")
def learned():
    """Cluster centres of whitened natural patches: edges at all places, and blobs."""
    from sklearn.cluster import KMeans

    patches = wlsc.load_patches("embedded", 16, 3000, seed=0, min_variance=0.1, normalise="unit")
    return KMeans(40, n_init=1, max_iter=20, random_state=0).fit(patches).cluster_centers_.astype(float)


def scipy_r2(target, starts):
    """The best r2 of `scipy.optimize.curve_fit` from the given starts, within the given bounds."""
    y, x = np.mgrid[:16, :16].astype(float)

    def model(_, x0, y0, theta, log_f, log_sx, log_sy, a, b):
        u = (x - x0) * np.cos(theta) + (y - y0) * np.sin(theta)
        v = (y - y0) * np.cos(theta) - (x - x0) * np.sin(theta)
        envelope = np.exp(-(u**2) / (2 * np.exp(2 * log_sx)) - v**2 / (2 * np.exp(2 * log_sy)))
        argument = 2 * np.pi * np.exp(log_f) * u
        return (envelope * (a * np.cos(argument) + b * np.sin(argument))).ravel()

    low, high = (bound.numpy() for bound in module._bounds(SHAPE, torch.zeros(1, dtype=torch.float64)))
    low, high = np.append(low, [-np.inf] * 2), np.append(high, [np.inf] * 2)
    best = 0.0
    for start in starts:
        basis = np.stack([model(None, *start, 1, 0), model(None, *start, 0, 1)], axis=1)
        linear = np.linalg.lstsq(basis, target, rcond=None)[0]
        start = np.clip(np.append(start, linear), low + 1e-6, high - 1e-6)
        found = curve_fit(model, None, target, start, bounds=(low, high), max_nfev=5000)[0]
        best = max(best, 1 - ((model(None, *found) - target) ** 2).sum() / (target**2).sum())
    return best


def test_r2_is_that_of_curve_fit_or_better(learned):
    targets = torch.from_numpy(learned / np.linalg.norm(learned, axis=1, keepdims=True))
    starts = module._spectral_starts(targets, SHAPE, 3).numpy()
    reference = np.array([scipy_r2(target, own) for target, own in zip(targets.numpy(), starts, strict=True)])
    fitted = fit_gabors(learned, SHAPE, n_starts=3).r2
    assert np.median(fitted) > 0.7
    assert (fitted - reference).min() > -1e-6


# Robustness


def test_units_do_not_matter(learned):
    fits = fit_gabors(learned, SHAPE)
    known = ~fits.unidentifiable
    assert known.sum() > 10
    tol = 1e-8  # no factor is a power of two: pixels are rounded, and the fit stops at a relative 1e-10
    for factor in (1e-6, 1e6, 1e-200, 1e200):
        scaled = fit_gabors(factor * learned, SHAPE)
        np.testing.assert_allclose(scaled.r2, fits.r2, rtol=tol)
        np.testing.assert_array_equal(scaled.unidentifiable, fits.unidentifiable)
        for name in ("nx", "ny", "frequency", "x", "y", "sigma_x", "sigma_y", "phase_deg", "phase_se_deg"):
            np.testing.assert_allclose(scaled[name][known], fits[name][known], rtol=tol, atol=tol, err_msg=name)
        np.testing.assert_allclose(scaled.amplitude[known], factor * fits.amplitude[known], rtol=tol)


def test_same_fit_for_arrays_tensors_and_dtypes(learned):
    fits = fit_gabors(learned, SHAPE)
    assert isinstance(fits, np.recarray)
    tensors = fit_gabors(torch.from_numpy(learned), SHAPE)
    singles = fit_gabors(learned.astype(np.float32), SHAPE)
    np.testing.assert_array_equal(tensors.r2, fits.r2)
    np.testing.assert_array_equal(singles.r2, fits.r2)  # atoms were learned in single precision


def test_more_starts_fit_no_worse(learned):
    one, all_twelve = fit_gabors(learned, SHAPE, n_starts=1), fit_gabors(learned, SHAPE, n_starts=12)
    assert (all_twelve.r2 - one.r2).min() > -1e-8  # a fit stops at a relative 1e-10 of its error
    assert (all_twelve.r2 - one.r2).max() > 1e-3


def test_bounds_hold():
    fits = fit_gabors(np.random.default_rng(10).standard_normal((60, 10 * 14)), (10, 14))
    assert (fits.frequency <= 0.5 + 1e-12).all()
    for sigma in (fits.sigma_x, fits.sigma_y):
        assert (sigma >= 0.5 - 1e-12).all()
        assert (sigma <= 14 + 1e-12).all()
    assert ((fits.x >= -0.5) & (fits.x <= 13.5) & (fits.y >= -0.5) & (fits.y <= 9.5)).all()
    assert fits.at_bound.any()
    assert not fits.at_bound.all()


def test_what_cannot_be_fitted_gets_a_row_and_a_reason():
    good = reference_gabors(random_parameters(np.random.default_rng(11), 3))
    filters = np.concatenate([good, np.zeros((1, 256)), np.full((1, 256), 0.3), good[:2]])
    filters[5, 7], filters[6, 9] = np.nan, np.inf
    fits = fit_gabors(filters, SHAPE)
    assert fits.reason.tolist() == ["", "", "", "all zero", "constant", "not finite", "not finite"]
    assert (fits.r2[3:] == 0).all()
    assert np.isnan(fits.nx[3:]).all()
    assert not (fits.truncated | fits.unidentifiable | fits.at_bound)[3:].any()
    np.testing.assert_allclose(fits.r2[:3], fit_gabors(good, SHAPE).r2)


@pytest.mark.parametrize(
    ("shape", "reason"),
    [((1, 30), "patch has one row or column"), ((30, 1), "patch has one row or column"), ((2, 4), "patch has fewer")],
)
def test_patches_too_small_for_a_gabor(shape, reason):
    filters = np.random.default_rng(12).standard_normal((4, shape[0] * shape[1]))
    fits = fit_gabors(filters, shape)
    assert all(given.startswith(reason) for given in fits.reason)
    assert (fits.r2 == 0).all()


@pytest.mark.parametrize("shape", [(2, 9), (3, 3), (5, 40)])
def test_odd_patch_shapes_are_fitted(shape):
    fits = fit_gabors(np.random.default_rng(13).standard_normal((5, shape[0] * shape[1])), shape)
    assert (fits.reason == "").all()
    assert np.isfinite(fits.r2).all()


def test_no_filters_give_no_rows():
    assert len(fit_gabors(np.empty((0, 256)), SHAPE)) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones((2, 255)), SHAPE), "filters must have height"),
        ((np.ones(256), SHAPE), "filters must have 2 dimensions"),
        ((np.ones((2, 256)), (16, 16, 1)), "patch_shape"),
        ((np.ones((2, 256)), (0, 16)), "patch_shape"),
        ((np.ones((2, 256)), SHAPE, 0), "n_starts"),
        ((np.ones((2, 256)), SHAPE, 13), "n_starts"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit_gabors(*arguments)


def test_negative_noise_variance_is_refused():
    with pytest.raises(ValueError, match="noise_variance"):
        cramer_rao(random_parameters(np.random.default_rng(0), 2), SHAPE, -1.0)


@NEEDS_CUDA
def test_cuda_fits_as_the_cpu_does(learned):
    fits = fit_gabors(learned, SHAPE)
    # Pixels that are off by 1e-15 move r² by 2e-10, since the fit stops at a relative 1e-10 of its error.
    np.testing.assert_allclose(fit_gabors(torch.from_numpy(learned).cuda(), SHAPE).r2, fits.r2, rtol=0, atol=1e-8)
