"""The contract of the autoencoders that are not unrolled: those that learn by gradients, and those that are fitted.

An autoencoder has a ``dictionary`` (n_atoms, n_features), encodes samples into codes (n_samples, n_atoms) and decodes
them linearly. `wlsc.training.GradientTrainer` trains those that learn by gradients, most of which have an encoder of
one pass with weights of its own; those that are fitted have an algorithm of their own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch.nn.functional import normalize

from wlsc._sparse import sparse_if_few
from wlsc._validation import Array, check_count, to_torch

#: Steps of Weiszfeld's algorithm, and the relative change at which it stops.
_MEDIAN_STEPS = 100
_MEDIAN_TOLERANCE = 1e-6

#: Samples that a geometric median is computed of at most; its error falls with their root.
_MEDIAN_SAMPLES = 20_000


class Recipe(NamedTuple):
    """How Adam trains a model unless it is told otherwise.

    Attributes
    ----------
    learning_rate
        Of Adam.
    betas
        Of Adam's two moments.
    clip_norm
        Largest norm of the gradient of all parameters together; None does not clip.
    """

    learning_rate: float
    betas: tuple[float, float] = (0.9, 0.999)
    clip_norm: float | None = None


class Autoencoder(torch.nn.Module, ABC):
    """An encoder and a linear decoder.

    Attributes
    ----------
    dictionary
        Atoms, shape (n_atoms, n_features).
    """

    dictionary: torch.Tensor

    @abstractmethod
    def encode(self, samples: torch.Tensor) -> torch.Tensor:
        """Codes of ``samples`` (n_samples, n_features), shape (n_samples, n_atoms)."""

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Reconstructions of ``codes`` (n_samples, n_atoms), shape (n_samples, n_features)."""
        return sparse_if_few(codes) @ self.dictionary

    def forward(self, samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Reconstruction and codes of ``samples`` (n_samples, n_features)."""
        codes = self.encode(samples)
        return self.decode(codes), codes

    def objective(self, samples: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Objective of each sample at given codes, shape (n_samples,): here the squared error ‖y − ŷ‖²."""
        return (samples - self.decode(codes)).square().sum(1)

    def _checked(self, samples: Array, n_needed: int = 1) -> torch.Tensor:
        """Return ``samples`` with the dtype and on the device of the dictionary; there are at least ``n_needed``."""
        values, n_features = to_torch("samples", samples, ndim=2).detach(), self.dictionary.shape[1]
        if values.shape[1] != n_features or len(values) < n_needed:
            raise ValueError(
                f"samples must have shape (n_samples, {n_features}) with at least {n_needed} samples, "
                f"got {tuple(values.shape)}"
            )
        return values.to(self.dictionary)


class FittedAutoencoder(Autoencoder):
    """An autoencoder that learns from all samples at once, by an algorithm of its own.

    Parameters
    ----------
    n_features, n_atoms
        Shape of the dictionary, which is 0 before `fit`.
    """

    def __init__(self, n_features: int, n_atoms: int) -> None:
        super().__init__()
        shape = check_count("n_atoms", n_atoms), check_count("n_features", n_features)
        self.register_buffer("dictionary", torch.zeros(shape))

    @abstractmethod
    def fit(self, samples: Array, generator: torch.Generator) -> None:
        """Learn from ``samples`` (n_samples, n_features); all randomness comes from ``generator``, on the CPU."""


class GradientAutoencoder(Autoencoder):
    """An autoencoder that learns by gradients.

    Subclasses say what a step minimises (`training_loss`) and which constraints hold after it (`constrain`);
    `wlsc.training.GradientTrainer` does the rest.
    """

    @property
    @abstractmethod
    def recipe(self) -> Recipe:
        """What Adam uses by default."""

    @abstractmethod
    def initialize(self, samples: Array, dictionary: torch.Tensor | None = None) -> None:
        """Take from ``samples`` (n_samples, n_features) what training starts from, and ``dictionary`` as first atoms.

        Parameters
        ----------
        samples
            Of the data to be learned.
        dictionary
            Shape (n_atoms, n_features); by default the atoms stay what they are.
        """

    @abstractmethod
    def training_loss(self, samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss of a batch, a scalar, and its codes; what the model remembers of batches is brought up to date."""

    def project_gradient(self) -> None:
        """Change the gradients before the step; by default they stay."""

    def constrain(self) -> None:
        """Bring the parameters back to their feasible set after a step; by default there is none."""

    def finish_epoch(self, batches: Iterable[torch.Tensor]) -> None:
        """Do what is done once in an epoch, with all its ``batches`` at hand; by default nothing."""


class LinearEncoderAutoencoder(GradientAutoencoder):
    """An autoencoder whose codes come from the pre-activations E(y − b) + c, with atoms of norm 1.

    Parameters
    ----------
    n_features, n_atoms
        Shape of the dictionary.
    generator
        Source of the first atoms, on the CPU: Gaussian, of norm 1. The encoder starts as their copy, biases at 0.

    Attributes
    ----------
    dictionary, encoder
        Shape (n_atoms, n_features), parameters.
    encoder_bias
        c, shape (n_atoms,), a parameter.
    bias
        b, shape (n_features,), a parameter, which the decoder adds again.
    """

    def __init__(self, n_features: int, n_atoms: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        shape = check_count("n_atoms", n_atoms), check_count("n_features", n_features)
        first = normalize(torch.randn(shape, generator=generator), dim=1)
        self.encoder = torch.nn.Parameter(first.clone())
        self.encoder_bias = torch.nn.Parameter(torch.zeros(n_atoms))
        self.bias = torch.nn.Parameter(torch.zeros(n_features))
        self._hold(first)

    def _hold(self, first: torch.Tensor) -> None:
        self.dictionary = torch.nn.Parameter(first)

    def initialize(self, samples: Array, dictionary: torch.Tensor | None = None) -> None:
        """Put the bias at the geometric median of ``samples``; ``dictionary``, scaled, gives first atoms and encoder.

        Parameters
        ----------
        samples
            Shape (n_samples, n_features). The median is that of at most 20,000 of them, evenly spaced.
        dictionary
            Shape (n_atoms, n_features); atoms are scaled to norm 1.
        """
        values = self._checked(samples)
        with torch.no_grad():
            self.bias.copy_(geometric_median(values[:: -(-len(values) // _MEDIAN_SAMPLES)]))
            if dictionary is not None:
                self.dictionary.copy_(dictionary)
                self.constrain()
                self.encoder.copy_(self.dictionary)

    def pre_activations(self, samples: torch.Tensor) -> torch.Tensor:
        """E(y − b) + c, shape (n_samples, n_atoms)."""
        return torch.addmm(self.encoder_bias, samples - self.bias, self.encoder.T)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Reconstructions Ax + b, shape (n_samples, n_features)."""
        return super().decode(codes) + self.bias

    def project_gradient(self) -> None:
        """Take from the gradient of every atom its part along the atom, which the norm of 1 would undo."""
        gradient = self.dictionary.grad
        if gradient is not None:
            with torch.no_grad():
                along = (gradient * self.dictionary).sum(1, keepdim=True)
                gradient -= along * self.dictionary

    def constrain(self) -> None:
        """Scale every atom to norm 1; atoms of zeros stay."""
        with torch.no_grad():
            self.dictionary.copy_(normalize(self.dictionary, dim=1))


def geometric_median(points: torch.Tensor) -> torch.Tensor:
    """Point of least mean distance to ``points`` (n_points, n_features), by Weiszfeld's algorithm, shape (n_features,).

    Distances are kept above a millionth of their mean, so that the median may be one of the points.
    """
    median = points.mean(0)
    for _ in range(_MEDIAN_STEPS):
        distances = (points - median).norm(dim=1)
        scale = distances.mean()
        if not bool(scale > 0):
            break
        weights = 1 / distances.clamp(min=1e-6 * scale)
        following = weights @ points / weights.sum()
        change = (following - median).norm()
        median = following
        if bool(change <= _MEDIAN_TOLERANCE * scale):
            break
    return median
