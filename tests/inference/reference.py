"""Exact codes by other means: every support tried, or DAQP; both know nothing of the solvers under test."""

from itertools import combinations

import daqp
import numpy as np
from scipy.spatial.distance import cdist


def values(patches, dictionary, codes, lam):
    """Objective over 1 + 2λ of each sample in float64, by explicit differences from the first atom."""
    y, atoms, x = (np.asarray(array, np.float64) for array in (patches, dictionary, codes))
    y, atoms = y - atoms[0], atoms - atoms[0]
    error = np.sum((y - x @ atoms) ** 2, axis=1)
    return (0.5 * error + lam * np.sum(x * cdist(y, atoms, "sqeuclidean"), axis=1)) / (1 + 2 * lam)


def scales(patches, dictionary):
    """max(‖y − c‖², maxⱼ‖aⱼ − c‖²) of each sample, with c the mean of the atoms."""
    y, atoms = (np.asarray(array, np.float64) for array in (patches, dictionary))
    y, atoms = y - atoms.mean(axis=0), atoms - atoms.mean(axis=0)
    return np.maximum(np.sum(y**2, axis=1), np.sum(atoms**2, axis=1).max())


def by_enumeration(patches, dictionary, lam):
    """Codes of every sample by the minimum over each face of the simplex, the best of those that lie inside."""
    y, atoms = (np.asarray(array, np.float64) for array in (patches, dictionary))
    y, atoms = y - atoms[0], atoms - atoms[0]
    n_atoms, n_features = atoms.shape
    unit = max(np.abs(atoms).max(), np.abs(y).max(), np.finfo(float).tiny)
    scaled = atoms / unit
    gram = scaled @ scaled.T
    linear = ((1 + 2 * lam) * (y / unit) @ scaled.T) - lam * np.diag(gram)
    best, lowest = np.zeros((len(y), n_atoms)), np.full(len(y), np.inf)
    for size in range(1, min(n_atoms, n_features + 1) + 1):
        for support in map(list, combinations(range(n_atoms), size)):
            system = np.ones((size + 1, size + 1))
            system[:size, :size], system[size, size] = gram[np.ix_(support, support)], 0
            right = np.vstack([linear[:, support].T, np.ones(len(y))])
            try:
                inside = np.linalg.solve(system, right)[:size].T
            except np.linalg.LinAlgError:  # an optimum without these atoms is as good (Carathéodory)
                continue
            inside[~np.isfinite(inside).all(axis=1)] = -1
            feasible = (inside >= 0).all(axis=1) & (np.abs(inside.sum(axis=1) - 1) < 1e-9)
            codes = np.zeros((len(y), n_atoms))
            codes[:, support] = inside
            found = np.where(feasible, values(y, atoms, codes, lam), np.inf)
            better = found < lowest
            best[better], lowest[better] = codes[better], found[better]
    return best


def by_daqp(patches, dictionary, lam):
    """Codes of every sample by DAQP, a dual active-set solver of quadratic programmes, cleared of its rounding."""
    y, atoms = (np.asarray(array, np.float64) for array in (patches, dictionary))
    y, atoms = y - atoms.mean(axis=0), atoms - atoms.mean(axis=0)
    unit = np.sqrt(scales(patches, dictionary).max()) or 1.0
    y, atoms, n_atoms = y / unit, atoms / unit, len(atoms)
    quadratic = atoms @ atoms.T
    upper, lower = np.r_[np.full(n_atoms, 1.0), 1.0], np.r_[np.zeros(n_atoms), 1.0]
    sense = np.r_[np.zeros(n_atoms, np.int32), np.int32(5)]
    linear = lam * np.sum(atoms**2, axis=1) - (1 + 2 * lam) * y @ atoms.T
    codes = []
    for row in linear:
        given = quadratic, row - row.min(), np.ones((1, n_atoms)), upper, lower, sense
        for eps_prox in (1e-5, 1e-4, 1e-6):  # where one ends in a cycle (-2), another does not
            found, _, flag, _ = daqp.solve(*given, eps_prox=eps_prox, primal_tol=1e-11)
            if flag == 1:
                break
        assert flag == 1, flag
        found = np.clip(found, 0, None)
        codes.append(found / found.sum())
    return np.array(codes)
