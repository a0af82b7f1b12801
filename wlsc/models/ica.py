"""Independent component analysis: a reference without overcompleteness."""

from __future__ import annotations

import warnings

import torch

from wlsc._lazy import same_random_numbers
from wlsc._validation import Array, check_count, check_positive
from wlsc.models._filter_bank import FilterBank, draw_seed

#: Singular values below this multiple of the dtype's precision, relative to the largest, count as rounding.
_ROUNDING = 10


class IndependentComponents(FilterBank):
    """Linear filters whose responses to the patches are as independent as FastICA makes them [1]_ [2]_.

    Symmetric (parallel) FastICA with the contrast log cosh, on the leading ``n_units`` principal components, by
    scikit-learn.

    Parameters
    ----------
    n_features, n_units, generator
        Those of `FilterBank`; n_units ≤ n_features.
    max_iterations
        Iterations after which FastICA stops, converged or not.
    tol
        Change of the filters, 1 − |cosine|, at which it has converged.

    Attributes
    ----------
    filters
        Unmixing filters of norm 1, shape (n_units, n_features). Their signs and their order carry no meaning.
    mixing
        Basis functions, shape (n_units, n_features), a buffer: a centred patch in the span of the components is the
        sum of its responses times these, and ``filters @ mixing.T`` is the identity. Zero before `fit`.
    n_iterations
        Iterations that FastICA took, a scalar buffer.
    converged
        Whether it was done before ``max_iterations``, a scalar buffer.

    References
    ----------
    .. [1] A. Hyvärinen, Fast and robust fixed-point algorithms for independent component analysis, IEEE Transactions
       on Neural Networks 10 (1999) 626–634.
    .. [2] A. J. Bell, T. J. Sejnowski, The "independent components" of natural scenes are edge filters, Vision
       Research 37 (1997) 3327–3338.
    """

    mixing: torch.Tensor
    n_iterations: torch.Tensor
    converged: torch.Tensor

    def __init__(
        self,
        n_features: int,
        n_units: int,
        generator: torch.Generator | None = None,
        *,
        max_iterations: int = 200,
        tol: float = 1e-4,
    ) -> None:
        super().__init__(n_features, n_units, generator)
        if n_units > n_features:
            raise ValueError(f"n_units must be at most n_features = {n_features} for ICA, got {n_units}")
        self.max_iterations = check_count("max_iterations", max_iterations)
        self.tol = check_positive("tol", tol)
        self.register_buffer("mixing", torch.zeros_like(self.filters))
        self.register_buffer("n_iterations", torch.tensor(0))
        self.register_buffer("converged", torch.tensor(False))

    def fit(self, patches: Array, generator: torch.Generator) -> None:
        """Learn filters from ``patches`` (n_samples, n_features); ``generator`` draws the first rotation.

        FastICA that does not converge is no error: `converged` tells.

        Raises
        ------
        ValueError
            If n_units exceeds the numerical rank of the centred patches.
        """
        with same_random_numbers():
            from sklearn.decomposition import FastICA
            from sklearn.exceptions import ConvergenceWarning

        n_units, n_features = self.filters.shape
        values = self._training_patches(patches, n_features, n_units + 1)
        rank = _rank(values)
        if n_units > rank:
            raise ValueError(f"n_units must be at most the rank of the centred patches, {rank}, got {n_units}")
        ica = FastICA(
            n_units,
            algorithm="parallel",
            fun="logcosh",
            whiten="unit-variance",
            max_iter=self.max_iterations,
            tol=self.tol,
            random_state=draw_seed(generator),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            ica.fit(values.double().cpu().numpy())
        unmixing, mixing = torch.from_numpy(ica.components_), torch.from_numpy(ica.mixing_.T)
        norms = unmixing.norm(dim=1, keepdim=True)
        self.filters.copy_(unmixing / norms)
        self.mixing.copy_(mixing * norms)
        self.n_iterations.fill_(ica.n_iter_)
        self.converged.fill_(ica.n_iter_ < self.max_iterations)


def _rank(patches: torch.Tensor) -> int:
    # patches are rounded to their own dtype, however precisely they are looked at
    singular = torch.linalg.svdvals((patches - patches.mean(0)).double())
    return int((singular > _ROUNDING * torch.finfo(patches.dtype).eps * singular[0]).sum())
