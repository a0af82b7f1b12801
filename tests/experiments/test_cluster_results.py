"""What is looked up in a study of clusters, and what is made of it."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.neighbors import NearestNeighbors

from tests.experiments.cluster_runs import clusters, results, run, study
from wlsc.experiments import cluster_results
from wlsc.experiments.cluster_results import EXACT_LAYERS


def test_runs_are_found_by_method_variation_and_trial():
    found = results(
        run("wlsc", 0), run("wlsc", 1), run("wlsc", 0, "raw"), run("wlsc", 0, trial=1), run("pixels", 0, purity=0.5)
    )
    assert [one.cell.seed for one in found.of("wlsc")] == [0, 1]
    assert found.of("wlsc", "raw") == [found.measurements[2]]
    assert found.of("wlsc", trial=1) == [found.measurements[3]]
    assert found.of("nmf") == []
    assert found.title("wlsc_consensus") == "WLSC, consensus of three"


def test_numbers_are_read_by_their_path():
    found = results(
        run("wlsc", 0, purity=0.8), run("wlsc", 1, purity=0.9), run("wlsc", 0, "raw", purity=0.1, ways=("labels",))
    )
    np.testing.assert_array_equal(found.values("wlsc", "purity"), [0.8, 0.9])
    np.testing.assert_array_equal(found.values("wlsc", "clusters", "k_means", "nmi"), [0.8 - 0.1] * 2)
    assert found.values("wlsc", "clusters", "k_means", "nmi", variation="raw").shape == (0,)
    assert found.values("wlsc", "embedding", "purity").shape == (0,)  # no run was embedded


@pytest.mark.parametrize(
    ("profile", "layers", "settings"),
    [("quick", [1, 15, EXACT_LAYERS], ["raw"]), ("full", [1, 5, 15, EXACT_LAYERS], ["raw", "five_classes"])],
)
def test_sweeps_hold_what_differs_in_one_number(profile, layers, settings):
    methods = study(profile).methods
    found = results(*map(run, methods), profile=profile)
    swept = found.sweeps()
    assert list(swept) == ["penalty", "atoms", "layers"]
    assert list(swept["layers"].values()) == layers
    for axis, option in (("penalty", "lam"), ("atoms", "n_atoms")):
        assert list(swept[axis].values()) == sorted(methods[name].options[option] for name in swept[axis])
    assert all("wlsc" in points and "wlsc_consensus" not in points for points in swept.values())
    moved = {name for points in swept.values() for name in points}
    assert set(found.compared) == (set(methods) - moved) | {"wlsc"}
    assert found.settings == settings


def test_a_method_without_runs_is_not_compared_and_has_no_codes():
    found = results(run("wlsc"), run("pixels"))
    assert found.compared == ["wlsc", "pixels"]
    with pytest.raises(ValueError, match="method must have a run in the variation none, got 'sparse_coding'"):
        found.encode("sparse_coding")


def test_labels_choose_the_trial_and_the_way_that_are_best_on_their_half():
    reached = {(0, "k_means"): 0.5, (0, "textbook"): 0.6, (1, "k_means"): 0.9, (1, "textbook"): 0.7}
    runs = []
    for trial in range(4):
        by_way = {way: clusters(0.3, chosen_on=reached.get((trial, way), 0.1)) for way in ("k_means", "textbook")}
        by_way["bipartite"] = clusters(1.0)  # its defaults have seen labels
        runs.append(run("sparse_coding", trial=trial, lam=0.123 + trial, clusters=by_way))
    runs += [run("wlsc", trial=trial) for trial in range(3)]  # the fourth was not measured
    (choice,) = cluster_results.choose_by_labels(results(*runs, run("pixels")))
    assert (choice.method, choice.way) == ("sparse_coding", "k_means")
    assert choice.options == {"n_atoms": 100, "lam": 1.123}
    assert choice.scores["accuracy"] == 0.3
    assert study().methods["sparse_coding"].options["lam"] == 0.2  # what was read is left as it was


def test_neighbours_share_atoms_as_a_count_says():
    rng = np.random.default_rng(0)
    codes = rng.random((200, 5)) * (rng.random((200, 5)) < 0.6)
    codes[:, 0] += 0.01
    plane = rng.normal(size=(200, 2)) + 3 * codes.argmax(axis=1)[:, None]
    found = cluster_results.share_heaviest_atoms(csr_array(codes), plane, 200)
    heaviest = codes.argmax(axis=1)
    nearest = NearestNeighbors(n_neighbors=11).fit(plane).kneighbors(plane, return_distance=False)[:, 1:]
    assert found.neighbours == pytest.approx(np.mean(heaviest[nearest] == heaviest[:, None]))
    assert found.by_chance == pytest.approx(np.mean(heaviest[:, None] == heaviest))
    assert found.weight == pytest.approx(codes.max(axis=1).mean())


def test_the_most_used_atoms_of_a_cluster_come_first():
    dictionary = np.arange(10.0).reshape(5, 2)
    rows = cluster_results.atoms_by_cluster(dictionary, np.array([1, 5, 3, 9, 4]), np.array([0, 0, 1, -1, 0]), 2)
    np.testing.assert_array_equal(rows[0], dictionary[[1, 4]])
    np.testing.assert_array_equal(rows[1], [dictionary[2], [0, 0]])


def test_confusions_are_the_most_frequent_ones():
    classes = np.array([3, 3, 3, 7, 7, 7, 7, 9, 9, 9, 9])
    labels = np.array([0, 0, 0, 1, 1, 1, 0, 2, 2, 0, 0])
    n_used = np.arange(11)
    found = cluster_results.find_confusions(classes, labels, n_used)
    assert found.share == pytest.approx(3 / 11)
    np.testing.assert_array_equal(found.samples, [10, 6])  # two nines taken for threes, then a seven
    np.testing.assert_array_equal(found.taken_for, [3, 3])
    assert cluster_results.find_confusions(classes, labels, n_used, n_pairs=1).samples.tolist() == [10]
    none = cluster_results.find_confusions(classes, np.searchsorted([3, 7, 9], classes), n_used)
    assert none.share == 0 and none.samples.shape == none.taken_for.shape == (0,)
