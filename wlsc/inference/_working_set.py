"""Exact codes over many atoms: working sets of a few dozen, and products with all atoms to choose and to certify them.

The problem and its faces are those of `wlsc.inference._active_set`. Each sample is solved over a small working set, the
atoms in use and those that promise most; one matrix product of residuals and dictionary gives, for a whole block of
samples, the gradient over all atoms; the atoms of largest excess make the next working set, until none has any. No
matrix of n_atoms × n_atoms is formed: inner products are taken of the atoms that meet in a working set [1]_.

References
----------
.. [1] T. B. Johnson, C. Guestrin, Blitz: a principled meta-algorithm for scaling sparse optimization, ICML (2015)
   1171–1179.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from wlsc.inference._active_set import (
    DEPENDENT,
    HIGHEST,
    JOINING,
    MOST_DEPENDENT,
    MOST_ROUNDS,
    PATIENCE,
    STOP,
    SUM_WITHIN,
    Rows,
    Solution,
    descend,
    find_largest,
    join,
    joined,
    new_face,
    new_search,
    rows_of,
    scaled_to_unit,
    sort_atoms,
    write_rows,
)
from wlsc.inference._parallel import in_tasks, jit
from wlsc.problem import curvature

#: Atoms that a working set takes in at a time, and lanes that they are the largest of.
_TAKEN, _TAKEN_LANES = 32, 128

#: Bytes of the gradient over all atoms that are formed at a time, and fewest samples in them.
_BLOCK_BYTES, _FEWEST = 1 << 24, 64

#: Products with all atoms after which rounding has the last word.
_MOST_PRODUCTS = 100


@jit
def _dot(left, right):
    total = left.dtype.type(0)
    for j in range(left.size):
        total += left[j] * right[j]
    return total


@jit
def _set_residual(patch, rows, places, codes, n_active, factor, residual):
    """Set ``residual`` to y − γAx, for the rows of A at ``places``."""
    working = residual.dtype.type
    for k in range(residual.size):
        residual[k] = patch[k]
    for i in range(n_active):
        row, code = rows[places[i]], working(factor * codes[i])
        for k in range(residual.size):
            residual[k] -= code * row[k]


@jit
def _join_local(rows, gram, linear, base, stretch, place, face, n_active, floor, force):
    """Let the atom at a place of the working set join the face; fill in the inner products that this takes."""
    row = rows[place]
    for i in range(n_active):
        other = face.atoms[i]
        gram[place, other] = _dot(row, rows[other])
        gram[other, place] = gram[place, other]
    value = stretch * (linear[place] - base)
    return join(gram, value, place, 1.0, 1.0, face, n_active, floor, force)


@jit
def _improve(
    dictionary, squares, factor, patches, gradients, samples, state, residuals, products, tolerance, n_largest, blank
):
    """Take the gradient over all atoms of some samples to new codes, or to the certificate of those they have.

    ``gradients`` holds Aᵀ(y − γAx), a row for each of ``samples``, and is overwritten; ``state`` the atoms and codes so
    far, their numbers, and y − γAx, a row for each of ``patches``. A sample that is done gets a residual, the others
    keep −1. ``blank`` says that no codes are there yet.
    """
    all_atoms, all_codes, counts, targets = state
    n_atoms, n_features = dictionary.shape
    working = dictionary.dtype.type
    capacity = n_largest + _TAKEN
    face = new_face(capacity + JOINING + 4)
    ids, rows = np.empty(capacity, np.int32), np.empty((capacity, n_features), dictionary.dtype)
    gram, linear = np.empty((capacity, capacity), dictionary.dtype), np.empty(capacity, dictionary.dtype)
    excess, residual = np.empty(capacity, dictionary.dtype), np.empty(n_features, dictionary.dtype)
    rounded, bits = new_search(n_atoms)
    local_rounded, local_bits = new_search(capacity)
    taken, found = np.empty(_TAKEN, np.uintp), np.empty(JOINING, np.uintp)
    vertex, stretch = 0.5 * (1.0 - factor), 1.0 / factor
    largest_square = squares.max() + 0.0
    for index in range(samples.size):
        sample = samples[index]
        patch, gradient = patches[sample], gradients[index]
        some, codes, n_active = all_atoms[sample], all_codes[sample], counts[sample]
        scale = max(_dot(patch, patch) + 0.0, largest_square)
        level = min(tolerance * scale, HIGHEST)
        floor = min(DEPENDENT * level * stretch, MOST_DEPENDENT)
        mean = 0.0  # of the gradient over the codes: what every atom in use is level with
        for i in range(n_active):
            mean += codes[i] * (gradient[some[i]] - vertex * squares[some[i]])
        # a level far above the gradient would take its digits, which choose the first vertex
        subtrahend, weight = working(0.0 if blank else mean + level), working(0.5 if blank else vertex)
        for j in range(n_atoms):
            gradient[j] -= weight * squares[j] + subtrahend
        n_taken = find_largest(gradient, rounded, bits, taken, _TAKEN_LANES)
        products[sample] += 1
        if not blank:
            gap, total, check = gradient[taken[0]] + level, 0.0, 0.0
            for i in range(n_active):
                total += codes[i]
                check = min(check, codes[i])
            # what a working set has left below its own level may come out a little above it here
            if gap <= 2.0 * level or products[sample] > _MOST_PRODUCTS:
                on_simplex = abs(total - 1.0) <= SUM_WITHIN and check >= 0.0
                residuals[sample] = (max(gap, 0.0) / scale if scale > 0.0 else 0.0) if on_simplex else np.inf
                continue
        else:
            n_taken = min(taken.size, n_atoms)
        n_local = 0
        for i in range(n_active):
            ids[n_local] = some[i]
            n_local += 1
        for i in range(n_taken):
            used = False
            for k in range(n_active):
                used |= some[k] == taken[i]
            if not used:
                ids[n_local] = taken[i]
                n_local += 1
        best, base = 0, -1e300
        for place in range(n_local):
            atom = ids[place]
            row, source = rows[place], dictionary[atom]
            for k in range(n_features):
                row[k] = source[k]
            gram[place, place] = squares[atom]
            linear[place] = _dot(row, patch) - vertex * squares[atom]
            if linear[place] - 0.5 * factor * squares[atom] > base:
                best, base = place, linear[place] - 0.5 * factor * squares[atom]
        base = linear[best] + 0.0
        n_before, n_active = n_active, 0
        for i in range(n_before):
            n_active, dependent = _join_local(
                rows, gram, linear, base, stretch, np.uintp(i), face, n_active, floor, n_active == 0
            )
            if not dependent or n_active == 1:
                face.codes[n_active - 1] = codes[i]
        if n_active == 0:
            n_active, _ = _join_local(rows, gram, linear, base, stretch, np.uintp(best), face, 0, floor, True)
            face.codes[0] = 1.0
        total = 0.0
        for i in range(n_active):
            total += face.codes[i]
        for i in range(n_active):
            face.codes[i] /= total
        lowest, stalled, n_rounds = 1e300, 0, 0
        local_excess = excess[:n_local]
        for j in range(n_local, local_bits.size):
            local_bits[j] = -2147483648
        while True:
            n_active, multiplier = descend(face, n_active)
            value = multiplier - 1.0
            for i in range(n_active):
                value -= stretch * (linear[face.atoms[i]] - base) * face.codes[i]
            if value < lowest:
                lowest = value
            else:
                stalled += 1
            _set_residual(patch, rows, face.atoms, face.codes, n_active, factor, residual)
            offset = working(factor * (multiplier - 1.0) - base - level)
            for j in range(n_local):
                local_excess[j] = offset + _dot(rows[j], residual) - working(vertex) * squares[ids[j]]
            for j in range(n_local, local_bits.size):
                local_bits[j] = -2147483648
            n_joining = find_largest(local_excess, local_rounded, local_bits, found)
            n_rounds += 1
            if n_joining == 0 or n_active > n_largest or stalled > PATIENCE or n_rounds > MOST_ROUNDS * (n_local + 9):
                break
            for i in range(n_joining):
                n_active, dependent = _join_local(
                    rows, gram, linear, base, stretch, found[i], face, n_active, floor, i == 0
                )
                if dependent or n_active > n_largest:
                    break
        n_active = min(n_active, n_largest)
        for i in range(n_active):
            some[i], codes[i] = ids[face.atoms[i]], face.codes[i]
        counts[sample] = n_active
        target = targets[sample]
        for k in range(n_features):
            target[k] = residual[k]


@jit
def _begin(dictionary, factor, patches, initial, state):
    """Take over given codes: scale them to the simplex and set y − γAx."""
    all_atoms, all_codes, counts, targets = state
    for sample in range(len(patches)):
        n_active, total = 0, 0.0
        for i in range(initial.starts[sample], initial.starts[sample + 1]):
            if initial.codes[i] > 0 and n_active < all_atoms.shape[1]:
                all_atoms[sample, n_active], all_codes[sample, n_active] = initial.atoms[i], initial.codes[i]
                total += initial.codes[i]
                n_active += 1
        if n_active == 0:
            all_atoms[sample, 0], all_codes[sample, 0] = 0, 1.0
            n_active, total = 1, 1.0
        for i in range(n_active):
            all_codes[sample, i] /= total
        counts[sample] = n_active
        _set_residual(
            patches[sample], dictionary, all_atoms[sample], all_codes[sample], n_active, factor, targets[sample]
        )


@jit
def _finish(state, dtype_of):
    """The codes so far as rows."""
    all_atoms, all_codes, counts, _ = state
    n_samples = counts.size
    starts = np.zeros(n_samples + 1, np.int64)
    for sample in range(n_samples):
        starts[sample + 1] = starts[sample] + counts[sample]
    atoms, codes = np.empty(starts[n_samples], np.int32), np.empty(starts[n_samples], dtype_of.dtype)
    for sample in range(n_samples):
        some, given, n_active = all_atoms[sample], all_codes[sample], counts[sample]
        sort_atoms(some, given, n_active)
        total = 0.0
        for i in range(n_active):
            total += given[i]
        for i in range(n_active):
            atoms[starts[sample] + i], codes[starts[sample] + i] = some[i], given[i] / total
    return Rows(starts, atoms, codes)


def solve_working_sets(
    patches: torch.Tensor,
    dictionary: torch.Tensor,
    lam: float,
    tol: float,
    initial: np.ndarray | Rows | None = None,
    dense: np.ndarray | None = None,
) -> Solution:
    """Exact codes on the CPU, as `wlsc.inference._active_set.solve_active_set`, in memory linear in n_atoms.

    Beside the codes, there are a copy of the dictionary and 16 MB of gradients.
    """
    n_atoms, n_features = dictionary.shape
    scaled, unit = scaled_to_unit(dictionary)
    encoder = scaled.T
    atoms, squares = scaled.numpy(), scaled.square().sum(1).numpy()
    factor, n_largest = curvature(lam), min(n_features + 1, n_atoms)
    size = max(_BLOCK_BYTES // (n_atoms * patches.itemsize), _FEWEST)
    buffer = patches.new_empty(min(size, len(patches)), n_atoms)
    solved = []
    for first in range(0, max(len(patches), 1), size):
        block = patches[first : first + size] / unit
        n_samples = len(block)
        state = (
            np.empty((n_samples, n_largest), np.int32),
            np.empty((n_samples, n_largest)),
            np.zeros(n_samples, np.int64),
            block.numpy().copy(),
        )
        blank = initial is None
        if initial is not None:
            _begin(atoms, factor, block.numpy(), rows_of(initial, first, first + n_samples), state)
        residuals, products = np.full(n_samples, -1.0), np.zeros(n_samples, np.int64)
        left = np.arange(n_samples)
        while len(left):
            gradients = torch.mm(torch.from_numpy(state[3][left]), encoder, out=buffer[: len(left)]).numpy()
            constant = (atoms, squares, factor, block.numpy())
            changing = (state, residuals, products, STOP * tol, n_largest, blank)
            in_tasks(partial(_improve_some, constant, gradients, left, changing), len(left))
            left, blank = np.flatnonzero(residuals < 0), False
        rows = _finish(state, atoms)
        if dense is not None:
            write_rows(rows, dense[first : first + n_samples])
        solved.append(Solution(rows if dense is None else None, residuals, products))
    return joined(solved)


def _improve_some(
    constant: tuple, gradients: np.ndarray, samples: np.ndarray, changing: tuple, begin: int, end: int
) -> None:
    _improve(*constant, gradients[begin:end], samples[begin:end], *changing)
