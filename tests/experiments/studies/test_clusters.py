"""Studies of clusters: the same questions to all, answered as scikit-learn answers them, and found again."""

import json

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import normalized_mutual_info_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

import wlsc
from tests.conftest import REPOSITORY
from wlsc.analysis.clustering import cluster_codes
from wlsc.dictionary import initialize_dictionary
from wlsc.experiments import runs
from wlsc.experiments.kinds import study_module
from wlsc.experiments.studies import clusters
from wlsc.training import ClosedFormTrainer, train

STUDY = """
measures = "clusters"
n_queries = 300
[data]
kind = "digits"
source = "embedded"
options = { unit_norm = true, classes = [0, 1, 4, 6] }
[training]
n_epochs = 3
batch_size = 200
[methods.wlsc]
title = "WLSC"
kind = "wlsc"
options = { n_atoms = 40, lam = 0.5 }
trials = [{ lam = 1.0 }]
own = "bipartite"
[methods.wlsc_3_layers]
title = "WLSC, 3 layers"
kind = "wlsc"
options = { n_atoms = 40, lam = 0.5, n_layers = 3 }
[methods.consensus]
title = "consensus"
kind = "wlsc"
options = { n_atoms = 40, lam = 0.5, n_dictionaries = 2 }
[methods.sparse_coding]
title = "sparse coding"
kind = "sparse_coding"
options = { n_atoms = 40, lam = 0.1 }
like = "wlsc"
own = "bipartite"
[methods.pixels]
title = "pixels"
kind = "pixels"
[variations.gaussian]
gaussian = true
[[cells]]
methods = ["wlsc", "pixels", "sparse_coding"]
n_seeds = 2
with_trials = true
[[cells]]
methods = ["wlsc_3_layers", "consensus"]
[[cells]]
methods = ["wlsc"]
variations = ["gaussian"]
n_embedded = 1
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setenv("WLSC_RUNS_DIR", str(tmp_path / "runs"))
    path = tmp_path / "tiny.toml"
    path.write_text(STUDY, encoding="utf-8")
    return clusters.read_study(path)


@pytest.fixture
def digits():
    return wlsc.load_digits("embedded", (0, 1, 4, 6), unit_norm=True)


def measured(study, name):
    return clusters.measure(study, study.cell(name))


def test_every_cell_is_listed_once(study):
    names = [cell.name for cell in study.list_cells()]
    assert len(names) == len(set(names)) == 10
    assert {"wlsc-t0-none-s1", "wlsc-t1-none-s0", "wlsc-t0-gaussian-s0"} <= set(names)
    assert "wlsc-t1-none-s1" not in names  # labels choose among trials on one seed
    assert [cell.name for cell in study.list_cells() if cell.embedded] == ["wlsc-t0-gaussian-s0"]


def test_neighbours_and_probe_are_those_of_scikit_learn(study, digits):
    samples, classes = digits
    summary = measured(study, "pixels-t0-none-s1").summary
    order = np.random.default_rng(1).permutation(len(samples))
    queries, halves = order[:300], np.array_split(order, 2)
    nearest = NearestNeighbors(n_neighbors=11).fit(samples).kneighbors(samples[queries], return_distance=False)
    assert summary["purity"] == pytest.approx(np.mean(classes[nearest[:, 1:]] == classes[queries, None]), abs=1e-3)
    votes = [
        KNeighborsClassifier(5).fit(np.delete(samples, q, 0), np.delete(classes, q)).predict(samples[[q]])[0]
        for q in queries[:60]
    ]
    agreed = np.mean(votes == classes[queries[:60]])
    assert summary["vote"] == pytest.approx(agreed, abs=0.03)
    probe = RidgeClassifier().fit(samples[halves[0]], classes[halves[0]])
    assert summary["probe"] == probe.score(samples[halves[1]], classes[halves[1]])
    assert 0 < summary["seconds"] < summary["cost"]["duration_s"] and summary["cost"]["peak_memory_bytes"] > 2**26
    assert summary["lam"] is None and summary["n_parameters"] == 0


def test_scores_are_those_of_the_labels_kept(study, digits):
    _, classes = digits
    found = measured(study, "wlsc-t0-none-s0")
    assert set(found.labels) == set(found.summary["clusters"]) == {"k_means", "textbook", "bipartite", "eigengap"}
    halves = np.array_split(np.random.default_rng(0).permutation(len(classes)), 2)
    for way, labels in found.labels.items():
        scores = found.summary["clusters"][way]
        assert scores["nmi"] == pytest.approx(normalized_mutual_info_score(classes, labels))
        assert scores["n_clusters"] == len(np.unique(labels))
        for half, name in zip(halves, ("chosen_on", "scored_on"), strict=True):
            assert scores[name]["nmi"] == pytest.approx(normalized_mutual_info_score(classes[half], labels[half]))
    assert found.summary["clusters"]["textbook"]["n_clusters"] == 4
    assert found.summary["n_empty"] == 0


def test_the_eigengap_only_counts_for_the_textbook(study):
    dictionary, codes = clusters.encode(study, study.cell("wlsc-t0-none-s0"))
    assert dictionary.shape == (40, 64)
    used = codes.toarray()[:, codes.sum(axis=0) > 0].astype(float)
    values = np.linalg.svd(used / np.sqrt(used.sum(axis=0)), compute_uv=False) ** 2
    count = 2 + int(np.argmax(values[1:30] - values[2:31]))
    found = measured(study, "wlsc-t0-none-s0")
    assert found.summary["clusters"]["eigengap"]["n_clusters"] == count
    options = {"n_eigenvectors": count, "n_groups": count, "self_loops": True, "regularization": 0}
    np.testing.assert_array_equal(found.labels["eigengap"], cluster_codes(codes, count, 0, **options).sample_labels)


def test_a_sample_without_a_code_is_in_no_cluster_and_counts_as_wrong():
    classes, weights = np.repeat([0, 1], 10), np.repeat(np.eye(2), 10, axis=0)
    weights[3] = 0
    labels = clusters._of_graph(weights, lambda codes: cluster_codes(codes, 2))
    np.testing.assert_array_equal(np.flatnonzero(labels == -1), [3])
    scores = clusters._scores(classes, labels, [np.arange(10), np.arange(10, 20)])
    assert scores["accuracy"] == pytest.approx(19 / 20) and scores["n_clusters"] == 2
    assert scores["chosen_on"]["accuracy"] == pytest.approx(9 / 10)
    assert scores["scored_on"]["accuracy"] == 1


def test_sparse_coding_is_as_active_as_what_it_is_compared_with(study):
    ours, theirs = (measured(study, f"{name}-t0-none-s0").summary for name in ("wlsc", "sparse_coding"))
    assert theirs["activity"] == pytest.approx(ours["activity"], rel=0.08)
    assert theirs["reached"]
    assert measured(study, "sparse_coding-t0-none-s1").summary["lam"] == theirs["lam"]


def test_layers_and_consensus(study):
    exact, unrolled = (measured(study, f"{name}-t0-none-s0").summary for name in ("wlsc", "wlsc_3_layers"))
    assert unrolled["activity"] > exact["activity"]  # a network that has not converged is less sparse
    both = measured(study, "consensus-t0-none-s0").summary
    assert both["activity"] == pytest.approx(2 * exact["activity"], rel=0.1)
    assert both["n_parameters"] == 2 * exact["n_parameters"] == 2 * 40 * 64


def test_cells_of_one_dictionary_train_it_once(study, monkeypatch):
    exact = measured(study, "wlsc-t0-none-s0")
    monkeypatch.setattr(runs, "train", lambda *_, **__: pytest.fail("trained twice"))
    dictionary, codes = clusters.encode(study, study.cell("wlsc-t0-none-s0"))
    assert codes.nnz / codes.shape[0] == pytest.approx(exact.summary["activity"])
    unrolled, _ = clusters.encode(study, study.cell("wlsc_3_layers-t0-none-s0"))
    np.testing.assert_array_equal(unrolled, dictionary)
    layers = measured(study, "wlsc_3_layers-t0-none-s0").summary
    assert layers["seconds"] > 0 and layers["memory_bytes"] >= 0


def test_a_training_is_that_of_its_configuration(study, digits):
    """The same first atoms, batches and passes, without a study around them."""
    samples, _ = digits
    generator = torch.Generator().manual_seed(0)
    model = wlsc.models.WLSCAutoencoder(64, 40, 0.5, generator=generator)
    model.set_dictionary(initialize_dictionary(samples, 40, generator, "data"))
    train(ClosedFormTrainer(model), samples, n_epochs=3, batch_size=200, seed=0, tol=1e-3)
    dictionary, _ = clusters.encode(study, study.cell("wlsc-t0-none-s0"))
    np.testing.assert_array_equal(dictionary, model.dictionary.detach().numpy())


def test_the_null_has_no_classes_and_a_picture(study, digits):
    null = measured(study, "wlsc-t0-gaussian-s0")
    assert null.embedding.shape == (len(digits[0]), 2)
    assert null.summary["purity"] < 0.4  # four classes, by chance 0.25
    assert 0.5 < null.summary["embedding"]["trustworthiness"] <= 1
    assert measured(study, "wlsc-t0-none-s0").embedding is None


def test_a_measurement_is_found_again(study, monkeypatch):
    first = measured(study, "wlsc-t1-none-s0")
    assert first.summary["lam"] == 1.0
    monkeypatch.setattr(clusters, "_measured", lambda *_: pytest.fail("measured twice"))
    again = measured(study, "wlsc-t1-none-s0")
    assert again.summary == json.loads(json.dumps(first.summary))
    np.testing.assert_array_equal(again.labels["bipartite"], first.labels["bipartite"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('measures = "clusters"', 'measures = "clouds"'), "measures must be one of 'clusters', got 'clouds'"),
        (('kind = "pixels"', 'kind = "voxels"'), "methods.pixels.kind must be one of"),
        (('methods = ["wlsc_3_layers", "consensus"]', 'methods = ["wlsk"]'), "methods of cells must be one of"),
        (('variations = ["gaussian"]', 'variations = ["cauchy"]'), "variations of cells must be one of"),
        (('like = "wlsc"', 'like = "lasso"'), "methods.sparse_coding.like must be one of"),
        (("n_queries = 300", "n_query = 300"), r"got n_query \(did you mean n_queries\?\)"),
    ],
)
def test_a_wrong_study_is_refused(tmp_path, change, message):
    path = tmp_path / "wrong.toml"
    path.write_text(STUDY.replace(*change), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        clusters.read_study(path)


@pytest.mark.parametrize(("profile", "n_seeds"), [("quick", 3), ("full", 10)])
def test_the_study_of_figure_1b_is_sound(profile, n_seeds):
    path = REPOSITORY / "book" / "studies" / profile / "figure_1b.toml"
    assert study_module(path) == "wlsc.experiments.studies.clusters"
    study = clusters.read_study(path)
    cells = study.list_cells()
    for method in ("wlsc", "sparse_coding", "pixels"):
        seeds = [cell.seed for cell in cells if (cell.method, cell.trial, cell.variation) == (method, 0, "none")]
        assert len(seeds) == n_seeds
    budgets = {len(study.methods[cell.method].trials) for cell in cells if cell.trial}
    assert len(budgets) == 1  # the same for every method whose labels choose
