"""Swaps of units on a sheet, compiled: every unit changes places with the one with which that gains most.

The weight of two cells is that of their rows times that of their columns, K(p, q) = k(p₁, q₁) k(p₂, q₂). Along each
axis a table says which indices are near which, -1 beyond the edge, and how much each counts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from wlsc.inference._parallel import jit

#: Gains below this share of the largest similarity are rounding, which must not make units go round in circles.
_ROUNDING = 1e-9


class Sheet(NamedTuple):
    """Rows near each row, shape (n_rows, n_near), and their weights, shape (n_near,); the same of columns."""

    near_rows: np.ndarray
    row_weights: np.ndarray
    near_columns: np.ndarray
    column_weights: np.ndarray


@jit
def _weighted_rows(image: np.ndarray, near: np.ndarray, weights: np.ndarray, out: np.ndarray) -> None:
    """Σ_k weight_k · row near[i, k] for every row i of the image."""
    for i in range(near.shape[0]):
        out[i, :] = 0.0
        for k in range(near.shape[1]):
            if near[i, k] >= 0:
                out[i, :] += weights[k] * image[near[i, k], :]


@jit
def _spread(values: np.ndarray, cell: int, sheet: Sheet, scale: float) -> None:
    """Add ``scale`` · K(cell, q) to the values of all cells q around a cell, itself included."""
    n_columns = sheet.near_columns.shape[0]
    row, column = cell // n_columns, cell % n_columns
    for k in range(sheet.row_weights.size):
        below = sheet.near_rows[row, k]
        if below >= 0:
            for m in range(sheet.column_weights.size):
                right = sheet.near_columns[column, m]
                if right >= 0:
                    values[below * n_columns + right] += scale * sheet.row_weights[k] * sheet.column_weights[m]


@jit
def _fields(similarity: np.ndarray, unit_at: np.ndarray, touching: np.ndarray) -> np.ndarray:
    """f_b at one cell for every unit b, from the weights ``touching`` it, which are 0 at the cell itself."""
    fields = np.zeros(unit_at.size)
    for q in range(unit_at.size):
        if touching[q] != 0.0:
            fields += touching[q] * similarity[unit_at[q]]
    return fields


@jit
def _own_fields(similarity: np.ndarray, unit_at: np.ndarray, sheet: Sheet) -> np.ndarray:
    """What every unit has around its own cell, Σ_r S[unit, unit at r] K(cell, r), shape (n_cells,)."""
    own = np.empty(unit_at.size)
    for cell in range(unit_at.size):
        touching = np.zeros(unit_at.size)
        _spread(touching, cell, sheet, 1.0)
        unit, field = unit_at[cell], 0.0
        for q in range(unit_at.size):
            if touching[q] != 0.0 and q != cell:
                field += touching[q] * similarity[unit, unit_at[q]]
        own[unit] = field
    return own


@jit
def _swap_once(
    similarity: np.ndarray,
    unit_at: np.ndarray,
    cell_of: np.ndarray,
    own: np.ndarray,
    order: np.ndarray,
    sheet: Sheet,
    floor: float,
) -> int:
    """Let each unit in ``order`` make the swap that gains most, if one gains more than ``floor``; return their number.

    With f_a(q) = Σ_r S[a, unit at r] K(q, r) over the cells r ≠ q, the sum Σ S K over pairs grows by
    f_a(q) − f_a(p) + f_b(p) − f_b(q) + 2 S[a, b] K(p, q) where a at p and b at q change places. ``unit_at``,
    ``cell_of`` and ``own``, f of every unit at its own cell, are brought up to date.
    """
    n_rows, n_columns = sheet.near_rows.shape[0], sheet.near_columns.shape[0]
    n_cells = n_rows * n_columns
    image = np.empty((n_rows, n_columns))
    by_rows = np.empty((n_rows, n_columns))
    there = np.empty((n_columns, n_rows))  # f_a at every cell and S[a, unit there], transposed
    n_swaps = 0
    for a in order:
        p = cell_of[a]
        row = similarity[a]
        touching = np.zeros(n_cells)
        _spread(touching, p, sheet, 1.0)
        touching[p] = 0.0
        here = _fields(similarity, unit_at, touching)
        for q in range(n_cells):
            image[q // n_columns, q % n_columns] = row[unit_at[q]]
        _weighted_rows(image, sheet.near_rows, sheet.row_weights, by_rows)
        _weighted_rows(np.ascontiguousarray(by_rows.T), sheet.near_columns, sheet.column_weights, there)
        best, best_gain = p, floor
        for q in range(n_cells):
            b = unit_at[q]
            field = there[q % n_columns, q // n_columns] - row[b]
            gain = field - own[a] + here[b] - own[b] + 2.0 * row[b] * touching[q]
            if q != p and gain > best_gain:
                best, best_gain = q, gain
        if best == p:
            continue
        b = unit_at[best]
        meeting = row[b] * touching[best]
        own_a, own_b = there[best % n_columns, best // n_columns] - row[b] + meeting, here[b] + meeting
        lost = -touching
        _spread(lost, best, sheet, 1.0)
        for q in range(n_cells):
            if lost[q] != 0.0:  # nearer to one of the two cells than to the other
                near = unit_at[q]
                own[near] += lost[q] * (row[near] - similarity[b, near])
        unit_at[p], unit_at[best] = b, a
        cell_of[a], cell_of[b] = best, p
        own[a], own[b] = own_a, own_b
        n_swaps += 1
    return n_swaps


def improve(
    similarity: np.ndarray, unit_at: np.ndarray, sheet: Sheet, rng: np.random.Generator, at_most: int | None = None
) -> np.ndarray:
    """Swap until no swap gains.

    Parameters
    ----------
    similarity
        Symmetric, with a diagonal of zeros, shape (n_cells, n_cells).
    unit_at
        Unit of each cell, row by row, shape (n_cells,).
    sheet
        What is near what.
    rng
        Draws the order in which units have their turn.
    at_most
        Rounds after which to stop all the same, if given.

    Returns
    -------
    numpy.ndarray
        Unit of each cell, shape (n_cells,).
    """
    unit_at, cell_of = unit_at.copy(), np.argsort(unit_at)
    own = _own_fields(similarity, unit_at, sheet)
    floor = _ROUNDING * float(similarity.max(initial=0.0))
    order = np.arange(unit_at.size)
    n_swaps, n_rounds = 1, 0
    while n_swaps and n_rounds != at_most:
        rng.shuffle(order)
        n_swaps = _swap_once(similarity, unit_at, cell_of, own, order, sheet, floor)
        n_rounds += 1
    return unit_at


def total(similarity: np.ndarray, unit_at: np.ndarray, sheet: Sheet) -> float:
    """Σ S K over pairs of units: what swaps make larger."""
    return float(_own_fields(similarity, unit_at, sheet).sum()) / 2
