"""The problem: Eq. 1, Eq. 2, the penalised objective and its optimality certificates.

Solvers, training losses, tests and figures all take their definitions from here. Rows are samples: with the
paper's Y, A and X (columns), ``patches`` = Yᵀ, ``dictionary`` = Aᵀ and ``codes`` = Xᵀ.
"""

from __future__ import annotations

import math
import sys

import torch

from wlsc._sparse import sparse_if_few, sum_along
from wlsc._validation import Array, check_penalty, check_problem, like

#: Gradients, in entries, that the float64 certificates hold at a time; bounds their memory.
_CHUNK_ENTRIES = 1 << 23

#: Differences between samples and atoms have to be this much larger than the rounding of what they have in common.
_RESOLVED = 16

#: Smallest 1/(1 + 2λ) that is told from zero: beyond it each sample takes its nearest atom, and numbers overflow.
_LEAST_CURVATURE = 1e-30

#: How far codes may lie from the simplex and still count as on it: rounding of sums in float32.
SIMPLEX_TOLERANCE = 1e-5


def laplacian_quadratic_form(patches: Array, dictionary: Array, codes: Array) -> Array:
    """Eq. 1, from the graph itself: trace(R L Rᵀ) for the bipartite graph of stimuli and atoms.

    The weights are W = [[0, Xᵀ], [X, 0]], the Laplacian L = diag(W1) − W, and R = [Y A] holds the positions of the
    nodes. The cost is quadratic in n_samples + n_atoms: this is the definition, and `weighted_l1` the way to
    compute it.

    Parameters
    ----------
    patches
        Stimuli, shape (n_samples, n_features).
    dictionary
        Atoms, shape (n_atoms, n_features).
    codes
        Non-negative edge weights, shape (n_samples, n_atoms).

    Returns
    -------
    Array
        A scalar, non-negative.

    Raises
    ------
    ValueError
        If the arguments do not fit together or are not finite.
    """
    y, atoms, x = check_problem(patches, dictionary, codes)
    assert x is not None
    n_samples, n_atoms = x.shape
    weights = x.new_zeros(n_samples + n_atoms, n_samples + n_atoms)
    weights[:n_samples, n_samples:] = x
    weights[n_samples:, :n_samples] = x.T
    laplacian = torch.diag(weights.sum(1)) - weights
    nodes = torch.cat(centred(y, atoms))
    return like(torch.trace(nodes.T @ laplacian @ nodes), patches)


def weighted_l1(patches: Array, dictionary: Array, codes: Array) -> Array:
    """Eq. 2: the weighted ℓ1 penalty Σᵢⱼ codes[i, j] · ‖patches[i] − dictionary[j]‖².

    It equals `laplacian_quadratic_form`. The distances come from one matrix product; no n × m × d array is formed.

    Parameters
    ----------
    patches, dictionary, codes
        Shapes (n_samples, n_features), (n_atoms, n_features) and (n_samples, n_atoms).

    Returns
    -------
    Array
        A scalar.

    Raises
    ------
    ValueError
        If the arguments do not fit together or are not finite.
    """
    y, atoms, x = check_problem(patches, dictionary, codes)
    assert x is not None
    y, atoms = centred(y, atoms)
    return like(_finite(_weighted_l1_terms(y, atoms, x, x @ atoms).sum()), patches)


def objective(patches: Array, dictionary: Array, codes: Array, lam: float) -> Array:
    """Mean over samples of the penalised objective ½‖y − Ax‖² + λ Σⱼ xⱼ‖y − aⱼ‖².

    The paper constrains Y = AX; the penalised form relaxes the constraint, as in K-Deep-Simplex [1]_.

    Parameters
    ----------
    patches, dictionary, codes
        Shapes (n_samples, n_features), (n_atoms, n_features) and (n_samples, n_atoms); rows of codes sum to one.
    lam
        Weight λ ≥ 0 of the penalty.

    Returns
    -------
    Array
        A scalar.

    Raises
    ------
    ValueError
        If the arguments do not fit together, are not finite, or ``lam`` is negative.

    References
    ----------
    .. [1] A. Tasissa, P. Tankala, J. M. Murphy, D. Ba, K-Deep Simplex: manifold learning via local dictionaries,
       IEEE Transactions on Signal Processing 71 (2023) 3741–3754.
    """
    weight = check_penalty(lam)
    y, atoms, x = check_problem(patches, dictionary, codes)
    assert x is not None
    return like(_finite(objective_terms(y, atoms, x, weight).mean()), patches)


