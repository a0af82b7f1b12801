"""The estimator under scikit-learn's own checks, and against what it is built from."""

import importlib
import os
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import wlsc
from tests.conftest import REPOSITORY
from tests.test_training import draw
from wlsc import WLSC, plots
from wlsc._io.files import save_tensors

#: Checks of scikit-learn that fit with weights.
WEIGHT_CHECKS = (
    "check_sample_weights_pandas_series", "check_sample_weights_not_an_array", "check_sample_weights_list",
    "check_sample_weights_shape", "check_sample_weights_not_overwritten", "check_all_zero_sample_weights_error",
)  # fmt: skip


def expected_failures(estimator):
    """What cannot hold, and why."""
    first_atoms = "the first atoms are drawn among the samples, where a repeated one is drawn more often"
    failures = {
        "check_sample_weight_equivalence_on_dense_data": first_atoms,
        "check_sample_weight_equivalence_on_sparse_data": first_atoms,
    }
    if estimator.trainer == "unrolled":
        weights = "sample weights are for closed-form training alone, and refused by name"
        failures |= dict.fromkeys(WEIGHT_CHECKS, weights)
    if estimator.sparse_output:
        failures["check_array_api_input"] = "sparse codes belong to no array namespace"
    return failures


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [
        WLSC(n_atoms=3),
        WLSC(n_atoms=3, trainer="unrolled", n_layers=5, n_epochs=2),
        WLSC(n_atoms=3, missing="observed"),
        WLSC(n_atoms=3, sparse_output=True),
    ],
    expected_failed_checks=expected_failures,
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_the_checks_that_scipy_must_be_told_of_when_it_is_imported():
    """Those of input by the array API, which are skipped above: in a process that begins with the variable."""
    environment = {name: value for name, value in os.environ.items() if name != "WLSC_TALLY"}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "check_array_api_input", __file__]
    done = subprocess.run(command, env=environment | {"SCIPY_ARRAY_API": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert " 3 passed" in done.stdout and "skipped" not in done.stdout


def test_codes_are_exact_for_the_learned_atoms():
    model = WLSC(n_atoms=12, lam=0.2, random_state=0).fit(draw())
    codes = model.transform(draw())
    assert wlsc.kkt_residual(draw(), model.components_, codes, 0.2).max() <= 1e-5
    np.testing.assert_allclose(model.inverse_transform(codes), codes @ model.components_)
    assert codes.dtype == model.components_.dtype == np.float32


def test_one_unshuffled_pass_equals_partial_fit_and_fit_batches():
    patches = draw()
    options = {"n_atoms": 12, "lam": 0.2, "n_epochs": 1, "batch_size": 150, "shuffle": False, "random_state": 0}
    whole = WLSC(**options).fit(patches).components_
    by_parts = WLSC(**options)
    for batch in np.split(patches, 4):
        by_parts.partial_fit(batch)
    np.testing.assert_array_equal(by_parts.components_, whole)
    np.testing.assert_array_equal(WLSC(**options).fit_batches(np.split(patches, 4)).components_, whole)


def test_unrolled_training_lowers_its_objective():
    model = WLSC(n_atoms=12, lam=0.2, trainer="unrolled", n_layers=10, learning_rate=1e-2, n_epochs=8, random_state=0)
    model.fit(draw())
    assert model.history_["objective"][-1] < model.history_["objective"][0]
    assert model.transform(draw()).shape == (600, 12)


def test_works_in_a_pipeline_and_names_its_outputs():
    pipeline = make_pipeline(StandardScaler(), WLSC(n_atoms=4, random_state=0)).fit(draw())
    assert pipeline.get_feature_names_out().tolist() == ["wlsc0", "wlsc1", "wlsc2", "wlsc3"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_atoms": 0}, "n_atoms must be an integer of at least 1, got 0"),
        ({"n_atoms": 1000}, "got 1000 atoms for 600 samples"),
        ({"lam": -1}, "lam must be"),
        ({"trainer": "sgd"}, "trainer must be one of 'closed_form', 'unrolled', got 'sgd'"),
        ({"device": "tpu9"}, "device must be 'auto' or a torch device of this machine, got 'tpu9'"),
        ({"initialization": "pca"}, "initialization must be"),
        ({"n_epochs": 0}, "n_epochs must be"),
    ],
)
def test_bad_parameters(options, message):
    with pytest.raises(ValueError, match=message):
        WLSC(**({"n_atoms": 12} | options)).fit(draw())


def test_bad_data():
    with pytest.raises(ValueError, match="at least one batch, got none"):
        WLSC().fit_batches([])
    model = WLSC(n_atoms=12).fit(draw())
    with pytest.raises(ValueError, match=r"X must have shape \(n_samples, 12\), got \(5, 3\)"):
        model.inverse_transform(np.zeros((5, 3)))


class TestOutput:
    MODEL = WLSC(n_atoms=12, lam=0.2, random_state=0)

    def test_sparse_codes_are_the_dense_ones(self):
        dense = clone(self.MODEL).fit_transform(draw())
        sparse = clone(self.MODEL).set_params(sparse_output=True, batch_size=150).fit(draw())
        reference = clone(self.MODEL).set_params(batch_size=150).fit(draw()).transform(draw())
        codes = sparse.transform(draw())
        assert scipy.sparse.issparse(codes) and codes.format == "csr" and codes.dtype == dense.dtype
        np.testing.assert_array_equal(codes.toarray(), reference)

    def test_score_is_minus_the_mean_objective(self):
        model = clone(self.MODEL).fit(draw())
        codes = model.transform(draw())
        expected = -float(wlsc.objective(draw(), model.components_, codes, 0.2))
        assert model.score(draw()) == pytest.approx(expected, rel=1e-5)
        assert model.score(draw()[:1], sample_weight=[7.0]) == pytest.approx(model.score(draw()[:1]))

    @pytest.mark.parametrize("library", ["pandas", "polars"])
    def test_tables_come_in_and_go_out(self, library):
        module = importlib.import_module(library)
        table = module.DataFrame({f"f{index}": column for index, column in enumerate(draw().T)})
        model = clone(self.MODEL).set_output(transform=library).fit(table)
        codes = model.transform(table)
        assert isinstance(codes, module.DataFrame) and list(codes.columns) == [f"wlsc{n}" for n in range(12)]
        assert model.feature_names_in_.tolist() == list(table.columns)

    @pytest.mark.parametrize("dtype", [np.int16, np.float16, np.bool_])
    def test_other_types_are_computed_in_float64(self, dtype):
        samples = draw() > 0 if dtype is np.bool_ else (draw() * 3).astype(dtype)
        model = clone(self.MODEL).fit(samples)
        assert model.components_.dtype == np.float64
        np.testing.assert_array_equal(model.components_, clone(self.MODEL).fit(samples.astype(float)).components_)

    def test_lists_are_accepted(self):
        rows = draw()[:40].astype(float)
        np.testing.assert_array_equal(
            clone(self.MODEL).fit(rows.tolist()).transform(rows.tolist()), clone(self.MODEL).fit(rows).transform(rows)
        )


class TestClusters:
    def test_predict_is_that_of_cluster_codes(self):
        rng = np.random.default_rng(0)
        blobs = np.concatenate([rng.normal(centre, 0.3, (60, 3)) for centre in (-5, 0, 5)])
        model = WLSC(n_atoms=9, lam=0.5, n_clusters=3, random_state=0)
        labels = model.fit_predict(blobs)
        np.testing.assert_array_equal(model.predict(blobs), labels)
        assert [len(set(part)) for part in np.split(labels, 3)] == [1, 1, 1] and len(set(labels)) == 3
        assert not hasattr(WLSC(), "predict")
        with pytest.raises(NotFittedError):  # its atoms have moved
            model.partial_fit(blobs[:20]).predict(blobs)
        assert WLSC(n_atoms=9, n_clusters="auto", random_state=0).fit(blobs).labels_.shape == (180,)


SAVE = """
import sys
from tests.test_training import draw
from wlsc import WLSC
WLSC(n_atoms=12, lam=0.2, n_clusters=2, random_state=0).fit(draw()).save(sys.argv[1])
"""


class TestSaved:
    @pytest.mark.parametrize("trainer", ["closed_form", "unrolled"])
    def test_what_is_loaded_is_what_was_saved(self, tmp_path, trainer):
        model = WLSC(n_atoms=12, lam=np.float64(0.2), trainer=trainer, n_layers=5, n_clusters=2, random_state=0)
        model.fit(draw()).save(tmp_path / "model.safetensors")
        loaded = WLSC.load(tmp_path / "model.safetensors")
        assert loaded.get_params() == model.get_params() and loaded.history_ == model.history_
        np.testing.assert_array_equal(loaded.transform(draw()), model.transform(draw()))
        np.testing.assert_array_equal(loaded.predict(draw()), model.labels_)
        loaded.partial_fit(draw()[:50])  # goes on where the other would
        np.testing.assert_array_equal(loaded.components_, model.partial_fit(draw()[:50]).components_)

    def test_bytes_are_equal_between_processes(self, tmp_path):
        files = []
        for seed in ("1", "2"):
            files.append(tmp_path / f"{seed}.safetensors")
            environment = os.environ | {"PYTHONHASHSEED": seed}
            subprocess.run([sys.executable, "-c", SAVE, files[-1]], env=environment, check=True, cwd=REPOSITORY)
        assert files[0].read_bytes() == files[1].read_bytes()

    def test_feature_names_are_kept(self, tmp_path):
        import pandas

        table = pandas.DataFrame(draw()).add_prefix("f")
        WLSC(n_atoms=12, random_state=0).fit(table).save(tmp_path / "model")
        assert WLSC.load(tmp_path / "model").feature_names_in_.tolist() == list(table.columns)

    def test_what_cannot_be_saved_or_loaded_is_said(self, tmp_path):
        with pytest.raises(ValueError, match="random_state must be an integer or None to be saved"):
            WLSC(n_atoms=12, random_state=np.random.RandomState(0)).fit(draw()).save(tmp_path / "model")
        (tmp_path / "broken").write_bytes(b"nothing")
        with pytest.raises(ValueError, match="broken is not a safetensors file"):
            WLSC.load(tmp_path / "broken")
        model = WLSC(n_atoms=12, random_state=0).fit(draw())
        model.components_[3, 4] = np.nan
        model.save(tmp_path / "nan")
        with pytest.raises(
            ValueError, match=r"nan is not a model that was saved \(ValueError: its atoms are not finite"
        ):
            WLSC.load(tmp_path / "nan")
        save_tensors(tmp_path / "other", {"components_": torch.ones(2, 2)}, {"wlsc": "{}"})
        with pytest.raises(ValueError, match="other is not a model that was saved"):
            WLSC.load(tmp_path / "other")


def test_notebooks_show_the_atoms():
    model = WLSC(n_atoms=12, random_state=0)
    assert "<img" not in model._repr_mimebundle_()["text/html"]
    shown = model.fit(draw())._repr_mimebundle_()["text/html"]
    assert 'alt="12 atoms of' in shown and "data:image/png;base64,iVBORw0KGgo" in shown


@pytest.mark.parametrize(("n_features", "drawn"), [(16, "pictures"), (5, "matrix")])
def test_atoms_are_drawn_in_one_call(n_features, drawn):
    model = WLSC(n_atoms=6, random_state=0).fit(np.random.default_rng(0).normal(size=(50, n_features)))
    figure = plots.atoms(model)
    image = figure.axes[0].images[0].get_array()
    assert image.shape == ((4, 14 * 5 - 1) if drawn == "pictures" else (6, 5))
    assert figure.axes[0].get_title() == "6 atoms"


def test_progress_names_epoch_objective_and_rate(capsys):
    WLSC(n_atoms=12, n_epochs=2, tol=0, verbose=True, random_state=0).fit(draw())
    shown = capsys.readouterr().err
    assert "epoch 2/2" in shown and "objective=" in shown and "samples/s" in shown
