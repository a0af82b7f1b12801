"""Null filters: what a measurement finds where there is nothing to be found."""

from __future__ import annotations

import torch

from wlsc._validation import Array, check_count, like, to_torch
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


def scale_mixture_like(samples: Array, generator: torch.Generator, n_rounds: int = 20) -> Array:
    """Samples of random shape that have the second moments and the lengths of the given ones.

    Gaussian directions are given the lengths of the samples; then the second moments Σ y yᵀ and the lengths are imposed
    in turn, as amplitudes and spectra are on surrogate time series [1]_. What is left of natural patches are their
    covariance and their contrasts; what goes is that pixels of one patch depend on one another in any other way.

    Parameters
    ----------
    samples
        Shape (n_samples, n_features), with more samples than features, none of them 0.
    generator
        Source of the directions, on the CPU.
    n_rounds
        How often both are imposed. Lengths come last and are exact.

    Returns
    -------
    Array
        Of the shape, kind, device and dtype of ``samples``.

    Raises
    ------
    ValueError
        If the samples are not finite, not more than their features, or one of them is 0.

    References
    ----------
    .. [1] T. Schreiber, A. Schmitz, Improved surrogate data for nonlinearity tests, Physical Review Letters 77 (1996)
       635–638.
    """
    values = to_torch("samples", samples, ndim=2)
    check_count("n_rounds", n_rounds)
    given = values.double()
    lengths = given.norm(dim=1, keepdim=True)
    if given.shape[0] <= given.shape[1] or not bool((lengths > 0).all()):
        raise ValueError(
            f"samples must be more than their {given.shape[1]} features and none of them 0, "
            f"got {given.shape[0]} of which {int((lengths == 0).sum())} are 0"
        )
    root = _root(given.T @ given, 0.5)
    noise = torch.randn(given.shape, generator=generator, dtype=torch.float64).to(given.device) @ root
    found = noise / noise.norm(dim=1, keepdim=True) * lengths
    for _ in range(n_rounds):
        found = found @ _root(found.T @ found, -0.5) @ root
        found = found / found.norm(dim=1, keepdim=True) * lengths
    return like(found.to(values.dtype), samples)


def _root(moments: torch.Tensor, power: float) -> torch.Tensor:
    """A power of a symmetric matrix, on the span of its eigenvectors that rounding leaves."""
    eigenvalues, vectors = torch.linalg.eigh(moments)
    known = eigenvalues > eigenvalues[-1] * len(moments) * torch.finfo(moments.dtype).eps
    return (vectors[:, known] * eigenvalues[known] ** power) @ vectors[:, known].T
