"""PAM-SGD: an encoder trained by gradients that alternates with a decoder in closed form."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from wlsc._validation import Array, check_penalty
from wlsc.dictionary import SufficientStatistics
from wlsc.models.autoencoder import LinearEncoderAutoencoder, Recipe
from wlsc.models.top_k import check_active


class PamAutoencoder(LinearEncoderAutoencoder):
    """Minimise Σ‖y − Ax − b‖² + μ‖A‖², x the k largest entries of E y + c: E, c by Adam, A, b exactly each epoch [1]_.

    Published is the alternation, with proximal terms, for which convergence is shown. Its code for MNIST [2]_ has 256
    atoms, k = 15, batches of 128, 50 epochs, the rate 3e-3 and μ = 1e-6; it keeps the entries of largest *absolute*
    value, with their signs. Results are published as plots. Different there:

    - b is computed after A, from what A leaves; here both are the joint minimum, which is never above;
    - there are no proximal terms; here neither;
    - plain training, to which it is compared, has tied weights and so half as many parameters.

    Atoms that no sample uses keep their place. Atoms have no fixed norm, which the closed form decides.

    Parameters
    ----------
    n_features, n_atoms, generator
        Those of `LinearEncoderAutoencoder`.
    n_active
        k, from 1 to n_atoms.
    signed
        Keep the entries of largest absolute value, as published; otherwise the largest, and those above 0 only.
    ridge
        μ ≥ 0.

    References
    ----------
    .. [1] SplInterp: improving our understanding and training of sparse autoencoders (2025).
    .. [2] https://github.com/splInterp2025/splInterp
    """

    def __init__(
        self,
        n_features: int,
        n_atoms: int,
        n_active: int,
        generator: torch.Generator | None = None,
        *,
        signed: bool = True,
        ridge: float = 1e-6,
    ) -> None:
        super().__init__(n_features, n_atoms, generator)
        self.n_active = check_active(n_active, n_atoms)
        self.signed = signed
        self.ridge = check_penalty(ridge)
        self.dictionary.requires_grad_(False)
        self.bias.requires_grad_(False)

    @property
    def recipe(self) -> Recipe:
        """The rate of the public code for MNIST."""
        return Recipe(3e-3)

    def initialize(self, samples: Array, dictionary: torch.Tensor | None = None) -> None:
        """Put the bias at the mean of ``samples``, the best one for codes of 0; ``dictionary`` gives atoms and encoder.

        Parameters
        ----------
        samples
            Shape (n_samples, n_features).
        dictionary
            Shape (n_atoms, n_features); atoms are taken as they are, and the encoder's rows are scaled to norm 1.
        """
        values = self._checked(samples)
        with torch.no_grad():
            self.bias.copy_(values.mean(0))
            if dictionary is not None:
                self.dictionary.copy_(dictionary)
                self.encoder.copy_(torch.nn.functional.normalize(self.dictionary, dim=1))

    def pre_activations(self, samples: torch.Tensor) -> torch.Tensor:
        """E y + c, shape (n_samples, n_atoms); the decoder's bias is not subtracted."""
        return torch.addmm(self.encoder_bias, samples, self.encoder.T)

    def encode(self, samples: torch.Tensor) -> torch.Tensor:
        """Codes of which at most k are not 0, shape (n_samples, n_atoms)."""
        values = self.pre_activations(samples)
        values = values if self.signed else values.relu()
        kept = values.abs().topk(self.n_active, dim=1).indices
        return torch.zeros_like(values).scatter(1, kept, values.gather(1, kept))

    def training_loss(self, samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean squared error, a scalar, and the codes (n_samples, n_atoms)."""
        codes = self.encode(samples)
        return self.objective(samples, codes).mean(), codes

    def constrain(self) -> None:
        """Do nothing: the atoms' norms are free."""

    @torch.no_grad()
    def finish_epoch(self, batches: Iterable[torch.Tensor]) -> None:
        """Put dictionary and bias at their joint minimum for the codes of all ``batches``, by ridge regression."""
        total: SufficientStatistics | None = None
        for samples in batches:
            codes = self.encode(samples)
            extended = torch.cat([codes, codes.new_ones(len(codes), 1)], dim=1)  # the bias is one atom more
            batch = SufficientStatistics.of(extended, samples)
            total = batch if total is None else total.add(batch)
        if total is None:
            return
        used = torch.nonzero(total.codes_codes.diagonal() > 0).flatten()
        system = total.codes_codes[used][:, used]
        system[:-1, :-1].diagonal().add_(self.ridge)
        solution = torch.linalg.lstsq(system.cpu(), total.codes_patches[used].cpu(), driver="gelsd").solution
        self.dictionary[used[:-1]] = solution[:-1].to(self.dictionary)
        self.bias.copy_(solution[-1])
