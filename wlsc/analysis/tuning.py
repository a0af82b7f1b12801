"""Tuning to drifting gratings, and receptive fields mapped with noise, measured as physiologists measure them.

`grating_tuning` takes filters and treats each as a linear–non-linear unit; `encoder_tuning` and
`mapped_receptive_fields` take any function from stimuli to codes; `tuning_from_responses` takes recorded responses.

Orientations are those of the bars, in degrees anticlockwise from the horizontal, as in `wlsc.analysis.gabor`. A unit
without memory answers alike to both directions of drift, so that 180° are enough.

References
----------
D. L. Ringach, R. M. Shapley, M. J. Hawken, Orientation selectivity in macaque V1: diversity and laminar dependence,
J. Neurosci. 22:5639 (2002).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from wlsc._validation import Array, check_choice, check_count, like, to_torch
from wlsc.analysis.gabor import check_filters, check_patch_shape

_TAU = 2 * math.pi
_HANN_HALF_WIDTH = 13.5  # degrees at half height, the smoothing that Ringach et al. applied before the bandwidth
_RECTIFIERS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "half": lambda drive: drive.clamp_min(0),
    "half_squared": lambda drive: drive.clamp_min(0).square(),
    "full": torch.abs,
}
Encoder = Callable[[torch.Tensor], Array]
"""Maps stimuli (n_stimuli, height * width) to codes (n_stimuli, n_units)."""


class MappedFields(NamedTuple):
    """Receptive fields by reverse correlation."""

    fields: Array
    """(n_units, height * width), response per unit of contrast."""
    standard_errors: Array
    """(n_units, height * width), of each pixel."""


def drifting_gratings(
    patch_shape: tuple[int, int],
    frequency: float,
    n_orientations: int = 36,
    n_phases: int = 16,
    contrast: float = 1.0,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> torch.Tensor:
    """Return one period of a drifting grating at each orientation.

    The stimulus at orientation o and phase φ is contrast · cos(2π f u − φ), with u the distance in pixels from the
    centre of the patch along the direction 90° − o.

    Parameters
    ----------
    patch_shape
        (height, width) in pixels.
    frequency
        Cycles per pixel, above 0 and up to 0.5.
    n_orientations
        Equally spaced from 0 to below 180 degrees.
    n_phases
        Equally spaced over one period.
    contrast
        Amplitude of the grating.
    dtype, device
        Of the stimuli.

    Returns
    -------
    torch.Tensor
        (n_orientations, n_phases, height * width).

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    height, width = check_patch_shape(patch_shape)
    _check_frequencies([frequency])
    _check_contrast(contrast)
    orientations = _orientations(check_count("n_orientations", n_orientations))
    phases = _phases(check_count("n_phases", n_phases))
    kx, ky = _wave_vectors(torch.tensor(float(frequency), dtype=torch.float64), orientations)
    y, x = torch.meshgrid(*_centred_axes(height, width), indexing="ij")
    argument = _TAU * (kx[:, None] * x.reshape(-1) + ky[:, None] * y.reshape(-1))
    return (contrast * torch.cos(argument[:, None] - phases[:, None])).to(device=device, dtype=dtype)


