"""Clusters as an autoencoder: k-means, and k-means with local principal components."""

from __future__ import annotations

import torch

from wlsc._lazy import same_random_numbers
from wlsc._validation import Array, check_count
from wlsc.models._filter_bank import draw_seed
from wlsc.models.autoencoder import FittedAutoencoder


class KMeansAutoencoder(FittedAutoencoder):
    """A sample is its nearest centroid, or that and its projection onto r principal directions of the cluster.

    Centroids are those of Lloyd's algorithm; the code is exact, being the only one. With r = 0 it holds a single 1, and
    the squared error is what k-means minimises. With r > 0 the error of each cell is the least that r directions
    through its mean leave; cells stay those of the centroids, and are not changed to suit the directions.

    k-means with local directions has been called the optimal counterpart of sparse autoencoders [1]_, for as many
    *regions*. An autoencoder of m atoms that keeps k of them has up to m-choose-k regions: match parameters,
    n_clusters · (1 + r) atoms, as well as regions.

    Atoms of cluster c are rows c·(1 + r) to (c + 1)·(1 + r) − 1 of the dictionary, its centroid first, whose code is 1.
    Directions for which a cluster has too few samples are 0.

    Parameters
    ----------
    n_features, n_clusters
        Size of the samples, and number of cells.
    n_directions
        r, 0 to n_features.
    n_init
        Starts by k-means++ of which the best is kept.

    References
    ----------
    .. [1] SplInterp: improving our understanding and training of sparse autoencoders (2025),
       https://github.com/splInterp2025/splInterp
    """

    def __init__(self, n_features: int, n_clusters: int, n_directions: int = 0, *, n_init: int = 3) -> None:
        check_count("n_features", n_features)
        if check_count("n_directions", n_directions, minimum=0) > n_features:
            raise ValueError(f"n_directions must be at most n_features = {n_features}, got {n_directions}")
        super().__init__(n_features, check_count("n_clusters", n_clusters) * (1 + n_directions))
        self.n_clusters, self.n_directions = n_clusters, n_directions
        self.n_init = check_count("n_init", n_init)

    @property
    def centroids(self) -> torch.Tensor:
        """Centroids, shape (n_clusters, n_features)."""
        return self.dictionary[:: 1 + self.n_directions]

    def fit(self, samples: Array, generator: torch.Generator) -> None:
        """Learn from ``samples`` (n_samples ≥ n_clusters, n_features); ``generator`` draws the starts of k-means."""
        with same_random_numbers():
            from sklearn.cluster import KMeans
        from threadpoolctl import threadpool_limits

        values = self._checked(samples, self.n_clusters)
        kmeans = KMeans(self.n_clusters, n_init=self.n_init, random_state=draw_seed(generator))
        with threadpool_limits(1):  # sums that are split among threads would round differently from run to run
            kmeans.fit(values.cpu().numpy())
        self.dictionary.zero_()
        self.centroids.copy_(torch.from_numpy(kmeans.cluster_centers_))
        if self.n_directions == 0:
            return
        cells = self.assign(values)
        groups = self.dictionary.unflatten(0, (self.n_clusters, -1))
        for cell in range(self.n_clusters):
            members = values[cells == cell]
            directions = torch.linalg.svd(members - groups[cell, 0], full_matrices=False).Vh[: self.n_directions]
            groups[cell, 1 : 1 + len(directions)] = directions

    def assign(self, samples: torch.Tensor) -> torch.Tensor:
        """Nearest centroid of each of ``samples`` (n_samples, n_features), int64, shape (n_samples,)."""
        centroids = self.centroids
        return (0.5 * centroids.square().sum(1) - samples @ centroids.T).argmin(1)

    def encode(self, samples: torch.Tensor) -> torch.Tensor:
        """Codes, shape (n_samples, n_atoms): 1 for the nearest centroid, and the projections onto its directions."""
        groups = self.dictionary.unflatten(0, (self.n_clusters, -1))
        from_centroid = (groups @ groups[:, 0].unsqueeze(2)).squeeze(2)
        codes = (samples @ self.dictionary.T).unflatten(1, from_centroid.shape) - from_centroid
        codes[:, :, 0] = 1
        own = torch.nn.functional.one_hot(self.assign(samples), self.n_clusters).to(codes)
        return (codes * own.unsqueeze(2)).flatten(1)
