"""ℓ0 sparse coding: an atom is used wherever it lowers the squared error by more than its price."""

from __future__ import annotations

import math

import torch

from wlsc._sparse import sum_along
from wlsc._validation import check_problem
from wlsc.inference.exact import ConvergenceError
from wlsc.models._unit_norm import UnitNormAutoencoder
from wlsc.models.sparse_coding import SparseCodingAutoencoder

#: Samples that are coded at a time: bounds the memory of their small systems.
_BLOCK = 512

#: Share of λ by which a flip must lower the objective, so that rounding cannot make a support go round in circles.
_MARGIN = 1e-6

#: Squared distance from the span of the other atoms below which an atom of norm 1 counts as dependent on them.
_DEPENDENT = 1e-10

_MAX_FLIPS = 10_000


class HardThresholdAutoencoder(UnitNormAutoencoder):
    """Minimise ½‖y − Ax‖² + λ‖x‖₀ over x and over atoms of norm 1, where ‖x‖₀ counts the atoms in use [1]_.

    Layers are iterative hard thresholding [2]_: from x = 0, x ← H(x − η(AᵀAx − Aᵀy)), where H sets to zero all values
    of at most √(2λη). They take no momentum: the objective is not convex, and a step from an extrapolated point could
    raise it.

    Parameters are those of `UnrolledAutoencoder`.

    Notes
    -----
    Learning depends on its start: supports that are hard keep atoms close to where they began, and on natural images,
    with patches as first atoms, training ends in a poor local minimum. A dictionary of ℓ1 sparse coding, the convex
    relaxation, trained for an epoch or two, is the better start (`relaxed`): the final objective, this model's own, is
    lower.

    References
    ----------
    .. [1] I. Rentzeperis, L. Calatroni, L. U. Perrinet, D. Prandi, Beyond ℓ1 sparse coding in V1, PLoS Computational
       Biology 19 (2023) e1011459.
    .. [2] T. Blumensath, M. E. Davies, Iterative thresholding for sparse approximations, Journal of Fourier Analysis
       and Applications 14 (2008) 629–654.
    """

    def relaxed(self) -> SparseCodingAutoencoder:
        """ℓ1 sparse coding from the same atoms, at √(2λ): on one atom alone, both keep the same values from zero."""
        n_atoms, n_features = self.dictionary.shape
        relaxed = SparseCodingAutoencoder(n_features, n_atoms, math.sqrt(2 * self.lam))
        relaxed.to(self.dictionary).set_dictionary(self.dictionary)
        return relaxed

    def _layers(self, patches: torch.Tensor) -> torch.Tensor:
        step = self.step_size
        threshold = (2 * self.lam * step).sqrt()
        gram, linear = self.dictionary @ self.dictionary.T, patches @ self.dictionary.T
        n_plain = 0 if self.n_differentiated is None else self.n_layers - self.n_differentiated
        codes = torch.zeros_like(linear)
        for layer in range(self.n_layers):
            with torch.set_grad_enabled(torch.is_grad_enabled() and layer >= n_plain):
                moved = codes - step * (codes @ gram - linear)
                codes = torch.where(moved.abs() > threshold, moved, 0)
        return codes

    def infer(self, patches: torch.Tensor, initial_codes: torch.Tensor | None = None) -> torch.Tensor:
        """Locally optimal codes, shape (n_samples, n_atoms), without gradients.

        The support changes by one atom at a time, with least squares on it after every change [1]_: an atom leaves
        whose absence, the others refitted, costs less than λ; where there is none, the atom that is correlated best
        with the residual r enters if (aⱼᵀr)²/2 exceeds λ. Every flip lowers the objective, so that the result

        - has an objective of at most that of ``initial_codes`` (zero by default);
        - is a least-squares solution on its support; no atom can leave it with profit, whether or not the others are
          refitted, and none can enter it with profit, the others being held;
        - is therefore a fixed point of the layers for every step size η ≤ 1, among them 1/σ_max².

        These hold to a relative 1e-6 in λ and to the rounding of the patches' dtype. The minimum is global where the
        atoms are orthonormal, and otherwise need not be: the problem is NP-hard.

        Raises
        ------
        ValueError
            If shapes, dtypes or devices do not fit together.
        ConvergenceError
            If a support does not stand still after 10,000 flips.

        References
        ----------
        .. [1] C. Soussen, J. Idier, D. Brie, J. Duan, From Bernoulli–Gaussian deconvolution to sparse signal
           restoration, IEEE Transactions on Signal Processing 59 (2011) 4572–4584: single best replacement, whose test
           for entering refits the others.
        """
        start = None if initial_codes is None else initial_codes.to_dense()
        patches, atoms, start = check_problem(patches, self.dictionary.detach(), start)
        with torch.no_grad():
            linear = patches.double() @ atoms.double().T
            gram = atoms.double() @ atoms.double().T
            start = torch.zeros_like(linear) if start is None else start.double()
            blocks = zip(linear.split(_BLOCK), start.split(_BLOCK), strict=True)
            codes = [_flip_atoms(gram, *block, self.lam) for block in blocks]
        return torch.cat(codes).to(patches.dtype)

    def objective(self, patches: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Objective ½‖y − Ax‖² + λ‖x‖₀ of each sample, shape (n_samples,)."""
        residual = patches - self.decode(codes)
        return 0.5 * residual.square().sum(1) + self.lam * sum_along(codes.sign().abs(), 1)


def _flip_atoms(gram: torch.Tensor, linear: torch.Tensor, start: torch.Tensor, lam: float) -> torch.Tensor:
    codes = start.clone()
    active = torch.arange(len(start), device=start.device)
    for _ in range(_MAX_FLIPS + 1):
        fitted, prices = _fit_on_support(gram, linear[active], codes[active])
        correlations = linear[active] - fitted @ gram
        (lowest, leaving), (gain, entering) = prices.min(1), (0.5 * correlations.square()).max(1)
        leaves = lowest < lam * (1 - _MARGIN)
        enters = ~leaves & (gain > lam * (1 + _MARGIN))
        fitted[leaves, leaving[leaves]] = 0
        fitted[enters, entering[enters]] = correlations[enters, entering[enters]]
        codes[active] = fitted
        active = active[leaves | enters]
        if len(active) == 0:
            return codes
    raise ConvergenceError(f"the supports of {len(active)} of {len(codes)} samples still changed after the last flip")


def _fit_on_support(gram: torch.Tensor, linear: torch.Tensor, codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Least squares on the support of each row, and the rise of the error for want of each atom, infinite elsewhere.

    Where an atom depends on others the codes stay as they are and that atom costs nothing.
    """
    used = codes != 0
    size = int(used.sum(1).max()) if len(used) else 0
    chosen = used.int().topk(size).indices
    valid = used.gather(1, chosen)
    # where a support is smaller than the largest one, unused atoms fill it up, each with an equation of its own
    systems = torch.where(valid[:, :, None] & valid[:, None, :], gram[chosen[:, :, None], chosen[:, None, :]], 0)
    systems.diagonal(dim1=1, dim2=2)[~valid] = 1
    factors, failed = torch.linalg.cholesky_ex(systems)
    dependent = _first_dependent(factors, failed)
    singular = dependent.any(1, keepdim=True)
    factors = torch.where(singular[:, :, None], torch.eye(size).to(factors), factors)
    inverses = torch.cholesky_inverse(factors)
    solutions = (inverses @ linear.gather(1, chosen)[:, :, None])[:, :, 0]
    costs = solutions.square() / (2 * inverses.diagonal(dim1=1, dim2=2))
    solutions = torch.where(singular, codes.gather(1, chosen), solutions)
    costs = torch.where(singular, torch.where(dependent, 0, torch.inf), costs)
    fitted = torch.zeros_like(codes).scatter(1, chosen, torch.where(valid, solutions, 0))
    return fitted, torch.full_like(codes, torch.inf).scatter(1, chosen, torch.where(valid, costs, torch.inf))


def _first_dependent(factors: torch.Tensor, failed: torch.Tensor) -> torch.Tensor:
    """Mark in each row the first atom that depends on those before it, if any: a pivot of (nearly) zero."""
    positions = torch.arange(1, factors.shape[1] + 1, device=factors.device)
    pivots = factors.diagonal(dim1=1, dim2=2).square()
    dependent = (pivots < _DEPENDENT) | (positions == failed[:, None])
    return dependent & (dependent.cumsum(1) == 1)