def _finite(value: torch.Tensor) -> torch.Tensor:
    if not bool(torch.isfinite(value)):
        dtype = str(value.dtype).removeprefix("torch.")
        raise ValueError(f"patches, dictionary and lam must keep the objective within {dtype}, got {float(value)}")
    return value


def objective_terms(patches: torch.Tensor, dictionary: torch.Tensor, codes: torch.Tensor, lam: float) -> torch.Tensor:
    """Objective of each sample, shape (n_samples,), of tensors and unchecked: for training loops.

    Rows of codes sum to one, so that what samples and atoms have in common does not count, and does not round either.
    """
    patches, dictionary = centred(patches, dictionary)
    few = sparse_if_few(codes)
    reconstructions = few @ dictionary
    error = (patches - reconstructions).square().sum(1)
    return 0.5 * error + lam * _weighted_l1_terms(patches, dictionary, few, reconstructions)


def _weighted_l1_terms(
    patches: torch.Tensor, dictionary: torch.Tensor, codes: torch.Tensor, reconstructions: torch.Tensor
) -> torch.Tensor:
    # Σⱼ xⱼ‖y − aⱼ‖² = ‖y‖² Σⱼ xⱼ + Σⱼ xⱼ‖aⱼ‖² − 2 yᵀ(Ax), all of it linear in the codes
    return (
        patches.square().sum(1) * sum_along(codes, 1)
        + codes @ dictionary.square().sum(1)
        - 2 * (patches * reconstructions).sum(1)
    )


