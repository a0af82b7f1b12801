"""Codes of l1 sparse coding on the CPU: a primal active-set method, one sample at a time, on all cores.

Each sample minimises ½xᵀGx − bᵀx + λ‖x‖₁, for x of either sign or x ≥ 0. Where the signs s of the atoms in use are
fixed, the minimum has a closed form, x = G⁻¹(b − λs) on these atoms, and the method walks from one such face to the
next, always downhill: atoms whose correlation c = b − Gx with the residual exceeds λ join, a few at a time; a step
that would change a sign stops where the first code is zero, and its atom leaves [1]_ [2]_. An atom that is a
combination of those in use takes the place of one of them, along the line on which Ax stays as it is.

The faces are those of `wlsc.inference._active_set`, with G in the place of H and s in the place of 1.

References
----------
.. [1] M. R. Osborne, B. Presnell, B. A. Turlach, A new approach to variable selection in least squares problems, IMA
   Journal of Numerical Analysis 20 (2000) 389–403.
.. [2] H. Lee, A. Battle, R. Raina, A. Y. Ng, Efficient sparse coding algorithms, Advances in Neural Information
   Processing Systems 19 (2006) 801–808.
"""

from __future__ import annotations

import numpy as np
import torch

from wlsc.inference._active_set import (
    JOINING,
    MOST_ROUNDS,
    PATIENCE,
    STOP,
    find_largest,
    join,
    leave,
    new_face,
    new_search,
    set_excess,
)
from wlsc.inference._parallel import jit, solve_in_parallel

#: Squared distance from the span of the face up to which an atom counts as dependent on it, as a share of its square.
_DEPENDENT = 1e-8


@jit
def _join(gram, linear, atom, sign, face, signs, n_active, n_largest):
    """Append an atom to the face unless it depends on it; return the number of atoms in use and whether it does."""
    signs[atom] = sign
    floor = _DEPENDENT if n_active < n_largest else 2.0  # on the largest face, every atom does
    return join(gram, linear[atom] + 0.0, atom, 0.0, sign, face, n_active, floor * gram[atom, atom], False)


@jit
def _start(gram, linear, initial, nonnegative, face, signs, n_largest):
    """Begin on the face that given codes use; return its number of atoms."""
    n_active = 0
    for j in range(initial.size):
        code = initial[j] + 0.0
        if code > 0.0 or (code < 0.0 and not nonnegative):
            n_active, dependent = _join(gram, linear, np.uintp(j), np.sign(code), face, signs, n_active, n_largest)
            if not dependent:
                face.codes[n_active - 1] = code
    return n_active


@jit
def _descend(face, signs, weight, n_active):
    """Go to the minimum over the face, dropping the atoms whose codes reach zero; return their number left."""
    atoms, codes, minimum = face.atoms, face.codes, face.minimum
    while True:
        step, blocking = 1.0, -1
        for i in range(n_active):
            minimum[i] = face.solved_linear[i] - weight * face.solved_ones[i]
            if minimum[i] * signs[atoms[i]] < 0.0:
                reach = codes[i] / (codes[i] - minimum[i])
                if reach < step or blocking < 0:
                    step, blocking = reach, i
        for i in range(n_active):
            codes[i] += step * (minimum[i] - codes[i])
        if blocking < 0:
            return n_active
        leave(face, blocking, n_active)
        n_active -= 1


@jit
def _exchange(gram, linear, atom, sign, face, signs, n_active, n_largest):
    """Bring in an atom that depends on the face at its minimum, until an atom's code is zero and its place free."""
    combination = face.solved_column  # of the atoms in use, equal to the new atom: `join` has left it there
    step, blocking = 0.0, -1
    for i in range(n_active):
        fall = sign * combination[i] * signs[face.atoms[i]]
        if fall > 0.0:
            reach = abs(face.codes[i]) / fall
            if reach < step or blocking < 0:
                step, blocking = reach, i
    if blocking < 0:
        return n_active
    for i in range(n_active):
        face.codes[i] -= step * sign * combination[i]
    leave(face, blocking, n_active)
    n_active, dependent = _join(gram, linear, atom, sign, face, signs, n_active - 1, n_largest)
    if not dependent:
        face.codes[n_active - 1] = step * sign
    return n_active


