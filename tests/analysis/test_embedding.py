"""t-SNE pictures: repeatable, and neighbours stay neighbours."""

import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from wlsc.analysis.embedding import embed_tsne


def blobs(n_features=60):
    rng = np.random.default_rng(0)
    return np.repeat(rng.normal(scale=5, size=(4, n_features)), 40, axis=0) + rng.normal(size=(160, n_features))


@pytest.mark.parametrize("n_features", [5, 60])
def test_neighbours_stay_neighbours(n_features):
    values = blobs(n_features)
    points = embed_tsne(values)
    assert points.shape == (160, 2)
    assert trustworthiness(values, points, n_neighbors=10) > 0.85
    np.testing.assert_array_equal(points, embed_tsne(values))


def test_bad_input():
    with pytest.raises(ValueError, match="perplexity must lie between 1 and a third of the number of samples"):
        embed_tsne(blobs(), perplexity=60)
    with pytest.raises(ValueError, match="values must be finite"):
        embed_tsne(np.full((9, 2), np.nan))
