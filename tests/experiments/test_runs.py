"""From configuration to run: found again, resumed, addressed by what matters, and refused where it is wrong."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from wlsc import experiments
from wlsc.experiments import Config, DataConfig, ModelConfig, TrainingConfig, runs

TOML = """
seed = 3
[data]
kind = "digits"
source = "embedded"
options = { unit_norm = true }
[model]
kind = "wlsc"
n_atoms = 12
lam = 0.5
[training]
n_epochs = 3
batch_size = 600
"""


@pytest.fixture(autouse=True)
def runs_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("WLSC_RUNS_DIR", str(tmp_path / "runs"))
    return tmp_path / "runs"


def configured(**changes):
    config = Config(
        "digits",
        DataConfig("digits", "embedded", {"unit_norm": True}),
        ModelConfig("wlsc", 12, 0.5),
        TrainingConfig(n_epochs=3, batch_size=600),
        seed=3,
    )
    return dataclasses.replace(config, **changes)


def test_toml_is_the_configuration(tmp_path):
    path = tmp_path / "digits.toml"
    path.write_text(TOML, encoding="utf-8")
    assert experiments.read_config(path) == configured()


def test_a_run_leaves_weights_history_and_provenance(runs_folder):
    run = experiments.run(configured())
    assert run.path.parent == runs_folder
    assert sorted(path.name for path in run.path.iterdir()) == [
        "history.json",
        "provenance.json",
        "weights.safetensors",
    ]
    assert run.dictionary.shape == (12, 64)
    assert len(run.history["objective"]) == 3
    address = run.provenance["address"]
    assert set(address["versions"]) >= {"torch", "numpy"}
    assert all(len(digest) == 64 for digest in address["data"].values())
    assert "training.py" in address["sources"]
    assert not {"plots.py", "cli.py", "estimator.py"} & set(address["sources"])
    codes = run.codes(experiments.load_data(run.config.data)[:5])
    np.testing.assert_allclose(codes.sum(axis=1), 1, atol=1e-6)


def test_a_finished_run_is_found_again(monkeypatch):
    first = experiments.run(configured())
    monkeypatch.setattr(runs, "_train", lambda *_: pytest.fail("trained again"))
    again = experiments.run(configured(name="digits"))
    assert first.path == again.path
    np.testing.assert_array_equal(first.dictionary, again.dictionary)
    assert experiments.load_run(first.path).config == configured()
    assert experiments.list_runs() == [first.path]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 4},
        {"model": ModelConfig("wlsc", 12, 0.6)},
        {"data": DataConfig("digits", "embedded", {})},
        {"training": TrainingConfig(n_epochs=2, batch_size=600)},
    ],
)
def test_the_address_changes_with_what_matters(change):
    assert experiments.run_address(configured(**change)) != experiments.run_address(configured())


def test_the_address_does_not_depend_on_the_name():
    assert experiments.run_address(configured(name="other")) == experiments.run_address(configured())


def test_an_interrupted_run_resumes_with_the_same_numbers(monkeypatch, runs_folder, tmp_path):
    whole = experiments.run(configured())
    monkeypatch.setenv("WLSC_RUNS_DIR", str(tmp_path / "elsewhere"))
    save = runs._save_checkpoint

    def save_and_stop(trainer, progress, path):
        save(trainer, progress, path)
        if progress.epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(runs, "_save_checkpoint", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        experiments.run(configured())
    (folder,) = experiments.list_runs()
    with pytest.raises(ValueError, match="must hold a finished run"):
        experiments.load_run(folder)
    monkeypatch.setattr(runs, "_save_checkpoint", save)
    epochs = []
    train = runs.train

    def counting_train(*arguments, start, **options):
        epochs.append(start.epoch)
        return train(*arguments, start=start, **options)

    monkeypatch.setattr(runs, "train", counting_train)
    resumed = experiments.run(configured())
    assert epochs == [2]
    assert resumed.history == whole.history
    np.testing.assert_array_equal(resumed.dictionary, whole.dictionary)
    assert json.loads((resumed.path / "provenance.json").read_text())["duration_s"] > 0


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (("[model]", "[modle]"), r"must have keys among .*, got modle \(did you mean model\?\)"),
        (("lam = 0.5", "lambda = 0.5"), "got lambda"),
        (("n_atoms = 12\n", ""), "must have the key n_atoms"),
        (("n_atoms = 12", 'n_atoms = "12"'), "n_atoms must be of type int, got '12'"),
        (('kind = "wlsc"', 'kind = "pca"'), "model.kind must be one of 'wlsc', 'sparse_coding', .* got 'pca'"),
        (('kind = "digits"', 'kind = "letters"'), "data.kind must be one of"),
        (("seed = 3", "seed = "), "configuration must be valid TOML"),
    ],
)
def test_bad_configuration_files(tmp_path, edit, message):
    path = tmp_path / "digits.toml"
    path.write_text(TOML.replace(*edit), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        experiments.read_config(path)


def test_missing_configuration(tmp_path):
    with pytest.raises(ValueError, match="which does not exist"):
        experiments.read_config(tmp_path / "absent.toml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": DataConfig("digits", "embedded", {"norm": True})}, "data.options must be options of its kind"),
        ({"data": DataConfig("natural_images", "embedded")}, "data.options must name 'patch_size'.*, got none"),
        ({"model": ModelConfig("wlsc", 12, 0.5, {"depth": 3})}, "model.options must be options of its kind"),
        ({"training": TrainingConfig(options={"rate": 1})}, "training.options must be options of its kind"),
        ({"data": DataConfig("digits", "letters")}, "letters"),
        ({"device": "tpu"}, "device must be one of 'auto', 'cpu', 'cuda'"),
        (
            {"training": TrainingConfig(initialization="relaxed")},
            "a model that has no relaxation, got 'relaxed' for 'wlsc'",
        ),
        ({"seed": -1}, "seed must be an integer of at least 0"),
        ({"model": ModelConfig("wlsc", 5000, 0.5)}, "got 5000 atoms for 1797 samples"),
    ],
)
def test_bad_options_leave_no_run(change, message):
    with pytest.raises(ValueError, match=message):
        experiments.run(configured(**change))
    assert experiments.list_runs() == []


def test_a_relaxed_start_ends_lower():
    def last_objective(initialization, n_epochs):
        training = TrainingConfig(n_epochs=n_epochs, batch_size=600, tol=0, initialization=initialization)
        model = ModelConfig("hard_threshold", 60, 0.005)
        return experiments.run(configured(model=model, training=training)).history["objective"][-1]

    assert last_objective("relaxed", 2) < 0.98 * last_objective("data", 6)


def test_a_bank_of_filters_is_trained_its_own_way():
    from sklearn.cluster import KMeans

    config = configured(model=experiments.ModelConfig("k_means", 7))
    run = experiments.run(config)
    digits = experiments.load_data(config.data)
    assert run.history == {}
    reference = KMeans(7, n_init=10, random_state=0).fit(digits).inertia_
    distances = ((digits[:, None] - run.dictionary) ** 2).sum(2)
    assert distances.min(1).sum() < 1.05 * reference
    np.testing.assert_allclose(run.model().respond(torch.as_tensor(digits)), digits @ run.dictionary.T, atol=1e-5)
    with pytest.raises(ValueError, match="model must be an autoencoder to give codes, got 'k_means'"):
        run.codes(digits)


def test_a_bank_of_filters_takes_no_lambda():
    with pytest.raises(ValueError, match=r"model\.lam must be 0 for a bank of filters .'k_means'., got 0\.5"):
        experiments.run(configured(model=experiments.ModelConfig("k_means", 7, 0.5)))
