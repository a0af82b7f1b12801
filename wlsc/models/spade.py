"""SpaDE: a sparse autoencoder whose codes are the sparsemax of distances to prototypes."""

from __future__ import annotations

import math

import torch
from torch.nn.functional import softplus

from wlsc._validation import Array, check_count, check_penalty, check_positive
from wlsc.inference.exact import infer_codes
from wlsc.models.autoencoder import GradientAutoencoder, Recipe
from wlsc.simplex import project_last


class SpaDEAutoencoder(GradientAutoencoder):
    """Minimise ‖y − Ax‖² + γ Σⱼ xⱼ‖y − aⱼ‖² with codes x = P(−λ‖y − eⱼ‖²) of prototypes e, P the simplex's projection.

    P is also called sparsemax; λ > 0 is learned [1]_. The loss is twice the objective of `wlsc.models.WLSCAutoencoder`
    with the penalty γ/2: for a given dictionary its least value is that of `infer`'s codes, and what the encoder's
    codes lie above it is the price of encoding in one pass.

    Published are the codes, the loss, γ = 0.1, prototypes and atoms that start as the same samples, λ = softplus(ρ)
    that starts at 1/(2d), a rate that falls along a cosine, and no bias. That start of λ supposes features of variance
    1: for images of norm 1 it makes half the atoms active. Here λ starts at 1/(2σ²), with σ² the total variance of the
    samples, which is the same for features of variance 1; prototypes and atoms are learned in units of σ, so that
    nothing depends on the unit of the samples. Our choice is Adam's rate, 1e-3 in that unit.

    Parameters
    ----------
    n_features, n_atoms
        Shape of the dictionary.
    generator
        Source of the first atoms, on the CPU: Gaussian, of total variance 1.
    gamma
        γ ≥ 0.
    sharpness
        First λ > 0, in units of 1/σ².

    Attributes
    ----------
    prototypes, atoms
        e and a in units of σ, shape (n_atoms, n_features), parameters.
    raw_sharpness
        ρ, a scalar parameter.
    scale
        σ, a scalar buffer; 1 before `initialize`.

    References
    ----------
    .. [1] S. S. R. Hindupur, E. S. Lubana, T. Fel, D. Ba, Projecting assumptions: the duality between sparse
       autoencoders and concept geometry, arXiv 2503.01822 (2025).
    """

    scale: torch.Tensor

    def __init__(
        self,
        n_features: int,
        n_atoms: int,
        generator: torch.Generator | None = None,
        *,
        gamma: float = 0.1,
        sharpness: float = 0.5,
    ) -> None:
        super().__init__()
        shape = check_count("n_atoms", n_atoms), check_count("n_features", n_features)
        self.gamma = check_penalty(gamma)
        first = torch.randn(shape, generator=generator) / math.sqrt(n_features)
        self.prototypes, self.atoms = torch.nn.Parameter(first), torch.nn.Parameter(first.clone())
        raw = math.log(math.expm1(check_positive("sharpness", sharpness)))
        self.raw_sharpness = torch.nn.Parameter(torch.tensor(raw))
        self.register_buffer("scale", torch.tensor(1.0))

    @property
    def dictionary(self) -> torch.Tensor:  # type: ignore[override]
        """Atoms in the unit of the samples, shape (n_atoms, n_features)."""
        return self.scale * self.atoms

    @property
    def recipe(self) -> Recipe:
        """A rate of our choice; the published cosine is the trainer's ``n_steps``."""
        return Recipe(1e-3)

    def initialize(self, samples: Array, dictionary: torch.Tensor | None = None) -> None:
        """Take σ from ``samples``, and from ``dictionary`` the atoms and prototypes.

        Parameters
        ----------
        samples
            Shape (n_samples, n_features), not all the same.
        dictionary
            Shape (n_atoms, n_features), in the unit of the samples: by publication some of them.
        """
        values = self._checked(samples)
        variance = (values - values.mean(0)).square().sum(1).mean()
        if not bool(variance > 0):
            raise ValueError("samples must not all be the same, got samples of variance 0")
        with torch.no_grad():
            self.scale.copy_(variance.sqrt())
            if dictionary is not None:
                self.atoms.copy_(dictionary / self.scale)
                self.prototypes.copy_(self.atoms)

    def encode(self, samples: torch.Tensor) -> torch.Tensor:
        """Codes on the simplex, shape (n_samples, n_atoms)."""
        return project_last(-softplus(self.raw_sharpness) * _squares(samples / self.scale, self.prototypes))

    def objective(self, samples: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Loss ‖y − Ax‖² + γ Σⱼ xⱼ‖y − aⱼ‖² of each sample, shape (n_samples,)."""
        return super().objective(samples, codes) + self.gamma * (codes * _squares(samples, self.dictionary)).sum(1)

    def training_loss(self, samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean loss over σ², a scalar, and the codes (n_samples, n_atoms)."""
        codes = self.encode(samples)
        return self.objective(samples, codes).mean() / self.scale.square(), codes

    def infer(self, samples: torch.Tensor) -> torch.Tensor:
        """Codes of least loss for the dictionary as it is, shape (n_samples, n_atoms); see `wlsc.infer_codes`."""
        return torch.as_tensor(infer_codes(samples, self.dictionary.detach(), self.gamma / 2))


def _squares(samples: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Squared distances, shape (n_samples, n_points), from one matrix product."""
    products = samples @ points.T
    return samples.square().sum(1, keepdim=True) - 2 * products + points.square().sum(1)
