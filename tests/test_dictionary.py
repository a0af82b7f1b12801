"""Dictionary updates against numeric minimisers; statistics that add up; atoms that die and come back."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

import wlsc
from wlsc.dictionary import (
    SufficientStatistics,
    closed_form_update,
    coordinate_update,
    dead_atoms,
    initialize_dictionary,
    revive_atoms,
)


def draw(seed=0, n_samples=40, n_atoms=5, n_features=4):
    rng = np.random.default_rng(seed)
    arrays = (
        rng.normal(size=(n_samples, n_features)),
        rng.normal(size=(n_atoms, n_features)),
        rng.dirichlet(np.full(n_atoms, 0.5), size=n_samples),
    )
    return tuple(torch.as_tensor(array) for array in arrays)


@pytest.mark.equation("eq-dictionary", "wlsc.dictionary.closed_form_update")
@pytest.mark.parametrize("lam", [0.0, 0.1, 2.0])
def test_closed_form_is_the_minimum(lam):
    patches, dictionary, codes = draw()
    updated = closed_form_update(SufficientStatistics.of(codes, patches), dictionary, lam)

    def value(flat):
        return float(wlsc.objective(patches, torch.as_tensor(flat.reshape(dictionary.shape)), codes, lam))

    found = minimize(value, dictionary.numpy().ravel(), method="BFGS", options={"gtol": 1e-9})
    np.testing.assert_allclose(updated.numpy(), found.x.reshape(dictionary.shape), atol=1e-5)


@pytest.mark.parametrize("lam", [0.0, 1e-3, 0.1, 1e3])
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_sparse_statistics_give_the_direct_dictionary(monkeypatch, lam, offset):
    rng = np.random.default_rng(0)
    patches, dictionary = (torch.as_tensor(offset + rng.normal(size=(n, 20))) for n in (3000, 300))
    codes = torch.zeros(3000, 300, dtype=torch.float64)
    for code in codes:  # five of all atoms but five
        code[rng.choice(295, 5, replace=False)] = torch.as_tensor(rng.dirichlet(np.ones(5)))
    origin = dictionary.mean(0)
    direct = SufficientStatistics.of(codes, patches, origin)
    expected = closed_form_update(direct, dictionary, lam)
    monkeypatch.setattr("wlsc.dictionary._MANY_ATOMS", 300)
    parts = [SufficientStatistics.of(codes[part::2], patches[part::2], origin) for part in (0, 1)]
    sparse = SufficientStatistics.nothing(dictionary).add(parts[0]).add(parts[1])
    assert sparse.codes_codes.is_sparse
    torch.testing.assert_close(sparse.codes_codes.to_dense(), direct.codes_codes)
    torch.testing.assert_close(closed_form_update(sparse, dictionary, lam), expected, rtol=1e-6, atol=1e-6)
    for given in (direct, sparse):
        renewed, atoms = revive_atoms(given, dictionary, patches[:9])
        kept = renewed.codes_codes.to_dense()
        torch.testing.assert_close(kept[:295, :295], direct.codes_codes[:295, :295])
        assert float(kept[295:].abs().max()) == 0 and torch.equal(atoms[295:], patches[:5])


def test_closed_form_keeps_unused_atoms_and_survives_singular_systems():
    patches, dictionary, codes = draw(1)
    codes[:, 2] = 0
    codes /= codes.sum(1, keepdim=True)
    updated = closed_form_update(SufficientStatistics.of(codes, patches), dictionary, 0.1)
    torch.testing.assert_close(updated[2], dictionary[2])
    few = SufficientStatistics.of(codes[:2], patches[:2])  # two samples cannot determine four atoms at λ = 0
    updated = closed_form_update(few, dictionary, 0.0)
    torch.testing.assert_close(codes[:2] @ updated, patches[:2], atol=1e-8, rtol=0)
    by_pseudoinverse = dictionary + torch.linalg.pinv(codes[:2]) @ (patches[:2] - codes[:2] @ dictionary)
    torch.testing.assert_close(updated, by_pseudoinverse, atol=1e-6, rtol=0)
    nothing = SufficientStatistics.of(torch.zeros_like(codes), patches)
    torch.testing.assert_close(closed_form_update(nothing, dictionary, 0.1), dictionary)


def test_coordinate_update_reaches_the_constrained_minimum():
    patches, dictionary, codes = draw(2)
    statistics = SufficientStatistics.of(codes, patches)
    updated = dictionary / dictionary.norm(dim=1, keepdim=True)
    for _ in range(200):
        updated = coordinate_update(statistics, updated)

    def value(flat):
        return 0.5 * float((patches - codes @ torch.as_tensor(flat.reshape(dictionary.shape))).square().sum())

    constraints = [
        {"type": "ineq", "fun": lambda flat, j=j: 1 - np.sum(flat.reshape(dictionary.shape)[j] ** 2)} for j in range(5)
    ]
    found = minimize(
        value, updated.numpy().ravel() * 0.5, method="SLSQP", constraints=constraints, options={"ftol": 1e-12}
    )
    assert updated.norm(dim=1).max() <= 1 + 1e-12
    assert value(updated.numpy()) == pytest.approx(found.fun, rel=1e-6)


@pytest.mark.equation("eq-traffic", "wlsc.dictionary.SufficientStatistics")
@pytest.mark.parametrize("n_samples", [1, 40, 400])
def test_statistics_have_the_same_size_for_any_number_of_samples(n_samples):
    patches, _, codes = draw(n_samples=n_samples)
    terms = SufficientStatistics.of(codes, patches).tensors().values()
    assert sum(term.numel() for term in terms) == 5 * (5 + 4) + 5 + 1


def test_statistics_add_up_and_forget():
    patches, _, codes = draw(3)
    parts = SufficientStatistics.of(codes[:15], patches[:15]).add(SufficientStatistics.of(codes[15:], patches[15:]))
    for name, value in SufficientStatistics.of(codes, patches).tensors().items():
        torch.testing.assert_close(parts.tensors()[name], value)
    halved = SufficientStatistics.of(codes, patches).add(SufficientStatistics.of(codes, patches), forgetting=0.5)
    torch.testing.assert_close(halved.usage, 1.5 * codes.sum(0))


def test_dead_atoms_come_back_as_patches():
    patches, dictionary, codes = draw(4)
    codes[:, 1] = 1e-9
    statistics = SufficientStatistics.of(codes, patches)
    assert dead_atoms(statistics).tolist() == [1]
    renewed, atoms = revive_atoms(statistics, dictionary, patches[:3])
    torch.testing.assert_close(atoms[1], patches[0])
    torch.testing.assert_close(atoms[[0, 2, 3, 4]], dictionary[[0, 2, 3, 4]])
    assert float(renewed.usage[1]) == 0
    assert float(renewed.codes_codes[1].abs().max()) == float(renewed.codes_codes[:, 1].abs().max()) == 0
    torch.testing.assert_close(renewed.codes_codes[0, 2], statistics.codes_codes[0, 2])


@pytest.mark.parametrize("method", ["data", "k-means++"])
def test_first_atoms_are_different_patches(method):
    patches, _, _ = draw(5)
    atoms = initialize_dictionary(patches, 40, torch.Generator().manual_seed(0), method)
    assert sorted(atoms[:, 0].tolist()) == sorted(patches[:, 0].tolist())
    again = initialize_dictionary(patches, 40, torch.Generator().manual_seed(0), method)
    assert torch.equal(atoms, again)
    atoms[0] = 0
    assert bool((patches != 0).all())  # a copy


def test_k_means_plus_plus_spreads():
    """Three tight groups and three atoms: every group gets one."""
    centres = torch.tensor([[0.0, 0.0], [100.0, 0.0], [0.0, 100.0]]).repeat_interleave(50, 0)
    patches = centres + 0.1 * torch.randn(150, 2, generator=torch.Generator().manual_seed(0))
    for seed in range(10):
        atoms = initialize_dictionary(patches, 3, torch.Generator().manual_seed(seed), "k-means++")
        assert len({tuple((atom / 100).round().tolist()) for atom in atoms}) == 3


def test_k_means_plus_plus_with_copies_only():
    atoms = initialize_dictionary(torch.ones(6, 2), 4, torch.Generator().manual_seed(0), "k-means++")
    assert torch.equal(atoms, torch.ones(4, 2))


def test_bad_input():
    generator = torch.Generator()
    with pytest.raises(ValueError, match="got 5 atoms for 3 samples"):
        initialize_dictionary(torch.zeros(3, 2), 5, generator)
    with pytest.raises(ValueError, match="initialization must be one of 'data', 'k-means"):
        initialize_dictionary(torch.zeros(3, 2), 2, generator, "pca")
