"""Exact codes on the CPU: a primal active-set method, one sample at a time, on all cores.

Each sample minimises ½xᵀGx − bᵀx over the simplex. The atoms in use span a face; the minimum over the face's affine
hull has a closed form, and the method walks from face to face, always downhill: atoms whose gradient promises
descent join, a few at a time; a step that would leave the simplex stops at its boundary, and the atoms that reach
zero leave. It ends, after finitely many faces, at the optimum over all atoms [1]_ [2]_.

On the simplex, where Σx = 1, G may be replaced by H = G + 11ᵀ, which is positive definite on every face whose atoms
are affinely independent, up to d + 1 of them. The inverse R of its Cholesky factor on the face, H⁻¹ = RᵀR, is kept up
to date: one more row for an atom that joins, Givens rotations of the rows for one that leaves. H⁻¹b and H⁻¹1
follow at a cost linear in the size of the face, and with them the face's minimum x = H⁻¹b + τH⁻¹1, Σx = 1.

References
----------
.. [1] P. Wolfe, Finding the nearest point in a polytope, Mathematical Programming 11 (1976) 128–149.
.. [2] C. L. Lawson, R. J. Hanson, Solving Least Squares Problems, Prentice-Hall (1974), chapter 23.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numba
import numpy as np
import torch

#: Most atoms that join a face at a time: fewer gradients, for more atoms that leave again.
_JOINING = 4

#: Gap at which a sample counts as solved, as a share of the tolerance.
_STOP = 0.25

#: Squared distance from the face, relative to the stopping gap, below which an atom counts as dependent on the face.
#: Below 1, an atom that joins promises more descent than its curvature takes back before the simplex ends.
_DEPENDENT = 0.5

#: Rounds without descent after which rounding has the last word.
_PATIENCE = 8

#: Bytes of the linear term that are formed at a time, and tasks that each thread finds in them.
_CHUNK_BYTES, _TASKS = 1 << 23, 8

#: Lanes that are left when the largest violations are picked one by one.
_LANES = 32

_INT = np.int32
_LARGEST = np.int32(2**31 - 1)
_SMALLEST = np.int32(-(2**31))


def _jit(function: Callable[..., Any]) -> Any:
    """Compile ``function`` at its first call; keep the machine code on disk if there is a folder to write to."""
    options = {"nogil": True, "fastmath": True, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return numba.njit(**options)(function)


class _Face(NamedTuple):
    """Atoms in use, their codes, and R with what follows from it; arrays of one thread, longer than any face."""

    atoms: np.ndarray
    codes: np.ndarray
    minimum: np.ndarray
    inverse_factor: np.ndarray
    solved_linear: np.ndarray
    solved_ones: np.ndarray
    column: np.ndarray
    solved_column: np.ndarray
    scratch: np.ndarray


@_jit
def _new_face(capacity):
    return _Face(
        np.empty(capacity, np.int64),
        np.empty(capacity),
        np.empty(capacity),
        np.empty((capacity, capacity)),
        np.empty(capacity),
        np.empty(capacity),
        np.empty(capacity),
        np.empty(capacity),
        np.empty(capacity),
    )


@_jit
def _join(gram, linear, atom, face, n_active, floor, force):
    """Append an atom to the face; one that depends on the face only if ``force``, then as if just off the face."""
    atoms, rows, column, solved = face.atoms, face.inverse_factor, face.column, face.solved_column
    gram_row = gram[atom]
    for i in range(n_active):
        column[i] = 1.0 + gram_row[atoms[i]]
        solved[i] = 0.0
    distance = 1.0 + gram_row[atom]
    for i in range(n_active):
        row = rows[i]
        product = 0.0
        for j in range(i + 1):
            product += row[j] * column[j]
        for j in range(i + 1):
            solved[j] += product * row[j]
        distance -= product * product
    if distance <= floor:
        if not force:
            return n_active
        distance = floor
    linear_step, ones_step = linear[atom] + 0.0, 1.0
    for i in range(n_active):
        linear_step -= solved[i] * linear[atoms[i]]
        ones_step -= solved[i]
    linear_step /= distance
    ones_step /= distance
    scale = 1.0 / np.sqrt(distance)
    row = rows[n_active]
    for i in range(n_active):
        row[i] = -scale * solved[i]
        face.solved_linear[i] -= linear_step * solved[i]
        face.solved_ones[i] -= ones_step * solved[i]
    row[n_active] = scale
    face.solved_linear[n_active], face.solved_ones[n_active] = linear_step, ones_step
    atoms[n_active], face.codes[n_active] = atom, 0.0
    return n_active + 1


@_jit
def _leave(face, place, n_active):
    """Take the atom at ``place`` off the face: rotate its column of R into one row, then drop both."""
    rows, carry, cosines, sines = face.inverse_factor, face.column, face.solved_column, face.scratch
    for j in range(place + 1):
        carry[j] = rows[place, j]
    norm = carry[place]
    for i in range(place + 1, n_active):
        entry, previous = rows[i, place], norm
        norm = np.sqrt(previous * previous + entry * entry)
        cosines[i], sines[i] = previous / norm, entry / norm
    for i in range(place + 1, n_active):
        row, above, cosine, sine = rows[i], rows[i - 1], cosines[i], sines[i]
        carry[i] = 0.0
        for j in range(place):
            above[j], carry[j] = cosine * row[j] - sine * carry[j], cosine * carry[j] + sine * row[j]
        for j in range(place + 1, i + 1):
            above[j - 1], carry[j] = cosine * row[j] - sine * carry[j], cosine * carry[j] + sine * row[j]
    linear_step, ones_step = face.solved_linear[place] / norm, face.solved_ones[place] / norm
    for i in range(place):
        face.solved_linear[i] -= linear_step * carry[i]
        face.solved_ones[i] -= ones_step * carry[i]
    for i in range(place + 1, n_active):
        face.solved_linear[i - 1] = face.solved_linear[i] - linear_step * carry[i]
        face.solved_ones[i - 1] = face.solved_ones[i] - ones_step * carry[i]
        face.atoms[i - 1], face.codes[i - 1], face.minimum[i - 1] = face.atoms[i], face.codes[i], face.minimum[i]


@_jit
def _descend(face, n_active):
    """Go to the minimum over the face, dropping the atoms that reach zero; return their number left and τ."""
    codes, minimum = face.codes, face.minimum
    while True:
        linear_sum, ones_sum = 0.0, 0.0
        for i in range(n_active):
            linear_sum += face.solved_linear[i]
            ones_sum += face.solved_ones[i]
        multiplier = (1.0 - linear_sum) / ones_sum
        n_negative = 0
        for i in range(n_active):
            minimum[i] = face.solved_linear[i] + multiplier * face.solved_ones[i]
            n_negative += minimum[i] < 0.0
        if n_negative == 0:
            for i in range(n_active):
                codes[i] = minimum[i]
            return n_active, multiplier
        step = 1.0
        for i in range(n_active):
            if minimum[i] < 0.0:
                step = min(step, codes[i] / (codes[i] - minimum[i]))
        for i in range(n_active):
            codes[i] += step * (minimum[i] - codes[i])
        for place in range(n_active - 1, -1, -1):
            if minimum[place] < 0.0 and codes[place] <= 1e-14:
                _leave(face, place, n_active)
                n_active -= 1


@_jit
def _set_excess(gram, linear, face, n_active, level, excess):
    """Set ``excess`` to level − g with the gradient g = Gx − b: positive where an atom promises descent."""
    working = excess.dtype.type
    atoms, codes = face.atoms, face.codes
    for i in range(n_active, n_active + 3):  # rows of G are added in fours
        atoms[i], codes[i] = atoms[0], 0.0
    offset = working(level)
    for i in range(0, n_active, 4):
        row0, row1, row2, row3 = gram[atoms[i]], gram[atoms[i + 1]], gram[atoms[i + 2]], gram[atoms[i + 3]]
        code0, code1, code2, code3 = working(codes[i]), working(codes[i + 1]), working(codes[i + 2]), working(codes[i + 3])
        if i == 0:
            for j in range(excess.size):
                excess[j] = offset + linear[j] - (code0 * row0[j] + code1 * row1[j] + code2 * row2[j] + code3 * row3[j])
        else:
            for j in range(excess.size):
                excess[j] -= code0 * row0[j] + code1 * row1[j] + code2 * row2[j] + code3 * row3[j]


@_jit
def _find_largest(excess, ranks, bits, found):
    """Fill ``found`` with the atoms of largest excess, largest first; return how many of them are positive.

    The excess is rounded to integers that hold the atom in their low bits (``bits`` is a view of ``ranks``): maxima of
    integers vectorise, and carry their place along. Values closer than the rounding may swap, and of two that
    share a lane the smaller is passed over.
    """
    n_left, low_bits = excess.size, 1
    while low_bits < n_left:
        low_bits *= 2
    place_mask = _INT(low_bits - 1)
    value_mask = _INT(-low_bits)
    for j in range(n_left):
        ranks[j] = excess[j]
    for j in range(n_left):
        rank = bits[j]
        rank = _INT(rank ^ _INT(_INT(rank >> 31) & _LARGEST))  # the bits of negative floats count downwards
        bits[j] = _INT(_INT(rank & value_mask) | _INT(j))
    while n_left > _LANES:
        half = (n_left + 1) // 2
        for j in range(n_left - half):
            bits[j] = max(bits[j], bits[half + j])
        n_left = half
    n_positive, last = 0, _LARGEST
    for i in range(min(found.size, n_left)):
        best = _SMALLEST
        for j in range(n_left):
            rank = bits[j] if bits[j] < last else _SMALLEST
            best = max(best, rank)
        last = best
        found[i] = best & place_mask
        n_positive += excess[found[i]] > 0
    return n_positive


@_jit
def _start(gram, linear, initial, face, n_largest, floor):
    """Begin on the face that ``initial`` uses; return its number of atoms, 0 if there is none."""
    n_active, total = 0, 0.0
    for j in range(initial.size):
        if initial[j] > 0 and n_active < n_largest:
            joined = _join(gram, linear, j, face, n_active, floor, False)
            if joined > n_active:
                face.codes[n_active] = initial[j]
                total += initial[j]
                n_active = joined
    for i in range(n_active):
        face.codes[i] /= total
    return n_active


@_jit
def _sort(atoms, codes, n_active):
    for i in range(1, n_active):
        atom, code, j = atoms[i], codes[i], i
        while j > 0 and atoms[j - 1] > atom:
            atoms[j], codes[j] = atoms[j - 1], codes[j - 1]
            j -= 1
        atoms[j], codes[j] = atom, code


@_jit
def _grow(array, size):
    longer = np.empty(max(size, 2 * array.size), array.dtype)
    longer[: array.size] = array
    return longer


@_jit
def _solve_samples(gram, squares, weight, patches, inverse_unit, products, initial, relative_level, n_largest):
    """Solve a few samples; see `solve_active_set`.

    ``products`` holds (1 + 2λ)AᵀY, ``squares`` the diagonal of G and ``weight`` λ; ``initial`` has no rows for a cold start.
    """
    n_samples, n_atoms = products.shape
    capacity = n_largest + _JOINING + 4
    face = _new_face(capacity)
    linear, excess = np.empty(n_atoms, gram.dtype), np.empty(n_atoms, gram.dtype)
    ranks = np.empty(n_atoms, np.float32)
    bits = ranks.view(np.int32)
    best, found = np.empty(1, np.int64), np.empty(_JOINING, np.int64)
    working = gram.dtype.type
    half, weight, inverse_unit = working(0.5), working(weight), working(inverse_unit)
    counts, rounds = np.empty(n_samples, np.int64), np.empty(n_samples, np.int64)
    residuals = np.empty(n_samples)
    atoms, codes = np.empty(16 * n_samples, np.int32), np.empty(16 * n_samples, gram.dtype)
    n_written = 0
    for sample in range(n_samples):
        square = working(0)
        for value in patches[sample]:
            square += (value * inverse_unit) * (value * inverse_unit)
        scale = max(1.0, square)
        level = relative_level * scale
        floor = _DEPENDENT * level
        product = products[sample]
        for j in range(n_atoms):
            linear[j] = product[j] - weight * squares[j]
            excess[j] = linear[j] - half * squares[j]
        n_active = 0
        if initial.shape[0]:
            n_active = _start(gram, linear, initial[sample], face, n_largest, floor)
        if n_active == 0:
            _find_largest(excess, ranks, bits, best)
            n_active = _join(gram, linear, best[0], face, 0, floor, False)
            face.codes[0] = 1.0
        lowest, stalled, n_rounds = np.inf, 0, 0
        while True:
            n_active, multiplier = _descend(face, n_active)
            # the gradient of all atoms in use is τ − 1, so that the objective is half of
            value = multiplier - 1.0
            for i in range(n_active):
                value -= linear[face.atoms[i]] * face.codes[i]
            _set_excess(gram, linear, face, n_active, multiplier - 1.0 - level, excess)
            n_joining = _find_largest(excess, ranks, bits, found)
            n_rounds += 1
            if value < lowest:
                lowest = value
            else:
                stalled += 1
            if n_joining == 0 or stalled > _PATIENCE:
                break
            for i in range(n_joining):
                alone = n_active >= n_largest
                joined = _join(gram, linear, found[i], face, n_active, floor, i == 0)
                n_active = joined
        gap = excess[found[0]] + 0.0
        for i in range(n_active):
            gap -= excess[face.atoms[i]] * face.codes[i]
        _sort(face.atoms, face.codes, n_active)
        if n_written + n_active > atoms.size:
            atoms, codes = _grow(atoms, n_written + n_active), _grow(codes, n_written + n_active)
        for i in range(n_active):
            atoms[n_written + i], codes[n_written + i] = face.atoms[i], face.codes[i]
        n_written += n_active
        counts[sample], rounds[sample], residuals[sample] = n_active, n_rounds, gap / scale
    return counts, atoms[:n_written], codes[:n_written], residuals, rounds
