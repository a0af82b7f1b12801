"""k-means as an autoencoder, against scikit-learn's clusters and principal components."""

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from wlsc.models import KMeansAutoencoder


def samples():
    rng = np.random.default_rng(0)
    centres, spread = 20 * rng.standard_normal((4, 1, 5)), [3, 2, 1, 0.5, 0.1]
    return (centres + spread * rng.standard_normal((4, 60, 5))).reshape(240, 5)


def fitted(n_directions, n_clusters=4):
    model = KMeansAutoencoder(5, n_clusters, n_directions).double()
    model.fit(samples(), torch.Generator().manual_seed(0))
    return model


def test_error_is_the_inertia_of_k_means():
    model, given = fitted(0), torch.from_numpy(samples())
    codes = model.encode(given)
    assert torch.equal(codes.sum(1), torch.ones(240, dtype=torch.float64)) and int((codes != 0).sum()) == 240
    theirs = KMeans(4, n_init=20, random_state=0).fit(samples()).inertia_
    np.testing.assert_allclose(float(model.objective(given, codes).sum()), theirs, rtol=1e-9)


def test_cells_have_their_principal_components():
    model, given = fitted(2), torch.from_numpy(samples())
    cells = model.assign(given).numpy()
    nearest = np.linalg.norm(samples()[:, None] - model.centroids.numpy(), axis=2).argmin(1)
    assert np.array_equal(cells, nearest)
    reconstruction, codes = model(given)
    assert codes.shape == (240, 12) and bool(((codes != 0).sum(1) <= 3).all())
    for cell in range(4):
        members = samples()[cells == cell]
        pca = PCA(2).fit(members)
        expected = pca.inverse_transform(pca.transform(members))
        np.testing.assert_allclose(reconstruction.numpy()[cells == cell], expected, atol=1e-6)


def test_all_directions_leave_no_error_and_few_samples_have_fewer():
    given = torch.from_numpy(samples())
    torch.testing.assert_close(fitted(5)(given)[0], given)
    model = KMeansAutoencoder(5, 8, 3).double()
    model.fit(samples()[::24], torch.Generator().manual_seed(0))  # ten samples, two to a cell at most
    assert int((model.dictionary.norm(dim=1) < 1e-9).sum()) > 8
    assert bool(torch.isfinite(model(given)[0]).all())
