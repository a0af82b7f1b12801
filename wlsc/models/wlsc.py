"""Weighted-ℓ1 sparse coding: the paper's unrolled autoencoder."""

from __future__ import annotations

import torch

from wlsc.dictionary import SufficientStatistics, closed_form_update
from wlsc.inference.exact import infer_codes
from wlsc.inference.unrolled import encode_unrolled
from wlsc.models._unrolled import UnrolledAutoencoder
from wlsc.problem import objective_terms


class WLSCAutoencoder(UnrolledAutoencoder):
    """Codes on the simplex, weighted-ℓ1 penalty: minimise ½‖y − Ax‖² + λ Σⱼ xⱼ‖y − aⱼ‖² over A and x.

    The network, its exact counterpart (`infer`) and the closed-form dictionary update share this one objective.

    Parameters
    ----------
    n_features, n_atoms
        Shape of the dictionary.
    lam
        Weight λ ≥ 0 of the penalty: 0 projects samples onto the hull of the atoms, ∞ is k-means.
    n_layers
        Number T of unrolled layers; the same group has published 15 and 100.
    step
        "fixed": 1/σ_max(A)², followed as the dictionary moves; "learned": a parameter that starts there.
    gradient
        How `loss` differentiates the codes: "full": through all layers; "truncated": through the last
        ``n_differentiated``; "detached": not at all, which is exact at converged codes (Danskin's theorem).
    n_differentiated
        Number of layers for "truncated", and for it only.
    generator
        Source of the random first dictionary.

    Attributes
    ----------
    dictionary
        Atoms, shape (n_atoms, n_features), a parameter.

    Raises
    ------
    ValueError
        If an argument is out of its range.
    """

    def _layers(self, patches: torch.Tensor) -> torch.Tensor:
        return encode_unrolled(patches, self.dictionary, self.lam, self.n_layers, self.step_size, self.n_differentiated)

    def infer(self, patches: torch.Tensor, initial_codes: torch.Tensor | None = None) -> torch.Tensor:
        """Optimal codes, shape (n_samples, n_atoms), on the simplex; see `wlsc.infer_codes`."""
        return infer_codes(patches, self.dictionary.detach(), self.lam, initial_codes=initial_codes)

    def objective(self, patches: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Objective of each sample, shape (n_samples,)."""
        return objective_terms(patches, self.dictionary, codes, self.lam)

    def origin(self) -> torch.Tensor:
        """The mean of the atoms: where codes sum to one, what patches and atoms have in common is free."""
        return self.dictionary.detach().mean(0, dtype=torch.float64).to(self.dictionary.dtype)

    def updated_dictionary(self, statistics: SufficientStatistics) -> torch.Tensor:
        """The optimal dictionary for fixed codes; see `wlsc.dictionary.closed_form_update`."""
        return closed_form_update(statistics, self.dictionary.detach(), self.lam)
