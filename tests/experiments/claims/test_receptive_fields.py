"""C1 to C3 of synthetic trainings, whose verdict is known in every direction."""

import numpy as np
import pytest
from scipy import stats

from tests.experiments.trainings import training
from wlsc.analysis.statistics import Verdict
from wlsc.datasets.physiology import BinnedCells, PhaseTable
from wlsc.experiments.claims import receptive_fields as claims
from wlsc.experiments.claims.base import answer, read_claims, write_claims
from wlsc.experiments.units import PRIMARY, Setting

EDGES = np.geomspace(0.1, 1.6, 6)
CENTRES = np.sqrt(EDGES[:-1] * EDGES[1:])
#: Most cells in one bin, some around it.
COUNTS = np.array([[2, 4, 2, 0, 0], [4, 30, 4, 0, 0], [2, 4, 2, 0, 0], [0] * 5, [0] * 5])
TABLE = BinnedCells(("nx", "ny"), (EDGES, EDGES), COUNTS, "")
OTHERS = (Setting(5.0, 2.0), Setting(20.0, 2.0))


def phases_with(even, odd, n_units=100):
    """Phases of which so many in a hundred are even and odd, the others in between."""
    return np.repeat([5.0, 85.0, 45.0], [even, odd, n_units - even - odd])


def trainings(shares, n_runs=5, settings=(PRIMARY, *OTHERS)):
    """WLSC whose share of even and odd units varies a little from run to run around what is given."""
    return [
        training("wlsc", seed, 100, setting, phase_deg=phases_with(*(share + seed % 3 for share in shares)))
        for setting in settings
        for seed in range(n_runs)
    ]


def only(part, question):
    return answer({"C": {part: question}})["C"].parts[part]


CLASSES = {
    "supported": (trainings((40, 40)), Verdict.SUPPORTED),
    "contradicted": (trainings((5, 5)), Verdict.CONTRADICTED),
    "one class alone": (trainings((60, 5)), Verdict.CONTRADICTED),
    "inconclusive": (trainings((24, 24)), Verdict.INCONCLUSIVE),
    "other settings disagree": (
        [*trainings((40, 40), settings=[PRIMARY]), *trainings((24, 24), settings=OTHERS)],
        Verdict.INCONCLUSIVE,
    ),
    "too few runs": (trainings((40, 40), n_runs=2), Verdict.TOO_FEW_RUNS),
    "too few odd units": (trainings((60, 0)), Verdict.TOO_FEW_RUNS),
    "no training": ([], Verdict.CANNOT_BE_TESTED),
    "no phase is known": (
        [training("wlsc", seed, 50, phase_se_deg=40.0) for seed in range(5)],
        Verdict.CANNOT_BE_TESTED,
    ),
}


@pytest.mark.parametrize("name", CLASSES)
def test_two_classes_of_phases(name):
    measured, expected = CLASSES[name]
    assert answer({"C1b": claims.two_classes(measured)})["C1b"].verdict is expected


def test_shares_are_means_over_trainings_with_student_s_interval():
    counts = np.array([30, 34, 41, 36])
    measured = [
        *(training("wlsc", seed, 100, phase_deg=phases_with(count, 20)) for seed, count in enumerate(counts)),
        training("wlsc", 9, 100, r2=0.1),  # without a known phase: no share
        training("sparse_coding", 0, 100),
    ]
    even = only("even", claims.two_classes(measured)["even"])
    test = stats.ttest_1samp(counts / 100, 0.25)
    assert even.n_runs == 4
    assert even.estimate == pytest.approx(counts.mean() / 100 - 0.25)
    assert even.interval == pytest.approx(np.subtract(test.confidence_interval(0.95), 0.25))
    assert even.p == pytest.approx(test.pvalue)


def tuned(odd_of_well, odd_of_broad, n_runs=5, n_broad=20, settings=(PRIMARY, *OTHERS)):
    """WLSC with so many odd units of 80 well and of the broadly tuned ones, varying a little from run to run."""

    def one(seed, setting):
        n_odd = odd_of_well + seed % 3, max(odd_of_broad - seed % 2, 0) if n_broad else 0
        phase = np.concatenate([phases_with(0, n_odd[0], 80), phases_with(0, n_odd[1], n_broad)])
        return training(
            "wlsc", seed, 80 + n_broad, setting, phase_deg=phase, nx=np.repeat([0.5, 0.1], [80, n_broad]), ny=0.1
        )

    return [one(seed, setting) for setting in settings for seed in range(n_runs)]


ODD = {
    "supported": (tuned(60, 4), Verdict.SUPPORTED),
    "contradicted": (tuned(10, 17), Verdict.CONTRADICTED),
    "inconclusive": (tuned(20, 5), Verdict.INCONCLUSIVE),
    "too few runs": (tuned(60, 4, n_runs=2), Verdict.TOO_FEW_RUNS),
    "too few broadly tuned units": (tuned(60, 1, n_broad=1), Verdict.TOO_FEW_RUNS),
    "no broadly tuned unit": (tuned(60, 0, n_broad=0), Verdict.TOO_FEW_RUNS),
    "no training": ([], Verdict.CANNOT_BE_TESTED),
}


