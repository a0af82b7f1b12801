"""The problem: Eq. 1, Eq. 2, the penalised objective and its optimality certificates.

Solvers, training losses, tests and figures all take their definitions from here. Rows are samples: with the
paper's Y, A and X (columns), ``patches`` = Yᵀ, ``dictionary`` = Aᵀ and ``codes`` = Xᵀ.
"""

from __future__ import annotations

import torch

from wlsc._sparse import sparse_if_few, sum_along
from wlsc._validation import Array, check_penalty, check_problem, like

#: Rows that the float64 certificates treat at a time; bounds their memory.
_CHUNK = 8192

#: How far codes may lie from the simplex and still count as on it: rounding of sums in float32.
_SIMPLEX_TOLERANCE = 1e-5


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
    nodes = torch.cat([y, atoms])
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
    return like(_weighted_l1_terms(y, atoms, x, x @ atoms).sum(), patches)


def objective(patches: Array, dictionary: Array, codes: Array, lam: float) -> Array:
    """Mean over samples of the penalised objective ½‖y − Ax‖² + λ Σⱼ xⱼ‖y − aⱼ‖².

    The paper constrains Y = AX; the penalised form relaxes the constraint, as in K-Deep-Simplex [1]_.

    Parameters
    ----------
    patches, dictionary, codes
        Shapes (n_samples, n_features), (n_atoms, n_features) and (n_samples, n_atoms).
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
    return like(objective_terms(y, atoms, x, weight).mean(), patches)


def objective_terms(patches: torch.Tensor, dictionary: torch.Tensor, codes: torch.Tensor, lam: float) -> torch.Tensor:
    """Objective of each sample, shape (n_samples,), of tensors and unchecked: for training loops."""
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


def residual_scale(patches: torch.Tensor, dictionary: torch.Tensor, lam: float) -> torch.Tensor:
    """Scale (1 + 2λ) · max(‖y‖², maxⱼ‖aⱼ‖²) of each sample's duality gap, shape (n_samples,)."""
    largest_atom = dictionary.square().sum(1).max()
    return (1 + 2 * lam) * patches.square().sum(1).clamp(min=largest_atom)


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
    return like(_gap(y, atoms, _on_simplex(x), weight), patches)


def kkt_residual(patches: Array, dictionary: Array, codes: Array, lam: float) -> Array:
    """Scale-free optimality residual of each sample: `frank_wolfe_gap` / ((1 + 2λ) · max(‖y‖², maxⱼ‖aⱼ‖²)).

    It is 0 exactly at the optimum and does not change when patches and dictionary are multiplied by one factor.
    1e-6 is within reach of float64 codes and 1e-5 of float32 codes, whose rounding alone gives about 1e-6.

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
    gap = _gap(y, atoms, _on_simplex(x), weight)
    scale = residual_scale(y.double(), atoms.double(), weight)
    return like(torch.where(scale > 0, gap / scale, gap), patches)


def _on_simplex(codes: torch.Tensor) -> torch.Tensor:
    if codes.numel():
        worst = max(float((codes.sum(1) - 1).abs().max()), -float(codes.min()))
        if worst > _SIMPLEX_TOLERANCE:
            raise ValueError(f"codes must lie on the probability simplex, got a row that leaves it by {worst:.3g}")
    return codes


def _gap(patches: torch.Tensor, dictionary: torch.Tensor, codes: torch.Tensor, lam: float) -> torch.Tensor:
    atoms = dictionary.double()
    gaps = []
    for y, x in zip(patches.split(_CHUNK), codes.double().split(_CHUNK), strict=True):
        gram, linear = quadratic_terms(y.double(), atoms, lam)
        gradient = x @ gram - linear
        gaps.append((x * gradient).sum(1) - gradient.amin(1))
    return torch.cat(gaps)
