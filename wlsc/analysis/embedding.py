"""Pictures of high-dimensional data in the plane."""

from __future__ import annotations

import numpy as np

from wlsc._lazy import same_random_numbers
from wlsc._validation import Array, check_count, to_torch

#: openTSNE repeats exactly at a fixed number of threads and differs between numbers, so it is the same everywhere.
_N_JOBS = 2


def embed_tsne(
    values: Array, perplexity: float = 30.0, n_components: int = 50, random_state: int = 0, verbose: bool = False
) -> np.ndarray:
    """Embed samples in the plane by t-SNE [1]_ as implemented in openTSNE [2]_, starting from principal components.

    Parameters
    ----------
    values
        Shape (n_samples, n_features).
    perplexity
        Effective number of neighbours of a sample; below a third of the number of samples.
    n_components
        Principal components to which the data are reduced first, if they have more features.
    random_state
        Seed; the same seed gives the same picture.
    verbose
        Report progress on standard output.

    Returns
    -------
    numpy.ndarray
        Shape (n_samples, 2).

    Raises
    ------
    ValueError
        If the data are not finite, or the perplexity does not fit their number.

    References
    ----------
    .. [1] L. van der Maaten, G. Hinton, Visualizing data using t-SNE, JMLR 9 (2008) 2579–2605.
    .. [2] P. G. Poličar, M. Stražar, B. Zupan, openTSNE: a modular Python library for t-SNE dimensionality reduction
       and embedding, Journal of Statistical Software 109 (2024) 1–30.
    """
    with same_random_numbers():
        from openTSNE import TSNE
        from sklearn.decomposition import PCA

    data = to_torch("values", values, ndim=2).cpu().numpy()
    check_count("n_components", n_components)
    if not 1 < perplexity < len(data) / 3:
        raise ValueError(
            f"perplexity must lie between 1 and a third of the number of samples ({len(data)}), got {perplexity}"
        )
    if data.shape[1] > n_components:
        data = PCA(n_components, svd_solver="covariance_eigh").fit_transform(data)
    tsne = TSNE(perplexity=perplexity, random_state=random_state, n_jobs=_N_JOBS, verbose=verbose)
    return np.asarray(tsne.fit(data))
