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

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any, NamedTuple

import numba
import numpy as np
import torch

#: Most atoms that join a face at a time: fewer gradients, for more atoms that leave again.
_JOINING = 4

#: Gap at which a sample counts as solved, as a share of the tolerance.
_STOP = 0.25

#: Squared distance from the face below which an atom counts as dependent on it: as a share of the stopping gap, and at
#: most. With a share below 1, an atom that joins promises more descent than such a curvature takes back before
#: the simplex ends, so that curvature does not matter.
_DEPENDENT, _MOST_DEPENDENT = 0.5, 1e-6

#: How far the sum of a sample's codes may lie from 1 before the factor counts as spoilt by rounding.
_SUM_TOLERANCE = 1e-7

#: Code that counts as zero when its atom is on the way out.
_ZERO = 1e-14

#: Rounds without descent after which rounding has the last word.
_PATIENCE = 8

#: Bytes of the linear term that are formed at a time, tasks for each thread in them, and the fewest samples in one.
_CHUNK_BYTES, _TASKS, _FEWEST = 1 << 23, 8, 16

#: Lanes that are left when the largest violations are picked one by one.
_LANES = 32

_INT = np.int32
_LARGEST = np.int32(2**31 - 1)
_SMALLEST = np.int32(-(2**31))


def _jit(function: Callable[..., Any]) -> Any:
    """Compile ``function`` at its first call; keep the machine code on disk if there is a folder to write to."""
    options = {"nogil": True, "fastmath": True, "error_model": "numpy", "forceinline": True}
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
        np.empty(capacity, np.uintp),  # unsigned: no check for indices that count from the end
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
    """Append an atom to the face; one that depends on it only if ``force``, then as if it lay just off the face.

    Return the number of atoms in use and whether the atom was dependent.
    """
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
    dependent = distance <= floor
    if dependent:
        if not force:
            return n_active, True
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
    return n_active + 1, dependent


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
        step, blocking = 2.0, 0
        for i in range(n_active):
            if minimum[i] < 0.0:
                reach = codes[i] / (codes[i] - minimum[i])
                if reach < step:
                    step, blocking = reach, i
        for i in range(n_active):
            codes[i] += step * (minimum[i] - codes[i])
        for place in range(n_active - 1, -1, -1):
            if place == blocking or (minimum[place] < 0.0 and codes[place] <= _ZERO):
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
        code0, code1 = working(codes[i]), working(codes[i + 1])
        code2, code3 = working(codes[i + 2]), working(codes[i + 3])
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
    working = initial.dtype.type
    n_active, total = 0, 0.0
    for begin in range(0, initial.size, _LANES):
        lanes = initial[begin : begin + _LANES]
        used = working(0)
        for j in range(lanes.size):
            used += abs(lanes[j])
        if used > 0:
            for j in range(lanes.size):
                if lanes[j] > 0 and n_active < n_largest:
                    n_active, dependent = _join(gram, linear, begin + j, face, n_active, floor, False)
                    if not dependent:
                        face.codes[n_active - 1] = lanes[j]
                        total += lanes[j]
    for i in range(n_active):
        face.codes[i] /= total
    return n_active


@_jit
def _tidy(atoms, codes, n_active):
    """Sort by atom, and add up the codes of an atom that joined twice; return the number of atoms left."""
    for i in range(1, n_active):
        atom, code, j = atoms[i], codes[i], i
        while j > 0 and atoms[j - 1] > atom:
            atoms[j], codes[j] = atoms[j - 1], codes[j - 1]
            j -= 1
        atoms[j], codes[j] = atom, code
    last = 0
    for i in range(1, n_active):
        if atoms[i] == atoms[last]:
            codes[last] += codes[i]
        else:
            last += 1
            atoms[last], codes[last] = atoms[i], codes[i]
    return last + 1


@_jit
def _grow(array, size):
    longer = np.empty(max(size, 2 * array.size), array.dtype)
    longer[: array.size] = array
    return longer


