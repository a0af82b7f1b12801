"""The bench: sparsity and starts are what was asked for, and measures are those of scikit-learn and NumPy."""

import dataclasses
import re

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from sklearn.neighbors import NearestNeighbors

import wlsc
from wlsc.analysis.stability import match_atoms
from wlsc.datasets.planted import plant_simplices
from wlsc.experiments.kinds import study_module
from wlsc.experiments.studies import neighbours

STUDY = """
measures = "neighbours"
n_atoms = 24
n_test = 200
precision = 0.02
[data]
kind = "digits"
source = "embedded"
options = { unit_norm = true, classes = [0, 1, 4, 6] }
[training]
n_epochs = 3
batch_size = 100
[models.wlsc]
title = "WLSC"
kind = "wlsc"
[models.nonnegative]
title = "ℓ1 ≥ 0"
kind = "nonnegative"
[models.two_sided]
title = "ℓ1"
kind = "sparse_coding"
[models.hard]
title = "ℓ0"
kind = "hard_threshold"
[models.top_k]
title = "TopK"
kind = "top_k"
learning_rate = 3e-3
[models.batch]
title = "BatchTopK"
kind = "batch_top_k"
learning_rate = 1e-2
[models.jump]
title = "JumpReLU"
kind = "jump_relu"
learning_rate = 1e-2
options = { bandwidth = 0.05 }
[models.matryoshka]
title = "MSAE"
kind = "matryoshka"
learning_rate = 1e-2
[models.archetypal]
title = "A-SAE"
kind = "archetypal"
learning_rate = 1e-2
options = { delta = 0.0 }
[models.spade]
title = "SpaDE"
kind = "spade"
[models.pam]
title = "PAM-SGD"
kind = "pam"
[models.cells]
title = "k-means, local PCA"
kind = "k_means"
[variations.seven]
classes = [7]
[[cells]]
models = ["wlsc", "nonnegative", "two_sided", "hard", "top_k", "batch", "jump", "matryoshka"]
n_active = [4]
[[cells]]
models = ["archetypal", "spade", "pam", "cells"]
n_active = [4]
[[cells]]
models = ["top_k", "cells"]
n_active = [4]
starts = ["data", "shared_k_means", "k_means"]
n_seeds = 2
[[cells]]
models = ["top_k"]
n_active = [2]
starts = ["gaussian"]
shares = ["first", "second"]
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    path = folder / "tiny.toml"
    path.write_text(STUDY, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WLSC_RUNS_DIR", str(folder / "runs"))
        yield neighbours.read_study(path)


@pytest.fixture(scope="module")
def split(study):
    samples, labels = wlsc.load_digits("embedded", (0, 1, 4, 6), unit_norm=True)
    order = np.random.default_rng(0).permutation(len(samples))
    return samples[order[200:]], samples[order[:200]], labels[order[:200]]


def measured(study, name):
    return neighbours.measure(study, study.cell(name))


def test_the_study_is_found_by_what_it_measures(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(STUDY, encoding="utf-8")
    assert study_module(path) == "wlsc.experiments.studies.neighbours"


def test_every_cell_is_listed_once(study):
    names = [cell.name for cell in study.list_cells()]
    assert len(names) == len(set(names)) == 12 + 5 + 5 + 2
    assert {"top_k-k4-shared_k_means-all-none-s1", "top_k-k2-gaussian-second-none-s0"} <= set(names)


@pytest.mark.parametrize("model", ["wlsc", "nonnegative", "two_sided", "hard", "pam", "cells", "spade"])
def test_as_many_atoms_are_active_as_were_asked_for(study, model):
    found = measured(study, f"{model}-k4-data-all-none-s0").summary
    assert found["reached"] and found["activity"] == pytest.approx(4, rel=0.05)
    assert (found["weight"] is None) == (model in ("pam", "cells"))


@pytest.mark.parametrize("model", ["top_k", "batch", "jump", "matryoshka", "archetypal"])
def test_rectified_models_say_how_many_atoms_are_active(study, model):
    found = measured(study, f"{model}-k4-data-all-none-s0").summary
    assert found["reached"] == (abs(found["activity"] / 4 - 1) <= 0.05)
    assert 0 < found["nmse"] < 1 and 0 < found["activity"] < 24


def test_error_and_purity_are_those_of_numpy_and_scikit_learn(study, split):
    _, test, labels = split
    found = measured(study, "wlsc-k4-data-all-none-s0")
    codes = wlsc.infer_codes(test, found.end, found.summary["weight"])
    error = ((test - codes @ found.end) ** 2).sum() / ((test - test.mean(0)) ** 2).sum()
    assert found.summary["nmse"] == pytest.approx(error, rel=1e-3)  # codes to 1e-5
    assert found.summary["activity"] == pytest.approx((codes > 0).sum() / 200, abs=0.02)
    for what, values in (("purity", codes), ("pixel_purity", test)):
        nearest = NearestNeighbors(n_neighbors=6).fit(values).kneighbors(values, return_distance=False)[:, 1:]
        assert found.summary[what] == pytest.approx(np.mean(labels[nearest] == labels[:, None]), abs=5e-3)
    assert found.summary["gaps"]["1"] > found.summary["gaps"]["5"] > found.summary["gaps"]["15"] > 0
    assert measured(study, "spade-k4-data-all-none-s0").summary["gaps"]["encoder"] > 0


def test_dead_atoms_are_those_that_no_training_sample_uses(study, split):
    found = measured(study, "wlsc-k4-data-all-none-s0")
    codes = wlsc.infer_codes(split[0], found.end, found.summary["weight"])
    assert found.dead.tolist() == np.flatnonzero((codes == 0).all(0)).tolist()
    assert found.summary["n_dead"] == len(found.dead)


def test_starts_are_what_they_are_called(study, split):
    train = split[0]
    data = measured(study, "wlsc-k4-data-all-none-s0").start
    assert np.abs(data[:, None] - train).sum(2).min(1).max() == 0
    starts = {
        name: [measured(study, f"top_k-k4-{name}-all-none-s{seed}").start for seed in (0, 1)]
        for name in ("data", "shared_k_means", "k_means")
    }
    assert np.array_equal(*starts["shared_k_means"])
    assert not np.array_equal(*starts["data"]) and not np.array_equal(*starts["k_means"])
    assert match_atoms(*starts["k_means"]).mean > match_atoms(*starts["data"]).mean
    gaussian = measured(study, "top_k-k2-gaussian-first-none-s0").start
    np.testing.assert_allclose(np.linalg.norm(gaussian, axis=1), 1, rtol=1e-5)
    assert measured(study, "cells-k4-data-all-none-s0").start.shape == (0, 64)


def test_halves_are_different_samples_and_all_share_the_test(study):
    samples = {
        share: neighbours._samples(study, dataclasses.replace(study.list_cells()[0], share=share))
        for share in ("all", "first", "second")
    }
    rows = {share: {row.tobytes() for row in given.train} for share, given in samples.items()}
    assert not rows["first"] & rows["second"] and rows["first"] | rows["second"] == rows["all"]
    assert np.array_equal(samples["first"].test, samples["second"].test)
    assert not rows["all"] & {row.tobytes() for row in samples["all"].test}


def test_stability_of_seeds_by_condition(study):
    runs = [measured(study, cell.name) for cell in study.list_cells() if cell.model in ("top_k", "cells")]
    found = neighbours.stabilities(study, runs)
    conditions = {f"{model}-k4-{start}-all-none" for model in ("top_k", "cells") for start in neighbours.STARTS[1:]}
    assert set(found) == conditions
    shared = found["top_k-k4-shared_k_means-all-none"]
    assert shared.start[0] == pytest.approx(1) and shared.end[0] < 1
    one, other = (measured(study, f"top_k-k4-data-all-none-s{seed}") for seed in (0, 1))
    expected = match_atoms(one.end, other.end, dead_first=one.dead, dead_second=other.dead).mean
    assert found["top_k-k4-data-all-none"].end[0] == pytest.approx(expected)
    everything = neighbours.stabilities(study, runs, with_dead=True)["top_k-k4-data-all-none"]
    assert everything.end[0] == pytest.approx(match_atoms(one.end, other.end).mean)
    assert np.isnan(found["cells-k4-data-all-none"].start[0])


def test_a_measurement_is_found_again(study):
    first = measured(study, "top_k-k4-data-all-none-s0")
    again = measured(study, "top_k-k4-data-all-none-s0")
    assert first.summary == again.summary and np.array_equal(first.end, again.end)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("n_active = [2]", "n_active = [25]", "n_active of cells must be at most n_atoms = 24, got 25"),
        ('"gaussian"', '"ones"', "starts of cells must be one of 'gaussian', 'data', .*, got 'ones'"),
        ('"second"', '"third"', "shares of cells must be one of 'all', 'first', 'second', got 'third'"),
        ('kind = "pam"', 'kind = "pan"', r"models.pam.kind must be one of .*, got 'pan'"),
        ("precision = 0.02", "precision = 0.0", "precision must be a finite number greater than 0, got 0.0"),
        ("n_test = 200", "n_test = 5", "n_test must be an integer of at least 6, got 5"),
        ("[variations.seven]", "extra = 1\n[variations.seven]", "extra"),
    ],
)
def test_bad_studies(tmp_path, old, new, message):
    path = tmp_path / "bad.toml"
    path.write_text(STUDY.replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        neighbours.read_study(path)


def test_archetypal_models_start_at_samples(tmp_path):
    path = tmp_path / "bad.toml"
    text = re.sub(r'models = \["top_k"\]', 'models = ["archetypal"]', STUDY)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="starts of archetypal models must be samples"):
        neighbours.read_study(path)


def test_more_samples_are_left_out_than_there_are(study):
    greedy = dataclasses.replace(study, n_test=10_000)
    with pytest.raises(ValueError, match=r"n_test must be below the number of samples \(\d+\), got 10000"):
        neighbours.measure(greedy, greedy.cell("top_k-k4-data-all-none-s0"))


PLANTED = """
measures = "neighbours"
n_atoms = 12
n_test = 300
precision = 0.02
[data]
kind = "planted"
source = "simplices"
options = { n_samples = 1500, n_atoms = 12, n_features = 10, n_coordinates = 4 }
[training]
n_epochs = 15
batch_size = 100
[models.wlsc]
title = "WLSC"
kind = "wlsc"
[models.top_k]
title = "TopK"
kind = "top_k"
[variations.noisy]
noise = 0.1
[[cells]]
models = ["wlsc", "top_k"]
n_active = [5]
variations = ["none", "noisy"]
"""


def test_planted_landmarks_are_found_and_noise_hides_them(tmp_path, monkeypatch):
    monkeypatch.setenv("WLSC_RUNS_DIR", str(tmp_path / "runs"))
    path = tmp_path / "planted.toml"
    path.write_text(PLANTED, encoding="utf-8")
    study = neighbours.read_study(path)
    found = {cell.name: neighbours.measure(study, cell) for cell in study.list_cells()}
    clean, noisy = (found[f"wlsc-k5-data-all-{name}-s0"] for name in ("none", "noisy"))
    truth = plant_simplices(1500, 12, 10, 4).dictionary
    squares = ((clean.end[:, None] - truth) ** 2).sum(2)
    matched = squares[linear_sum_assignment(squares)]
    expected = 1 - matched.mean() / ((truth - truth.mean(0)) ** 2).sum(1).mean()
    assert clean.summary["recovery"]["mcc"] == pytest.approx(expected, abs=1e-6)
    assert expected > noisy.summary["recovery"]["mcc"]
    assert expected > found["top_k-k5-data-all-none-s0"].summary["recovery"]["mcc"]
    assert clean.summary["purity"] is None and clean.summary["probes"] == {}
