"""ℓ0 sparse coding against brute force over all supports, and against conditions that are computed here."""

from itertools import combinations

import numpy as np
import pytest
import torch

from tests.finite_differences import assert_gradient
from wlsc import load_patches
from wlsc.dictionary import initialize_dictionary
from wlsc.inference.exact import ConvergenceError
from wlsc.models import HardThresholdAutoencoder, SparseCodingAutoencoder, hard_threshold
from wlsc.training import ClosedFormTrainer, UnrolledTrainer, train

LAM = 0.15


def make_model(n_features=5, n_atoms=8, lam=LAM, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return HardThresholdAutoencoder(n_features, n_atoms, lam, generator=generator, **options).double()


def draw(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def numpy_objective(patch, atoms, code, lam=LAM):
    return 0.5 * np.sum((patch - code @ atoms) ** 2) + lam * np.count_nonzero(code)


def error_on(patch, atoms, support):
    if len(support) == 0:
        return 0.5 * np.sum(patch**2)
    coefficients = np.linalg.lstsq(atoms[support].T, patch, rcond=None)[0]
    return 0.5 * np.sum((patch - coefficients @ atoms[support]) ** 2)


def global_minimum(patch, atoms, lam=LAM):
    supports = (list(chosen) for size in range(len(patch) + 1) for chosen in combinations(range(len(atoms)), size))
    return min(error_on(patch, atoms, support) + lam * len(support) for support in supports)


def in_numpy(model, patches, codes):
    return patches.numpy(), model.dictionary.detach().numpy(), codes.numpy()


def test_infer_against_brute_force_over_supports():
    model, patches = make_model(), draw(60, 5)
    codes = model.infer(patches)
    minima = np.array([global_minimum(patch, model.dictionary.detach().numpy()) for patch in patches.numpy()])
    excess = model.objective(patches, codes).detach().numpy() - minima
    assert excess.min() > -1e-9
    assert np.mean(excess < 1e-9) > 0.5  # a local method, but not a bad one
    assert np.mean(excess) < 0.1 * np.mean(0.5 * patches.square().sum(1).numpy() - minima)


def test_orthonormal_atoms_have_hard_thresholding_as_their_solution():
    model, patches = make_model(6, 6), draw(40, 6)
    model.set_dictionary(torch.linalg.qr(draw(6, 6, seed=2)).Q)
    projections = patches.numpy() @ model.dictionary.detach().numpy().T
    expected = np.where(np.abs(projections) > np.sqrt(2 * LAM), projections, 0)
    assert 0 < np.count_nonzero(expected) < expected.size
    np.testing.assert_allclose(model.infer(patches).numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(model.encode(patches).detach().numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("warm", [False, True])
def test_codes_are_what_the_docstring_says(warm):
    model, patches = make_model(12, 30), draw(50, 12)
    start = draw(50, 30, seed=3) * (draw(50, 30, seed=4) > 1) if warm else torch.zeros(50, 30, dtype=torch.float64)
    codes = model.infer(patches, start)
    n_entering = 0
    for patch, before, code in zip(patches.numpy(), start.numpy(), codes.numpy(), strict=True):
        atoms = model.dictionary.detach().numpy()
        support = np.flatnonzero(code)
        correlations = atoms @ (patch - code @ atoms)
        assert numpy_objective(patch, atoms, code) <= numpy_objective(patch, atoms, before) + 1e-12
        np.testing.assert_allclose(correlations[support], 0, atol=1e-9)
        for atom in support:
            others = support[support != atom]
            assert error_on(patch, atoms, others) - error_on(patch, atoms, support) >= LAM * (1 - 1e-5)
        assert (0.5 * correlations**2).max() <= LAM * (1 + 1e-5)
        n_entering += len(support)
    assert n_entering > 50


def test_codes_are_a_fixed_point_of_the_thresholded_gradient_step():
    model, patches = make_model(12, 30), draw(50, 12)
    data, atoms, codes = in_numpy(model, patches, model.infer(patches))
    for step in (1.0, 1 / np.linalg.norm(atoms, 2) ** 2):
        moved = codes - step * (codes @ atoms - data) @ atoms.T
        thresholded = np.where(np.abs(moved) > np.sqrt(2 * LAM * step), moved, 0)
        np.testing.assert_allclose(thresholded, codes, atol=1e-9)


def test_layers_are_iterative_hard_thresholding_and_lower_the_objective():
    patches = draw(50, 12)
    atoms = make_model(12, 30).dictionary.detach().numpy()
    step = 1 / np.linalg.norm(atoms, 2) ** 2
    codes, objectives = np.zeros((50, 30)), []
    for n_layers in range(1, 20):
        moved = codes - step * (codes @ atoms - patches.numpy()) @ atoms.T
        codes = np.where(np.abs(moved) > np.sqrt(2 * LAM * step), moved, 0)
        model = make_model(12, 30, n_layers=n_layers)
        ours = model.encode(patches).detach()
        np.testing.assert_allclose(ours.numpy(), codes, atol=1e-12)
        objectives.append(model.objective(patches, ours).detach().numpy())
    assert (np.diff(objectives, axis=0) <= 1e-12).all()


def test_a_warm_start_is_kept_where_it_is_locally_optimal():
    model, patches = make_model(12, 30), draw(50, 12)
    codes = model.infer(patches)
    torch.testing.assert_close(model.infer(patches, codes), codes)
    torch.testing.assert_close(model.infer(patches, codes.to_sparse()), codes)
    # a local minimum that greedy steps from zero do not find is not left
    better = model.infer(patches, draw(50, 30, seed=3) * (draw(50, 30, seed=4) > 1))
    different = ((better != 0) != (codes != 0)).any(1)
    assert different.any()
    torch.testing.assert_close(model.infer(patches, better), better)


def test_a_start_on_dependent_atoms_only_improves():
    model, patches = make_model(5, 20), draw(30, 5)
    repeated = model.dictionary.detach()[:10].repeat(2, 1)
    model.set_dictionary(repeated)
    start = draw(30, 20, seed=5)
    codes = model.infer(patches, start)
    assert bool((model.objective(patches, codes) <= model.objective(patches, start)).all())
    ranks = [np.linalg.matrix_rank(repeated[code != 0].numpy()) for code in codes]
    assert ranks == (codes != 0).sum(1).tolist()


def test_infer_keeps_the_dtype_and_its_inputs():
    model, patches = make_model().float(), draw(20, 5).float()
    start = draw(20, 8, seed=3).float()
    before = start.clone()
    codes = model.infer(patches, start)
    assert codes.dtype == torch.float32
    assert not codes.requires_grad
    assert torch.equal(start, before)
    assert model.infer(patches[:0]).shape == (0, 8)
    assert torch.equal(model.infer(torch.zeros(3, 5)), torch.zeros(3, 8))


def test_samples_do_not_depend_on_their_neighbours():
    model, patches = make_model(12, 30), draw(hard_threshold._BLOCK + 20, 12)
    together = model.infer(patches)
    apart = torch.cat([model.infer(patches[row : row + 1]) for row in (0, 7, len(patches) - 1)])
    torch.testing.assert_close(together[[0, 7, len(patches) - 1]], apart)


def test_gradient_of_the_layers_against_finite_differences():
    model, patches = make_model(4, 6, n_layers=3, step="learned"), draw(3, 4)
    model.loss(patches).backward()
    for parameter in (model.dictionary, model.log_step):
        assert_gradient(lambda: model.loss(patches), parameter, every=5)


def test_truncated_gradient_counts_the_last_layers_only():
    patches = draw(20, 12)
    gradients = []
    for options in ({}, {"n_differentiated": 6}, {"n_differentiated": 1}):
        model = make_model(12, 30, n_layers=6, gradient="truncated" if options else "full", **options)
        model.loss(patches).backward()
        gradients.append(model.dictionary.grad)
    torch.testing.assert_close(gradients[0], gradients[1])
    assert not torch.allclose(gradients[0], gradients[2])


@pytest.mark.parametrize("trainer", [ClosedFormTrainer, UnrolledTrainer])
def test_training_lowers_the_objective_and_keeps_the_norms(trainer):
    truth = torch.nn.functional.normalize(draw(10, 8, seed=6), dim=1)
    patches = (draw(600, 10, seed=7) * (draw(600, 10, seed=8) > 1.2)) @ truth
    model = make_model(8, 10, 0.05)
    history = train(trainer(model), patches, n_epochs=15, batch_size=100, seed=0)
    assert history["objective"][-1] < 0.9 * history["objective"][0]
    torch.testing.assert_close(model.dictionary.detach().norm(dim=1), torch.ones(10, dtype=torch.float64))


def test_closed_form_training_finds_the_atoms():
    truth = torch.nn.functional.normalize(draw(16, 12, seed=6), dim=1)
    patches = (draw(3000, 16, seed=7) * (draw(3000, 16, seed=8) > 1.3)) @ truth
    model = make_model(12, 16, 0.05)
    model.set_dictionary(patches[patches.norm(dim=1) > 0][:16])
    train(ClosedFormTrainer(model), patches, n_epochs=30, batch_size=500, seed=0)
    overlap = np.abs(truth.numpy() @ model.dictionary.detach().numpy().T).max(1)
    assert np.median(overlap) > 0.99


def test_a_dictionary_of_l1_sparse_coding_is_the_better_start():
    patches = load_patches("embedded", 8, 3000, seed=0, min_variance=0.1)
    first = initialize_dictionary(patches, 64, torch.Generator().manual_seed(0))
    relaxed = SparseCodingAutoencoder(64, 64, 2.0)
    relaxed.set_dictionary(first)
    train(ClosedFormTrainer(relaxed), patches, n_epochs=2, batch_size=300, seed=0)
    objectives = []
    for start, n_epochs in ((relaxed.dictionary.detach(), 2), (first, 8)):
        model = HardThresholdAutoencoder(64, 64, 1.5)
        model.set_dictionary(start)
        objectives.append(train(ClosedFormTrainer(model), patches, n_epochs, 300, seed=0)["objective"][-1])
    assert objectives[0] < 0.98 * objectives[1]


def test_the_relaxation_begins_at_the_same_atoms_and_the_same_threshold():
    model = HardThresholdAutoencoder(6, 9, 1.5, generator=torch.Generator().manual_seed(0)).double()
    model.constrain()
    relaxed = model.relaxed()
    torch.testing.assert_close(relaxed.dictionary, model.dictionary, rtol=1e-14, atol=0)
    # of multiples of one atom, both keep those whose correlation with it exceeds √(2λ)
    atom = model.dictionary[:1].detach()
    for one in (model, relaxed):
        one.dictionary = torch.nn.Parameter(atom)
    for factor, kept in ((1.73, False), (1.74, True)):
        assert bool(model.infer(factor * atom).any()) == bool(relaxed.infer(factor * atom).any()) == kept


def test_bad_input(monkeypatch):
    with pytest.raises(ValueError, match="lam must be greater than 0 for sparse coding with atoms of norm 1, got 0"):
        HardThresholdAutoencoder(4, 5, 0)
    with pytest.raises(ValueError, match="must agree in the number of features, got 4 and 5"):
        make_model().infer(draw(3, 4))
    with pytest.raises(ValueError, match="codes must have shape"):
        make_model().infer(draw(3, 5), draw(3, 7))
    monkeypatch.setattr(hard_threshold, "_MAX_FLIPS", 0)
    with pytest.raises(ConvergenceError, match="the supports of 3 of 3 samples still changed after the last flip"):
        make_model(lam=1e-3).infer(draw(3, 5))
