"""JumpReLU: a sparse autoencoder with a learned threshold for every atom."""

from __future__ import annotations

from typing import Any

import torch

from wlsc._validation import check_penalty, check_positive
from wlsc.models.autoencoder import LinearEncoderAutoencoder, Recipe

#: First threshold of every atom.
_FIRST_THRESHOLD = 1e-3


class JumpReLUAutoencoder(LinearEncoderAutoencoder):
    """Minimise mean ‖y − ŷ‖² + w (L0/L0* − 1)², where the mean number L0 of active atoms is to come to L0* [1]_.

    Codes are x = p·H(p − θ) of the pre-activations p = E(y − b) + c, with a threshold θ ≥ 0 of each atom and the step
    H; ŷ = Ax + b, and atoms have norm 1. A step has no gradient: that of θ is estimated from the pre-activations in a
    window of width ε around it, −(1/ε)·[|p − θ| < ε/2] for H and −(θ/ε)·[|p − θ| < ε/2] for p·H.

    Published are the codes, the estimator, its width 1e-3 and Adam's betas (0, 0.999). The paper penalises L0 itself;
    the squared distance from a target, thresholds that are no logarithms, the rate 7e-5 and the clipping at 1 are those
    of a public trainer [2]_. Different here:

    - The trainer counts L0 from codes after their jump, none of which lies just below θ: half the window is empty, and
      θ is driven too weakly. Here L0 is counted from pre-activations.
    - The encoder subtracts b, as that of TopK does; the trainer's does not.
    - Thresholds are kept at or above 0; warm-ups of the rate and of w are left out.

    ε is in the unit of the pre-activations, which is that of the samples: 1e-3 suits samples of norm about 1.

    Parameters
    ----------
    n_features, n_atoms, generator
        Those of `LinearEncoderAutoencoder`.
    target
        L0* > 0, at most n_atoms.
    sparsity_weight
        w ≥ 0.
    bandwidth
        ε > 0.

    Attributes
    ----------
    threshold
        θ, shape (n_atoms,), a parameter; 1e-3 at first.

    References
    ----------
    .. [1] S. Rajamanoharan et al., Jumping ahead: improving reconstruction fidelity with JumpReLU sparse autoencoders,
       arXiv 2407.14435 (2024).
    .. [2] https://github.com/saprmarks/dictionary_learning
    """

    def __init__(
        self,
        n_features: int,
        n_atoms: int,
        target: float,
        generator: torch.Generator | None = None,
        *,
        sparsity_weight: float = 1.0,
        bandwidth: float = 1e-3,
    ) -> None:
        super().__init__(n_features, n_atoms, generator)
        self.target = check_positive("target", target)
        if target > n_atoms:
            raise ValueError(f"target must be at most n_atoms = {n_atoms}, got {target}")
        self.sparsity_weight = check_penalty(sparsity_weight)
        self.bandwidth = check_positive("bandwidth", bandwidth)
        self.threshold = torch.nn.Parameter(torch.full((n_atoms,), _FIRST_THRESHOLD))

    @property
    def recipe(self) -> Recipe:
        """That of the public trainer."""
        return Recipe(7e-5, (0.0, 0.999), 1.0)

    def encode(self, samples: torch.Tensor) -> torch.Tensor:
        """Codes p·H(p − θ), 0 or above θ, shape (n_samples, n_atoms)."""
        return self._jump(self.pre_activations(samples))[0]

    def training_loss(self, samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss of the class's description, a scalar, and the codes (n_samples, n_atoms)."""
        codes, steps = self._jump(self.pre_activations(samples))
        missed = steps.sum(1).mean() / self.target - 1
        return self.objective(samples, codes).mean() + self.sparsity_weight * missed.square(), codes

    def _jump(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return _Jump.apply(values, self.threshold, self.bandwidth)

    def constrain(self) -> None:
        """Scale every atom to norm 1, and keep thresholds at or above 0."""
        super().constrain()
        with torch.no_grad():
            self.threshold.clamp_(min=0)


class _Jump(torch.autograd.Function):
    """Values above their thresholds, and the step that says which are."""

    @staticmethod
    def forward(
        ctx: Any, values: torch.Tensor, threshold: torch.Tensor, bandwidth: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        steps = (values > threshold).to(values.dtype)
        ctx.save_for_backward(values, threshold, steps)
        ctx.bandwidth = bandwidth
        return values * steps, steps

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        values, threshold, steps = ctx.saved_tensors
        near = ((values - threshold).abs() < ctx.bandwidth / 2).to(values.dtype) / ctx.bandwidth
        of_codes, of_steps = gradients
        return of_codes * steps, -(near * (threshold * of_codes + of_steps)).sum(0), None
