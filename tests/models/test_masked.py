"""Masked sparse coding: its pursuit against scikit-learn's, its loss against NumPy."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import orthogonal_mp

from tests.finite_differences import assert_gradient
from tests.models.test_neighbours import match_directions
from wlsc.datasets.planted import plant_sparse
from wlsc.models import MaskedSparseCoding
from wlsc.models.masked import matching_pursuit
from wlsc.training import GradientTrainer, train


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(n_samples=30, n_features=10, seed=1):
    return torch.randn(n_samples, n_features, generator=seeded(seed), dtype=torch.float64)


def test_pursuit_on_visible_features_is_that_of_their_dictionary():
    samples, atoms = draw().numpy(), draw(15, seed=2).numpy()
    visible = np.random.default_rng(0).random((30, 10)).argsort(axis=1) < 7
    codes = matching_pursuit(*map(torch.from_numpy, (samples, atoms)), 3, torch.from_numpy(visible)).numpy()
    for sample, code, seen in zip(samples, codes, visible, strict=True):
        norms = np.linalg.norm(atoms[:, seen], axis=1)
        expected = orthogonal_mp((atoms[:, seen] / norms[:, None]).T, sample[seen], n_nonzero_coefs=3) / norms
        np.testing.assert_allclose(code, expected, atol=1e-8)


def test_loss_is_the_error_on_what_was_hidden():
    model = MaskedSparseCoding(10, 15, 2, seeded(), n_visible=7).double()
    samples = draw()
    loss, codes = model.training_loss(samples)
    model.n_batches -= 1
    visible = model._draw_visible(30).numpy()
    assert (visible.sum(1) == 7).all() and len(np.unique(visible, axis=0)) > 20
    residual = samples.numpy() - codes.numpy() @ model.dictionary.detach().numpy()
    assert float(loss.detach()) == pytest.approx((residual**2 * ~visible).sum() / 30, rel=1e-12)
    assert np.abs(residual[visible]).mean() < np.abs(residual[~visible]).mean()


def test_masks_are_drawn_anew_and_all_features_are_hidden_as_often():
    model = MaskedSparseCoding(10, 15, 2, seeded(), n_visible=7)
    masks = [model._draw_visible(200) for _ in range(10)]
    assert not torch.equal(masks[0], masks[1])
    shares = torch.cat(masks).float().mean(0)
    assert float((shares - 0.7).abs().max()) < 4 * (0.21 / 2000) ** 0.5
    same = MaskedSparseCoding(10, 15, 2, seeded(), n_visible=7)
    assert torch.equal(same._draw_visible(200), masks[0])


def test_gradient_is_that_of_fixed_codes():
    model = MaskedSparseCoding(10, 15, 2, seeded()).double()
    samples = draw()
    loss, codes = model.training_loss(samples)
    loss.backward()
    model.n_batches -= 1
    hidden = ~model._draw_visible(30)

    def at_fixed_codes():
        return ((samples - codes @ model.dictionary) * hidden).square().sum(1).mean()

    assert_gradient(at_fixed_codes, model.dictionary, every=11)


def test_training_comes_closer_to_the_planted_atoms():
    planted = plant_sparse(1000, 30, 20, 2, noise=0.02, signed=True)
    start = torch.from_numpy(planted.dictionary) + 0.15 * draw(30, 20, seed=5).float()
    model = MaskedSparseCoding(20, 30, 2, seeded(), n_visible=16)
    model.initialize(planted.samples, start)
    before = match_directions(model.dictionary.detach().numpy(), planted.dictionary)
    train(GradientTrainer(model, 1e-2), planted.samples, 20, 100, seed=0)
    assert match_directions(model.dictionary.detach().numpy(), planted.dictionary) > 0.99 > 0.9 > before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_active": 9}, "n_active must be at most n_atoms = 8, got 9"),
        ({"n_active": 4, "n_visible": 3}, "n_visible must lie between n_active = 4 and n_features − 1 = 4, got 3"),
        ({"n_visible": 5}, "n_visible must lie between"),
        ({"n_features": 1}, "n_features must be an integer of at least 2, got 1"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        MaskedSparseCoding(**({"n_features": 5, "n_atoms": 8, "n_active": 2} | options))
