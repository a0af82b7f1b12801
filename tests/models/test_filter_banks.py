"""Filter banks against known sources, Lloyd's conditions, scikit-learn and NumPy's singular values."""

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.decomposition import FastICA

from wlsc.models import IndependentComponents, KMeansFilters, LLDFilters
from wlsc.models.lld import mmcr_loss, random_crops

BANKS = {
    "ica": lambda **options: IndependentComponents(9, 4, **options),
    "k-means": lambda **options: KMeansFilters(9, 4, **options),
    "lld": lambda **options: LLDFilters(9, 4, n_epochs=2, batch_size=20, **options),
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def training_patches(name, n_samples=100):
    n_features = 25 if name == "lld" else 9
    return np.random.default_rng(0).laplace(size=(n_samples, n_features)).astype(np.float32)


@pytest.mark.parametrize("name", BANKS)
def test_fit_is_determined_by_its_generator(name):
    patches = training_patches(name)
    before = patches.copy()
    banks = [BANKS[name](generator=seeded(seed)) for seed in (0, 1, 2)]
    for bank, kind, seed in zip(banks, (np.asarray, torch.from_numpy, np.asarray), (5, 5, 6), strict=True):
        bank.fit(kind(patches), seeded(seed))
    assert torch.equal(banks[0].filters, banks[1].filters)
    assert not torch.equal(banks[0].filters, banks[2].filters)
    assert np.array_equal(patches, before)


@pytest.mark.parametrize("name", BANKS)
def test_a_bank_before_and_after_fit(name):
    bank = BANKS[name](generator=seeded())
    assert torch.equal(bank.filters, BANKS[name](generator=seeded()).filters)
    torch.testing.assert_close(bank.filters.norm(dim=1), torch.ones(4))
    bank.double().fit(training_patches(name), seeded())
    assert bank.filters.dtype == torch.float64
    assert bank.filters.shape == (4, 9)
    assert "filters" in bank.state_dict()
    assert not list(bank.parameters())


@pytest.mark.parametrize("name", BANKS)
def test_responses(name):
    bank = BANKS[name](generator=seeded())
    patches = torch.randn(7, 9, generator=seeded(1))
    expected = patches.numpy() @ bank.filters.numpy().T
    if name == "lld":
        expected = np.maximum(expected, 0)
    np.testing.assert_allclose(bank.respond(patches).numpy(), expected, rtol=1e-5, atol=1e-6)


def test_ica_recovers_laplacian_sources():
    rng = np.random.default_rng(0)
    sources, mixing = rng.laplace(size=(5000, 6)), rng.standard_normal((6, 8))
    bank = IndependentComponents(8, 6).double()
    bank.fit(sources @ mixing + 3, seeded())
    responses = bank.respond(torch.from_numpy(sources @ mixing)).numpy()
    overlap = np.abs(np.corrcoef(sources.T, responses.T)[:6, 6:])
    rows, columns = linear_sum_assignment(-overlap)
    assert (overlap[rows, columns] > 0.99).all()
    basis = np.abs(np.corrcoef(mixing, bank.mixing.numpy())[:6, 6:])
    assert (basis[rows, columns] > 0.99).all()
    np.testing.assert_allclose(np.linalg.norm(bank.filters, axis=1), 1)
    np.testing.assert_allclose(bank.filters.numpy() @ bank.mixing.numpy().T, np.eye(6), atol=1e-9)
    assert bool(bank.converged)
    assert 1 < int(bank.n_iterations) < 200


def test_ica_says_when_it_has_not_converged():
    bank = IndependentComponents(9, 4, max_iterations=2, tol=1e-12)
    bank.fit(training_patches("ica"), seeded())
    assert not bool(bank.converged)
    assert int(bank.n_iterations) == 2


def test_ica_is_scikit_learns():
    patches = training_patches("ica", 2000).astype(np.float64)
    seed = int(torch.randint(2**31, (1,), generator=seeded(4)))
    theirs = FastICA(4, whiten="unit-variance", random_state=seed).fit(patches).components_
    bank = IndependentComponents(9, 4).double()
    bank.fit(patches, seeded(4))
    np.testing.assert_allclose(bank.filters, theirs / np.linalg.norm(theirs, axis=1, keepdims=True), atol=1e-12)


def test_ica_cannot_have_more_units_than_the_patches_have_dimensions():
    patches = training_patches("ica", 500)
    patches -= patches.mean(1, keepdims=True)  # in float32, so that the ninth dimension holds rounding
    message = "n_units must be at most the rank of the centred patches, 8, got 9"
    with pytest.raises(ValueError, match=message):
        IndependentComponents(9, 9).fit(patches, seeded())
    IndependentComponents(9, 8).fit(patches, seeded())


def inertia(patches, centroids):
    return ((patches[:, None] - centroids) ** 2).sum(2).min(1).sum()


def test_k_means_centroids_are_the_means_of_their_patches():
    patches = training_patches("k-means", 400).astype(np.float64)
    bank = KMeansFilters(9, 12).double()
    bank.fit(patches, seeded())
    centroids = bank.filters.numpy()
    labels = ((patches[:, None] - centroids) ** 2).sum(2).argmin(1)
    means = np.array([patches[labels == unit].mean(0) for unit in range(12)])
    np.testing.assert_allclose(centroids, means, atol=1e-6)
    theirs = KMeans(12, n_init=20, random_state=1).fit(patches).inertia_
    assert theirs * (1 - 1e-9) <= inertia(patches, centroids) < 1.05 * theirs


def test_k_means_finds_separate_groups():
    rng = np.random.default_rng(1)
    truth = 20 * rng.standard_normal((4, 9))
    patches = np.repeat(truth, 50, axis=0) + rng.standard_normal((200, 9))
    bank = KMeansFilters(9, 4).double()
    bank.fit(patches, seeded())
    nearest = ((truth[:, None] - bank.filters.numpy()) ** 2).sum(2).argmin(1)
    expected = patches.reshape(4, 50, 9).mean(1)
    np.testing.assert_allclose(bank.filters.numpy()[nearest], expected, atol=1e-9)


def numpy_mmcr_loss(responses, lam):
    unit = responses / np.linalg.norm(responses, axis=2, keepdims=True)
    local = np.mean([np.linalg.svd(views, compute_uv=False).sum() for views in unit])
    return lam * local - np.linalg.svd(unit.mean(1), compute_uv=False).sum()


def test_mmcr_loss_against_numpy():
    responses = np.random.default_rng(2).random((10, 4, 7))
    for lam in (0.0, 0.7):
        loss = float(mmcr_loss(torch.from_numpy(responses), lam))
        assert loss == pytest.approx(numpy_mmcr_loss(responses, lam), rel=1e-12)


def test_mmcr_loss_of_silent_views_is_finite_and_so_is_its_gradient():
    responses = torch.rand(10, 4, 7, generator=seeded(), dtype=torch.float64)
    responses[0] = 0
    responses[1, 1] = responses[1, 0]
    responses.requires_grad_()
    mmcr_loss(responses, 1.0).backward()
    assert bool(torch.isfinite(responses.grad).all())


def test_gradient_of_the_mmcr_loss():
    responses = torch.rand(5, 3, 4, generator=seeded(), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda values: mmcr_loss(values, 0.7), responses)


def test_linear_filters_could_be_rotated_and_rectified_ones_could_not():
    views = torch.randn(20, 3, 9, generator=seeded(), dtype=torch.float64)
    filters, rotation = (torch.randn(9, 9, generator=seeded(seed), dtype=torch.float64) for seed in (1, 2))
    rotated = torch.linalg.qr(rotation).Q @ filters
    linear = [float(mmcr_loss(views @ bank.T, 1.0)) for bank in (filters, rotated)]
    rectified = [float(mmcr_loss((views @ bank.T).clamp(min=0), 1.0)) for bank in (filters, rotated)]
    assert linear[0] == pytest.approx(linear[1], rel=1e-12)
    assert abs(rectified[0] - rectified[1]) > 1e-3


def test_views_are_windows_at_equally_likely_offsets():
    images = np.random.default_rng(3).random((200, 5, 5))
    views = random_crops(torch.from_numpy(images.reshape(200, 25)), 3, 6, seeded())
    assert views.shape == (200, 6, 9)
    windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(1, 2)).reshape(200, 9, 9)
    matches = (views.numpy()[:, :, None] == windows[:, None]).all(3)
    assert (matches.sum(2) == 1).all()
    shares = matches.mean((0, 1))
    assert abs(shares - 1 / 9).max() < 4 * np.sqrt(1 / 9 * 8 / 9 / 1200)


