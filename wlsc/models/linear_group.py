"""An LGN-style toy: atoms are the orbits of a few under one cyclic linear map that is learned."""

from __future__ import annotations

import math

import torch
from torch.nn.functional import normalize, softshrink

from wlsc._validation import Array, check_count, check_positive
from wlsc.inference.unrolled import spectral_step_size, unroll
from wlsc.models.autoencoder import GradientAutoencoder, Recipe


class LinearGroupAutoencoder(GradientAutoencoder):
    """Minimise ½‖y − Σ x_{bg} Rᵍa_b‖² + λ‖x‖₁ over codes x, base atoms a of norm 1 and a map R with Rⁿ = 1.

    A toy in the style of linear group networks [1]_, of whose recipe not enough is known to rebuild it: that linear
    maps of cyclic order are learned with the atoms is theirs, everything else here is ours.

    R = Q B Qᵀ turns each of d/2 planes by 2πk/n for a fixed whole number k, 1 … n/2 and 0 in turn, so that Rⁿ = 1; the
    planes are learned, Q = exp(S − Sᵀ). For odd d one direction stays as it is. Codes come from the layers of
    `wlsc.inference.unrolled.unroll`, with gradients through all of them. Rows of the dictionary are base atom 0 under
    R⁰ … Rⁿ⁻¹, then base atom 1, and so on.

    Parameters
    ----------
    n_features
        Size of the samples, at least 2.
    n_base, order
        Number of base atoms, and order n ≥ 2 of the map; there are n_base · order atoms.
    lam
        λ > 0.
    generator
        Source of the first base atoms and planes, on the CPU.
    n_layers
        Number of layers.

    Attributes
    ----------
    base
        a, shape (n_base, n_features), a parameter.
    skew
        S, shape (n_features, n_features), a parameter.
    cycles
        k of each plane, float, shape (n_features // 2,), a buffer.

    References
    ----------
    .. [1] arXiv 2305.18552 (2023).
    """

    cycles: torch.Tensor

    def __init__(
        self,
        n_features: int,
        n_base: int,
        order: int,
        lam: float,
        generator: torch.Generator | None = None,
        *,
        n_layers: int = 15,
    ) -> None:
        super().__init__()
        check_count("n_features", n_features, minimum=2)
        self.order = check_count("order", order, minimum=2)
        self.lam = check_positive("lam", lam)
        self.n_layers = check_count("n_layers", n_layers)
        first = torch.randn(check_count("n_base", n_base), n_features, generator=generator)
        self.base = torch.nn.Parameter(normalize(first, dim=1))
        planes = torch.randn(n_features, n_features, generator=generator) / math.sqrt(n_features)
        self.skew = torch.nn.Parameter(planes)
        self.register_buffer("cycles", (torch.arange(1, n_features // 2 + 1) % (order // 2 + 1)).float())

    @property
    def recipe(self) -> Recipe:
        """A rate of our choice."""
        return Recipe(1e-2)

    def power(self, exponent: int) -> torch.Tensor:
        """Rᵍ for g = ``exponent``, as a matrix that acts on rows, shape (n_features, n_features)."""
        angles = 2 * math.pi * exponent * self.cycles / self.order
        blocks = [torch.stack([angle.cos(), angle.sin(), -angle.sin(), angle.cos()]).view(2, 2) for angle in angles]
        fixed = [torch.ones(1, 1).to(self.skew)] * (len(self.skew) % 2)
        planes = torch.linalg.matrix_exp(self.skew - self.skew.T)
        return planes @ torch.block_diag(*blocks, *fixed) @ planes.T

    @property
    def dictionary(self) -> torch.Tensor:  # type: ignore[override]
        """Atoms, shape (n_base · order, n_features)."""
        return torch.stack([self.base @ self.power(step) for step in range(self.order)], dim=1).flatten(0, 1)

    def initialize(self, samples: Array, dictionary: torch.Tensor | None = None) -> None:
        """Check ``samples``; the atoms are orbits, and cannot be given.

        Raises
        ------
        ValueError
            If a dictionary is given, or the samples do not fit.
        """
        self._checked(samples)
        if dictionary is not None:
            raise ValueError("dictionary must be None where atoms are the orbits of a learned map, got one")

    def encode(self, samples: torch.Tensor) -> torch.Tensor:
        """Codes of both signs after the layers, shape (n_samples, n_atoms)."""
        return self._layers(samples, self.dictionary)

    def _layers(self, samples: torch.Tensor, atoms: torch.Tensor) -> torch.Tensor:
        step = spectral_step_size(atoms)
        threshold = float(self.lam * step)
        gram, linear = atoms @ atoms.T, samples @ atoms.T
        return unroll(gram, linear, self.n_layers, step, prox=lambda values: softshrink(values, threshold))

    def objective(self, samples: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Objective ½‖y − Ax‖² + λ‖x‖₁ of each sample, shape (n_samples,)."""
        return 0.5 * super().objective(samples, codes) + self.lam * codes.abs().sum(1)

    def training_loss(self, samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean objective, a scalar, and the codes (n_samples, n_atoms)."""
        atoms = self.dictionary
        codes = self._layers(samples, atoms)
        error = 0.5 * (samples - codes @ atoms).square().sum(1) + self.lam * codes.abs().sum(1)
        return error.mean(), codes

    def constrain(self) -> None:
        """Scale base atoms to norm 1."""
        with torch.no_grad():
            self.base.copy_(normalize(self.base, dim=1))