@jit
def _certify(gram, linear, energy, weight, nonnegative, face, n_active, correlation, excess):
    """Set ``correlation`` to c and ``excess`` to what exceeds λ off the face; return the duality gap and the objective.

    With r = y − Ax, ‖r‖² = ‖y‖² − bᵀx − cᵀx and c = Aᵀr. The dual point is r, shrunk until it is feasible.
    """
    working = excess.dtype.type
    if n_active == 0:
        correlation[:] = linear
    else:
        set_excess(gram, linear, face, n_active, 1.0, 0.0, correlation)
    limit, largest = working(weight), working(0)
    for j in range(excess.size):
        size = correlation[j] if nonnegative else abs(correlation[j])
        largest = max(largest, size)
        excess[j] = size - limit
    projection, error, norm = energy + 0.0, energy + 0.0, 0.0
    for i in range(n_active):
        atom, code = face.atoms[i], working(face.codes[i]) + 0.0
        projection -= linear[atom] * code
        error -= (linear[atom] + 0.0 + correlation[atom]) * code
        norm += abs(code)
        excess[atom] = working(0)
    error = max(error, 0.0)
    shrink = weight / largest if largest > limit else 1.0
    objective = 0.5 * error + weight * norm
    return max(objective - shrink * projection + 0.5 * shrink * shrink * error, 0.0), objective


@jit
def _solve_samples(gram, weight, nonnegative, energies, products, initial, tolerance, n_largest, codes, gaps):
    """Solve the samples of one task; write their codes and gaps.

    ``energies`` holds ‖y‖² of each sample, ``products`` Aᵀy, ``tolerance`` the share of the energy at which the gap
    is small enough, ``n_largest`` the size of the largest face. ``initial`` has no entries for a cold start.
    """
    n_atoms = len(gram)
    face, signs = new_face(n_largest + JOINING + 4), np.ones(n_atoms)
    correlation, excess = np.empty(n_atoms, gram.dtype), np.empty(n_atoms, gram.dtype)
    rounded, bits = new_search(n_atoms)
    found = np.empty(JOINING, np.uintp)
    for sample in range(len(products)):
        linear, energy = products[sample], energies[sample] + 0.0
        n_active = 0
        if initial.size:
            n_active = _start(gram, linear, initial[sample], nonnegative, face, signs, n_largest)
        lowest, stalled, n_rounds = 1e300, 0, 0
        while True:
            n_active = _descend(face, signs, weight, n_active)
            gap, value = _certify(gram, linear, energy, weight, nonnegative, face, n_active, correlation, excess)
            if value < lowest:
                lowest = value
            else:
                stalled += 1
            n_joining = 0 if gap <= tolerance * energy else find_largest(excess, rounded, bits, found)
            n_rounds += 1
            if n_joining == 0 or stalled > PATIENCE or n_rounds > MOST_ROUNDS * (n_atoms + 9):
                break
            for i in range(n_joining):
                atom = found[i]
                sign = 1.0 if correlation[atom] > 0 else -1.0
                n_active, dependent = _join(gram, linear, atom, sign, face, signs, n_active, n_largest)
                if dependent and i == 0:
                    n_active = _exchange(gram, linear, atom, sign, face, signs, n_active, n_largest)
                if dependent:
                    break
        gaps[sample] = gap
        for i in range(n_active):
            codes[sample, face.atoms[i]] = face.codes[i]


def solve_lasso(
    patches: torch.Tensor,
    dictionary: torch.Tensor,
    lam: float,
    nonnegative: bool,
    tol: float,
    initial: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Minimise ½‖y − Ax‖² + λ‖x‖₁, over x ≥ 0 if ``nonnegative``, on `torch.get_num_threads` threads.

    The result does not depend on the number of threads.

    Parameters
    ----------
    patches, dictionary
        Tensors of shapes (n_samples, n_features) and (n_atoms, n_features), finite, of one dtype, on the CPU.
    lam
        Weight λ > 0 of the penalty.
    nonnegative
        Keep the codes at or above zero.
    tol
        Duality gap to stay below, relative to ‖y‖². Where rounding kept a sample above it, its gap says so.
    initial
        Dense codes to start from, shape (n_samples, n_atoms).

    Returns
    -------
    codes : torch.Tensor
        Shape (n_samples, n_atoms).
    gaps : torch.Tensor
        Shape (n_samples,), float64: the duality gap of each sample's codes, in the precision of the data.
    """
    gram = (dictionary @ dictionary.T).numpy()
    energies = patches.square().sum(1).numpy()
    codes = patches.new_zeros(len(patches), len(dictionary))
    gaps = patches.new_empty(len(patches), dtype=torch.float64)
    start = (codes[:0] if initial is None else initial.to(codes)).contiguous().numpy()

    def solve(begin: int, end: int, products: np.ndarray) -> None:
        _solve_samples(
            gram,
            lam,
            nonnegative,
            energies[begin:end],
            products,
            start[begin:end],
            STOP * tol,
            min(dictionary.shape),
            codes[begin:end].numpy(),
            gaps[begin:end].numpy(),
        )

    solve_in_parallel(patches, dictionary.T, solve)
    return codes, gaps
