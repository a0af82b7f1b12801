"""MixMate against Lasso and matching pursuit of scikit-learn, finite differences, and clusters that are known."""

import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp, softmax
from sklearn.decomposition import sparse_encode
from sklearn.linear_model import orthogonal_mp
from sklearn.metrics import adjusted_rand_score

from tests.finite_differences import assert_gradient
from wlsc.models import mixmate
from wlsc.models.mixmate import MixMate

LAM = 0.2


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(*shape, seed=1):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def make_model(n_features=6, n_components=3, n_atoms=5, lam=LAM, step_size=0.2, seed=0, **options):
    model = MixMate(n_features, n_components, n_atoms, lam, step_size=step_size, generator=seeded(seed), **options)
    with torch.no_grad():  # norm 1 in double precision too
        model.double().dictionary.div_(model.dictionary.norm(dim=2, keepdim=True))
    return model


def in_numpy(model):
    return model.dictionary.detach().numpy()


def union_of_subspaces(n_samples=240, n_features=20, n_subspaces=4, n_dimensions=3, seed=2):
    """Samples of norm 8 in random subspaces, their subspaces, and orthonormal bases of those."""
    bases = torch.linalg.qr(draw(n_subspaces, n_features, n_dimensions, seed=seed)).Q.mT
    truth = torch.arange(n_samples) % n_subspaces
    weights = torch.nn.functional.normalize(draw(n_samples, n_dimensions, seed=seed + 1), dim=1)
    return 8 * torch.einsum("nd,ndf->nf", weights, bases[truth]), truth, bases


def lasso_energies(samples, dictionaries, lam=LAM):
    """Codes (n_samples, n_components, n_atoms) and energies by coordinate descent."""
    codes, energies = [], []
    for atoms in dictionaries:
        code = sparse_encode(samples, atoms, algorithm="lasso_cd", alpha=lam, max_iter=100_000)
        codes.append(code)
        energies.append(0.5 * np.sum((samples - code @ atoms) ** 2, axis=1) + lam * np.abs(code).sum(axis=1))
    return np.stack(codes, axis=1), np.stack(energies, axis=1)


def layer_energies(samples, atoms, n_layers, step, lam=LAM):
    """Energies after the layers of one component, from residuals, without Gram matrix."""
    codes = moved = np.zeros((len(samples), len(atoms)))
    for layer in range(n_layers):
        step_taken = moved + step * (samples - moved @ atoms) @ atoms.T
        new = np.sign(step_taken) * np.maximum(np.abs(step_taken) - step * lam, 0)
        codes, moved = new, new + layer / (layer + 3) * (new - codes)
    return 0.5 * np.sum((samples - codes @ atoms) ** 2, axis=1) + lam * np.abs(codes).sum(axis=1)


def test_many_layers_give_the_energies_and_codes_of_lasso():
    model, samples = make_model(n_layers=5000), 2 * draw(40, 6)
    codes, energies = lasso_energies(samples.numpy(), in_numpy(model))
    assert 0.1 < np.mean(codes == 0) < 0.9
    np.testing.assert_allclose(model.energies(samples).numpy(), energies, rtol=1e-6)
    responsibilities = softmax(-energies, axis=1)
    expected = (codes * responsibilities[:, :, None]).reshape(40, 15)
    np.testing.assert_allclose(model.codes(samples).numpy(), expected, atol=2e-3)
    np.testing.assert_allclose(model.assign(samples).numpy(), responsibilities, atol=1e-5)
    assert np.array_equal(model.predict(samples).numpy(), energies.argmin(axis=1))


def test_few_layers_are_accelerated_soft_thresholding_of_each_component():
    samples = draw(30, 6)
    for n_layers in (1, 4, 15):
        model = make_model(n_layers=n_layers)
        expected = [layer_energies(samples.numpy(), atoms, n_layers, 0.2) for atoms in in_numpy(model)]
        np.testing.assert_allclose(model.energies(samples).numpy(), np.transpose(expected), rtol=1e-12)


def test_responsibilities_and_loss_follow_from_the_energies():
    model, samples = make_model(), 3 * draw(50, 6)
    energies = model.energies(samples).numpy()
    np.testing.assert_allclose(model.assign(samples).numpy(), softmax(-energies, axis=1), rtol=1e-12)
    assert float(model.loss(samples).detach()) == pytest.approx(-logsumexp(-energies, axis=1).mean(), rel=1e-12)
    assert np.ptp(energies, axis=1).min() > 1e-3


def test_gradient_against_finite_differences():
    model, samples = make_model(4, 2, 3, n_layers=4), draw(5, 4)
    model.loss(samples).backward()
    assert_gradient(lambda: model.loss(samples), model.dictionary)
    assert int((model.dictionary.grad.abs() > 1e-3).sum()) > 12


