"""What the models without a decoder share: filters, and responses to patches."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch

from wlsc._validation import Array, check_count, to_torch


class FilterBank(torch.nn.Module, ABC):
    """Filters that are learned from patches.

    Parameters
    ----------
    n_features
        Number of features of each filter.
    n_units
        Number of filters.
    generator
        Source of the random filters that the bank holds until `fit`, on the CPU.

    Attributes
    ----------
    filters
        Shape (n_units, n_features), a buffer; before `fit` random and of norm 1.
    """

    filters: torch.Tensor

    def __init__(self, n_features: int, n_units: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        shape = check_count("n_units", n_units), check_count("n_features", n_features)
        self.register_buffer("filters", random_filters(*shape, generator))

    def respond(self, patches: torch.Tensor) -> torch.Tensor:
        """Linear responses to ``patches`` (n_samples, n_features), shape (n_samples, n_units)."""
        return patches @ self.filters.T

    @abstractmethod
    def fit(self, patches: Array, generator: torch.Generator) -> None:
        """Learn the filters from ``patches`` (n_samples, n_features); all randomness comes from ``generator``."""

    def _training_patches(self, patches: Array, n_features: int, n_needed: int) -> torch.Tensor:
        """Return ``patches`` with the bank's dtype and device; shape (at least ``n_needed``, ``n_features``)."""
        values = to_torch("patches", patches, ndim=2).detach()
        if values.shape[1] != n_features or values.shape[0] < n_needed:
            raise ValueError(
                f"patches must have shape (n_samples, {n_features}) with at least {n_needed} samples, "
                f"got {tuple(values.shape)}"
            )
        return values.to(self.filters)


def random_filters(n_units: int, n_features: int, generator: torch.Generator | None) -> torch.Tensor:
    """Gaussian filters of norm 1, shape (n_units, n_features)."""
    return torch.nn.functional.normalize(torch.randn(n_units, n_features, generator=generator), dim=1)


def draw_seed(generator: torch.Generator) -> int:
    """Draw a seed for scikit-learn from ``generator``."""
    return int(torch.randint(2**31, (1,), generator=generator))
