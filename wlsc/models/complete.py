"""Complete dictionaries by ℓp maximisation: as many atoms as features, found as a rotation of whitened samples."""

from __future__ import annotations

import torch

from wlsc._validation import Array, check_count, check_positive
from wlsc.models.autoencoder import FittedAutoencoder

#: Eigenvalues of the second moments below this share of the largest count as zero.
_NO_VARIANCE = 1e-10


class CompleteDictionary(FittedAutoencoder):
    """Maximise ‖W Ȳ‖ₚᵖ over rotations W of samples with second moments of 1, where sparse codes have heavy tails [1]_.

    Samples y = Ax of sparse, independent codes x of mean 0 are whitened, ȳ = C^(−1/2) y with C = E[yyᵀ], and are then
    nearly a rotation of the codes. Matching, stretching and projection repeats W ← polar((WȲ)^(p−1) Ȳᵀ), which never
    lowers the objective. Codes are W C^(−1/2) y, all of them different from 0; reconstructions have no error. Atoms are
    found up to their signs, order and lengths.

    Published are p = 4 [1]_ and every p > 2 [2]_, with p = 3 recommended, for codes that are Bernoulli–Gaussian.

    Parameters
    ----------
    n_features
        Size of the samples, and number of atoms.
    power
        p > 2.
    n_iterations
        Largest number of iterations.
    tol
        Largest change of an entry of W at which it has converged.

    Attributes
    ----------
    encoder
        W C^(−1/2), shape (n_atoms, n_features), a buffer.
    objectives
        ‖W Ȳ‖ₚᵖ over the number of samples after each iteration of the last `fit`.

    References
    ----------
    .. [1] Y. Zhai, Z. Yang, Z. Liao, J. Wright, Y. Ma, Complete dictionary learning via ℓ4-norm maximization over the
       orthogonal group, Journal of Machine Learning Research 21 (2020).
    .. [2] Y. Shen, Y. Xue, J. Zhang, K. B. Letaief, V. Lau, Complete dictionary learning via ℓp-norm maximization, UAI
       (2020).
    """

    encoder: torch.Tensor

    def __init__(self, n_features: int, *, power: float = 3.0, n_iterations: int = 500, tol: float = 1e-8) -> None:
        super().__init__(n_features, n_features)
        if check_positive("power", power) <= 2:
            raise ValueError(f"power must be above 2, where sparse codes have the largest norm, got {power}")
        self.power = float(power)
        self.n_iterations = check_count("n_iterations", n_iterations)
        self.tol = check_positive("tol", tol)
        self.register_buffer("encoder", torch.zeros_like(self.dictionary))
        self.objectives: list[float] = []

    def fit(self, samples: Array, generator: torch.Generator) -> None:
        """Learn from ``samples`` (n_samples ≥ n_features, n_features); ``generator`` draws the first rotation.

        Raises
        ------
        ValueError
            If the samples do not span all dimensions.
        """
        n_features = len(self.dictionary)
        values = self._checked(samples, n_features).double()
        moments, axes = torch.linalg.eigh(values.T @ values / len(values))
        if not bool(moments[0] > _NO_VARIANCE * moments[-1]):
            raise ValueError(f"samples must span all {n_features} dimensions, got an eigenvalue of {moments[0]:.3g}")
        roots = moments.sqrt()
        whitening, colouring = axes / roots @ axes.T, axes * roots @ axes.T
        white = values @ whitening
        start = torch.randn(n_features, n_features, generator=generator, dtype=torch.float64)
        rotation = _polar(start.to(white))
        self.objectives = []
        for _ in range(self.n_iterations):
            codes = white @ rotation.T
            stretched = codes.sign() * codes.abs() ** (self.power - 1)
            following = _polar(stretched.T @ white)
            change = (following - rotation).abs().max()
            rotation = following
            self.objectives.append(float(((white @ rotation.T).abs() ** self.power).sum() / len(values)))
            if bool(change <= self.tol):
                break
        self.encoder.copy_(rotation @ whitening)
        self.dictionary.copy_(rotation @ colouring)

    def encode(self, samples: torch.Tensor) -> torch.Tensor:
        """Codes W C^(−1/2) y of both signs, shape (n_samples, n_atoms)."""
        return samples @ self.encoder.T


def _polar(matrix: torch.Tensor) -> torch.Tensor:
    """The orthogonal matrix that is nearest."""
    left, _, right = torch.linalg.svd(matrix)
    return left @ right
