"""One model a file, under one of two protocols: an autoencoder, or a filter bank for models without a decoder."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch

from wlsc.models.sparse_coding import SparseCodingAutoencoder
from wlsc.models.wlsc import WLSCAutoencoder

__all__ = ["Autoencoder", "SparseCodingAutoencoder", "WLSCAutoencoder"]


@runtime_checkable
class Autoencoder(Protocol):
    """What can turn patches into codes and codes into patches."""

    @property
    def dictionary(self) -> torch.Tensor:
        """Atoms, shape (n_atoms, n_features)."""
        ...

    def encode(self, patches: torch.Tensor) -> torch.Tensor:
        """Codes of shape (n_samples, n_atoms)."""
        ...

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Reconstructions of shape (n_samples, n_features)."""
        ...
