"""BatchTopK: a sparse autoencoder that shares its activations among the samples of a batch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from wlsc.models.top_k import TopKAutoencoder


class BatchTopKAutoencoder(TopKAutoencoder):
    """TopK over a batch: of n samples, the n·k largest activations are kept, wherever they lie [1]_.

    Samples that are hard get more atoms than k, others fewer. A single sample has no batch: `encode` keeps what
    exceeds a threshold θ, the mean over the batches of the last epoch of the smallest activation that was kept. Before
    the first epoch θ is 0, and all activations stay.

    Loss, AuxK and recipe are those of `TopKAutoencoder`. Where public code differs: one trainer [2]_ follows θ with a
    running mean that forgets a thousandth a step, from step 1,000 on; and in one library [3]_ ``top_k`` counts the
    activations of the whole batch instead of those of a sample, and θ is not among the saved weights.

    Parameters are those of `TopKAutoencoder`; ``n_active`` is the *mean* number of active atoms.

    Attributes
    ----------
    threshold
        θ, a scalar buffer.

    References
    ----------
    .. [1] B. Bussmann, P. Leask, N. Nanda, BatchTopK sparse autoencoders, arXiv 2412.06410 (2024).
    .. [2] https://github.com/saprmarks/dictionary_learning
    .. [3] https://github.com/KempnerInstitute/overcomplete, version 0.3.0
    """

    threshold: torch.Tensor
    smallest: torch.Tensor
    n_batches: torch.Tensor

    def __init__(
        self,
        n_features: int,
        n_atoms: int,
        n_active: int,
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> None:
        super().__init__(n_features, n_atoms, n_active, generator, **options)
        self.register_buffer("threshold", torch.tensor(0.0))
        self.register_buffer("smallest", torch.tensor(0.0))
        self.register_buffer("n_batches", torch.tensor(0))

    def encode(self, samples: torch.Tensor) -> torch.Tensor:
        """Activations above θ, and 0 elsewhere, shape (n_samples, n_atoms)."""
        activations = self.activations(samples)
        return torch.where(activations > self.threshold, activations, 0)

    def _sparse(self, activations: torch.Tensor) -> torch.Tensor:
        largest = activations.flatten().topk(len(activations) * self.n_active)
        kept = largest.values.detach()
        if bool((kept > 0).any()):
            self.smallest += kept[kept > 0].min()
            self.n_batches += 1
        codes = torch.zeros_like(activations).flatten().scatter(0, largest.indices, largest.values)
        return codes.view_as(activations)

    def finish_epoch(self, batches: Iterable[torch.Tensor]) -> None:
        """Set θ to what the epoch's batches kept last."""
        super().finish_epoch(batches)
        if int(self.n_batches):
            self.threshold.copy_(self.smallest / self.n_batches)
        self.smallest.zero_()
        self.n_batches.zero_()
