"""Dictionaries for fixed codes: initialisation, closed-form and coordinate updates, and their sufficient statistics."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
import torch

from wlsc._sparse import sparse_if_few, sum_along
from wlsc._validation import check_choice
from wlsc.problem import curvature

#: Samples per atom among which k-means++ chooses; bounds its cost on large data.
_CANDIDATES_PER_ATOM = 100

#: Atoms from which codesᵀ codes is a sparse matrix, on the CPU: most pairs of many atoms never meet in a sample.
_MANY_ATOMS = 8192

#: Relative residual at which conjugate gradients end, and steps after which they do.
_SOLVED, _MOST_STEPS = 1e-12, 10_000

#: An atom counts as dead when its share of the usage is this much smaller than an equal share.
_DEAD_SHARE = 1e-2


@dataclass
class SufficientStatistics:
    """All that a dictionary update has to know of codes X and patches Y, in float64.

    The four terms are sums over samples, so they add up over batches, processes and machines: training on many
    machines is training on one.

    Attributes
    ----------
    codes_codes
        XXᵀ of the paper, shape (n_atoms, n_atoms); a sparse COO tensor, of the pairs that have met in a sample, for
        8,192 atoms and more on the CPU.
    codes_patches
        XYᵀ of the paper, shape (n_atoms, n_features).
    usage
        X1, the total weight of each atom (of absolute codes), shape (n_atoms,).
    n_samples
        Number of samples, after forgetting, a scalar tensor.
    origin
        Point that the patches are measured from, shape (n_features,), the same for all that is added up; None for zero.
        Where codes sum to one it is free, and near the patches it keeps the digits of what distinguishes them.
    """

    codes_codes: torch.Tensor
    codes_patches: torch.Tensor
    usage: torch.Tensor
    n_samples: torch.Tensor
    origin: torch.Tensor | None = None

    @classmethod
    def of(cls, codes: torch.Tensor, patches: torch.Tensor, origin: torch.Tensor | None = None) -> SufficientStatistics:
        """Statistics of one batch: codes (n_samples, n_atoms), dense or sparse, and patches (n_samples, n_features)."""
        many = codes.shape[1] >= _MANY_ATOMS and codes.is_cpu
        few = codes if codes.is_sparse else codes.to_sparse() if many else sparse_if_few(codes)
        pairs = _sparse_product(few.t(), few) if many else few.t() @ codes.to_dense()
        patches = patches if origin is None else patches - origin
        return cls(
            pairs.double(),
            (few.t() @ patches).double(),
            sum_along(few.abs(), 0).double(),
            torch.tensor(float(few.shape[0]), dtype=torch.float64, device=codes.device),
            origin,
        )

    @classmethod
    def nothing(cls, dictionary: torch.Tensor) -> SufficientStatistics:
        """Statistics of no samples, for a dictionary (n_atoms, n_features)."""
        n_atoms, n_features = dictionary.shape
        layout = torch.sparse_coo if n_atoms >= _MANY_ATOMS and dictionary.is_cpu else torch.strided
        of_atoms = torch.zeros(n_atoms, n_features, dtype=torch.float64, device=dictionary.device)
        pairs = torch.zeros(n_atoms, n_atoms, layout=layout, dtype=torch.float64, device=dictionary.device)
        return cls(pairs, of_atoms, of_atoms.new_zeros(n_atoms), of_atoms.new_zeros(()))

    def add(self, other: SufficientStatistics, forgetting: float = 1.0) -> SufficientStatistics:
        """Return ``forgetting`` · self + other."""
        mine, theirs = self.tensors(), other.tensors()
        sums = {name: theirs[name].add(mine[name], alpha=forgetting) for name in mine}
        return SufficientStatistics(**sums, origin=other.origin)

    def tensors(self) -> dict[str, torch.Tensor]:
        """The sums by name, for checkpoints and for reductions over processes."""
        return {name: getattr(self, name) for name in ("codes_codes", "codes_patches", "usage", "n_samples")}


def initialize_dictionary(
    patches: np.ndarray | torch.Tensor, n_atoms: int, generator: torch.Generator, method: str = "data"
) -> torch.Tensor:
    """First atoms, drawn from the data without replacement.

    Parameters
    ----------
    patches
        Shape (n_samples, n_features) with n_samples ≥ ``n_atoms``; only what is needed of it is read.
    n_atoms
        Number of atoms.
    generator
        Source of randomness, on the CPU.
    method
        "data": uniformly; "k-means++": each next atom with probability proportional to its squared distance to the
        nearest atom so far [1]_, among at most 100 samples per atom drawn uniformly.

    Returns
    -------
    torch.Tensor
        Shape (n_atoms, n_features), a copy.

    Raises
    ------
    ValueError
        If there are fewer patches than atoms, or the method is unknown.

    References
    ----------
    .. [1] D. Arthur, S. Vassilvitskii, k-means++: the advantages of careful seeding, SODA (2007) 1027–1035.
    """
    if len(patches) < n_atoms:
        raise ValueError(
            f"n_atoms must be at most the number of samples, got {n_atoms} atoms for {len(patches)} samples"
        )
    check_choice("initialization", method, ("data", "k-means++"))
    n_candidates = n_atoms if method == "data" else _CANDIDATES_PER_ATOM * n_atoms
    chosen = torch.randperm(len(patches), generator=generator)[:n_candidates]
    candidates = torch.as_tensor(patches[chosen] if isinstance(patches, torch.Tensor) else patches[chosen.numpy()])
    if method == "data":
        return candidates
    return candidates[_k_means_plus_plus(candidates, n_atoms, generator)]


def _k_means_plus_plus(patches: torch.Tensor, n_atoms: int, generator: torch.Generator) -> torch.Tensor:
    chosen = torch.zeros(n_atoms, dtype=torch.int64, device=patches.device)  # the first of a random order
    nearest = torch.full((len(patches),), float("inf"), dtype=torch.float64, device=patches.device)
    untaken = torch.ones_like(nearest)
    for index in range(1, n_atoms):
        last = chosen[index - 1]
        nearest = torch.minimum(nearest, (patches - patches[last]).square().sum(1).double())
        nearest[last] = untaken[last] = 0
        # where every patch left is a copy of an atom, any of them will do
        weights = nearest if bool((nearest > 0).any()) else untaken
        point = torch.rand(1, generator=generator, dtype=torch.float64).to(weights.device) * weights.sum()
        # the first sample whose cumulative weight exceeds the point has a weight of its own; the largest one stands in
        # where rounding puts the point beyond the end
        beyond = torch.nonzero(weights.cumsum(0) > point).flatten()
        chosen[index] = beyond[0] if len(beyond) else weights.argmax()
    return chosen


def closed_form_update(statistics: SufficientStatistics, dictionary: torch.Tensor, lam: float) -> torch.Tensor:
    """Dictionary that minimises the penalised objective for fixed codes.

    In the paper's layout A = (1 + 2λ) Y Xᵀ (X Xᵀ + 2λ diag(X1))⁻¹, computed as Y Xᵀ (γ X Xᵀ + (1 − γ) diag(X1))⁻¹ with
    γ = 1/(1 + 2λ) and with patches and atoms measured from the statistics' origin. Atoms that no code uses keep their
    place.

    Parameters
    ----------
    statistics
        Of the codes and patches to fit.
    dictionary
        The dictionary so far, shape (n_atoms, n_features); gives the unused atoms, dtype and device.
    lam
        Weight λ ≥ 0 of the penalty. At λ = 0 the system can be singular; the solution nearest to ``dictionary`` is
        returned, for sparse statistics with atoms weighted by the root of their usage.

    Returns
    -------
    torch.Tensor
        Shape (n_atoms, n_features).
    """
    in_use = statistics.usage > 0
    if not bool(in_use.any()):
        return dictionary.clone()
    if statistics.codes_codes.is_sparse:
        return _by_conjugate_gradients(statistics, dictionary, lam)
    used = slice(None) if bool(in_use.all()) else in_use  # a slice copies nothing
    factor, origin = curvature(lam), 0.0 if statistics.origin is None else statistics.origin.double()
    system = factor * statistics.codes_codes[used][:, used] + torch.diag((1 - factor) * statistics.usage[used])
    target = statistics.codes_patches[used]
    root, failed = torch.linalg.cholesky_ex(system)
    if not bool(failed) and bool(root.diagonal().min() > 1e-6 * root.diagonal().max()):
        atoms = torch.cholesky_solve(target, root)
    else:  # solving for the change keeps what the data do not determine
        before = dictionary[used].double() - origin
        atoms = before + torch.linalg.pinv(system, hermitian=True) @ (target - system @ before)
    updated = dictionary.clone()
    updated[used] = (atoms + origin).to(dictionary.dtype)
    return updated


def _by_conjugate_gradients(statistics: SufficientStatistics, dictionary: torch.Tensor, lam: float) -> torch.Tensor:
    """`closed_form_update` from sparse statistics: memory for five dictionaries in float64 beside them.

    In units of the roots of the usage D = diag(X1) the system is γN + (1 − γ)I with N = D^−½XXᵀD^−½. The rows of X/D
    and the columns of X sum to one, so that N has eigenvalues of at most 1: the condition is at most (1 + 2λ)/(2λ),
    whatever the number of atoms.
    """
    factor = curvature(lam)
    origin = torch.zeros(()) if statistics.origin is None else statistics.origin
    roots = statistics.usage.sqrt()
    inverse = torch.where(roots > 0, 1 / roots, 0)[:, None]
    pairs = statistics.codes_codes.coalesce()

    def apply(atoms: torch.Tensor) -> torch.Tensor:
        return factor * inverse * (pairs @ (inverse * atoms)) + (1 - factor) * atoms

    atoms = roots[:, None] * (dictionary.double() - origin.double())
    target = inverse * statistics.codes_patches
    residual = target - apply(atoms)
    direction, square = residual.clone(), residual.square().sum(0)
    goal = _SOLVED**2 * target.square().sum(0)
    for _ in range(_MOST_STEPS):
        if bool((square <= goal).all()):
            break
        image = apply(direction)
        energy = (direction * image).sum(0)
        step = torch.where(energy > 0, square / energy, 0)
        atoms += step * direction
        residual -= step * image
        before, square = square, residual.square().sum(0)
        direction = residual + torch.where(before > 0, square / before, 0) * direction
    updated = dictionary.clone()
    used = statistics.usage > 0
    updated[used] = (inverse * atoms + origin.double())[used].to(dictionary.dtype)
    return updated


def coordinate_update(statistics: SufficientStatistics, dictionary: torch.Tensor) -> torch.Tensor:
    """One sweep of block coordinate descent over atoms in the unit ball, for ℓ1 sparse coding [1]_.

    Parameters
    ----------
    statistics
        Of the codes and patches to fit.
    dictionary
        Start, shape (n_atoms, n_features). Atoms that no code uses keep their place.

    Returns
    -------
    torch.Tensor
        Shape (n_atoms, n_features), rows of norm at most 1.

    References
    ----------
    .. [1] J. Mairal, F. Bach, J. Ponce, G. Sapiro, Online learning for matrix factorization and sparse coding, JMLR 11
       (2010) 19–60, Algorithm 2.
    """
    gram, target = statistics.codes_codes.cpu(), statistics.codes_patches.cpu()
    atoms = dictionary.double().cpu().clone()
    for j in torch.nonzero(gram.diagonal() > 0).flatten().tolist():
        atom = atoms[j] + (target[j] - gram[j] @ atoms) / gram[j, j]
        atoms[j] = atom / atom.norm().clamp(min=1)
    return atoms.to(dictionary)


def dead_atoms(statistics: SufficientStatistics) -> torch.Tensor:
    """Indices of the atoms whose share of the usage is below a hundredth of an equal share."""
    usage = statistics.usage
    return torch.nonzero(usage < _DEAD_SHARE * usage.mean()).flatten()


def revive_atoms(
    statistics: SufficientStatistics, dictionary: torch.Tensor, replacements: torch.Tensor
) -> tuple[SufficientStatistics, torch.Tensor]:
    """Put patches in the place of dead atoms and forget what the statistics knew of those atoms.

    Parameters
    ----------
    statistics
        Of the codes so far.
    dictionary
        Shape (n_atoms, n_features).
    replacements
        Patches that are represented badly, shape (n_replacements, n_features), the worst first; as many dead atoms
        are replaced as there are patches.

    Returns
    -------
    statistics : SufficientStatistics
        With empty rows and columns for the new atoms.
    dictionary : torch.Tensor
        With the new atoms.
    """
    dead = dead_atoms(statistics)[: len(replacements)]
    atoms = dictionary.clone()
    atoms[dead] = replacements[: len(dead)].to(atoms)
    keep = torch.ones_like(statistics.usage).index_fill_(0, dead, 0)
    renewed = replace(
        statistics,
        codes_codes=_of_pairs(statistics.codes_codes, keep),
        codes_patches=statistics.codes_patches * keep[:, None],
        usage=statistics.usage * keep,
    )
    return renewed, atoms


def _sparse_product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
        return torch.sparse.mm(left, right)


def _of_pairs(matrix: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """Entries (n_atoms, n_atoms) of two atoms that are both kept; zero elsewhere."""
    if not matrix.is_sparse:
        return matrix * keep * keep[:, None]
    matrix = matrix.coalesce()
    both = (keep[matrix.indices()] > 0).all(0)
    return torch.sparse_coo_tensor(
        matrix.indices()[:, both], matrix.values()[both], matrix.shape, is_coalesced=True, check_invariants=False
    )
