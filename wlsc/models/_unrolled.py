"""What the unrolled autoencoders share: tied weights, the layers' gradient, and the pass from patches to patches."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch

from wlsc._sparse import sparse_if_few
from wlsc._validation import check_choice, check_count, check_penalty
from wlsc.dictionary import SufficientStatistics
from wlsc.inference.unrolled import spectral_step_size

_GRADIENTS = ("full", "truncated", "detached")


class UnrolledAutoencoder(torch.nn.Module, ABC):
    """Encoder of ``n_layers`` layers and linear decoder that share one dictionary.

    Parameters
    ----------
    n_features, n_atoms
        Shape of the dictionary.
    lam
        Weight λ ≥ 0 of the sparsity penalty.
    n_layers
        Number T of unrolled layers.
    step
        "fixed": 1/σ_max(A)², kept until the dictionary is another; "learned": a parameter that starts there.
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
    """

    def __init__(
        self,
        n_features: int,
        n_atoms: int,
        lam: float,
        n_layers: int = 15,
        step: str = "fixed",
        gradient: str = "full",
        n_differentiated: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        shape = check_count("n_atoms", n_atoms), check_count("n_features", n_features)
        self.lam = check_penalty(lam)
        self.n_layers = check_count("n_layers", n_layers)
        check_choice("step", step, ("fixed", "learned"))
        self.gradient = check_choice("gradient", gradient, _GRADIENTS)
        if (n_differentiated is not None) != (gradient == "truncated"):
            raise ValueError(
                f'n_differentiated must be given for gradient="truncated" and only then, '
                f"got {n_differentiated} for {gradient!r}"
            )
        self.n_differentiated = None if n_differentiated is None else check_count("n_differentiated", n_differentiated)
        first = torch.randn(shape, generator=generator) / math.sqrt(n_features)
        self.dictionary = torch.nn.Parameter(first)
        self._kept = first.clone(), spectral_step_size(first)  # a dictionary, and the step size that belongs to it
        self.log_step = torch.nn.Parameter(self._kept[1].log()) if step == "learned" else None

    def set_dictionary(self, dictionary: torch.Tensor) -> None:
        """Put ``dictionary`` (n_atoms, n_features) in place of the atoms; a learned step starts over from it."""
        with torch.no_grad():
            self.dictionary.copy_(dictionary)
            if self.log_step is not None:
                self.log_step.copy_(spectral_step_size(self.dictionary).log())

    @property
    def step_size(self) -> torch.Tensor:
        """Step size η of the layers, a scalar tensor."""
        if self.log_step is not None:
            return self.log_step.exp()
        if torch.compiler.is_compiling() or not isinstance(self.dictionary, torch.nn.Parameter):
            return spectral_step_size(self.dictionary)  # a stand-in for the dictionary, of which nothing can be kept
        return self._spectral_step_size()

    def _spectral_step_size(self) -> torch.Tensor:
        """`spectral_step_size` of the dictionary, computed anew only if that has changed, in whatever way."""
        atoms, (known, step) = self.dictionary.detach(), self._kept
        if (known.dtype, known.device, known.shape) == (atoms.dtype, atoms.device, atoms.shape) and known.equal(atoms):
            return step
        step = spectral_step_size(atoms)
        if torch.func.debug_unwrap(step) is step:  # what a transform of torch.func computes ends with it
            self._kept = atoms.clone(), step
        return step

    def encode(self, patches: torch.Tensor) -> torch.Tensor:
        """Codes after ``n_layers`` layers, shape (n_samples, n_atoms), with gradients as ``gradient`` asks."""
        if self.gradient == "detached":
            with torch.no_grad():
                return self._layers(patches)
        return self._layers(patches)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Reconstructions Ax, shape (n_samples, n_features)."""
        return sparse_if_few(codes) @ self.dictionary

    def forward(self, patches: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Reconstruction and codes of ``patches`` (n_samples, n_features)."""
        codes = self.encode(patches)
        return self.decode(codes), codes

    def loss(self, patches: torch.Tensor) -> torch.Tensor:
        """Mean objective at the network's own codes: the training loss, a scalar."""
        return self.objective(patches, self.encode(patches)).mean()

    @abstractmethod
    def _layers(self, patches: torch.Tensor) -> torch.Tensor:
        """Run the layers."""

    @abstractmethod
    def infer(self, patches: torch.Tensor, initial_codes: torch.Tensor | None = None) -> torch.Tensor:
        """Optimal codes for the dictionary as it is, without gradients, shape (n_samples, n_atoms)."""

    @abstractmethod
    def objective(self, patches: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Objective of each sample, shape (n_samples,)."""

    @abstractmethod
    def updated_dictionary(self, statistics: SufficientStatistics) -> torch.Tensor:
        """Dictionary that improves the objective for fixed codes, given their sufficient statistics."""

    def origin(self) -> torch.Tensor | None:
        """Point (n_features,) that sufficient statistics may be measured from; None where zero is part of the model."""
        return None

    def constrain(self) -> None:
        """Bring the atoms back to their feasible set after a gradient step; the base model has no constraint."""

    def relaxed(self) -> UnrolledAutoencoder | None:
        """A convex model that begins at the same atoms and finds a better start for this one, where there is one."""
        return None