def grating_tuning(
    filters: Array,
    patch_shape: tuple[int, int],
    frequency_range: tuple[float, float] | None = None,
    n_orientations: int = 72,
    n_phases: int = 64,
    rectify: str = "half",
) -> np.recarray:
    """Measure the tuning of linear–non-linear units with drifting gratings of their optimal frequency.

    A unit answers rectify(filter · stimulus). Its optimum is the maximum of the modulus of the filter's Fourier
    transform, found on the grid of the zero-padded discrete transform and then refined around the best grid point.

    Parameters
    ----------
    filters
        (n_units, height * width).
    patch_shape
        (height, width) in pixels.
    frequency_range
        Lowest and highest frequency, in cycles per pixel, between which the optimum lies. By default from one cycle per
        longer side of the patch to 0.5.
    n_orientations
        Orientations of the tuning curve, an even number of at least 4.
    n_phases
        Phases of the drift over which the response is averaged, at least 3.
    rectify
        ``"half"``: max(r, 0), ``"half_squared"``: max(r, 0)², ``"full"``: |r|, for codes that carry a sign.

    Returns
    -------
    numpy.recarray
        The fields of `tuning_from_responses` and

        - ``frequency``: the optimum, cycles per pixel;
        - ``low_pass``: the optimum is the lowest frequency of the range.

        A filter of zeros is dead.

    Raises
    ------
    ValueError
        If an argument has the wrong shape or is out of range.
    """
    values, (height, width) = check_filters(filters, patch_shape)
    check_choice("rectify", rectify, list(_RECTIFIERS))
    _check_sampling(n_orientations, n_phases)
    lowest, highest = frequency_range or (min(1 / max(height, width), 0.5), 0.5)
    if not 0 < lowest <= highest <= 0.5:
        raise ValueError(f"frequency_range must be ascending, above 0 and up to 0.5, got {frequency_range!r}")

    images = values.double().reshape(-1, height, width)
    frequency = _optimal_frequency(images, lowest, highest)
    orientations = _orientations(n_orientations).to(images.device)
    transform = _fourier(images, *_wave_vectors(frequency[:, None], orientations))
    drive = (transform[:, :, None] * torch.exp(-1j * _phases(n_phases).to(images.device))).real
    measured = _measure(_RECTIFIERS[rectify](drive))
    return _record(measured | _frequency_fields(frequency, lowest, measured["dead"]))