def test_a_step_of_training_is_adam_and_norm_one():
    model, samples = make_model(), 2 * draw(20, 6)
    before = model.dictionary.detach().clone()
    loss = model.loss(samples)
    (gradient,) = torch.autograd.grad(loss, model.dictionary)
    torch.testing.assert_close((gradient * before).sum(2), torch.zeros(3, 5, dtype=torch.float64))
    history = model.fit(samples, n_epochs=1, batch_size=20, learning_rate=0.01)
    # bias correction makes Adam's first step the sign of the gradient
    moved = (before - 0.01 * gradient / (gradient.abs() + 1e-8)).numpy()
    np.testing.assert_allclose(in_numpy(model), moved / np.linalg.norm(moved, axis=2, keepdims=True), atol=1e-9)
    assert history == [pytest.approx(float(loss.detach()), rel=1e-12)]


def test_affinity_is_that_of_matching_pursuit_among_the_other_samples():
    directions = torch.nn.functional.normalize(draw(40, 12), dim=1)
    data, weights = directions.numpy(), np.zeros((40, 40))
    for sample in range(40):
        others = np.delete(np.arange(40), sample)
        weights[sample, others] = np.abs(orthogonal_mp(data[others].T, data[sample], n_nonzero_coefs=5))
    assert (np.count_nonzero(weights, axis=1) == 5).all()
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    np.testing.assert_allclose(mixmate._affinity(directions).numpy(), weights + weights.T, atol=1e-10)


def test_first_atoms_are_samples_of_one_subspace_each():
    samples, _, bases = union_of_subspaces()
    model = make_model(20, 4, 8)
    model.initialize(samples, seeded())
    atoms = model.dictionary.detach()
    # how much of each atom lies in each subspace
    shares = torch.einsum("kmf,sdf->kmsd", atoms, bases).norm(dim=3)
    subspaces = shares.argmax(2)
    torch.testing.assert_close(shares.amax(2), torch.ones(4, 8, dtype=torch.float64))
    assert bool((subspaces == subspaces[:, :1]).all())
    assert sorted(subspaces[:, 0].tolist()) == [0, 1, 2, 3]
    directions = torch.nn.functional.normalize(samples, dim=1)
    closest = torch.cdist(atoms.flatten(0, 1), directions).amin(1)
    torch.testing.assert_close(closest, torch.zeros_like(closest), atol=1e-6, rtol=0)


def test_k_means_is_the_other_way_to_first_atoms():
    truth = torch.arange(90) % 3
    samples = 10 * torch.eye(20, dtype=torch.float64)[truth] + draw(90, 20)
    model = make_model(20, 3, 8)
    model.initialize(samples, seeded(), method="k-means")
    largest = model.dictionary.detach().argmax(2)
    assert bool((largest == largest[:, :1]).all())
    assert sorted(largest[:, 0].tolist()) == [0, 1, 2]


def test_planted_subspaces_are_found_again():
    samples, _, bases = union_of_subspaces(600)
    noisy = samples + 0.3 * draw(600, 20, seed=9)
    nearest = torch.einsum("nf,sdf->nsd", noisy, bases).norm(dim=2).argmax(1)
    model = make_model(20, 4, 6, step_size=0.04)
    model.initialize(samples[:300], seeded())
    history = model.fit(noisy[:300], n_epochs=20, batch_size=50, learning_rate=0.01)
    assert history[-1] < 0.9 * history[0]
    assert adjusted_rand_score(nearest, model.predict(noisy)) == 1
    np.testing.assert_allclose(np.linalg.norm(in_numpy(model), axis=2), 1)


def test_training_finds_subspaces_from_random_atoms():
    samples, truth, _ = union_of_subspaces(1200, n_subspaces=2)
    model = make_model(20, 2, 6, step_size=0.04)
    assert adjusted_rand_score(truth[600:], model.predict(samples[600:])) < 0.2
    model.fit(samples[:600], n_epochs=40, batch_size=50, learning_rate=0.01)
    assert adjusted_rand_score(truth[600:], model.predict(samples[600:])) > 0.95


def test_the_same_seeds_give_the_same_model():
    samples = union_of_subspaces()[0].float()
    models = []
    for seed, fit_seed in ((0, 0), (0, 0), (1, 0), (0, 1)):
        model = make_model(20, 4, 8, step_size=0.04).float()
        model.initialize(samples, seeded(seed))
        model.fit(samples, n_epochs=2, batch_size=50, seed=fit_seed)
        models.append(model.dictionary)
    assert torch.equal(models[0], models[1])
    assert not torch.equal(models[0], models[2])
    assert not torch.equal(models[0], models[3])


