"""Graph-regularised NMF against SciPy's bounded minimiser and scikit-learn's NMF."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.decomposition import NMF, sparse_encode
from sklearn.neighbors import kneighbors_graph

from wlsc.models import GraphRegularizedNMF
from wlsc.models.graph_nmf import _laplacian, descend_on_codes


def draw(n_samples=40, n_features=6, seed=0):
    return np.random.default_rng(seed).random((n_samples, n_features))


def fitted(samples, n_atoms=4, lam=0.01, **options):
    model = GraphRegularizedNMF(samples.shape[1], n_atoms, lam, **options).double()
    model.fit(samples, torch.Generator().manual_seed(0))
    return model


def edges(samples, n_neighbours=5):
    graph = kneighbors_graph(samples, n_neighbours).toarray()
    return np.maximum(graph, graph.T)


def numpy_objective(samples, atoms, codes, lam, weight):
    adjacency = edges(samples)
    spread = 0.5 * (adjacency[:, :, None] * (codes[:, None] - codes) ** 2).sum()
    return 0.5 * ((samples - codes @ atoms) ** 2).sum() + lam * codes.sum() + 0.5 * weight * spread


def test_codes_are_the_minimum_for_their_atoms():
    samples, atoms = draw(20), draw(4, seed=1)
    found = minimize(
        lambda flat: numpy_objective(samples, atoms, flat.reshape(20, 4), 0.1, 0.3),
        np.full(80, 0.1),
        bounds=[(0, None)] * 80,
        method="L-BFGS-B",
        options={"maxiter": 2000, "maxfun": 10**6, "ftol": 1e-13},
    )
    given = torch.from_numpy(samples), torch.from_numpy(atoms)
    laplacian = _laplacian(given[0], 5)
    codes = descend_on_codes(*given, torch.zeros(20, 4).double(), laplacian, 0.1, 0.3, 3000).numpy()
    assert numpy_objective(samples, atoms, codes, 0.1, 0.3) == pytest.approx(found.fun, rel=1e-6)
    assert (codes == 0).any()


def test_no_sweep_raises_the_objective_and_it_is_the_stated_one():
    samples = draw()
    model = fitted(samples, graph_weight=0.2, n_sweeps=30)
    assert (np.diff(model.objectives) <= 1e-12).all() and model.objectives[-1] < 0.9 * model.objectives[0]
    given = torch.from_numpy(samples)
    codes = torch.rand(40, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ours = model._objective(given, model.dictionary, codes, _laplacian(given, 5))
    theirs = numpy_objective(samples, model.dictionary.numpy(), codes.numpy(), 0.01, 0.2) / 40
    assert ours == pytest.approx(theirs, rel=1e-9)


def test_without_a_graph_and_nearly_without_a_penalty_it_is_nmf():
    samples = draw(100)
    model = fitted(samples, graph_weight=0.0, lam=1e-6, n_sweeps=400)
    errors = [NMF(4, init="random", random_state=s, max_iter=3000, tol=1e-6).fit(samples) for s in range(5)]
    best = min(nmf.reconstruction_err_**2 for nmf in errors)
    codes = model.encode(torch.from_numpy(samples))
    assert float(model.objective(torch.from_numpy(samples), codes).sum()) < 1.1 * best  # local minima on both sides


def test_codes_of_new_samples_are_those_of_scikit_learn():
    model, new = fitted(draw(), lam=0.2), draw(15, seed=3)
    codes = model.encode(torch.from_numpy(new)).numpy()
    theirs = sparse_encode(
        new, model.dictionary.numpy(), algorithm="lasso_cd", alpha=0.2, positive=True, max_iter=10**5
    )
    np.testing.assert_allclose(codes, theirs, atol=1e-3)  # the gap that is asked for


def test_neighbours_have_more_similar_codes_where_the_graph_counts():
    samples = draw(80)
    adjacency = edges(samples)
    roughness = []
    for weight in (0.0, 5.0):
        model = fitted(samples, graph_weight=weight, n_sweeps=60)
        given = torch.from_numpy(samples)
        codes = descend_on_codes(
            given, model.dictionary, torch.zeros(80, 4).double(), _laplacian(given, 5), 0.01, weight, 500
        ).numpy()
        spread = (adjacency[:, :, None] * (codes[:, None] - codes) ** 2).sum()
        roughness.append(spread / ((codes - codes.mean(0)) ** 2).sum())
    assert roughness[1] < 0.8 * roughness[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GraphRegularizedNMF(4, 3, 0.0), "lam must be a finite number greater than 0"),
        (lambda: GraphRegularizedNMF(4, 3, 0.1, graph_weight=-1.0), "must be a finite number of at least 0"),
        (lambda: fitted(draw() - 0.5), "samples must be at least 0, got \\d+ negative values"),
        (lambda: fitted(draw(5)), "with at least 6 samples"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
