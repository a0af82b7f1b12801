"""Centroids of k-means as filters: clustering without sparse coding."""

from __future__ import annotations

import torch

from wlsc._lazy import same_random_numbers
from wlsc._validation import Array, check_count
from wlsc.models._filter_bank import FilterBank, draw_seed


class KMeansFilters(FilterBank):
    """Centroids of the patches by Lloyd's algorithm, taken as filters [1]_.

    Responses are linear, ``patches @ filters.T``, and not distances to the centroids: receptive fields are compared as
    filters, and the gradient of a response with respect to the patch is then the centroid itself, whatever the patch.
    (−½‖y − c‖² = yᵀc − ½‖c‖² − ½‖y‖² differs only in a term of the unit and one that all units share.)

    Parameters
    ----------
    n_features, n_units, generator
        Those of `FilterBank`.
    n_init
        Runs from different k-means++ starts, of which the one with the smallest inertia is kept.
    max_iterations
        Iterations after which each run stops.

    Attributes
    ----------
    filters
        Centroids, shape (n_units, n_features), in the patches' unit.

    References
    ----------
    .. [1] A. Coates, A. Y. Ng, Learning feature representations with k-means, in Neural Networks: Tricks of the Trade,
       2nd ed. (2012) 561–580.
    """

    def __init__(
        self,
        n_features: int,
        n_units: int,
        generator: torch.Generator | None = None,
        *,
        n_init: int = 3,
        max_iterations: int = 300,
    ) -> None:
        super().__init__(n_features, n_units, generator)
        self.n_init = check_count("n_init", n_init)
        self.max_iterations = check_count("max_iterations", max_iterations)

    def fit(self, patches: Array, generator: torch.Generator) -> None:
        """Learn centroids from ``patches`` (n_samples ≥ n_units, n_features); ``generator`` draws the starts."""
        from threadpoolctl import threadpool_limits

        with same_random_numbers():
            from sklearn.cluster import KMeans

        n_units, n_features = self.filters.shape
        values = self._training_patches(patches, n_features, n_units)
        kmeans = KMeans(n_units, n_init=self.n_init, max_iter=self.max_iterations, random_state=draw_seed(generator))
        with threadpool_limits(1):  # sums that are split among threads would round differently from run to run
            kmeans.fit(values.cpu().numpy())
        self.filters.copy_(torch.from_numpy(kmeans.cluster_centers_))
