"""Every autoencoder under one set of checks, and sparse coding against scikit-learn's solver."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import sparse_encode

from wlsc.models import SparseCodingAutoencoder, WLSCAutoencoder

MODELS = {
    "wlsc": lambda **options: WLSCAutoencoder(6, 9, 0.1, **options),
    "two-sided": lambda **options: SparseCodingAutoencoder(6, 9, 0.1, **options),
    "non-negative": lambda **options: SparseCodingAutoencoder(6, 9, 0.1, nonnegative=True, **options),
}


def draw(seed=0, n_samples=25):
    return torch.randn(n_samples, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("name", MODELS)
def test_forward_is_encode_then_decode(name):
    model = MODELS[name](n_layers=7).double()
    patches = draw()
    reconstruction, codes = model(patches)
    assert codes.shape == (25, 9)
    torch.testing.assert_close(reconstruction, codes @ model.dictionary)
    torch.testing.assert_close(model.loss(patches), model.objective(patches, codes).mean())


@pytest.mark.parametrize("name", MODELS)
def test_layers_converge_to_exact_codes(name):
    model = MODELS[name](n_layers=2000).double()
    patches = draw(1)
    with torch.no_grad():
        excess = model.objective(patches, model.encode(patches)) - model.objective(patches, model.infer(patches))
    assert float(excess.abs().max()) < 1e-5


@pytest.mark.parametrize("name", MODELS)
def test_learned_step_starts_at_the_fixed_one_and_moves(name):
    fixed = MODELS[name](n_layers=3, generator=torch.Generator().manual_seed(0))
    learned = MODELS[name](n_layers=3, step="learned", generator=torch.Generator().manual_seed(0))
    learned.set_dictionary(fixed.dictionary)
    assert float(learned.step_size.detach()) == pytest.approx(float(fixed.step_size), rel=1e-5)
    learned.loss(draw().float()).backward()
    assert learned.log_step.grad.abs() > 0
    assert {parameter for parameter, _ in learned.named_parameters()} == {"dictionary", "log_step"}


@pytest.mark.parametrize("nonnegative", [False, True])
def test_sparse_codes_equal_scikit_learn(nonnegative):
    model = SparseCodingAutoencoder(6, 9, 0.3, nonnegative=nonnegative).double()
    patches = draw(2)
    expected = sparse_encode(
        patches.numpy(),
        model.dictionary.detach().numpy(),
        algorithm="lasso_cd",
        alpha=0.3,
        positive=nonnegative,
        max_iter=100_000,
    )
    ours = model.objective(patches, model.infer(patches)).detach()
    theirs = model.objective(patches, torch.as_tensor(expected)).detach()
    # the gap that is asked for is relative to the energy of the patch
    assert bool((ours <= theirs + 1e-6 * patches.square().sum(1)).all())


@pytest.mark.parametrize("nonnegative", [False, True])
def test_duality_gap_bounds_the_distance_to_the_minimum(nonnegative):
    model = SparseCodingAutoencoder(6, 9, 0.3, nonnegative=nonnegative).double()
    patches = draw(3)
    atoms = model.dictionary.detach()
    codes = torch.rand(25, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    linear = patches @ atoms.T
    gradient = codes @ atoms @ atoms.T - linear
    gap = model._duality_gap(codes, gradient, linear, patches.square().sum(1))
    best = sparse_encode(
        patches.numpy(), atoms.numpy(), algorithm="lasso_cd", alpha=0.3, positive=nonnegative, max_iter=100_000
    )
    distance = model.objective(patches, codes) - model.objective(patches, torch.as_tensor(best))
    assert bool((distance <= gap + 1e-9).all())


def test_sparse_coding_atoms_have_norm_one():
    model = SparseCodingAutoencoder(6, 9, 0.1)
    model.set_dictionary(5 * torch.randn(9, 6))
    torch.testing.assert_close(model.dictionary.norm(dim=1), torch.ones(9))


def test_weights_survive_a_round_trip(tmp_path):
    from safetensors.torch import load_file, save_file

    model = WLSCAutoencoder(6, 9, 0.1, 5, step="learned")
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    other = WLSCAutoencoder(6, 9, 0.1, 5, step="learned")
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    patches = draw().float()
    assert torch.equal(model.encode(patches), other.encode(patches))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_atoms": 0}, "n_atoms must be an integer of at least 1, got 0"),
        ({"n_features": 2.5}, "n_features must be an integer"),
        ({"lam": -1.0}, "lam must be"),
        ({"n_layers": 0}, "n_layers must be"),
        ({"step": "adaptive"}, "step must be one of 'fixed', 'learned'"),
        ({"gradient": "none"}, "gradient must be one of"),
        ({"gradient": "truncated"}, "n_differentiated must be given"),
        ({"n_differentiated": 3}, "n_differentiated must be given"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        WLSCAutoencoder(**({"n_features": 4, "n_atoms": 5, "lam": 0.1, "n_layers": 3} | options))


def test_sparse_coding_needs_a_penalty():
    with pytest.raises(ValueError, match="lam must be greater than 0"):
        SparseCodingAutoencoder(4, 5, 0.0)


def test_random_first_dictionary_comes_from_the_generator():
    first, second = (WLSCAutoencoder(4, 5, 0.1, generator=torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first.dictionary, second.dictionary)
    assert np.isfinite(first.dictionary.detach().numpy()).all()
