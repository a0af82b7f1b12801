"""PAM-SGD: its decoder against scikit-learn's ridge regression, its codes against NumPy."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from wlsc.models import PamAutoencoder
from wlsc.training import GradientTrainer, train


def draw(n_samples=300, n_features=6, seed=1):
    return torch.randn(n_samples, n_features, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 2


def make(**options):
    model = PamAutoencoder(6, 10, 3, torch.Generator().manual_seed(0), **options).double()
    model.initialize(draw())
    return model


@pytest.mark.parametrize("signed", [True, False])
def test_codes_are_the_largest_entries(signed):
    model, samples = make(signed=signed), draw() - 2
    values = samples.numpy() @ model.encoder.detach().numpy().T
    size = np.abs(values) if signed else np.maximum(values, 0)
    kept = np.argsort(-size, axis=1)[:, :3]
    expected = np.zeros_like(values)
    np.put_along_axis(expected, kept, np.take_along_axis(values if signed else size, kept, 1), 1)
    np.testing.assert_allclose(model.encode(samples).detach().numpy(), expected, atol=1e-12)
    assert (expected < 0).any() == signed


@pytest.mark.parametrize("ridge", [1e-6, 10.0])
def test_decoder_is_ridge_regression_with_an_intercept(ridge):
    model, samples = make(ridge=ridge), draw()
    model.finish_epoch(samples.split(70))
    codes = model.encode(samples).detach().numpy()
    theirs = Ridge(alpha=ridge, solver="svd").fit(codes, samples.numpy())
    np.testing.assert_allclose(model.dictionary.numpy(), theirs.coef_.T, atol=1e-6)
    np.testing.assert_allclose(model.bias.numpy(), theirs.intercept_, atol=1e-6)


def test_atoms_that_no_sample_uses_keep_their_place():
    model = make(signed=False)
    with torch.no_grad():
        model.encoder_bias[4] = -100
    before = model.dictionary.clone()
    model.finish_epoch([draw()])
    assert torch.equal(model.dictionary[4], before[4])
    assert not torch.equal(model.dictionary[5], before[5])


def test_encoder_moves_in_steps_and_the_decoder_once_an_epoch():
    model = make()
    decoder = model.dictionary.clone(), model.bias.clone()
    encoder = model.encoder.detach().clone()
    trainer = GradientTrainer(model)
    trainer.step(draw(50))
    assert torch.equal(model.dictionary, decoder[0]) and torch.equal(model.bias, decoder[1])
    assert not torch.equal(model.encoder, encoder)
    trainer.finish_epoch(iter([draw()]))
    assert not torch.equal(model.dictionary, decoder[0])


def test_the_closed_form_lowers_the_error():
    model, samples = make(), draw()
    before = float(model.objective(samples, model.encode(samples)).mean().detach())
    model.finish_epoch([samples])
    after = float(model.objective(samples, model.encode(samples)).mean().detach())
    assert after < 0.7 * before
    history = train(GradientTrainer(make()), samples, 8, 50, seed=0)["objective"]
    assert history[-1] < after
