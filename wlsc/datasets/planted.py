"""Planted data: samples that were made from a known dictionary, so that what a model finds can be held against it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from wlsc._validation import check_choice, check_count

#: Number of coordinates up to which a Delaunay triangulation is affordable.
_MOST_COORDINATES = 8


class Planted(NamedTuple):
    """Samples and what they were made from.

    Attributes
    ----------
    samples
        Shape (n_samples, n_features), float32: ``codes @ dictionary`` and noise.
    dictionary
        Shape (n_atoms, n_features), float32.
    codes
        Shape (n_samples, n_atoms), float32.
    """

    samples: np.ndarray
    dictionary: np.ndarray
    codes: np.ndarray


def load_planted(source: str, **options: Any) -> Planted:
    """Planted data by name, for configurations.

    Parameters
    ----------
    source
        "simplices": `plant_simplices`; "sparse": `plant_sparse`.
    **options
        Arguments of that function.

    Raises
    ------
    ValueError
        If the source is unknown, and as these functions.
    """
    sources: dict[str, Callable[..., Planted]] = {"simplices": plant_simplices, "sparse": plant_sparse}
    return sources[check_choice("source", source, tuple(sources))](**options)


def plant_simplices(
    n_samples: int, n_atoms: int, n_features: int, n_coordinates: int = 2, noise: float = 0.0, seed: int = 0
) -> Planted:
    """Points in the Delaunay triangulation of random landmarks.

    Landmarks are uniform in the unit cube of ``n_coordinates`` dimensions. A sample lies in a simplex of their
    triangulation, each equally likely, at barycentric coordinates uniform in it; an isometry takes all to
    ``n_features`` dimensions. The codes are the barycentric coordinates: n_coordinates + 1 of them are not 0, and they
    are those of least spread, which weighted-ℓ1 coding looks for [1]_.

    Parameters
    ----------
    n_samples, n_atoms, n_features
        Numbers of points, of landmarks (at least n_coordinates + 1), and of features.
    n_coordinates
        Dimension of the triangulation, 2 to 8, at most ``n_features``.
    noise
        Standard deviation of the Gaussian noise on each feature.
    seed
        Of all that is random.

    Returns
    -------
    Planted
        The landmarks are the dictionary.

    Raises
    ------
    ValueError
        If a number is out of range.

    References
    ----------
    .. [1] A. Tasissa, P. Tankala, J. M. Murphy, D. Ba, K-Deep Simplex: manifold learning via local dictionaries,
       IEEE Transactions on Signal Processing 71 (2023) 3741–3754.
    """
    from scipy.spatial import Delaunay

    _check_numbers(n_samples, n_atoms, n_features, noise, seed)
    if not 2 <= check_count("n_coordinates", n_coordinates) <= min(_MOST_COORDINATES, n_features):
        raise ValueError(
            f"n_coordinates must lie between 2 and {min(_MOST_COORDINATES, n_features)}, got {n_coordinates}"
        )
    if n_atoms <= n_coordinates:
        raise ValueError(f"n_atoms must be above n_coordinates = {n_coordinates}, got {n_atoms}")
    rng = np.random.default_rng(seed)
    landmarks = rng.random((n_atoms, n_coordinates))
    simplices = Delaunay(landmarks).simplices
    chosen = simplices[rng.integers(len(simplices), size=n_samples)]
    codes = np.zeros((n_samples, n_atoms))
    np.put_along_axis(codes, chosen, rng.dirichlet(np.ones(n_coordinates + 1), size=n_samples), axis=1)
    isometry = np.linalg.qr(rng.standard_normal((n_features, n_coordinates)))[0].T
    return _planted(codes, landmarks @ isometry, noise, rng)


def plant_sparse(
    n_samples: int,
    n_atoms: int,
    n_features: int,
    n_active: int,
    noise: float = 0.0,
    signed: bool = False,
    seed: int = 0,
) -> Planted:
    """Sums of few atoms: the linear-sparse model.

    Atoms are uniform on the unit sphere. Each sample uses ``n_active`` of them, drawn without replacement, with weights
    uniform in 0.5 … 1.5, of random sign if ``signed``.

    Parameters
    ----------
    n_samples, n_atoms, n_features
        Numbers of samples, atoms and features.
    n_active
        Atoms of each sample, 1 to ``n_atoms``.
    noise
        Standard deviation of the Gaussian noise on each feature.
    signed
        Draw signs.
    seed
        Of all that is random.

    Raises
    ------
    ValueError
        If a number is out of range.
    """
    _check_numbers(n_samples, n_atoms, n_features, noise, seed)
    if check_count("n_active", n_active) > n_atoms:
        raise ValueError(f"n_active must be at most n_atoms = {n_atoms}, got {n_active}")
    rng = np.random.default_rng(seed)
    atoms = rng.standard_normal((n_atoms, n_features))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    chosen = rng.random((n_samples, n_atoms)).argpartition(n_active - 1, axis=1)[:, :n_active]
    weights = rng.uniform(0.5, 1.5, size=chosen.shape)
    if signed:
        weights *= rng.choice([-1.0, 1.0], size=chosen.shape)
    codes = np.zeros((n_samples, n_atoms))
    np.put_along_axis(codes, chosen, weights, axis=1)
    return _planted(codes, atoms, noise, rng)


def _planted(codes: np.ndarray, atoms: np.ndarray, noise: float, rng: np.random.Generator) -> Planted:
    samples = codes @ atoms + noise * rng.standard_normal((len(codes), atoms.shape[1]))
    return Planted(samples.astype(np.float32), atoms.astype(np.float32), codes.astype(np.float32))


def _check_numbers(n_samples: int, n_atoms: int, n_features: int, noise: float, seed: int) -> None:
    for name, value in (("n_samples", n_samples), ("n_atoms", n_atoms), ("n_features", n_features)):
        check_count(name, value)
    check_count("seed", seed, minimum=0)
    if not 0 <= noise < np.inf:
        raise ValueError(f"noise must be a finite number of at least 0, got {noise!r}")
