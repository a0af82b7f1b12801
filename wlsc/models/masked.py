"""Masked sparse coding: codes come from some features, and the dictionary has to predict the others."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import normalize

from wlsc._validation import Array, check_count
from wlsc.models._filter_bank import draw_seed
from wlsc.models.autoencoder import GradientAutoencoder, Recipe
from wlsc.models.top_k import check_active


class MaskedSparseCoding(GradientAutoencoder):
    """Minimise the squared error on hidden features, with codes by matching pursuit on the visible ones [1]_.

    A sample's visible features are drawn anew for every batch. Orthogonal matching pursuit finds k atoms and their
    weights from these alone; the loss is ‖y − Ax‖² over the others, its gradient that of the dictionary at fixed codes.
    A dictionary with more atoms than needed can fit the noise of what it sees, and cannot predict that of what it does
    not. Codes (`encode`) see all features.

    Published settings are 100 features, 200 true atoms, 200 to 1,000 atoms, k = 5, 90 visible features, 1,000 samples,
    500 epochs and the rate 1e-3. In the public code [2]_ k is that of the generator, which no one would know; one start
    holds the true atoms; recovery is to the nearest atom, which may serve many; and the mask is drawn once. The model
    belongs to planted data, where these can be set right.

    Parameters
    ----------
    n_features, n_atoms
        Shape of the dictionary.
    n_active
        k, from 1 to the number of visible features and of atoms.
    generator
        Source of the first atoms, Gaussian of norm 1, and of the masks, on the CPU.
    n_visible
        Visible features, 1 to n_features − 1; nine tenths by default.

    Attributes
    ----------
    dictionary
        Atoms of norm 1, shape (n_atoms, n_features), a parameter.

    References
    ----------
    .. [1] M. Chidambaram, C. Wu, Y. Cheng, R. Ge, Hiding data helps: on the benefits of masking for sparse coding,
       ICML (2023).
    .. [2] The authors' repository masked-sparse-coding-icml.
    """

    mask_seed: torch.Tensor
    n_batches: torch.Tensor

    def __init__(
        self,
        n_features: int,
        n_atoms: int,
        n_active: int,
        generator: torch.Generator | None = None,
        *,
        n_visible: int | None = None,
    ) -> None:
        super().__init__()
        shape = check_count("n_atoms", n_atoms), check_count("n_features", n_features, minimum=2)
        self.n_active = check_active(n_active, n_atoms)
        self.n_visible = n_features - max(n_features // 10, 1) if n_visible is None else n_visible
        if not check_active(n_active, n_features) <= check_count("n_visible", self.n_visible) < n_features:
            raise ValueError(
                f"n_visible must lie between n_active = {n_active} and n_features − 1 = {n_features - 1}, "
                f"got {self.n_visible}"
            )
        self.dictionary = torch.nn.Parameter(normalize(torch.randn(shape, generator=generator), dim=1))
        source = torch.default_generator if generator is None else generator
        self.register_buffer("mask_seed", torch.tensor(draw_seed(source)))
        self.register_buffer("n_batches", torch.tensor(0))

    @property
    def recipe(self) -> Recipe:
        """The published rate."""
        return Recipe(1e-3)

    def initialize(self, samples: Array, dictionary: torch.Tensor | None = None) -> None:
        """Check ``samples`` (n_samples, n_features); ``dictionary``, scaled to norm 1, gives first atoms."""
        self._checked(samples)
        if dictionary is not None:
            with torch.no_grad():
                self.dictionary.copy_(normalize(dictionary, dim=1))

    def encode(self, samples: torch.Tensor) -> torch.Tensor:
        """Codes of both signs by orthogonal matching pursuit, shape (n_samples, n_atoms), without gradients."""
        return matching_pursuit(samples, self.dictionary, self.n_active)

    def training_loss(self, samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean squared error on hidden features, a scalar, and the codes of the visible ones (n_samples, n_atoms)."""
        visible = self._draw_visible(len(samples)).to(samples.device)
        codes = matching_pursuit(samples, self.dictionary, self.n_active, visible)
        return ((samples - codes @ self.dictionary) * ~visible).square().sum(1).mean(), codes

    def _draw_visible(self, n_samples: int) -> torch.Tensor:
        # a seed of its own for every batch, so that a resumed training sees the masks it would have seen
        seed = np.random.SeedSequence((int(self.mask_seed), int(self.n_batches))).generate_state(1)[0]
        self.n_batches += 1
        scores = torch.rand(n_samples, self.dictionary.shape[1], generator=torch.Generator().manual_seed(int(seed)))
        ranks = scores.argsort(1).argsort(1)
        return ranks < self.n_visible

    def constrain(self) -> None:
        """Scale every atom to norm 1; atoms of zeros stay."""
        with torch.no_grad():
            self.dictionary.copy_(normalize(self.dictionary, dim=1))


@torch.no_grad()
def matching_pursuit(
    samples: torch.Tensor, dictionary: torch.Tensor, n_active: int, visible: torch.Tensor | None = None
) -> torch.Tensor:
    """Codes by orthogonal matching pursuit: the atom of largest |cosine| with the residual joins, then least squares.

    Parameters
    ----------
    samples, dictionary
        Shapes (n_samples, n_features) and (n_atoms, n_features).
    n_active
        Number of atoms of each sample.
    visible
        Boolean, shape (n_samples, n_features): features that exist for each sample; all by default.

    Returns
    -------
    torch.Tensor
        Shape (n_samples, n_atoms).
    """
    seen = torch.ones_like(samples) if visible is None else visible.to(samples)
    targets = samples * seen
    norms = (seen @ dictionary.square().T).sqrt()
    residuals, weights = targets, samples.new_zeros(len(samples), 0)
    chosen = torch.zeros(len(samples), 0, dtype=torch.int64, device=samples.device)
    for _ in range(n_active):
        cosines = (residuals @ dictionary.T).abs() / norms.clamp(min=torch.finfo(samples.dtype).tiny)
        chosen = torch.cat([chosen, cosines.scatter(1, chosen, -1).argmax(1, keepdim=True)], dim=1)
        atoms = dictionary[chosen] * seen.unsqueeze(1)
        # the pseudo-inverse, because atoms can depend on one another where few features are seen
        weights = (torch.linalg.pinv(atoms.mT) @ targets.unsqueeze(2)).squeeze(2)
        residuals = targets - (weights.unsqueeze(1) @ atoms).squeeze(1)
    return torch.zeros_like(norms).scatter(1, chosen, weights)
