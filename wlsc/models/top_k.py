"""TopK: a sparse autoencoder that keeps the k largest activations of every sample."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from wlsc._validation import check_count, check_penalty
from wlsc.models.autoencoder import LinearEncoderAutoencoder, Recipe

#: Size of the dictionary for which the published learning rate is stated.
_REFERENCE_ATOMS = 2**14


class TopKAutoencoder(LinearEncoderAutoencoder):
    """Minimise the mean of ‖y − ŷ‖² with codes x = TopK(max(E(y − b) + c, 0)) and ŷ = Ax + b [1]_.

    Atoms of A have norm 1. AuxK keeps atoms alive: the error of a batch is predicted by the d/2 largest activations
    among *dead* atoms, and α = 1/32 times the squared error of that prediction, over the variance of the error, is
    added to the loss.

    The recipe is that of a public trainer [2]_ of the published method: Adam with the rate 2e-4/√(m/2¹⁴), gradients
    along the atoms removed, their norm clipped at 1, b starting at the geometric median. Its warm-up and decay of the
    rate are left out. Different here:

    - There an atom is dead after 10 million samples without it, so that AuxK never runs on small data; here the time
      is a number of epochs.
    - There an atom among the k largest counts as used even when its activation is 0; here only if it is above 0.
    - Fewer than k activations can be above 0. The number of codes is then below k: report the one measured.

    Parameters
    ----------
    n_features, n_atoms, generator
        Those of `LinearEncoderAutoencoder`.
    n_active
        k, from 1 to n_atoms.
    auxiliary_weight
        α ≥ 0 of AuxK.
    dead_epochs
        Whole epochs without a sample that used it after which an atom is dead.

    Attributes
    ----------
    idle_epochs
        Epochs since a sample used each atom, shape (n_atoms,), a buffer.

    References
    ----------
    .. [1] L. Gao et al., Scaling and evaluating sparse autoencoders, ICLR (2025); arXiv 2406.04093.
    .. [2] https://github.com/saprmarks/dictionary_learning
    """

    idle_epochs: torch.Tensor
    used: torch.Tensor

    def __init__(
        self,
        n_features: int,
        n_atoms: int,
        n_active: int,
        generator: torch.Generator | None = None,
        *,
        auxiliary_weight: float = 1 / 32,
        dead_epochs: int = 1,
    ) -> None:
        super().__init__(n_features, n_atoms, generator)
        self.n_active = check_active(n_active, n_atoms)
        self.auxiliary_weight = check_penalty(auxiliary_weight)
        self.dead_epochs = check_count("dead_epochs", dead_epochs)
        self.register_buffer("idle_epochs", torch.zeros(n_atoms, dtype=torch.int64))
        self.register_buffer("used", torch.zeros(n_atoms, dtype=torch.bool))

    @property
    def recipe(self) -> Recipe:
        """The published rate, which falls with the root of the number of atoms."""
        return Recipe(2e-4 / (len(self.encoder) / _REFERENCE_ATOMS) ** 0.5, clip_norm=1.0)

    def encode(self, samples: torch.Tensor) -> torch.Tensor:
        """Codes ≥ 0 of which at most k are not 0, shape (n_samples, n_atoms)."""
        return keep_largest(self.activations(samples), self.n_active)

    def activations(self, samples: torch.Tensor) -> torch.Tensor:
        """Activations max(E(y − b) + c, 0) before any is dropped, shape (n_samples, n_atoms)."""
        return self.pre_activations(samples).relu()

    def training_loss(self, samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean squared error and AuxK, a scalar, and the codes (n_samples, n_atoms)."""
        activations = self.activations(samples)
        codes = self._sparse(activations)
        residual = samples - self.decode(codes)
        loss = residual.square().sum(1).mean() + self.auxiliary_weight * self._auxiliary(residual.detach(), activations)
        self._note_use(codes)
        return loss, codes

    def _sparse(self, activations: torch.Tensor) -> torch.Tensor:
        """Codes of a batch in training."""
        return keep_largest(activations, self.n_active)

    def _auxiliary(self, residual: torch.Tensor, activations: torch.Tensor) -> torch.Tensor:
        dead = (self.idle_epochs >= self.dead_epochs) & ~self.used
        variance = (residual - residual.mean(0)).square().sum(1).mean()
        if not bool(dead.any()) or not bool(variance > 0):
            return residual.new_zeros(())
        n_auxiliary = min(max(residual.shape[1] // 2, 1), int(dead.sum()))
        revived = keep_largest(activations[:, dead], n_auxiliary)
        return (residual - revived @ self.dictionary[dead]).square().sum(1).mean() / variance

    def _note_use(self, codes: torch.Tensor) -> None:
        self.used |= (codes.detach() != 0).any(0)

    def finish_epoch(self, batches: Iterable[torch.Tensor]) -> None:
        """Count for how many epochs each atom has not been used."""
        self.idle_epochs.copy_(torch.where(self.used, 0, self.idle_epochs + 1))
        self.used.zero_()


def check_active(n_active: int, n_atoms: int) -> int:
    """Return the number of active atoms k; it must be an integer from 1 to ``n_atoms``."""
    if check_count("n_active", n_active) > n_atoms:
        raise ValueError(f"n_active must be at most n_atoms = {n_atoms}, got {n_active}")
    return int(n_active)


def keep_largest(values: torch.Tensor, n_kept: int) -> torch.Tensor:
    """The ``n_kept`` largest values of each row, and 0 elsewhere; shape of ``values``, differentiable."""
    largest = values.topk(n_kept, dim=1)
    return torch.zeros_like(values).scatter(1, largest.indices, largest.values)