@_jit
def _solve_samples(gram, squares, weight, patches, inverse_unit, products, initial, tolerance, n_largest):
    """Solve a few samples; see `solve_active_set`.

    ``products`` holds (1 + 2λ)Aᵀy of each sample, ``squares`` the diagonal of G, ``weight`` λ, ``tolerance`` the gap at
    which to stop relative to the scale of ``residuals``; ``initial`` has no rows for a cold start.
    """
    n_samples, n_atoms = products.shape
    face = _new_face(n_largest + _JOINING + 4)
    linear, excess = np.empty(n_atoms, gram.dtype), np.empty(n_atoms, gram.dtype)
    ranks = np.empty(n_atoms, np.float32)
    bits = ranks.view(np.int32)
    found = np.empty(_JOINING, np.uintp)
    working = gram.dtype.type
    half, weight_working, inverse_unit = working(0.5), working(weight), working(inverse_unit)
    largest_square = squares.max()
    counts, rounds = np.empty(n_samples, np.int64), np.empty(n_samples, np.int64)
    residuals, totals = np.empty(n_samples), np.empty(n_samples)
    atoms, codes = np.empty(16 * n_samples, np.int32), np.empty(16 * n_samples, gram.dtype)
    n_written = 0
    for sample in range(n_samples):
        patch, product = patches[sample], products[sample]
        square = working(0)
        for j in range(patch.size):
            square += (patch[j] * inverse_unit) * (patch[j] * inverse_unit)
        scale = (1.0 + 2.0 * weight) * max(square, largest_square)
        level = tolerance * scale
        floor = min(_DEPENDENT * level, _MOST_DEPENDENT)
        for j in range(n_atoms):
            linear[j] = product[j] - weight_working * squares[j]
        n_active = 0
        if initial.shape[0]:
            n_active = _start(gram, linear, initial[sample], face, n_largest, floor)
        n_joining = 0
        if n_active == 0:
            for j in range(n_atoms):
                excess[j] = linear[j] - half * squares[j]
            _find_largest(excess, ranks, bits, found)
            n_joining = 1
        lowest, stalled, n_rounds = 1e300, 0, 0
        while True:
            for i in range(n_joining):
                n_active, dependent = _join(gram, linear, found[i], face, n_active, floor, i == 0)
                if dependent or n_active > n_largest:
                    break
            n_active, multiplier = _descend(face, n_active)
            # every atom in use has gradient τ − 1; the objective is half of
            value = multiplier - 1.0
            for i in range(n_active):
                value -= linear[face.atoms[i]] * face.codes[i]
            if value < lowest:
                lowest = value
            else:
                stalled += 1
            _set_excess(gram, linear, face, n_active, multiplier - 1.0 - level, excess)
            n_joining = _find_largest(excess, ranks, bits, found)
            n_rounds += 1
            if n_joining == 0 or stalled > _PATIENCE or n_active > n_largest or n_rounds > 10 * n_atoms + 100:
                break
        gap, total = excess[found[0]] + 0.0, 0.0
        for i in range(n_active):
            gap -= excess[face.atoms[i]] * face.codes[i]
            total += face.codes[i]
        for i in range(n_active):
            face.codes[i] /= total
        n_active = _tidy(face.atoms, face.codes, n_active)
        if n_written + n_active > atoms.size:
            atoms, codes = _grow(atoms, n_written + n_active), _grow(codes, n_written + n_active)
        for i in range(n_active):
            atoms[n_written + i], codes[n_written + i] = face.atoms[i], face.codes[i]
        n_written += n_active
        counts[sample], rounds[sample] = n_active, n_rounds
        residuals[sample] = gap / scale if scale > 0.0 else 0.0
        totals[sample] = total
    return counts, atoms[:n_written], codes[:n_written], residuals, totals, rounds


@_jit
def _scatter(counts, atoms, codes, dense):
    read = 0
    for sample in range(counts.size):
        for _ in range(counts[sample]):
            dense[sample, atoms[read]] = codes[read]
            read += 1