def test_lld_training_lowers_the_loss():
    rng = np.random.default_rng(4)
    patches = rng.standard_normal((400, 36)).cumsum(1).astype(np.float32)
    patches -= patches.mean(1, keepdims=True)
    bank = LLDFilters(16, 12, n_epochs=10, batch_size=100)
    views = random_crops(torch.from_numpy(patches), 4, 4, seeded(9)).numpy()

    def loss(filters):
        return numpy_mmcr_loss(np.maximum(views @ filters.T, 0) + 1e-12, bank.lam)

    before = [loss(LLDFilters(16, 12, generator=seeded(seed)).filters.numpy()) for seed in range(10)]
    bank.fit(patches, seeded())
    assert loss(bank.filters.numpy()) < min(before) - 5 * np.std(before)
    torch.testing.assert_close(bank.filters.norm(dim=1), torch.ones(12))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: KMeansFilters(9, 0), "n_units must be an integer of at least 1, got 0"),
        (lambda: KMeansFilters(9, 4, n_init=0), "n_init must be an integer of at least 1"),
        (lambda: IndependentComponents(9, 10), "n_units must be at most n_features = 9 for ICA, got 10"),
        (lambda: IndependentComponents(9, 4, tol=0.0), "tol must be a finite number greater than 0, got 0.0"),
        (lambda: LLDFilters(10, 4), "n_features must be a square number, .* got 10"),
        (lambda: LLDFilters(9, 4, n_views=1), "n_views must be an integer of at least 2, got 1"),
        (lambda: LLDFilters(9, 4, learning_rate=0.0), "learning_rate must be a finite number greater than 0, got 0.0"),
        (lambda: LLDFilters(9, 4, lam=-1.0), "lam must be a finite number of at least 0, got -1.0"),
    ],
)
def test_bad_options(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("name", BANKS)
def test_bad_patches(name):
    patches = training_patches(name)
    for wrong in (patches[:, 1:], patches[:3]):
        with pytest.raises(ValueError, match=r"patches must have shape \(n_samples, \d+\) with at least"):
            BANKS[name]().fit(wrong, seeded())
    patches[0, 0] = np.nan
    with pytest.raises(ValueError, match="patches must"):
        BANKS[name]().fit(patches, seeded())
