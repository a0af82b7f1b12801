"""The network: equal to its definition written out in NumPy, convergent, with gradients that agree."""

import numpy as np
import pytest
import torch

import wlsc
from tests.inference.test_exact import problem
from tests.test_simplex import project_by_bisection
from wlsc.inference.unrolled import encode_unrolled, spectral_step_size
from wlsc.models import WLSCAutoencoder


def layers_by_definition(patches, dictionary, lam, n_layers):
    step = 1 / np.linalg.norm(dictionary, 2) ** 2
    codes = extrapolated = np.zeros((len(patches), len(dictionary)))
    for t in range(n_layers):
        gradient = (extrapolated @ dictionary - (1 + 2 * lam) * patches) @ dictionary.T
        gradient += lam * np.sum(dictionary**2, axis=1)
        following = np.stack([project_by_bisection(row) for row in extrapolated - step * gradient])
        extrapolated = following + t / (t + 3) * (following - codes)
        codes = following
    return codes


@pytest.mark.equation("eq-layer", "wlsc.inference.unrolled.encode_unrolled")
@pytest.mark.parametrize("n_layers", [1, 2, 15])
def test_equals_its_definition(n_layers):
    patches, dictionary = problem(0)
    codes = wlsc.infer_codes(patches, dictionary, 0.2, "unrolled", n_layers=n_layers)
    np.testing.assert_allclose(codes, layers_by_definition(patches, dictionary, 0.2, n_layers), atol=1e-10)


def test_converges_to_the_exact_codes():
    patches, dictionary = problem(1)
    exact = wlsc.objective(patches, dictionary, wlsc.infer_codes(patches, dictionary, 0.1, tol=1e-9), 0.1)
    excess = [
        wlsc.objective(patches, dictionary, wlsc.infer_codes(patches, dictionary, 0.1, "unrolled", n_layers=t), 0.1)
        - exact
        for t in (10, 100, 1000)
    ]
    assert excess[0] > excess[1] > 0
    assert excess[2] < 1e-6 * exact


@pytest.mark.equation("eq-layer", "wlsc.inference.unrolled.spectral_step_size")
@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (1, 3)])
def test_step_size_is_the_spectral_norm(shape):
    dictionary = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert float(spectral_step_size(dictionary)) == pytest.approx(1 / np.linalg.norm(dictionary.numpy(), 2) ** 2)


def test_gradient_through_the_layers_against_finite_differences():
    patches, dictionary = (torch.as_tensor(array) for array in problem(2, n_samples=4))

    def loss(atoms):
        codes = encode_unrolled(patches, atoms, 0.1, 4, step_size=0.05)
        return wlsc.objective(patches, atoms, codes, 0.1)

    assert torch.autograd.gradcheck(loss, (dictionary.requires_grad_(),))


def test_three_gradients_agree_with_danskin_as_layers_grow():
    patches, dictionary = (torch.as_tensor(array) for array in problem(3))
    atoms = dictionary.clone().requires_grad_()
    exact = wlsc.infer_codes(patches, dictionary, 0.1, tol=1e-10)
    wlsc.objective(patches, atoms, exact, 0.1).backward()

    def error(kind, n_layers, **options):
        model = WLSCAutoencoder(5, 8, 0.1, n_layers, gradient=kind, **options).double()
        model.set_dictionary(dictionary)
        model.loss(patches).backward()
        return float((model.dictionary.grad - atoms.grad).norm() / atoms.grad.norm())

    for kind, options in (("full", {}), ("detached", {}), ("truncated", {"n_differentiated": 5})):
        assert error(kind, 400, **options) < 1e-3 < error(kind, 3, **options)


def test_truncated_gradient_flows_through_the_last_layers_only():
    patches, dictionary = (torch.as_tensor(array) for array in problem(4))

    def gradient(kind, **options):
        model = WLSCAutoencoder(5, 8, 0.1, 6, gradient=kind, **options).double()
        model.set_dictionary(dictionary)
        model.loss(patches).backward()
        return model.dictionary.grad

    torch.testing.assert_close(gradient("truncated", n_differentiated=6), gradient("full"))
    assert not torch.allclose(gradient("truncated", n_differentiated=2), gradient("full"))
    assert not torch.allclose(gradient("truncated", n_differentiated=2), gradient("detached"))