@pytest.mark.parametrize("name", ODD)
def test_well_tuned_units_are_odd(name):
    measured, expected = ODD[name]
    assert only("difference", claims.odd_if_well_tuned(measured)).verdict is expected


def test_shares_of_well_and_broadly_tuned_units_are_those_of_all_trainings_together():
    measured = tuned(60, 4, n_runs=3, settings=[PRIMARY])
    found = only("difference", claims.odd_if_well_tuned(measured))
    n_odd = 60 + 61 + 62, 4 + 3 + 4
    expected = (n_odd[0] + 0.5) / (240 + 1) - (n_odd[1] + 0.5) / (60 + 1)
    assert found.estimate == pytest.approx(expected)
    assert found.n_runs == 3


def coded(gap, n_runs=5, settings=(PRIMARY, *OTHERS), alone=None):
    """WLSC and sparse coding whose circular variances differ by so much, run by run, with more between runs."""
    rng = np.random.default_rng(1)

    def both(seed, setting):
        level, wobble = 0.1 * seed, 0.01 * rng.normal()
        for model, shift in (("wlsc", gap + wobble), ("sparse_coding", 0.0)):
            values = 0.2 + level + shift + rng.permutation(np.linspace(-0.05, 0.05, 20))
            of_filters = values if alone is None else 0.2 + level + (alone + wobble) * (model == "wlsc")
            yield training(model, seed, 20, setting, circular_variance=values, filter_circular_variance=of_filters)

    return [one for setting in settings for seed in range(n_runs) for one in both(seed, setting)]


TUNING = {
    "supported": (coded(0.1), Verdict.SUPPORTED),
    "contradicted": (coded(-0.1), Verdict.CONTRADICTED),
    "inconclusive": (coded(0.0), Verdict.INCONCLUSIVE),
    "one of four settings disagrees": (
        [*coded(0.1), *coded(-0.1, settings=[Setting(10.0, 1.0)])],
        Verdict.SUPPORTED,
    ),
    "filters and a setting disagree": (
        [*coded(0.1, alone=-0.1), *coded(-0.1, settings=[Setting(10.0, 1.0)])],
        Verdict.INCONCLUSIVE,
    ),
    "too few runs": (coded(0.1, n_runs=2), Verdict.TOO_FEW_RUNS),
    "other data": (
        [one for one in coded(0.1, n_runs=6) if (one.cell.seed < 3) == (one.cell.model == "wlsc")],
        Verdict.CANNOT_BE_TESTED,
    ),
    "no training": ([], Verdict.CANNOT_BE_TESTED),
}


@pytest.mark.parametrize("name", TUNING)
def test_broader_tuning(name):
    measured, expected = TUNING[name]
    assert only("difference", claims.broader_tuning(measured)).verdict is expected


def test_tuning_is_compared_training_by_training_of_one_seed():
    measured = coded(0.05, settings=[PRIMARY])
    found = only("difference", claims.broader_tuning(list(reversed(measured))))
    means = {
        name: [one.units.circular_variance.mean() for one in measured if one.cell.model == name]
        for name in ("wlsc", "sparse_coding")
    }
    test = stats.ttest_rel(means["wlsc"], means["sparse_coding"])
    assert found.interval == pytest.approx(test.confidence_interval(0.95))
    assert found.p == pytest.approx(test.pvalue)
    assert list(found.sensitivity) == ["10 active, 2×, filters alone"]


def test_units_that_answer_no_grating_do_not_count():
    live = np.arange(20) < 10
    measured = [
        training(model, seed, 20, live=live, circular_variance=np.where(live, 0.2 + gap + 0.001 * seed * gap, 0.9))
        for seed in range(3)
        for model, gap in (("wlsc", 0.1), ("sparse_coding", 0.0))
    ]
    assert only("difference", claims.broader_tuning(measured)).estimate == pytest.approx(0.1001)


CELLS = PhaseTable(np.full(40, 0.5), np.full(40, 0.5), np.linspace(-180, 180, 40))
FOLDED = np.abs((CELLS.phase_deg + 90) % 180 - 90)
PHASES = {
    "comparable": ([training("wlsc", seed, 40, phase_deg=FOLDED) for seed in range(5)], CELLS, Verdict.COMPARABLE),
    "all odd": (trainings((0, 90)), CELLS, Verdict.INCONCLUSIVE),
    "too few runs": ([training("wlsc", seed, 40, phase_deg=FOLDED) for seed in range(2)], CELLS, Verdict.TOO_FEW_RUNS),
    "no table of phases": (trainings((40, 40)), None, Verdict.CANNOT_BE_TESTED),
    "no training": ([], CELLS, Verdict.CANNOT_BE_TESTED),
}