class ActiveSetCodes(NamedTuple):
    """Codes in compressed rows, and how they were found.

    Attributes
    ----------
    counts
        Number of atoms in use of each sample, shape (n_samples,).
    atoms, codes
        Their indices, ascending in each sample, and their codes, shape (counts.sum(),); empty if written to ``dense``.
    residuals
        `wlsc.kkt_residual` of each sample as the solver knows it, in the precision of the data; infinite where rounding
        spoilt the codes.
    rounds
        Gradients over all atoms that each sample took.
    """

    counts: np.ndarray
    atoms: np.ndarray
    codes: np.ndarray
    residuals: np.ndarray
    rounds: np.ndarray


def solve_active_set(
    patches: torch.Tensor,
    dictionary: torch.Tensor,
    lam: float,
    tol: float,
    initial: Any = None,
    dense: torch.Tensor | None = None,
) -> ActiveSetCodes:
    """Exact codes of all patches on the CPU, with `torch.get_num_threads` threads.

    The result of a sample does not depend on the number of threads. The linear term is formed in pieces that stay in
    cache, never as a whole.

    Parameters
    ----------
    patches, dictionary
        Contiguous tensors of shapes (n_samples, n_features) and (n_atoms, n_features), finite, of one dtype.
    lam
        Weight λ ≥ 0 of the penalty.
    tol
        Residual to stay below. What rounding or degeneracy keeps above it shows in the result's ``residuals``.
    initial
        Codes to start from, a NumPy or SciPy CSR array of shape (n_samples, n_atoms). Negative codes are left out and
        the rest is scaled to the simplex.
    dense
        Where to write dense codes, zeros of shape (n_samples, n_atoms).
    """
    n_samples, (n_atoms, n_features) = patches.shape[0], dictionary.shape
    unit = _unit(dictionary)
    scaled = dictionary / unit
    gram = (scaled @ scaled.T).numpy()
    squares = gram.diagonal().copy()
    encoder = (scaled * ((1 + 2 * lam) / unit)).T
    cold = np.empty((0, n_atoms), gram.dtype)
    n_threads = torch.get_num_threads()
    chunk = max(_CHUNK_BYTES // (n_atoms * gram.itemsize), 256)
    products = torch.empty(min(chunk, n_samples), n_atoms, dtype=patches.dtype)

    def solve(task: tuple[int, int, int]) -> tuple[np.ndarray, ...]:
        offset, begin, end = task
        start = cold
        if initial is not None:
            rows = initial[begin:end]
            start = rows.toarray() if hasattr(rows, "toarray") else rows
        found = _solve_samples(
            gram,
            squares,
            lam,
            patches[begin:end].numpy(),
            1 / unit,
            products[begin - offset : end - offset].numpy(),
            start,
            _STOP * tol,
            min(n_features + 1, n_atoms),
        )
        if dense is None:
            return found
        _scatter(*found[:3], dense[begin:end].numpy())
        return found[0], found[1][:0], found[2][:0], *found[3:]

    parts = []
    with ThreadPoolExecutor(n_threads) if n_threads > 1 else nullcontext() as pool:
        for offset in range(0, n_samples, chunk):
            stop = min(offset + chunk, n_samples)
            torch.mm(patches[offset:stop], encoder, out=products[: stop - offset])
            size = max(-(-(stop - offset) // (_TASKS * n_threads)), _FEWEST)
            tasks = [(offset, begin, min(begin + size, stop)) for begin in range(offset, stop, size)]
            parts += map(solve, tasks) if pool is None or len(tasks) == 1 else pool.map(solve, tasks)
    if not parts:
        parts = [solve((0, 0, 0))]
    counts, atoms, codes, residuals, totals, rounds = map(np.concatenate, zip(*parts, strict=True))
    # compiled code that may assume finite numbers cannot be asked whether they are
    sound = np.abs(totals - 1) <= _SUM_TOLERANCE
    return ActiveSetCodes(counts, atoms, codes, np.where(sound, np.maximum(residuals, 0), np.inf), rounds)


def _unit(dictionary: torch.Tensor) -> float:
    """Power of two no smaller than the largest norm of an atom, which no intermediate result overflows."""
    largest = float(dictionary.abs().max())
    if largest == 0:
        return 1.0
    norm = largest * float(torch.linalg.vector_norm(dictionary / largest, dim=1).max())
    return 2.0 ** np.ceil(np.log2(norm))