def encoder_tuning(
    encode: Encoder,
    patch_shape: tuple[int, int],
    frequencies: Sequence[float],
    n_orientations: int = 36,
    n_phases: int = 16,
    contrast: float = 1.0,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> np.recarray:
    """Measure the tuning of a model's codes with drifting gratings, each unit at its best frequency of those given.

    Parameters
    ----------
    encode
        Maps stimuli (n_stimuli, height * width) of the given ``dtype`` and ``device`` to codes (n_stimuli, n_units)
        that are nowhere negative. What precedes the model, whitening for example, belongs in here.
    patch_shape, n_orientations, n_phases, contrast, dtype, device
        As for `drifting_gratings`.
    frequencies
        Cycles per pixel; a unit's best is the one with the highest mean rate at any orientation.

    Returns
    -------
    numpy.recarray
        (n_units,), as for `grating_tuning`.

    Raises
    ------
    ValueError
        If an argument is out of range, or the codes have the wrong shape or are negative.
    """
    _check_sampling(n_orientations, n_phases)
    grid = _check_frequencies(frequencies)
    recorded = []
    for frequency in grid.tolist():
        stimuli = drifting_gratings(patch_shape, frequency, n_orientations, n_phases, contrast, dtype, device)
        codes = _check_codes(encode(stimuli.flatten(0, 1)), n_orientations * n_phases)
        recorded.append(_check_rates(codes).T.unflatten(1, (n_orientations, n_phases)))
    responses = torch.stack(recorded)
    best = responses.mean(3).amax(2).argmax(0)
    measured = _measure(responses[best, torch.arange(responses.shape[1], device=best.device)])
    return _record(measured | _frequency_fields(grid[best.cpu()], float(grid[0]), measured["dead"]))


def tuning_from_responses(responses: Array) -> np.recarray:
    """Describe the orientation tuning of units whose responses to drifting gratings have been recorded.

    Parameters
    ----------
    responses
        (n_units, n_orientations, n_phases), nowhere negative: equally spaced orientations from 0 to below 180 degrees,
        an even number of at least 4, and at least 3 equally spaced phases over one period, as in `drifting_gratings`.

    Returns
    -------
    numpy.recarray
        One row per unit. With r_k the mean over phases at orientation θ_k:

        - ``circular_variance`` = 1 − |Σ r_k e^{2iθ_k}| / Σ r_k, 0 for one orientation alone, 1 for no tuning;
        - ``bandwidth_deg``: half the distance between the two angles at which the curve, interpolated at one degree and
          smoothed with a Hann window of 13.5° half-width at half height, has fallen to 1/√2 of its peak; 180 where it
          never does; the window alone gives 9.8°;
        - ``orthogonal_ratio``: r at 90° from the largest r_k, divided by that r_k;
        - ``modulation_ratio``: F1/F0 at the largest r_k, the amplitude of the first harmonic over the mean;
        - ``preferred_orientation_deg``: peak of the smoothed curve, in [0, 180);
        - ``rates``: r_k, (n_orientations,);
        - ``dead``: no response to any stimulus; all other numbers are NaN, ``rates`` 0.

        The first three follow Ringach, Shapley and Hawken (2002).

    Raises
    ------
    ValueError
        If the shape is wrong or a response is negative.
    """
    values = to_torch("responses", responses, ndim=3).detach()
    _check_sampling(*values.shape[1:])
    return _record(_measure(_check_rates(values).double()))


def mapped_receptive_fields(
    encode: Encoder,
    patch_shape: tuple[int, int],
    n_stimuli: int,
    seed: int,
    kind: str = "white",
    contrast: float = 1.0,
    batch_size: int = 4096,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> MappedFields:
    """Map receptive fields by reverse correlation of codes with noise.

    All kinds of noise have zero mean and the identity times contrast² as covariance, so that the field
    E[stimulus · (code − mean code)] / contrast² of a linear unit is its filter. Stimuli are made and forgotten batch by
    batch.

    Parameters
    ----------
    encode
        Maps stimuli (n_stimuli, height * width) of the given ``dtype`` and ``device`` to codes (n_stimuli, n_units).
    patch_shape
        (height, width) in pixels.
    n_stimuli
        Number of stimuli, at least 2. Standard errors fall with its square root.
    seed
        Of the stimuli, which are the same on every device.
    kind
        ``"white"``: Gaussian pixels; ``"binary"``: pixels ±1; ``"hartley"``: gratings cas(2π(kx x/width + ky y/height))
        of either sign with integer kx and ky, cas = cos + sin (subspace reverse correlation: Ringach, Sapiro & Shapley,
        Vision Res. 37:2455, 1997).
    contrast
        Standard deviation of a pixel.
    batch_size
        Stimuli held at one time.
    dtype, device
        Of the stimuli.

    Returns
    -------
    MappedFields
        Fields and standard errors, float64, (n_units, height * width) each: NumPy arrays if ``encode`` gives such, else
        tensors on the device of the codes.

    Raises
    ------
    ValueError
        If an argument is out of range, or the codes have the wrong shape.
    """
    shape = check_patch_shape(patch_shape)
    check_count("n_stimuli", n_stimuli, minimum=2)
    check_count("batch_size", batch_size)
    check_choice("kind", kind, ("white", "binary", "hartley"))
    _check_contrast(contrast)
    generator = torch.Generator().manual_seed(seed)
    sums: list[torch.Tensor] = []
    for start in range(0, n_stimuli, batch_size):
        noise = _noise(kind, min(batch_size, n_stimuli - start), shape, dtype, generator)
        codes = encode((contrast * noise).to(device))
        x = _check_codes(codes, len(noise))
        s = noise.to(x)
        terms = [s.sum(0), x.sum(0), s.square().sum(0), x.T @ s, x.T @ s.square(), x.square().T @ s.square()]
        sums = [total + term for total, term in zip(sums, terms, strict=True)] if sums else terms
    s, x, ss, xs, xss, xxss = (total / n_stimuli for total in sums)
    fields = xs - x[:, None] * s
    second_moment = xxss - 2 * x[:, None] * xss + x[:, None].square() * ss  # of stimulus · (code − mean code)
    errors = ((second_moment - fields.square()).clamp_min(0) / n_stimuli).sqrt()
    return MappedFields(like(fields / contrast, codes), like(errors / contrast, codes))


def _check_contrast(contrast: float) -> None:
    if not (math.isfinite(contrast) and contrast > 0):
        raise ValueError(f"contrast must be a finite number above 0, got {contrast!r}")


def _check_frequencies(frequencies: Sequence[float]) -> torch.Tensor:
    """Return the frequencies in ascending order."""
    grid = torch.as_tensor(np.sort(np.asarray(frequencies, dtype=float).ravel()))
    if len(grid) == 0 or not bool(((grid > 0) & (grid <= 0.5)).all()):
        raise ValueError(f"frequencies must lie above 0 and up to 0.5 cycles per pixel, got {frequencies!r}")
    return grid


def _check_sampling(n_orientations: int, n_phases: int) -> None:
    if check_count("n_orientations", n_orientations, minimum=4) % 2:
        raise ValueError(f"n_orientations must be even for the orthogonal to be among them, got {n_orientations}")
    check_count("n_phases", n_phases, minimum=3)


def _check_codes(codes: Array, n_stimuli: int) -> torch.Tensor:
    values = to_torch("codes", codes, ndim=2).detach()
    if len(values) != n_stimuli:
        raise ValueError(f"codes must have one row for each of the {n_stimuli} stimuli, got {tuple(values.shape)}")
    return values.double()


def _check_rates(responses: torch.Tensor) -> torch.Tensor:
    if bool((responses < 0).any()):
        raise ValueError(
            f"responses must be at least 0, as rates are, got {float(responses.min())}; rectify them first"
        )
    return responses


def _orientations(count: int) -> torch.Tensor:
    return torch.arange(count, dtype=torch.float64) * (180 / count)


def _phases(count: int) -> torch.Tensor:
    return torch.arange(count, dtype=torch.float64) * (_TAU / count)


def _wave_vectors(frequency: torch.Tensor, orientation_deg: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return kx (to the right) and ky (downwards), in cycles per pixel."""
    direction = torch.deg2rad(90 - orientation_deg)
    return frequency * direction.cos(), frequency * direction.sin()


def _centred_axes(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    y, x = (torch.arange(size, dtype=torch.float64) - (size - 1) / 2 for size in (height, width))
    return y, x


def _fourier(images: torch.Tensor, kx: torch.Tensor, ky: torch.Tensor) -> torch.Tensor:
    """Return Σ image · e^{2πi (kx x + ky y)} about the centre of the patch, (n, n_waves), for (n, n_waves) waves."""
    y, x = (axis.to(images.device) for axis in _centred_axes(*images.shape[1:]))
    wave_x = torch.exp(1j * _TAU * x[:, None] * kx[:, None])
    wave_y = torch.exp(1j * _TAU * y[:, None] * ky[:, None])
    return ((images.to(wave_x.dtype) @ wave_x) * wave_y).sum(1)


def _optimal_frequency(images: torch.Tensor, lowest: float, highest: float) -> torch.Tensor:
    """Return each image's frequency of largest modulus, (n,), from coarse to fine."""
    if len(images) == 0:  # which the discrete transform refuses
        return images.new_empty(0)
    size = 4 * max(images.shape[1:])  # a quarter of the width of a spectral peak, or less
    k = torch.fft.fftfreq(size, dtype=images.dtype, device=images.device)
    ky, kx = (axis.reshape(-1) for axis in torch.meshgrid(k, k, indexing="ij"))
    modulus = torch.fft.fft2(images, s=(size, size)).abs().flatten(1)
    length = torch.hypot(kx, ky)
    in_range = (length >= lowest - 0.75 / size) & (length <= highest + 0.75 / size)  # or within half a diagonal of it
    best = torch.where(in_range, modulus, -1.0).argmax(1)
    frequency, direction = length[best].clamp(lowest, highest), torch.atan2(ky[best], kx[best])

    offsets = torch.linspace(-1, 1, 5, dtype=images.dtype, device=images.device)
    steps = torch.cartesian_prod(offsets, offsets) / size
    unit = torch.arange(len(images), device=images.device)
    for _ in range(8):  # each round halves the steps
        near_frequency = (frequency[:, None] + steps[:, 0]).clamp(lowest, highest)
        near_direction = direction[:, None] + steps[:, 1] / frequency[:, None]
        kx, ky = near_frequency * near_direction.cos(), near_frequency * near_direction.sin()
        best = _fourier(images, kx, ky).abs().argmax(1)
        frequency, direction = near_frequency[unit, best], near_direction[unit, best]
        steps = steps / 2
    return frequency


def _measure(responses: torch.Tensor) -> dict[str, np.ndarray]:
    """Return the fields of `tuning_from_responses`; dead units are measured as if their answers were all 1."""
    n_units, n_orientations, n_phases = responses.shape
    rates = responses.mean(2)
    dead = rates.amax(1) == 0
    safe = torch.where(dead[:, None, None], 1.0, responses)
    curve = safe.mean(2)
    unit = torch.arange(n_units, device=curve.device)
    best = curve.argmax(1)
    peak, orthogonal = curve[unit, best], curve[unit, (best + n_orientations // 2) % n_orientations]
    doubled = torch.exp(2j * torch.deg2rad(_orientations(n_orientations))).to(curve.device)
    resultant = (curve * doubled).sum(1).abs() / curve.sum(1)
    harmonic = 2 / n_phases * (safe[unit, best] * torch.exp(1j * _phases(n_phases)).to(curve.device)).sum(1).abs()
    bandwidth, preferred = _bandwidth(curve @ _smoothing(n_orientations).to(curve.device))
    measures = {
        "circular_variance": 1 - resultant,
        "bandwidth_deg": bandwidth,
        "orthogonal_ratio": orthogonal / peak,
        "modulation_ratio": harmonic / peak,
        "preferred_orientation_deg": preferred,
    }
    alive = {name: torch.where(dead, math.nan, value).cpu().numpy() for name, value in measures.items()}
    return alive | {"rates": rates.cpu().numpy(), "dead": dead.cpu().numpy()}


def _smoothing(n_orientations: int) -> torch.Tensor:
    """Return the matrix (n_orientations, 180) that interpolates a curve at every degree and smooths it."""
    position = torch.arange(180, dtype=torch.float64) * (n_orientations / 180)
    below, fraction = position.long(), position.frac()
    interpolation = torch.zeros(n_orientations, 180, dtype=torch.float64)
    degree = torch.arange(180)
    interpolation[below, degree] = 1 - fraction
    interpolation[(below + 1) % n_orientations, degree] += fraction
    apart = ((degree[:, None] - degree + 90) % 180 - 90).double()
    window = 1 + torch.cos(math.pi * apart / (2 * _HANN_HALF_WIDTH))
    window = torch.where(apart.abs() < 2 * _HANN_HALF_WIDTH, window, 0.0)
    return interpolation @ (window / window.sum(0))


def _bandwidth(curve: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return half-width at 1/√2 of the peak and place of the peak of curves given at every degree, (n, 180)."""
    peak, best = curve.max(1, keepdim=True)
    steps = torch.arange(181, device=curve.device)
    upwards, downwards = (curve.gather(1, (best + sign * steps) % 180) for sign in (1, -1))
    level = peak / math.sqrt(2)
    half = (_first_fall(upwards, level) + _first_fall(downwards, level)) / 2
    after, before = upwards[:, 1], downwards[:, 1]
    curvature = 2 * peak[:, 0] - after - before
    shift = torch.where(curvature > 0, (after - before) / (2 * curvature), 0.0)
    return half.clamp_max(180.0), (best[:, 0] + shift) % 180


def _first_fall(curve: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    """Return where each curve first crosses its level from above, by linear interpolation; infinity if nowhere."""
    below = curve < level
    after = below.to(torch.int8).argmax(1, keepdim=True).clamp_min(1)
    high, low = curve.gather(1, after - 1), curve.gather(1, after)
    crossing = after - 1 + (high - level) / (high - low)
    return torch.where(below.any(1), crossing[:, 0], math.inf)


def _frequency_fields(frequency: torch.Tensor, lowest: float, dead: np.ndarray) -> dict[str, np.ndarray]:
    values = frequency.cpu().numpy()
    return {"frequency": np.where(dead, np.nan, values), "low_pass": (values == lowest) & ~dead}


def _record(fields: dict[str, np.ndarray]) -> np.recarray:
    n_units = len(fields["dead"])
    record = np.recarray(n_units, dtype=[(name, value.dtype, value.shape[1:]) for name, value in fields.items()])
    for name, value in fields.items():
        record[name] = value
    return record


def _noise(
    kind: str, count: int, shape: tuple[int, int], dtype: torch.dtype, generator: torch.Generator
) -> torch.Tensor:
    """Return stimuli (count, n_pixels) of zero mean and unit covariance."""
    height, width = shape
    if kind == "white":
        return torch.randn(count, height * width, dtype=dtype, generator=generator)
    if kind == "binary":
        return 2 * torch.randint(2, (count, height * width), generator=generator).to(dtype) - 1
    kx, ky, sign = (torch.randint(high, (count, 1), generator=generator) for high in (width, height, 2))
    pixel = torch.arange(height * width)
    turns = kx * (pixel % width) / width + ky * (pixel // width) / height
    return ((2 * sign - 1) * math.sqrt(2) * torch.cos(_TAU * turns.double() - math.pi / 4)).to(dtype)
