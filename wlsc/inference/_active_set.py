"""Exact codes on the CPU: a primal active-set method, one sample at a time, on all cores.

Each sample minimises ½γxᵀGx − bᵀx over the simplex, its objective over 1 + 2λ: γ = 1/(1 + 2λ) and
b = Aᵀy − ½(1 − γ) diag(G) stay bounded at any λ. The atoms in use span a face; the minimum over the face's affine hull
has a closed form, and the method walks from face to face, always downhill: atoms whose gradient promises
descent join, a few at a time; a step that would leave the simplex stops at its boundary, and the atoms that reach
zero leave. It ends, after finitely many faces, at the optimum over all atoms [1]_ [2]_.

On the simplex, where Σx = 1, G may be replaced by H = G + 11ᵀ, which is positive definite on every face whose atoms
are affinely independent, up to d + 1 of them, and b by (b − β)/γ with β the entry of a vertex near the optimum: what
all entries share would cancel, and take the digits along. The inverse R of the Cholesky factor of H on the face,
H⁻¹ = RᵀR, is kept up to date: one more row for an atom that joins, Givens rotations of the rows for one that leaves.
H⁻¹(b − β)/γ and H⁻¹1 follow at a cost linear in the size of the face, and with them the face's minimum
x = H⁻¹(b − β)/γ + τH⁻¹1, Σx = 1.

The face is in float64. What grows with the number of atoms is in the precision of the data: the gradient γGx − b, one
row of G per atom in use, and the search for its smallest entries.

References
----------
.. [1] P. Wolfe, Finding the nearest point in a polytope, Mathematical Programming 11 (1976) 128–149.
.. [2] C. L. Lawson, R. J. Hanson, Solving Least Squares Problems, Prentice-Hall (1974), chapter 23.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from wlsc.inference._parallel import jit, solve_in_parallel
from wlsc.problem import curvature, unit_of

#: Most atoms that join a face at a time: fewer gradients, for more atoms that leave again.
JOINING = 4

#: Gap at which a sample counts as solved, as a share of the tolerance.
STOP = 0.25

#: Squared distance from the face up to which an atom counts as dependent on it: a share of the stopping gap, and at
#: most this. With a share below 1, an atom that joins promises more descent than such a curvature could take back
#: before the simplex ends: taking the atom for a little farther off than it is changes no step.
DEPENDENT, MOST_DEPENDENT = 0.5, 1e-6

#: How far codes may sum from 1 before they are scaled to it, and highest level at which a round ends: data in float32
#: hold no more.
SUM_WITHIN, HIGHEST = 1e-5, 1e30

#: Code that counts as zero when its atom is on the way out.
_ZERO = 1e-14

#: Rounds without descent after which rounding has the last word, and rounds per atom after which anything has.
PATIENCE, MOST_ROUNDS = 8, 10

#: Rows of G that are formed at a time.
_GRAM_BLOCK = 512

#: Lanes that are left when the largest entries are picked one by one.
_LANES = 32

_INT = np.int32
_LARGEST, _SMALLEST = np.int32(2**31 - 1), np.int32(-(2**31))


class Rows(NamedTuple):
    """Codes in compressed rows: sample i has ``codes[starts[i]:starts[i + 1]]`` on ``atoms`` of the same places."""

    starts: np.ndarray
    atoms: np.ndarray
    codes: np.ndarray


class _Face(NamedTuple):
    """Atoms in use, their codes, and R with what follows from it; arrays longer than any face, one set per task."""

    atoms: np.ndarray
    codes: np.ndarray
    minimum: np.ndarray
    inverse_factor: np.ndarray
    solved_linear: np.ndarray
    solved_ones: np.ndarray
    column: np.ndarray
    solved_column: np.ndarray
    scratch: np.ndarray


@jit
def new_face(capacity):
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


@jit
def join(gram, linear, atom, shift, one, face, n_active, floor, force):
    """Append an atom to the face; one that depends on it only if ``force``, then as if it lay just off the face.

    ``shift`` is added to the entries of G, ``linear`` is the atom's entry of the linear term, ``one`` that of 1.
    Return the number of atoms in use and whether the atom was dependent.
    """
    atoms, rows, column, solved = face.atoms, face.inverse_factor, face.column, face.solved_column
    gram_row = gram[atom]
    distance, linear_step, ones_step = shift + gram_row[atom], linear, one
    for i in range(n_active):
        entry = shift + gram_row[atoms[i]]
        linear_step -= entry * face.solved_linear[i]
        ones_step -= entry * face.solved_ones[i]
        column[i], solved[i] = entry, 0.0
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


@jit
def leave(face, place, n_active):
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


@jit
def descend(face, n_active):
    """Go to the minimum over the face, dropping the atoms that reach zero; return their number left and τ."""
    codes, minimum = face.codes, face.minimum
    while True:
        linear_sum, ones_sum = 0.0, 0.0
        for i in range(n_active):
            linear_sum += face.solved_linear[i]
            ones_sum += face.solved_ones[i]
        multiplier = (1.0 - linear_sum) / ones_sum
        if n_active == 1:
            codes[0] = 1.0
            return n_active, multiplier
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
                leave(face, place, n_active)
                n_active -= 1


@jit
def set_excess(gram, linear, face, n_active, factor, level, excess):
    """Set ``excess`` to level − g with the gradient g = factor · Gx − b: positive where an atom promises descent."""
    working = excess.dtype.type
    atoms, codes = face.atoms, face.codes
    for i in range(n_active, n_active + 3):  # rows of G are added in fours
        atoms[i], codes[i] = atoms[0], 0.0
    offset = working(level)
    for i in range(0, n_active, 4):
        row0, row1, row2, row3 = gram[atoms[i]], gram[atoms[i + 1]], gram[atoms[i + 2]], gram[atoms[i + 3]]
        code0, code1 = working(factor * codes[i]), working(factor * codes[i + 1])
        code2, code3 = working(factor * codes[i + 2]), working(factor * codes[i + 3])
        if i == 0:
            for j in range(excess.size):
                excess[j] = offset + linear[j] - (code0 * row0[j] + code1 * row1[j] + code2 * row2[j] + code3 * row3[j])
        else:
            for j in range(excess.size):
                excess[j] -= code0 * row0[j] + code1 * row1[j] + code2 * row2[j] + code3 * row3[j]


@jit
def new_search(n_atoms):
    """Scratch of `find_largest`."""
    n_lanes = _LANES
    while n_lanes < n_atoms:
        n_lanes *= 2
    return np.empty(n_atoms, np.float32), np.full(n_lanes, _SMALLEST)


@jit
def find_largest(excess, rounded, bits, found, lanes=_LANES):
    """Fill ``found`` with the atoms of largest excess, largest first; return how many of them are positive.

    They are the largest of ``lanes`` classes of atoms. The excess is rounded to integers that hold the atom in their
    low bits: maxima of integers vectorise, and carry their place along. Values closer than the rounding may swap, and
    of two in one lane the smaller is passed over. ``bits`` has a power of two of lanes; those beyond the atoms hold the
    smallest integer.
    """
    n_left = bits.size
    place_mask, value_mask = _INT(n_left - 1), _INT(-n_left)
    if excess.itemsize == 4:
        source = excess.view(np.int32)
    else:
        for j in range(excess.size):
            rounded[j] = excess[j]
        source = rounded.view(np.int32)
    for j in range(excess.size):
        rank = source[j]
        rank = _INT(rank ^ _INT(_INT(rank >> 31) & _LARGEST))  # the bits of negative floats count downwards
        bits[j] = _INT(_INT(rank & value_mask) | _INT(j))
    while n_left > lanes:
        n_left //= 2
        for j in range(n_left):
            bits[j] = max(bits[j], bits[n_left + j])
    n_positive, last = 0, _LARGEST
    for i in range(min(found.size, excess.size)):
        best = _SMALLEST
        for j in range(n_left):
            rank = bits[j] if bits[j] < last else _SMALLEST
            best = max(best, rank)
        last = best
        found[i] = best & place_mask
        n_positive += excess[found[i]] > 0
    return n_positive


@jit
def _start(gram, linear, base, stretch, atoms, codes, face, n_largest, floor):
    """Begin on the face that given codes use; return its number of atoms, 0 if no code is positive."""
    n_active, total = 0, 0.0
    for i in range(atoms.size):
        if codes[i] > 0 and n_active < n_largest:
            atom = np.uintp(atoms[i])
            value = stretch * (linear[atom] - base)
            n_active, dependent = join(gram, value, atom, 1.0, 1.0, face, n_active, floor, False)
            if not dependent:
                face.codes[n_active - 1] = codes[i]
                total += codes[i]
    for i in range(n_active):
        face.codes[i] /= total
    return n_active


@jit
def sort_atoms(atoms, codes, n_active):
    for i in range(1, n_active):
        atom, code, j = atoms[i], codes[i], i
        while j > 0 and atoms[j - 1] > atom:
            atoms[j], codes[j] = atoms[j - 1], codes[j - 1]
            j -= 1
        atoms[j], codes[j] = atom, code


@jit
def _lengthened(array, size):
    longer = np.empty(max(size, 2 * array.size), array.dtype)
    longer[: array.size] = array
    return longer


@jit
def _solve_samples(gram, squares, factor, patches, inverse_unit, products, initial, tolerance, n_largest):
    """Solve the samples of one task; return their rows, residuals and rounds.

    Atoms are in units in which none is longer than 1, patches are brought to them by ``inverse_unit``. ``products``
    holds Aᵀy of each sample, ``squares`` the diagonal of G, ``factor`` γ, ``tolerance`` the residual at which to stop
    and ``n_largest`` the size of the largest face. ``initial`` has no starts for a cold start. The residual is
    infinite where the codes are not on the simplex.
    """
    n_samples, n_atoms = products.shape
    face = new_face(n_largest + JOINING + 4)
    linear, excess = np.empty(n_atoms, gram.dtype), np.empty(n_atoms, gram.dtype)
    rounded, bits = new_search(n_atoms)
    found = np.empty(JOINING, np.uintp)
    working = gram.dtype.type
    half, vertex, stretch = working(0.5), working(0.5 * (1.0 - factor)), 1.0 / factor
    largest_square = squares.max() + 0.0
    starts, rounds, residuals = np.zeros(n_samples + 1, np.int64), np.empty(n_samples, np.int64), np.empty(n_samples)
    atoms, codes = np.empty(16 * n_samples, np.int32), np.empty(16 * n_samples, gram.dtype)
    for sample in range(n_samples):
        patch, product = patches[sample], products[sample]
        square = 0.0
        for j in range(patch.size):
            square += (patch[j] * inverse_unit) * (patch[j] * inverse_unit)
        scale = max(square, largest_square)
        level = min(tolerance * scale, HIGHEST)
        floor = min(DEPENDENT * level * stretch, MOST_DEPENDENT)
        for j in range(n_atoms):
            linear[j] = product[j] - vertex * squares[j]
            excess[j] = product[j] - half * squares[j]
        find_largest(excess, rounded, bits, found)
        best = found[0]
        base = linear[best] + 0.0
        n_active = 0
        if initial.starts.size:
            begin, end = initial.starts[sample], initial.starts[sample + 1]
            some, given = initial.atoms[begin:end], initial.codes[begin:end]
            n_active = _start(gram, linear, base, stretch, some, given, face, n_largest, floor)
        if n_active == 0:  # the best vertex, and the next ones that promise descent from there
            n_active, _ = join(gram, 0.0, best, 1.0, 1.0, face, 0, floor, True)
            face.codes[0] = 1.0
            for i in range(1, min(found.size, n_atoms)):
                atom = found[i]
                value = linear[atom] - base
                if value - factor * (gram[best, atom] - gram[best, best]) > level:
                    n_active, _ = join(gram, stretch * value, atom, 1.0, 1.0, face, n_active, floor, False)
        lowest, stalled, n_rounds = 1e300, 0, 0
        while True:
            n_active, multiplier = descend(face, n_active)
            # the gradient is γ(τ − 1) − β for every atom in use, and twice the objective
            value = multiplier - 1.0
            for i in range(n_active):
                value -= stretch * (linear[face.atoms[i]] - base) * face.codes[i]
            if value < lowest:
                lowest = value
            else:
                stalled += 1
            set_excess(gram, linear, face, n_active, factor, factor * (multiplier - 1.0) - base - level, excess)
            n_joining = find_largest(excess, rounded, bits, found)
            n_rounds += 1
            if n_joining == 0 or n_active > n_largest or stalled > PATIENCE or n_rounds > MOST_ROUNDS * (n_atoms + 9):
                break
            for i in range(n_joining):
                atom = found[i]
                value = stretch * (linear[atom] - base)
                n_active, dependent = join(gram, value, atom, 1.0, 1.0, face, n_active, floor, i == 0)
                if dependent or n_active > n_largest:
                    break
        gap, total = excess[found[0]] + 0.0, 0.0
        for i in range(n_active):
            gap -= excess[face.atoms[i]] * face.codes[i]
            total += face.codes[i]
        rounds[sample] = n_rounds
        sort_atoms(face.atoms, face.codes, n_active)
        begin = starts[sample]
        end = begin + n_active
        if end > atoms.size:
            atoms, codes = _lengthened(atoms, end), _lengthened(codes, end)
        check = 0.0
        for i in range(n_active):
            code = working(face.codes[i] / total)
            atoms[begin + i], codes[begin + i] = face.atoms[i], code
            check += code if code >= 0 else 2.0
        on_simplex = abs(total - 1.0) <= SUM_WITHIN and abs(check - 1.0) <= SUM_WITHIN
        residuals[sample] = (max(gap, 0.0) / scale if scale > 0.0 else 0.0) if on_simplex else np.inf
        starts[sample + 1] = end
    n_written = starts[n_samples]
    return Rows(starts, atoms[:n_written], codes[:n_written]), residuals, rounds


@jit
def _compress(dense):
    """Positive entries of an array as rows."""
    n_samples, n_atoms = dense.shape
    starts = np.zeros(n_samples + 1, np.int64)
    atoms, codes = np.empty(16 * n_samples, np.int32), np.empty(16 * n_samples, dense.dtype)
    end = 0
    for sample in range(n_samples):
        for begin in range(0, n_atoms, _LANES):
            lanes = dense[sample, begin : begin + _LANES]
            total = dense.dtype.type(0)
            for j in range(lanes.size):  # most lanes are all zeros, and a sum tells so at once
                total += abs(lanes[j])
            if total > 0:
                for j in range(lanes.size):
                    if lanes[j] > 0:
                        if end == atoms.size:
                            atoms, codes = _lengthened(atoms, end + 1), _lengthened(codes, end + 1)
                        atoms[end], codes[end] = begin + j, lanes[j]
                        end += 1
        starts[sample + 1] = end
    return Rows(starts, atoms[:end], codes[:end])


@jit
def write_rows(rows, dense):
    for sample in range(rows.starts.size - 1):
        for i in range(rows.starts[sample], rows.starts[sample + 1]):
            dense[sample, rows.atoms[i]] = rows.codes[i]


class Solution(NamedTuple):
    """Codes of all samples and how they were found.

    Attributes
    ----------
    rows
        The codes with ascending atoms, None if they were written to ``dense``.
    residuals
        `wlsc.kkt_residual` of each sample in the precision of the data, shape (n_samples,).
    rounds
        Gradients over all atoms that each sample took, shape (n_samples,).
    """

    rows: Rows | None
    residuals: np.ndarray
    rounds: np.ndarray


def solve_active_set(
    patches: torch.Tensor,
    dictionary: torch.Tensor,
    lam: float,
    tol: float,
    initial: np.ndarray | Rows | None = None,
    dense: np.ndarray | None = None,
) -> Solution:
    """Exact codes on the CPU, on `torch.get_num_threads` threads; the result does not depend on their number.

    Parameters
    ----------
    patches, dictionary
        Contiguous tensors of shapes (n_samples, n_features) and (n_atoms, n_features), centred, finite, of one dtype.
    lam
        Weight λ ≥ 0 of the penalty.
    tol
        Residual to stay below. Where rounding or degeneracy kept a sample above it, its residual says so; it is
        infinite where the codes are not on the simplex.
    initial
        Codes to start from, of the dtype of ``patches``: an array of shape (n_samples, n_atoms), or rows. Negative
        codes are left out and the others scaled to the simplex.
    dense
        Zeros of shape (n_samples, n_atoms), to write dense codes to.
    """
    n_atoms, n_features = dictionary.shape
    scaled, unit = scaled_to_unit(dictionary)
    gram = _symmetric_product(scaled).numpy()
    squares = gram.diagonal().copy()
    encoder = (scaled / unit).T

    nothing = Rows(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, gram.dtype))

    def solve(begin: int, end: int, products: np.ndarray) -> Solution:
        start = nothing if initial is None else rows_of(initial, begin, end)
        rows, residuals, rounds = _solve_samples(
            gram,
            squares,
            curvature(lam),
            patches[begin:end].numpy(),
            1 / unit,
            products,
            start,
            STOP * tol,
            min(n_features + 1, n_atoms),
        )
        if dense is None:
            return Solution(rows, residuals, rounds)
        write_rows(rows, dense[begin:end])
        return Solution(None, residuals, rounds)

    return joined(solve_in_parallel(patches, encoder, solve))


def _symmetric_product(rows: torch.Tensor) -> torch.Tensor:
    """Inner products of all rows, those of each pair once."""
    n_rows = len(rows)
    products = rows.new_empty(n_rows, n_rows)
    for begin in range(0, n_rows, _GRAM_BLOCK):
        end = min(begin + _GRAM_BLOCK, n_rows)
        torch.mm(rows[begin:end], rows[:end].T, out=products[begin:end, :end])
        products[:begin, begin:end] = products[begin:end, :begin].T
    return products


def joined(solved: list[Solution]) -> Solution:
    residuals, rounds = (np.concatenate([getattr(part, name) for part in solved]) for name in ("residuals", "rounds"))
    parts = [part.rows for part in solved if part.rows is not None]
    if not parts:
        return Solution(None, residuals, rounds)
    offsets = np.cumsum([0] + [part.starts[-1] for part in parts])
    starts = [part.starts[:-1] + offset for part, offset in zip(parts, offsets[:-1], strict=True)]
    atoms, codes = (np.concatenate([getattr(part, name) for part in parts]) for name in ("atoms", "codes"))
    return Solution(Rows(np.concatenate([*starts, offsets[-1:]]), atoms, codes), residuals, rounds)


def rows_of(initial: np.ndarray | Rows, begin: int, end: int) -> Rows:
    """Codes of the samples from ``begin`` to ``end`` as rows."""
    if isinstance(initial, Rows):
        return initial._replace(starts=initial.starts[begin : end + 1])
    return _compress(initial[begin:end])


def scaled_to_unit(dictionary: torch.Tensor) -> tuple[torch.Tensor, float]:
    """The atoms over a power of two, the second result, so that none is longer than 1; without over- or underflow."""
    entry = unit_of(dictionary)
    unit = entry * unit_of(torch.linalg.vector_norm(dictionary / entry, dim=1))
    return dictionary / unit, unit
