"""Archetypal sparse autoencoders: atoms stay within, or close to, the convex hull of anchors taken from the data."""

from __future__ import annotations

from typing import Any

import torch

from wlsc._validation import Array, to_torch
from wlsc.models.top_k import TopKAutoencoder
from wlsc.simplex import project_last


class ArchetypalAutoencoder(TopKAutoencoder):
    """TopK codes, and atoms A = eᵍ (W C + Λ) with rows of W on the simplex and ‖Λⱼ‖ ≤ δ, for anchors C [1]_.

    δ = 0 is the strict form, A-SAE: up to the common scale eᵍ atoms are convex combinations of anchors. δ > 0 is the
    relaxed one, RA-SAE; published is δ = 1 for data of their own scale. Loss and AuxK are those of `TopKAutoencoder`.

    Published are A, the constraints, and rows of W that start at one anchor each. In the public code [2]_

    - the j-th atom starts at the j-th anchor, for every seed: runs from the same anchors start from the same
      dictionary, and their agreement at the end is partly that of the start. Here the anchors are drawn;
    - rows of W are rectified and divided by their sums, which is no projection; here it is the Euclidean one;
    - δ = 0 divides 0 by 0, and the dictionary is NaN; here Λ is 0 then, and is not trained;
    - with fewer anchors than atoms the atoms beyond them start at 0; here that is refused;
    - the dictionary of the trained model is a copy that is made when training ends and not when weights are loaded;
      here it is always computed of the weights.

    Different, and our choice: the encoder and its bias are those of `TopKAutoencoder`, started at the first atoms, each
    of norm 1; the decoder has no bias, so that archetypes alone make up a reconstruction; there is no constraint on
    the norm of atoms, which the anchors decide.

    Parameters
    ----------
    n_features, n_atoms, n_active, generator, **options
        Those of `TopKAutoencoder`; the generator draws the anchors that atoms start at.
    anchors
        C, shape (n_anchors ≥ n_atoms, n_features): samples, or centroids of them.
    delta
        δ ≥ 0, in the unit of the samples.

    Attributes
    ----------
    weights
        W, shape (n_atoms, n_anchors), a parameter.
    relaxation
        Λ, shape (n_atoms, n_features), a parameter.
    log_scale
        g, a scalar parameter.
    anchors
        C, a buffer.

    References
    ----------
    .. [1] T. Fel et al., Archetypal SAE: adaptive and stable dictionary learning for concept extraction in large vision
       models, arXiv 2502.12892 (2025).
    .. [2] https://github.com/KempnerInstitute/overcomplete, version 0.3.0
    """

    anchors: torch.Tensor

    def __init__(
        self,
        n_features: int,
        n_atoms: int,
        n_active: int,
        anchors: Array,
        delta: float = 1.0,
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> None:
        points = to_torch("anchors", anchors, ndim=2).detach()
        if not 0 <= delta < float("inf"):
            raise ValueError(f"delta must be a finite number of at least 0, got {delta!r}")
        super().__init__(n_features, n_atoms, n_active, generator, **options)
        if points.shape[1] != n_features or len(points) < n_atoms:
            raise ValueError(
                f"anchors must have shape (n_anchors, {n_features}) with at least n_atoms = {n_atoms} anchors, "
                f"got {tuple(points.shape)}"
            )
        self.delta = float(delta)
        self.register_buffer("anchors", points.to(self.encoder))
        chosen = torch.randperm(len(points), generator=generator)[:n_atoms]
        self.weights = torch.nn.Parameter(torch.eye(len(points))[chosen])
        self.relaxation = torch.nn.Parameter(torch.zeros(n_atoms, n_features), requires_grad=delta > 0)
        self.log_scale = torch.nn.Parameter(torch.tensor(0.0))
        self.bias.requires_grad_(False)
        with torch.no_grad():
            self.encoder.copy_(torch.nn.functional.normalize(self.dictionary, dim=1))

    def _hold(self, first: torch.Tensor) -> None:
        """Atoms are computed, not held."""

    @property
    def dictionary(self) -> torch.Tensor:  # type: ignore[override]
        """Atoms eᵍ (W C + Λ), shape (n_atoms, n_features)."""
        return self.log_scale.exp() * (self.weights @ self.anchors + self.relaxation)

    def initialize(self, samples: Array, dictionary: torch.Tensor | None = None) -> None:
        """Check the samples; atoms start at anchors, and cannot be put elsewhere.

        Raises
        ------
        ValueError
            If a dictionary is given, or the samples do not fit.
        """
        self._checked(samples)
        if dictionary is not None:
            raise ValueError("dictionary must be None where anchors give the first atoms, got one")

    def project_gradient(self) -> None:
        """Leave the gradients as they are: atoms have no fixed norm."""

    def constrain(self) -> None:
        """Project rows of W onto the simplex and rows of Λ onto the ball of radius δ."""
        with torch.no_grad():
            self.weights.copy_(project_last(self.weights))
            norms = self.relaxation.norm(dim=1, keepdim=True)
            self.relaxation.mul_(torch.where(norms > self.delta, self.delta / norms, 1))
