"""Do two dictionaries hold the same atoms? Agreement of trainings, at start and end, and with the truth.

Atoms are matched one to one. What a number of agreement means depends on where the dictionaries started and on what
all atoms share, so that it stands beside three others: that of the starts, that of atoms without their common part,
and that of dictionaries of random samples (`random_data_stability`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import torch

from wlsc._validation import Array, check_choice, check_count, to_torch

#: Atoms whose norm is below this share of the largest one count as zero: they have no direction.
_NO_NORM = 1e-12


class Matching(NamedTuple):
    """A one-to-one matching of the atoms of two dictionaries with the largest sum of similarities.

    Attributes
    ----------
    first, second
        Matched atoms, int64, shape (n_pairs,); as many pairs as the smaller dictionary has atoms that count.
    similarities
        Of each pair, shape (n_pairs,); 0 for an atom of zeros.
    dead_first, dead_second
        Atoms that were left out, or, if they were not, that are zero; int64.
    """

    first: np.ndarray
    second: np.ndarray
    similarities: np.ndarray
    dead_first: np.ndarray
    dead_second: np.ndarray

    @property
    def mean(self) -> float:
        """Mean similarity of the pairs; NaN if there are none."""
        return float(self.similarities.mean()) if len(self.similarities) else float("nan")


class Stability(NamedTuple):
    """Agreement of every pair of trainings, shape (n_trainings · (n_trainings − 1) / 2,) each.

    Attributes
    ----------
    end
        Mean similarity of the matched atoms of the trained dictionaries.
    start
        That of the dictionaries they started from; None if those are not known.
    """

    end: np.ndarray
    start: np.ndarray | None

    @property
    def stabilisation(self) -> np.ndarray:
        """What training added: ``end − start``.

        Raises
        ------
        ValueError
            If the starts are not known.
        """
        if self.start is None:
            raise ValueError("starts must be given to tell what training added, got None")
        return self.end - self.start


class Recovery(NamedTuple):
    """How well a dictionary holds known atoms.

    Attributes
    ----------
    mcc
        Mean similarity of the true atoms to those matched with them, 0 for those without a partner.
    precision, recall, f1
        Share of the dictionary's atoms, and of the true ones, whose pair is at least as similar as the threshold, and
        their harmonic mean.
    """

    mcc: float
    precision: float
    recall: float
    f1: float


def match_atoms(
    first: Array,
    second: Array,
    *,
    signed: bool = True,
    centred: bool = False,
    dead_first: Any = None,
    dead_second: Any = None,
) -> Matching:
    """Match the atoms of two dictionaries one to one by their cosines.

    Parameters
    ----------
    first, second
        Shapes (n_first, n_features) and (n_second, n_features).
    signed
        Compare by the cosine; with False by its absolute value, for codes of both signs, where an atom and its negative
        are the same.
    centred
        Scale atoms to norm 1 and subtract, from each dictionary, their mean first. What all atoms share, such as the
        mean image, makes any two dictionaries look alike.
    dead_first, dead_second
        Indices of atoms to leave out, array or sequence, because no sample uses them. By default none is, and an atom
        of zeros agrees with nothing.

    Returns
    -------
    Matching

    Raises
    ------
    ValueError
        If the dictionaries are not finite or differ in their features, or an index is no atom's.
    """
    atoms = _read_atoms(first, second)
    live, dead = [], []
    for name, values, given in zip(("dead_first", "dead_second"), atoms, (dead_first, dead_second), strict=True):
        left_out = _read_indices(name, given, len(values))
        live.append(np.setdiff1d(np.arange(len(values)), left_out))
        zeros = np.flatnonzero(~_has_direction(values)) if given is None else left_out
        dead.append(zeros)
    units = [_directions(values[rows], centred) for values, rows in zip(atoms, live, strict=True)]
    cosines = units[0] @ units[1].T
    rows, columns, similarities = _assign(cosines if signed else np.abs(cosines))
    return Matching(live[0][rows], live[1][columns], similarities, dead[0], dead[1])


def stability(
    ends: Sequence[Array],
    starts: Sequence[Array] | None = None,
    *,
    signed: bool = True,
    centred: bool = False,
    dead: Sequence[Any] | None = None,
) -> Stability:
    """Agreement of several trainings of one model with one another, at the end and at the start.

    Parameters
    ----------
    ends
        Two trained dictionaries or more, each (n_atoms, n_features).
    starts
        The dictionary that each training started from.
    signed, centred
        See `match_atoms`.
    dead
        Indices of the atoms that no sample uses after each training, which are left out at the end.

    Raises
    ------
    ValueError
        If there are fewer than two dictionaries, or numbers of entries differ; and as `match_atoms`.
    """
    if len(ends) < 2:
        raise ValueError(f"ends must hold at least two dictionaries, got {len(ends)}")
    for name, given in (("starts", starts), ("dead", dead)):
        if given is not None and len(given) != len(ends):
            raise ValueError(f"{name} must have one entry per training ({len(ends)}), got {len(given)}")
    unused = [None] * len(ends) if dead is None else dead
    pairs = list(combinations(range(len(ends)), 2))
    match = partial(match_atoms, signed=signed, centred=centred)
    end = [match(ends[i], ends[j], dead_first=unused[i], dead_second=unused[j]).mean for i, j in pairs]
    if starts is None:
        return Stability(np.array(end), None)
    return Stability(np.array(end), np.array([match(starts[i], starts[j]).mean for i, j in pairs]))


def random_data_stability(
    samples: Array, n_atoms: int, n_pairs: int, seed: int, *, signed: bool = True, centred: bool = False
) -> np.ndarray:
    """Agreement of dictionaries that nobody trained: pairs of random samples, of which no two are the same row.

    Parameters
    ----------
    samples
        Shape (n_samples ≥ 2 · n_atoms, n_features).
    n_atoms, n_pairs
        Size of the dictionaries, and number of pairs of them.
    seed
        Of the draws, at least 0.
    signed, centred
        See `match_atoms`.

    Returns
    -------
    numpy.ndarray
        Mean similarity of the matched atoms of each pair, shape (n_pairs,).

    Raises
    ------
    ValueError
        If there are too few samples, they are not finite, or a number is out of range.
    """
    values = _read("samples", samples)
    check_count("n_pairs", n_pairs)
    rng = np.random.default_rng(check_count("seed", seed, minimum=0))
    if 2 * check_count("n_atoms", n_atoms) > len(values):
        raise ValueError(f"n_atoms must be at most half the number of samples ({len(values)}), got {n_atoms}")
    means = []
    for _ in range(n_pairs):
        drawn = values[rng.choice(len(values), 2 * n_atoms, replace=False)]
        means.append(match_atoms(drawn[:n_atoms], drawn[n_atoms:], signed=signed, centred=centred).mean)
    return np.array(means)


def recovery(
    dictionary: Array, truth: Array, *, metric: str = "cosine", signed: bool = True, threshold: float = 0.9
) -> Recovery:
    """Hold a dictionary against the atoms that the samples were made from, matched one to one.

    Parameters
    ----------
    dictionary, truth
        Shapes (n_atoms, n_features) and (n_true, n_features).
    metric
        "cosine", where atoms are directions; "points", where they are points: similarity is then 1 − ‖a − t‖²/σ², with
        σ² the mean squared distance of the true atoms from their mean, at which all atoms would have the similarity 0.
    signed
        With "cosine": take the cosine and not its absolute value.
    threshold
        Similarity from which on a true atom counts as found.

    Raises
    ------
    ValueError
        If the dictionaries are not finite or differ in their features, the metric is unknown, or there is no true atom.
    """
    check_choice("metric", metric, ("cosine", "points"))
    atoms, true = _read_atoms(dictionary, truth, names=("dictionary", "truth"))
    if not len(true) or not len(atoms):
        raise ValueError(f"dictionary and truth must hold at least one atom each, got {len(atoms)} and {len(true)}")
    if metric == "cosine":
        similarity = _directions(atoms, False) @ _directions(true, False).T
        similarity = similarity if signed else np.abs(similarity)
    else:
        from scipy.spatial.distance import cdist

        spread = ((true - true.mean(axis=0)) ** 2).sum(axis=1).mean()
        if not spread > 0:
            raise ValueError(f'truth must hold different atoms for metric="points", got {len(true)} of spread 0')
        similarity = 1 - cdist(atoms, true, "sqeuclidean") / spread
    _, _, matched = _assign(similarity)
    n_found = int((matched >= threshold).sum())
    precision, recall = n_found / len(atoms), n_found / len(true)
    f1 = 2 * n_found / (len(atoms) + len(true))
    return Recovery(float(matched.sum() / len(true)), precision, recall, f1)


def _read(name: str, values: Array) -> np.ndarray:
    return to_torch(name, values, ndim=2).detach().cpu().double().numpy()


def _read_atoms(
    first: Array, second: Array, names: tuple[str, str] = ("first", "second")
) -> tuple[np.ndarray, np.ndarray]:
    atoms = _read(names[0], first), _read(names[1], second)
    if atoms[0].shape[1] != atoms[1].shape[1]:
        raise ValueError(
            f"{names[0]} and {names[1]} must agree in the number of features, "
            f"got {atoms[0].shape[1]} and {atoms[1].shape[1]}"
        )
    return atoms


def _read_indices(name: str, given: Any, n_atoms: int) -> np.ndarray:
    indices = np.asarray(() if given is None else given.cpu() if isinstance(given, torch.Tensor) else given)
    if indices.size == 0:
        return np.zeros(0, dtype=np.int64)
    if indices.ndim != 1 or indices.dtype.kind not in "iu" or not 0 <= indices.min() <= indices.max() < n_atoms:
        raise ValueError(f"{name} must be indices of atoms, integers in 0 … {n_atoms - 1}, got {given!r}")
    return np.unique(indices)


def _has_direction(atoms: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(atoms, axis=1)
    return norms > _NO_NORM * norms.max(initial=0)


def _directions(atoms: np.ndarray, centred: bool) -> np.ndarray:
    """Atoms of norm 1; those without a direction stay 0."""
    directed = _has_direction(atoms)
    units = np.zeros_like(atoms)
    units[directed] = atoms[directed] / np.linalg.norm(atoms[directed], axis=1, keepdims=True)
    if not centred or not directed.any():
        return units
    units[directed] -= units[directed].mean(axis=0)
    return _directions(units, False)


def _assign(similarity: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(similarity, maximize=True)
    return rows, columns, similarity[rows, columns]
