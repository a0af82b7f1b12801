"""Null filters: what a measurement finds where there is nothing to be found."""

from __future__ import annotations

import torch

from wlsc._validation import Array, like
from wlsc.analysis.gabor import check_filters


def phase_shuffled(filters: Array, patch_shape: tuple[int, int], generator: torch.Generator) -> Array:
    """Give every filter the Fourier phases of noise; its amplitude spectrum stays.

    The phases are those of the discrete transform of white Gaussian noise, drawn anew for each filter: uniform, with
    the symmetry that makes the result real. At the frequencies that are their own mirror image, the mean among them,
    they are a random sign. What a null filter shares with the filter is its tuning to orientation and frequency, and
    nothing that needs phases to be aligned, such as a place in the patch.

    Parameters
    ----------
    filters
        Shape (n_filters, height * width), real.
    patch_shape
        (height, width) in pixels.
    generator
        Source of the phases, on the CPU.

    Returns
    -------
    Array
        Of the shape, kind, device and dtype of ``filters``.

    Raises
    ------
    ValueError
        If the filters are not finite or do not have height · width features.
    """
    values, shape = check_filters(filters, patch_shape)
    noise = torch.randn((len(values), *shape), generator=generator, dtype=torch.float64).to(values.device)
    phases = torch.fft.rfft2(noise).sgn()  # of modulus 1
    amplitudes = torch.fft.rfft2(values.double().unflatten(1, shape)).abs()
    shuffled = torch.fft.irfft2(amplitudes * phases, s=shape)
    return like(shuffled.flatten(1).to(values.dtype), filters)