@pytest.mark.parametrize("name", PHASES)
def test_phases_of_cells(name):
    measured, cells, expected = PHASES[name]
    assert only("distance", claims.phases_of_cells(measured, cells)).verdict is expected


def test_the_distance_of_phases_is_that_of_kolmogorov_and_smirnov():
    measured = trainings((10, 60), settings=[PRIMARY])
    found = only("distance", claims.phases_of_cells(measured, CELLS))
    phases = np.concatenate([one.fits["filter"].phase_deg for one in measured])
    places = np.concatenate([phases, FOLDED])
    gap = max(abs((phases <= place).mean() - (place >= FOLDED).mean()) for place in places)
    assert found.estimate == pytest.approx(gap)


@pytest.mark.parametrize(("phase", "folded"), [(0, 0), (90, 90), (180, 0), (-45, 45), (135, 45), (270, 90), (-100, 80)])
def test_phases_are_folded(phase, folded):
    assert claims.fold_phases(phase) == pytest.approx(folded)


def planes(bins, model, n_runs=5, r2=0.9, n_each=60):
    """Trainings of a model with as many units in each of these bins, and 3 in a bin that changes from run to run."""

    def one(seed):
        strays = [(seed % 5, 4 - seed % 2)] * 3
        places = np.array([place for place in bins for _ in range(n_each)] + strays)
        return training(model, seed, len(places), nx=CENTRES[places[:, 0]], ny=CENTRES[places[:, 1]], r2=r2)

    return [one(seed) for seed in range(n_runs)]


AS_CELLS = np.argwhere(COUNTS).repeat(COUNTS[COUNTS > 0], axis=0).tolist()
STAND_IN = {
    "comparable": ([*planes([(3, 3)], "wlsc"), *planes([(3, 3)], "lld")], Verdict.COMPARABLE),
    "farther away": ([*planes([(4, 4)], "wlsc"), *planes([(2, 2)], "lld")], Verdict.INCONCLUSIVE),
    "as near as chance": ([*planes(AS_CELLS, "wlsc", n_each=5), *planes([(3, 3)], "lld")], Verdict.TOO_FEW_RUNS),
    "too few runs": ([*planes([(3, 3)], "wlsc"), *planes([(3, 3)], "lld", n_runs=2)], Verdict.TOO_FEW_RUNS),
    "the stand-in failed": ([*planes([(3, 3)], "wlsc"), *planes([(3, 3)], "lld", r2=0.2)], Verdict.CANNOT_BE_TESTED),
    "no stand-in": (planes([(3, 3)], "wlsc"), Verdict.CANNOT_BE_TESTED),
}


@pytest.mark.parametrize("name", STAND_IN)
def test_the_stand_in_of_lld(name):
    measured, expected = STAND_IN[name]
    assert only("difference", claims.like_the_stand_in(measured, TABLE)).verdict is expected


def test_a_distance_is_the_mean_number_of_bins_by_which_units_move():
    alone = BinnedCells(("nx", "ny"), (EDGES, EDGES), np.diag([0, 0, 50, 0, 0]), "")
    measured = [
        training("wlsc", seed, 10, nx=CENTRES[[2] * 5 + [3] * 5], ny=CENTRES[[2] * 5 + [2 - seed % 2] * 5])
        for seed in range(4)
    ]
    found = claims.distance_to_table(measured, "wlsc", alone)
    assert found.estimate == pytest.approx((0.5 + 0.5 * np.sqrt(2)) / 2)  # half of the units move by 1, or by √2
    assert claims.distance_to_table(measured, "k_means", alone) is None


def test_the_difference_in_distance_is_that_of_the_distances():
    measured = [*planes([(4, 4)], "wlsc"), *planes([(3, 2), (4, 3)], "sparse_coding")]
    distances = [claims.distance_to_table(measured, name, TABLE).estimate for name in ("wlsc", "sparse_coding")]
    found = claims.difference_in_distance(measured, "sparse_coding", TABLE)
    assert found.estimate == pytest.approx(distances[0] - distances[1])
    low, high = found.interval()
    assert 0 < low < high
    assert claims.difference_in_distance(measured, "lld", TABLE) is None


def test_all_claims_are_asked_as_one_family_and_come_back_from_json():
    measured = [*coded(0.1), *planes([(3, 3)], "lld")]
    found = answer(claims.ask(measured, TABLE, allowances={"C3": 0.02}))
    assert list(found) == ["C1a", "C1b", "C1c", "C2", "C2, stand-in", "C3"]
    assert found["C2"].verdict is Verdict.CANNOT_BE_TESTED
    assert found["C3"].verdict is Verdict.SUPPORTED
    part = found["C3"].parts["difference"]
    assert part.p_holm == pytest.approx(min(1.0, 4 * part.p))  # beside two parts of C1b and C1c
    assert part.allowance == 0.02
    assert read_claims(write_claims(found, verdicts=True)) == found
