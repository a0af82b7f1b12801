"""MSAE: a TopK autoencoder that is trained at several numbers of active atoms at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch

from wlsc.models.top_k import TopKAutoencoder, check_active, keep_largest


class MatryoshkaAutoencoder(TopKAutoencoder):
    """Minimise the mean, over several k, of the squared error of TopK codes with one dictionary [1]_.

    The k₁ < k₂ < … largest activations of a sample are nested, hence the name. Published is that loss; how its terms
    are weighted was not to be found in what was read of the paper: they count equally here. AuxK sees the error at the
    largest k; recipe and all else are those of `TopKAutoencoder`. Other autoencoders of the name nest *dictionaries*,
    whose first atoms have to do without the others: they are another model.

    Parameters
    ----------
    n_features, n_atoms, generator, **options
        Those of `TopKAutoencoder`.
    levels
        The numbers k of active atoms in training, increasing, each from 1 to n_atoms.
    n_active
        The k of `encode`; the largest of ``levels`` by default. Any k does.

    References
    ----------
    .. [1] V. Zaigrajew, H. Baniecki, P. Biecek, Interpreting CLIP with hierarchical sparse autoencoders, arXiv
       2502.20578 (2025).
    """

    def __init__(
        self,
        n_features: int,
        n_atoms: int,
        levels: Sequence[int],
        generator: torch.Generator | None = None,
        *,
        n_active: int | None = None,
        **options: Any,
    ) -> None:
        if not len(levels) or any(low >= high for low, high in pairwise(levels)):
            raise ValueError(f"levels must be numbers of active atoms in increasing order, got {list(levels)}")
        super().__init__(n_features, n_atoms, levels[-1] if n_active is None else n_active, generator, **options)
        self.levels = tuple(check_active(level, n_atoms) for level in levels)

    def training_loss(self, samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean squared error over samples and levels with AuxK, a scalar, and the codes of the largest level."""
        activations = self.activations(samples)
        nested = [keep_largest(activations, level) for level in self.levels]
        errors = torch.stack([self.objective(samples, codes).mean() for codes in nested])
        residual = samples - self.decode(nested[-1])
        loss = errors.mean() + self.auxiliary_weight * self._auxiliary(residual.detach(), activations)
        self._note_use(nested[-1])
        return loss, nested[-1]
