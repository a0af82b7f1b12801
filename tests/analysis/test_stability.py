"""Agreement of dictionaries against all permutations, and where it is known."""

from itertools import permutations

import numpy as np
import pytest
import torch

from wlsc.analysis.stability import Matching, match_atoms, random_data_stability, recovery, stability


def draw(n_atoms=6, n_features=8, seed=0):
    return np.random.default_rng(seed).standard_normal((n_atoms, n_features))


def best_mean(similarity):
    return max(
        np.mean([similarity[i, j] for i, j in enumerate(order)]) for order in permutations(range(len(similarity)))
    )


def cosines(first, second):
    return np.array([[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in second] for a in first])


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("centred", [True, False])
def test_matching_is_the_best_of_all_permutations(signed, centred):
    first, second = draw() + 1, draw(seed=1) + 1
    units = [atoms / np.linalg.norm(atoms, axis=1, keepdims=True) for atoms in (first, second)]
    if centred:
        units = [atoms - atoms.mean(0) for atoms in units]
    expected = cosines(*units) if signed else np.abs(cosines(*units))
    matching = match_atoms(first, second, signed=signed, centred=centred)
    assert matching.mean == pytest.approx(best_mean(expected), rel=1e-12)
    np.testing.assert_allclose(matching.similarities, expected[matching.first, matching.second])


@pytest.mark.parametrize("centred", [True, False])
def test_a_dictionary_agrees_with_its_permutation_whatever_the_scale_of_atoms(centred):
    atoms, order = draw(40), np.random.default_rng(3).permutation(40)
    scaled = atoms[order] * np.random.default_rng(4).uniform(0.1, 9, (40, 1))
    matching = match_atoms(atoms, torch.from_numpy(scaled), centred=centred)
    assert matching.mean == pytest.approx(1, abs=1e-12)
    assert np.array_equal(order[matching.second], matching.first)


def test_signs_count_where_codes_have_one_sign():
    atoms = draw()
    assert match_atoms(atoms, -atoms, signed=False).mean == pytest.approx(1)
    assert match_atoms(atoms, -atoms).mean < 0.9


def test_dead_atoms_are_named_and_left_out_or_agree_with_nothing():
    atoms = draw(10)
    other = atoms.copy()
    other[[2, 7]] = 0
    counted = match_atoms(atoms, other)
    assert counted.mean == pytest.approx(0.8)
    assert counted.dead_first.tolist() == [] and counted.dead_second.tolist() == [2, 7]
    left_out = match_atoms(atoms, other, dead_first=np.array([], dtype=int), dead_second=[7, 2])
    assert left_out.mean == pytest.approx(1)
    assert len(left_out.first) == 8 and left_out.dead_second.tolist() == [2, 7]
    assert not set(left_out.second) & {2, 7}
    nothing = match_atoms(atoms, np.zeros((10, 8)), dead_second=np.arange(10))
    assert np.isnan(nothing.mean) and isinstance(nothing, Matching)


def test_what_all_atoms_share_is_taken_away():
    common = 20 * np.ones(8)
    raw = match_atoms(draw(20) + common, draw(20, seed=1) + common).mean
    centred = match_atoms(draw(20) + common, draw(20, seed=1) + common, centred=True).mean
    assert raw > 0.99 > 0.7 > centred


def test_stability_of_trainings_at_start_and_end():
    truth = draw(12)
    starts = [draw(12, seed=seed) for seed in (1, 2, 3)]
    ends = [truth[::-1], truth, truth * 2]
    found = stability(ends, starts)
    np.testing.assert_allclose(found.end, 1)
    pairs = [(0, 1), (0, 2), (1, 2)]
    np.testing.assert_allclose(found.start, [match_atoms(starts[i], starts[j]).mean for i, j in pairs])
    np.testing.assert_allclose(found.stabilisation, 1 - found.start)
    assert stability(ends).start is None
    dead = [ends[0].copy(), ends[1], ends[2]]
    dead[0][3] = draw(1, seed=9)
    assert stability(dead).end[0] < 0.999 < stability(dead, dead=[[3], [8], [8]]).end[0]


def test_random_data_agree_as_much_as_they_do():
    samples = draw(60)
    found = random_data_stability(samples, 5, 400, seed=0)
    assert found.shape == (400,) and len(set(found)) > 390
    rng, again = np.random.default_rng(5), []
    for _ in range(400):
        rows = rng.permutation(60)[:10]
        again.append(best_mean(cosines(samples[rows[:5]], samples[rows[5:]])))
    error = np.sqrt((np.var(again) + np.var(found)) / 400)
    assert abs(np.mean(again) - found.mean()) < 4 * error
    assert np.array_equal(found, random_data_stability(samples, 5, 400, seed=0))


def test_recovery_counts_true_atoms_once():
    truth = np.eye(6)
    atoms = np.vstack([truth[:4], truth[:1], -truth[4:5]])  # four found, one twice, one with the wrong sign
    found = recovery(atoms, truth)
    assert found.mcc == pytest.approx(4 / 6)
    assert (found.precision, found.recall, found.f1) == pytest.approx((4 / 6, 4 / 6, 4 / 6))
    assert recovery(atoms, truth, signed=False).recall == pytest.approx(5 / 6)
    few = recovery(truth[:2], truth)
    assert (few.mcc, few.precision, few.recall, few.f1) == pytest.approx((2 / 6, 1, 2 / 6, 0.5))
    tilted = truth + 0.3 * np.roll(truth, 1, axis=1)
    cosine = 1 / np.sqrt(1.09)
    assert recovery(tilted, truth).mcc == pytest.approx(cosine)
    assert recovery(tilted, truth, threshold=cosine + 1e-3).f1 == 0


def test_recovery_of_points_measures_distances():
    truth = draw(7)
    moved = truth + 0.1 * draw(7, seed=2)
    spread = ((truth - truth.mean(0)) ** 2).sum() / 7
    expected = 1 - ((moved - truth) ** 2).sum(1) / spread
    found = recovery(moved[::-1], truth, metric="points")
    assert found.mcc == pytest.approx(expected.mean())
    assert recovery(np.tile(truth.mean(0), (7, 1)), truth, metric="points").mcc == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: match_atoms(draw(), draw(n_features=7)), "first and second must agree in the number of features"),
        (lambda: match_atoms(draw(), draw() * np.nan), "second must be finite"),
        (
            lambda: match_atoms(draw(), draw(), dead_first=[6]),
            r"dead_first must be indices of atoms, .* 0 … 5, got \[6\]",
        ),
        (lambda: match_atoms(draw(), draw(), dead_second=[0.5]), "dead_second must be indices of atoms"),
        (lambda: stability([draw()]), "ends must hold at least two dictionaries, got 1"),
        (lambda: stability([draw(), draw()], [draw()]), r"starts must have one entry per training \(2\), got 1"),
        (lambda: stability([draw(), draw()], dead=[[1]]), r"dead must have one entry per training \(2\), got 1"),
        (lambda: stability([draw(), draw()]).stabilisation, "starts must be given"),
        (lambda: random_data_stability(draw(), 4, 3, 0), r"n_atoms must be at most half .* \(6\), got 4"),
        (lambda: random_data_stability(draw(), 2, 0, 0), "n_pairs must be an integer of at least 1, got 0"),
        (lambda: recovery(draw(), draw(), metric="angle"), "metric must be one of 'cosine', 'points', got 'angle'"),
        (lambda: recovery(draw(), draw(0)), "dictionary and truth must hold at least one atom each, got 6 and 0"),
        (lambda: recovery(draw(), np.ones((2, 8)), metric="points"), "truth must hold different atoms"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
