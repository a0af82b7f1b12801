"""Two toys that k-means cannot solve, and what a graph of samples and atoms makes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch

from wlsc._lazy import same_random_numbers
from wlsc._validation import check_choice
from wlsc.analysis.clustering import cluster_codes, clustering_scores
from wlsc.dictionary import initialize_dictionary
from wlsc.inference.exact import infer_codes
from wlsc.models import WLSCAutoencoder
from wlsc.training import ClosedFormTrainer, train

#: Atoms and penalty of the toys' dictionary, passes over the points, and points in a batch.
_N_ATOMS, _LAM, _N_EPOCHS, _BATCH = 24, 5.0, 10, 1000


def _moons(n_points: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    with same_random_numbers():
        from sklearn.datasets import make_moons

    return make_moons(n_points, noise=0.1, random_state=seed)


def _circles(n_points: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    with same_random_numbers():
        from sklearn.datasets import make_circles

    return make_circles(n_points, noise=0.05, factor=0.5, random_state=seed)


#: Draws of points and their shapes, by name.
TOYS: Mapping[str, Callable[[int, int], tuple[np.ndarray, np.ndarray]]] = {
    "two moons": _moons,
    "two circles": _circles,
}


class SolvedToy(NamedTuple):
    """A toy and what was found in it.

    Attributes
    ----------
    points
        float32, shape (n_points, 2).
    dictionary
        Atoms, shape (24, 2).
    codes
        Shape (n_points, 24).
    accuracy, accuracy_of_k_means
        Share of the points in the right cluster, by the graph of points and atoms and by k-means on the points.
    crossing
        Part of the weight of all edges that leads from a point to an atom of the other shape.
    """

    points: np.ndarray
    dictionary: np.ndarray
    codes: np.ndarray
    accuracy: float
    accuracy_of_k_means: float
    crossing: float


def solve_toy(name: str, random_state: int, n_points: int = 2000) -> SolvedToy:
    """Draw a toy, learn 24 atoms at λ = 5, and cluster the exact codes.

    Parameters
    ----------
    name
        One of `TOYS`.
    random_state
        Seed of the points, the first atoms and the clusters.
    n_points
        Points of both shapes together.

    Raises
    ------
    ValueError
        If there is no toy of that name.
    """
    with same_random_numbers():
        from sklearn.cluster import KMeans

    points, shapes = TOYS[check_choice("name", name, tuple(TOYS))](n_points, random_state)
    points = points.astype(np.float32)
    generator = torch.Generator().manual_seed(random_state)
    model = WLSCAutoencoder(2, _N_ATOMS, _LAM, generator=generator)
    model.set_dictionary(initialize_dictionary(points, _N_ATOMS, generator, "k-means++"))
    train(ClosedFormTrainer(model), points, _N_EPOCHS, _BATCH, random_state)
    dictionary = model.dictionary.detach().numpy()
    codes = infer_codes(points, dictionary, _LAM)
    by_graph = cluster_codes(codes, 2, random_state).sample_labels
    by_means = KMeans(2, n_init=5, random_state=random_state).fit_predict(points)
    return SolvedToy(
        points,
        dictionary,
        codes,
        accuracy=clustering_scores(shapes, by_graph).accuracy,
        accuracy_of_k_means=clustering_scores(shapes, by_means).accuracy,
        crossing=crossing_weight(codes, shapes),
    )


def crossing_weight(codes: np.ndarray, shapes: np.ndarray) -> float:
    """Return the part of the codes' weight on atoms of the other of two shapes.

    An atom is of the shape whose points give it the more weight.

    Parameters
    ----------
    codes
        Shape (n_points, n_atoms).
    shapes
        0 or 1 for each point, shape (n_points,).
    """
    of_atom = np.array([codes[shapes == shape].sum(axis=0) for shape in (0, 1)]).argmax(axis=0)
    return float(codes[of_atom != shapes[:, None]].sum() / codes.sum())
