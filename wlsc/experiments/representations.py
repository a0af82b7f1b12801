"""What different methods make of the same samples: codes that can be compared, clustered, and drawn.

The baselines are those of scikit-learn and UMAP, called with fixed seeds; what is here is only the way in and out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from wlsc._lazy import same_random_numbers
from wlsc._validation import check_choice, check_count

#: Samples that are encoded at a time by the models that give dense codes.
_BLOCK = 8192

#: Passes of NMF over the samples: all of them are made, so that no rule for stopping depends on noise.
_NMF_PASSES = 20


class Representation(NamedTuple):
    """What a method made of samples.

    Attributes
    ----------
    codes
        Shape (n_samples, n_codes), float32: NumPy array or SciPy CSR array.
    n_parameters
        Numbers that the method learned.
    labels
        Cluster of each sample, shape (n_samples,), if the method clusters by itself.
    n_components
        Connected components of the method's own graph of samples, if it has one: with more of them than clusters the
        leading eigenvectors are any that tell some of them apart.
    """

    codes: Any
    n_parameters: int
    labels: np.ndarray | None = None
    n_components: int | None = None


def represent(kind: str, samples: np.ndarray, n_clusters: int, seed: int, options: Mapping[str, Any]) -> Representation:
    """Represent samples by a baseline.

    Parameters
    ----------
    kind
        "pixels": the samples themselves; "pca"; "nmf": non-negative matrix factorisation by mini-batches; "umap";
        "neighbour_graph": rows of the leading eigenvectors of the normalised graph of nearest neighbours, scaled to
        length 1 [1]_; "landmarks": similarities to the nearest centroids of k-means [2]_; "mixmate":
        `wlsc.models.mixmate.MixMate`.
    samples
        Shape (n_samples, n_features), float32, non-negative for "nmf".
    n_clusters
        Number of clusters that are looked for: eigenvectors of "neighbour_graph", components of "mixmate".
    seed
        Of all that is random.
    options
        Of the kind: "n_components" ("pca", "nmf", "umap"), "n_neighbors" ("neighbour_graph", "umap"), "n_landmarks",
        "n_nearest" ("landmarks"), "n_epochs", "start", "scale" of the samples ("mixmate").

    Raises
    ------
    ValueError
        If the kind or an option is unknown, or there are no more samples than clusters.

    References
    ----------
    .. [1] A. Y. Ng, M. I. Jordan, Y. Weiss, On spectral clustering: analysis and an algorithm, NeurIPS (2001).
    .. [2] X. Chen, D. Cai, Large scale spectral clustering with landmark-based representation, AAAI (2011) 313–318.
    """
    check_choice("kind", kind, tuple(BASELINES))
    if check_count("n_clusters", n_clusters) >= len(samples):
        raise ValueError(f"n_clusters must be below the number of samples ({len(samples)}), got {n_clusters}")
    try:
        return BASELINES[kind](samples, n_clusters, seed, **options)
    except TypeError as error:
        if "unexpected keyword" not in str(error):
            raise
        raise ValueError(f"options of {kind} must be among its own, got {dict(options)}: {error}") from None


def encode_in_blocks(infer: Callable[[torch.Tensor], torch.Tensor], samples: np.ndarray) -> Any:
    """Codes of a model whose ``infer`` is dense, as one SciPy CSR array."""
    from scipy.sparse import csr_array, vstack

    blocks = torch.as_tensor(samples).split(_BLOCK)
    return vstack([csr_array(infer(block).numpy()) for block in blocks], format="csr")


def split_signs(codes: Any) -> Any:
    """Codes of both signs as non-negative ones of twice as many columns: positive parts, then negative ones."""
    from scipy.sparse import hstack, issparse

    if issparse(codes):
        return (
            codes
            if not len(codes.data) or codes.data.min() >= 0
            else hstack([codes.maximum(0), (-codes).maximum(0)], format="csr")
        )
    return codes if codes.min() >= 0 else np.concatenate([codes.clip(0), (-codes).clip(0)], axis=1)


def _pixels(samples: np.ndarray, n_clusters: int, seed: int) -> Representation:
    return Representation(samples, 0)


def _pca(samples: np.ndarray, n_clusters: int, seed: int, n_components: int = 50) -> Representation:
    with same_random_numbers():
        from sklearn.decomposition import PCA

    codes = PCA(n_components, svd_solver="covariance_eigh").fit_transform(samples)
    return Representation(codes.astype(np.float32), samples.shape[1] * (n_components + 1))


def _nmf(samples: np.ndarray, n_clusters: int, seed: int, n_components: int = 50) -> Representation:
    with same_random_numbers():
        from sklearn.decomposition import MiniBatchNMF

    passes = {"max_iter": _NMF_PASSES, "tol": 0, "max_no_improvement": None}
    model = MiniBatchNMF(n_components, init="nndsvda", batch_size=4096, random_state=seed, **passes)
    codes = model.fit_transform(samples)
    return Representation(codes.astype(np.float32), model.components_.size)


def _umap(
    samples: np.ndarray, n_clusters: int, seed: int, n_components: int = 10, n_neighbors: int = 15
) -> Representation:
    with same_random_numbers():
        from umap import UMAP

    model = UMAP(n_neighbors=n_neighbors, n_components=n_components, random_state=seed, n_jobs=1)
    codes = model.fit_transform(samples)
    return Representation(codes.astype(np.float32), codes.size)


def _neighbour_graph(samples: np.ndarray, n_clusters: int, seed: int, n_neighbors: int = 10) -> Representation:
    from scipy.sparse import csr_array, diags_array
    from scipy.sparse.csgraph import connected_components
    from scipy.sparse.linalg import eigsh

    from wlsc.analysis.clustering import nearest_neighbours

    nearest = nearest_neighbours(samples, n_neighbors).astype(np.int32)
    rows = np.repeat(np.arange(len(samples), dtype=np.int32), n_neighbors)
    graph = csr_array((np.ones(nearest.size), (rows, nearest.ravel())), shape=(len(samples),) * 2)
    graph = graph + graph.T
    n_components = int(connected_components(graph, directed=False, return_labels=False))
    scale = diags_array(graph.sum(axis=1) ** -0.5)  # every sample has neighbours
    start = np.random.default_rng(seed).uniform(0.5, 1, len(samples))
    _, vectors = eigsh(scale @ graph @ scale, n_clusters, which="LA", v0=start)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    codes = (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return Representation(codes, vectors.size, n_components=n_components)


def _landmarks(
    samples: np.ndarray, n_clusters: int, seed: int, n_landmarks: int = 1000, n_nearest: int = 5
) -> Representation:
    from scipy.sparse import csr_array

    with same_random_numbers():
        from sklearn.cluster import MiniBatchKMeans

    model = MiniBatchKMeans(n_landmarks, batch_size=4096, n_init=1, random_state=seed).fit(samples)
    squares = torch.cdist(torch.as_tensor(samples), torch.as_tensor(model.cluster_centers_)).square()
    nearest = squares.topk(check_count("n_nearest", n_nearest), largest=False)
    bandwidth = nearest.values.mean()
    weights = torch.softmax(-nearest.values / bandwidth, dim=1)
    rows = np.repeat(np.arange(len(samples)), n_nearest)
    codes = csr_array((weights.numpy().ravel(), (rows, nearest.indices.numpy().ravel())), shape=tuple(squares.shape))
    return Representation(codes, model.cluster_centers_.size)


def _mixmate(
    samples: np.ndarray, n_clusters: int, seed: int, n_epochs: int = 10, start: str = "subspaces", scale: float = 1.0
) -> Representation:
    from scipy.sparse import csr_array

    from wlsc.models.mixmate import MixMate

    generator = torch.Generator().manual_seed(seed)
    model = MixMate(samples.shape[1], n_clusters, generator=generator)
    images = scale * torch.as_tensor(samples)
    model.initialize(images, generator, start)
    model.fit(images, n_epochs=n_epochs, seed=seed)
    codes = csr_array(model.codes(images).numpy())
    return Representation(codes, model.dictionary.numel(), model.predict(images).numpy())


BASELINES: Mapping[str, Callable[..., Representation]] = {
    "pixels": _pixels,
    "pca": _pca,
    "nmf": _nmf,
    "umap": _umap,
    "neighbour_graph": _neighbour_graph,
    "landmarks": _landmarks,
    "mixmate": _mixmate,
}
