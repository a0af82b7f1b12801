"""SpaDE: its codes by bisection, its loss against the exact one, and no dependence on units."""

import numpy as np
import pytest
import torch

import wlsc
from tests.finite_differences import assert_gradient
from tests.test_simplex import project_by_bisection
from wlsc.datasets.planted import plant_simplices
from wlsc.models import SpaDEAutoencoder
from wlsc.training import GradientTrainer, train


def trained(samples, scale=1.0, n_epochs=5, gamma=0.1):
    samples = torch.from_numpy(samples) * scale
    model = SpaDEAutoencoder(10, 8, torch.Generator().manual_seed(0), gamma=gamma)
    model = model.to(samples.dtype)
    model.initialize(samples, samples[:8])
    train(GradientTrainer(model, n_steps=100), samples, n_epochs, 50, seed=0)
    return model, samples


def planted(dtype=np.float64):
    return plant_simplices(400, 12, 10, 3, noise=0.02).samples.astype(dtype)


def numpy_loss(samples, codes, atoms, gamma):
    spread = ((samples[:, None] - atoms) ** 2).sum(2)
    return ((samples - codes @ atoms) ** 2).sum(1) + gamma * (codes * spread).sum(1)


def test_codes_are_the_projection_of_distances():
    model, samples = trained(planted())
    sharpness = np.log1p(np.exp(float(model.raw_sharpness.detach()))) / float(model.scale) ** 2
    prototypes = (model.prototypes * model.scale).detach().numpy()
    distances = ((samples.numpy()[:, None] - prototypes) ** 2).sum(2)
    expected = [project_by_bisection(sharpness * (row.min() - row)) for row in distances]
    np.testing.assert_allclose(model.encode(samples).detach().numpy(), expected, atol=1e-9)


def test_first_sharpness_is_that_of_the_total_variance():
    samples = torch.from_numpy(planted())
    model = SpaDEAutoencoder(10, 8).double()
    model.initialize(samples, samples[:8])
    variance = float(samples.numpy().var(0).sum())
    assert float(model.scale) == pytest.approx(np.sqrt(variance), rel=1e-12)
    assert float(torch.nn.functional.softplus(model.raw_sharpness.detach())) == pytest.approx(0.5, rel=1e-6)
    torch.testing.assert_close(model.dictionary.detach(), samples[:8])


@pytest.mark.parametrize("scale", [2.0**-10, 2.0**7])
def test_nothing_depends_on_the_unit_of_the_samples(scale):
    model, samples = trained(planted(np.float32))
    other, scaled = trained(planted(np.float32), scale)
    codes = model.encode(samples)
    # powers of two are exact, up to the constant that Adam adds to the root of its second moment
    torch.testing.assert_close(other.encode(scaled), codes, atol=1e-5, rtol=0)
    torch.testing.assert_close(other.dictionary, model.dictionary * scale, rtol=1e-4, atol=1e-5 * scale)
    assert 1 < float((codes > 0).sum(1).float().mean()) < 8


@pytest.mark.parametrize("gamma", [0.0, 0.1, 1.0])
def test_the_loss_is_never_below_that_of_exact_codes(gamma):
    model, samples = trained(planted(), gamma=gamma)
    with torch.no_grad():
        amortised = model.objective(samples, model.encode(samples)).numpy()
        exact = model.objective(samples, model.infer(samples)).numpy()
    assert (amortised >= exact - 1e-6 * float(model.scale) ** 2).all()  # the tolerance of exact codes
    assert amortised.mean() > 1.001 * exact.mean()


def test_the_loss_is_twice_the_objective_of_weighted_l1():
    model, samples = trained(planted())
    codes, atoms = model.encode(samples).detach(), model.dictionary.detach()
    loss = model.objective(samples, codes).detach().numpy()
    np.testing.assert_allclose(loss, numpy_loss(samples.numpy(), codes.numpy(), atoms.numpy(), 0.1), rtol=1e-9)
    assert loss.mean() == pytest.approx(2 * float(wlsc.objective(samples, atoms, codes, 0.05)), rel=1e-9)


def test_gradient_of_the_loss():
    model, samples = trained(planted(), n_epochs=1)
    for parameter in model.parameters():
        parameter.grad = None
    model.training_loss(samples[:20])[0].backward()
    for parameter in model.parameters():
        assert_gradient(lambda: model.training_loss(samples[:20])[0], parameter, every=7)
