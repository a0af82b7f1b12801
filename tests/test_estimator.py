"""The estimator under scikit-learn's own checks, and against what it is built from."""

import os
import subprocess
import sys

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import wlsc
from tests.test_training import draw
from wlsc import WLSC


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks([WLSC(n_atoms=3), WLSC(n_atoms=3, trainer="unrolled", n_layers=5, n_epochs=2)])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_the_checks_that_scipy_must_be_told_of_when_it_is_imported():
    """Those of input by the array API, which are skipped above: in a process that begins with the variable."""
    environment = {name: value for name, value in os.environ.items() if name != "WLSC_TALLY"}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "check_array_api_input", __file__]
    done = subprocess.run(command, env=environment | {"SCIPY_ARRAY_API": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert " 2 passed" in done.stdout and "skipped" not in done.stdout


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
