"""Which trainings are compared, which of their units count, and what is summarised of them."""

import numpy as np
import pytest

from tests.experiments.trainings import training
from wlsc.experiments import units
from wlsc.experiments.units import PRIMARY, Setting


def test_trainings_are_found_by_model_and_setting():
    sparser, removed = Setting(5.0, 2.0), PRIMARY._replace(variation="mean_removed")
    measured = [
        training("wlsc", 1, 3),
        training("wlsc", 0, 3),
        training("wlsc", 0, 3, sparser),
        training("wlsc", 0, 3, removed),
        training("k_means", 0, 3, PRIMARY._replace(activity=None)),
        training("ica", 0, 3, Setting(None, 1.0)),
    ]
    assert [one.cell.seed for one in units.select(measured, "wlsc")] == [0, 1]
    assert units.select(measured, "wlsc", sparser) == [measured[2]]
    assert units.select(measured, "wlsc", removed) == [measured[3]]
    assert units.select(measured, "k_means", sparser) == [measured[4]]  # one set for all activities
    assert units.select(measured, "ica") == [measured[5]]  # and for all sizes
    assert units.select(measured, "lld") == []


def test_trainings_of_one_seed_are_a_pair():
    first = [training("wlsc", seed, 3) for seed in (3, 0, 1)]
    second = [training("sparse_coding", seed, 3) for seed in (1, 2, 3)]
    assert [(a.cell.seed, b.cell.seed) for a, b in units.pair(first, second)] == [(1, 1), (3, 3)]


def test_a_setting_has_at_least_three_trainings_of_every_model():
    many, few = Setting(5.0, 2.0), Setting(20.0, 2.0)
    measured = [training(name, seed, 3, many) for name in ("wlsc", "sparse_coding") for seed in range(3)]
    measured += [training("wlsc", seed, 3, few) for seed in range(3)]
    measured += [training("sparse_coding", seed, 3, few) for seed in range(2)]
    assert units.settings_of(measured, "wlsc", "sparse_coding") == [PRIMARY, many]
    assert units.settings_of(measured, "wlsc") == [PRIMARY, many, few]


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        (PRIMARY, "10 active, 2×"),
        (Setting(5.0, 1.0, "mean_removed"), "5 active, 1×, mean removed"),
        (Setting(None, 1.0), "own activity, 1×"),
    ],
)
def test_a_setting_has_a_name(setting, name):
    assert str(setting) == name


def test_units_are_chosen_by_what_is_said_of_them():
    one = training(
        "wlsc",
        0,
        5,
        r2=[0.48, 0.5, 0.9, 0.9, 0.9],
        phase_se_deg=[1, 1, 22.5, 23, 1],
        nx=[0.1, 0.1, 0.302, 0.3, 0.2],
        ny=[0.1, 0.1, 0.1, 0.1, 0.4],
        phase_deg=[0, 10, 20, 30, 80],
        live=np.array([True, False, True, True, True]),
        circular_variance=[0.1, 0.2, 0.3, 0.4, 0.5],
        filter_circular_variance=[0.6, 0.7, 0.8, 0.9, 1.0],
    )
    fit = one.fits["filter"]
    assert units.is_fitted(fit).tolist() == [False, True, True, True, True]
    assert units.is_phase_known(fit).tolist() == [False, True, True, False, True]
    assert units.is_broad(fit).tolist() == [False, True, False, True, False]
    assert units.known_phases([one])[0].tolist() == [10, 20, 80]
    assert units.shapes([one])[0].tolist() == [[0.1, 0.1], [0.302, 0.1], [0.3, 0.1], [0.2, 0.4]]
    assert units.odd_if_short([one]) == (1, 2)
    assert units.circular_variances([one])[0].tolist() == [0.1, 0.3, 0.4, 0.5]
    assert units.circular_variances([one], "filter_circular_variance")[0].tolist() == [0.6, 0.8, 0.9, 1.0]
    assert units.known_phases([one], "mapped") == []


def test_trainings_without_values_are_no_part_of_means():
    assert units.run_means([np.array([1.0, 3.0]), np.empty(0)]).tolist() == [2.0]
    assert units.pooled([]).tolist() == []


def test_dictionaries_are_matched_atom_by_atom():
    rng = np.random.default_rng(0)
    first = rng.normal(size=(6, 20))
    second = -3 * first[rng.permutation(6)]
    assert units.matched_cosines(first, second) == pytest.approx(np.ones(6))
    assert len(units.matched_cosines(first, first[:4])) == 4
    assert units.matched_cosines(first, rng.normal(size=(6, 20))).max() < 0.9