def quadratic_terms(patches: torch.Tensor, dictionary: torch.Tensor, lam: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Gram matrix G and linear term b of the objective ½xᵀGx − bᵀx + const of every sample.

    On the simplex, where Σx = 1, the gradient of the objective is Gx − b up to a constant vector, with
    G = AᵀA and b = (1 + 2λ)Aᵀy − λ diag(G).

    Parameters
    ----------
    patches, dictionary
        Tensors of shapes (n_samples, n_features) and (n_atoms, n_features).
    lam
        Weight λ ≥ 0 of the penalty.

    Returns
    -------
    gram : torch.Tensor
        Shape (n_atoms, n_atoms).
    linear : torch.Tensor
        Shape (n_samples, n_atoms).
    """
    gram = dictionary @ dictionary.T
    linear = torch.addmm(gram.diagonal(), patches, dictionary.T, beta=-lam, alpha=1 + 2 * lam)
    return gram, linear


def centred(patches: torch.Tensor, dictionary: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples and atoms less a common point, the mean of the atoms: neither objective nor codes change, rounding does.

    Where every code sums to one, a vector that is added to all samples and atoms cancels, in exact arithmetic. In
    products of numbers far from zero little is left of what distinguishes them.

    Parameters
    ----------
    patches, dictionary
        Tensors of shapes (n_samples, n_features) and (n_atoms, n_features), of one dtype.
    """
    point = dictionary.detach().mean(0, dtype=torch.float64).to(dictionary.dtype)
    return patches - point, dictionary - point


def check_resolved(patches: torch.Tensor, dictionary: torch.Tensor) -> None:
    """Refuse samples and atoms whose differences their dtype cannot hold beside what they have in common.

    Raises
    ------
    ValueError
        If the differences are within a few roundings of the common offset.
    """
    if len(dictionary) < 2 or not len(patches):
        return  # one atom has one code
    point = dictionary.mean(0, dtype=torch.float64).to(dictionary.dtype)
    offset = float(point.abs().max()) if len(point) else 0.0
    needed = _RESOLVED * torch.finfo(dictionary.dtype).eps * offset
    for rows in (dictionary, patches):  # atoms alone answer most often
        differences = float((rows - point).abs().max()) if rows.numel() else 0.0
        if differences >= needed:
            return
    dtype = str(dictionary.dtype).removeprefix("torch.")
    raise ValueError(
        f"patches and dictionary must differ by at least {needed:.3g} where {dtype} has a common offset of "
        f"{offset:.3g}, got differences of at most {differences:.3g}; subtract the offset in float64 first"
    )


def curvature(lam: float) -> float:
    """γ = 1/(1 + 2λ): the objective over 1 + 2λ is ½γ xᵀGx − xᵀ(Aᵀy − ½(1 − γ) diag G), of bounded size for any λ.

    At least 1e-30, where the objective is that of k-means to all digits of float64.
    """
    return max(1 / (1 + 2 * lam), _LEAST_CURVATURE) if math.isfinite(2 * lam) else _LEAST_CURVATURE


def balanced_terms(patches: torch.Tensor, dictionary: torch.Tensor, lam: float) -> tuple[torch.Tensor, torch.Tensor]:
    """`quadratic_terms` over 1 + 2λ, which neither overflow nor lose digits at large λ."""
    factor = curvature(lam)
    gram = dictionary @ dictionary.T
    linear = torch.addmm(gram.diagonal(), patches, dictionary.T, beta=-(1 - factor) / 2)
    return gram.mul_(factor), linear


def largest_squares(patches: torch.Tensor, dictionary: torch.Tensor) -> torch.Tensor:
    """Scale max(‖y‖², maxⱼ‖aⱼ‖²) of each sample, shape (n_samples,)."""
    return patches.square().sum(1).clamp(min=dictionary.square().sum(1).max())


def unit_of(*tensors: torch.Tensor) -> float:
    """Power of two that no number in the tensors exceeds by much: division by it rounds nothing; 1 for zeros."""
    largest = max((float(tensor.abs().max()) for tensor in tensors if tensor.numel()), default=0.0)
    return 2.0 ** max(math.ceil(math.log2(largest)), -1000) if largest > 0 else 1.0


def frank_wolfe_gap(patches: Array, dictionary: Array, codes: Array, lam: float) -> Array:
    """Frank–Wolfe duality gap xᵀg − minⱼ gⱼ with g = Gx − b: an upper bound on each sample's suboptimality.

    Parameters
    ----------
    patches, dictionary, codes
        Shapes (n_samples, n_features), (n_atoms, n_features) and (n_samples, n_atoms); codes on the simplex.
    lam
        Weight λ ≥ 0 of the penalty.

    Returns
    -------
    Array
        Shape (n_samples,), in float64 whatever the input, because rounding in float32 would hide small gaps.

    Raises
    ------
    ValueError
        If the arguments do not fit together, are not finite, ``lam`` is negative or codes leave the simplex.
    """
    weight = check_penalty(lam)
    y, atoms, x = check_problem(patches, dictionary, codes)
    assert x is not None
    y, atoms = centred(y.double(), atoms.double())
    unit = unit_of(y, atoms)
    gaps = _gap(y / unit, atoms / unit, _on_simplex(x), weight)
    return like(gaps * unit * unit * min(1 + 2 * weight, sys.float_info.max), patches)


def kkt_residual(patches: Array, dictionary: Array, codes: Array, lam: float) -> Array:
    """Scale-free optimality residual of each sample: `frank_wolfe_gap` / ((1 + 2λ) · max(‖y − c‖², maxⱼ‖aⱼ − c‖²)).

    c is the mean of the atoms. The residual is 0 exactly at the optimum, and does not change when patches and
    dictionary are multiplied by one factor or moved by one vector. 1e-6 is within reach of float64
    codes and 1e-5 of float32 codes, whose rounding alone gives about 1e-6.

    Parameters
    ----------
    patches, dictionary, codes
        Shapes (n_samples, n_features), (n_atoms, n_features) and (n_samples, n_atoms); codes on the simplex.
    lam
        Weight λ ≥ 0 of the penalty.

    Returns
    -------
    Array
        Shape (n_samples,), float64.

    Raises
    ------
    ValueError
        If the arguments do not fit together, are not finite, ``lam`` is negative or codes leave the simplex.
    """
    weight = check_penalty(lam)
    y, atoms, x = check_problem(patches, dictionary, codes)
    assert x is not None
    y, atoms = centred(y.double(), atoms.double())
    unit = unit_of(y, atoms)
    y, atoms = y / unit, atoms / unit
    gap, scale = _gap(y, atoms, _on_simplex(x), weight), largest_squares(y, atoms)
    return like(torch.where(scale > 0, gap / scale, gap), patches)


def _on_simplex(codes: torch.Tensor) -> torch.Tensor:
    if codes.numel():
        worst = max(float((codes.sum(1) - 1).abs().max()), -float(codes.min()))
        if worst > SIMPLEX_TOLERANCE:
            raise ValueError(f"codes must lie on the probability simplex, got a row that leaves it by {worst:.3g}")
    return codes


def _gap(patches: torch.Tensor, dictionary: torch.Tensor, codes: torch.Tensor, lam: float) -> torch.Tensor:
    """Gap over 1 + 2λ of float64 patches and atoms; no n_atoms × n_atoms matrix is formed where n_features is less."""
    factor = curvature(lam)
    vertex = (1 - factor) / 2 * dictionary.square().sum(1)
    gaps, chunk = [], max(_CHUNK_ENTRIES // len(dictionary), 1)
    for y, x in zip(patches.split(chunk), codes.split(chunk), strict=True):
        weights = x.double()
        gradient = vertex - (y - factor * (weights @ dictionary)) @ dictionary.T
        gaps.append((weights * gradient).sum(1) - gradient.amin(1))
    return torch.cat(gaps)