def test_samples_do_not_depend_on_their_neighbours_and_stay_as_they_are():
    model, samples = make_model(), draw(mixmate._BLOCK + 20, 6)
    before = samples.clone()
    for method in (model.energies, model.assign, model.codes, model.predict):
        together = method(samples)
        apart = torch.cat([method(samples[row : row + 1]) for row in (0, 7, len(samples) - 1)])
        torch.testing.assert_close(together[[0, 7, len(samples) - 1]], apart)
        assert not together.requires_grad
        assert method(samples[:0]).shape == (0, *together.shape[1:])
    model.initialize(samples, seeded())
    model.fit(samples, n_epochs=1)
    assert torch.equal(samples, before)


def test_arrays_of_another_dtype_are_computed_in_that_of_the_model():
    samples = draw(80, 6)
    model = make_model().float()
    model.initialize(samples.numpy(), seeded())
    model.fit(samples.numpy(), n_epochs=1, batch_size=32)
    assert model.energies(samples).dtype == model.dictionary.dtype == torch.float32
    torch.testing.assert_close(model.energies(samples), model.double().energies(samples).float())


def test_atoms_stay_random_where_a_cluster_has_no_more_samples():
    samples, _, _ = union_of_subspaces(24, n_dimensions=2)
    padded = torch.cat([samples, samples[:2], torch.zeros(5, 20, dtype=torch.float64)])  # repeated, and empty
    model = make_model(20, 4, 10)
    before = model.dictionary.detach().clone()
    model.initialize(padded, seeded())
    kept = (model.dictionary.detach() == before).all(2)
    assert sorted(kept.sum(1).tolist()) == [3, 3, 4, 4]
    assert not bool(kept[:, 0].any())
    torch.testing.assert_close(model.dictionary.detach().norm(dim=2), torch.ones(4, 10, dtype=torch.float64))


def test_progress_is_shown_on_request(capsys):
    model, samples = make_model(), draw(40, 6)
    model.fit(samples, n_epochs=2)
    assert capsys.readouterr().err == ""
    model.fit(samples, n_epochs=2, show_progress=True)
    assert "epoch 2 of 2: 100%" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_features": 0}, "n_features must be an integer of at least 1, got 0"),
        ({"n_components": 1.5}, "n_components must be an integer of at least 1, got 1.5"),
        ({"n_atoms": -1}, "n_atoms must be an integer of at least 1, got -1"),
        ({"lam": -0.1}, "lam must be a finite number of at least 0, got -0.1"),
        ({"n_layers": 0}, "n_layers must be an integer of at least 1, got 0"),
        ({"step_size": 0.0}, "step_size must be a finite number greater than 0, got 0.0"),
        ({"step_size": math.nan}, "step_size must be a finite number greater than 0, got nan"),
    ],
)
def test_bad_models(options, message):
    with pytest.raises(ValueError, match=message):
        make_model(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_epochs": 0}, "n_epochs must be an integer of at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be an integer of at least 1, got 0"),
        ({"learning_rate": -1e-3}, "learning_rate must be a finite number greater than 0, got -0.001"),
        ({"seed": -1}, "seed must be an integer of at least 0, got -1"),
        ({"samples": torch.zeros(0, 6)}, r"samples must hold at least one sample, got shape \(0, 6\)"),
    ],
)
def test_bad_training(options, message):
    model = make_model()
    before = model.dictionary.detach().clone()
    with pytest.raises(ValueError, match=message):
        model.fit(**({"samples": draw(9, 6)} | options))
    assert torch.equal(model.dictionary.detach(), before)


@pytest.mark.parametrize("method", ["energies", "assign", "predict", "codes", "fit", "initialize"])
def test_bad_samples(method):
    call, generator = getattr(make_model(), method), [seeded()] if method == "initialize" else []
    holed = draw(9, 6)
    holed[3, 2] = math.nan
    with pytest.raises(ValueError, match="samples must be finite, got 1 NaN or infinite values of 54"):
        call(holed, *generator)
    with pytest.raises(ValueError, match=r"samples must have shape \(n_samples, 6\), got \(9, 5\)"):
        call(draw(9, 5), *generator)
    with pytest.raises(ValueError, match=r"samples must have 2 dimensions, got shape \(6,\)"):
        call(draw(6), *generator)


def test_what_else_cannot_work():
    zeros = torch.zeros(20, 6, dtype=torch.float64)
    zeros[:5] = draw(5, 6)
    with pytest.raises(ValueError, match="samples must hold at least 6 that are not zero, got 5"):
        make_model().initialize(zeros, seeded())
    with pytest.raises(ValueError, match="method must be one of 'subspaces', 'k-means', got 'random'"):
        make_model().initialize(draw(20, 6), seeded(), method="random")
    with pytest.raises(ValueError, match="step_size must be so small that the layers converge, got 1e"):
        make_model(step_size=1e30).fit(draw(20, 6))
