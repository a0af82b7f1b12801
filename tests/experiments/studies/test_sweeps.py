"""Sweeps: every combination is a cell, a cell is a training, and Snakemake makes a job of each."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import REPOSITORY
from tests.faults.tiny_book import plant
from wlsc.experiments import Config, DataConfig, ModelConfig, TrainingConfig, runs
from wlsc.experiments.kinds import study_module
from wlsc.experiments.studies import sweeps

SWEEP = """
measures = "trainings"
mem_mb = 1500
runtime = 7
[data]
kind = "digits"
source = "embedded"
options = { unit_norm = true }
[training]
n_epochs = 2
batch_size = 600
tol = 0.0
[models.wlsc]
kind = "wlsc"
[models.nonnegative]
kind = "sparse_coding"
options = { nonnegative = true }
[variations.raw]
unit_norm = false
[[cells]]
models = ["wlsc", "nonnegative"]
lams = [0.5, 1, 0.05]
n_atoms = [10, 20]
n_seeds = 2
[[cells]]
models = ["wlsc"]
lams = [0.5]
n_atoms = [20]
variations = ["none", "raw"]
"""

SHARED = {
    (model, lam, size, "none", seed)
    for model in ("wlsc", "nonnegative")
    for lam, size, seed in itertools.product((0.05, 0.5, 1.0), (10, 20), (0, 1))
}


@pytest.fixture
def path(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("WLSC_RUNS_DIR", str(tmp_path / "runs"))
    path = tmp_path / "sweep.toml"
    path.write_text(SWEEP, encoding="utf-8")
    return path


@pytest.fixture
def study(path) -> sweeps.Study:
    return sweeps.read_study(path)


def test_every_combination_is_a_cell_and_none_is_twice(study):
    cells = study.list_cells()
    found = {(cell.model, cell.lam, cell.n_atoms, cell.variation, cell.seed) for cell in cells}
    assert found == SHARED | {("wlsc", 0.5, 20, "raw", 0)}
    assert len({cell.name for cell in cells}) == len(cells) == 25
    assert study.cell("wlsc-l1.0-m20-none-s1") == sweeps.Cell("wlsc", 1.0, 20, "none", 1)


def test_a_cell_is_the_training_that_its_coordinates_say(study):
    measured = sweeps.measure(study, study.cell("nonnegative-l0.05-m20-none-s1"))
    config = Config(
        "by-hand",
        DataConfig("digits", "embedded", {"unit_norm": True}),
        ModelConfig("sparse_coding", 20, 0.05, {"nonnegative": True}),
        TrainingConfig("closed_form", 2, 600, 0.0),
        seed=1,
    )
    alone = runs.run(config)
    np.testing.assert_array_equal(measured.run.dictionary, alone.dictionary)
    assert measured.summary["objective"] == alone.history["objective"][-1]
    assert measured.summary["activity"] == alone.history["activity"][-1]
    assert measured.summary["n_epochs"] == 2


def test_a_variation_changes_the_data_and_a_cell_is_found_again(study, monkeypatch):
    plain, raw = (sweeps.measure(study, study.cell(f"wlsc-l0.5-m20-{name}-s0")).run for name in ("none", "raw"))
    assert np.linalg.norm(raw.dictionary) > 2 * np.linalg.norm(plain.dictionary)

    def refuse(*_):
        raise AssertionError("trained a second time")

    monkeypatch.setattr(runs, "_train", refuse)
    again = sweeps.measure(study, study.cell("wlsc-l0.5-m20-none-s0"))
    np.testing.assert_array_equal(again.run.dictionary, plain.dictionary)


@pytest.mark.parametrize(
    ("line", "other", "message"),
    [
        ("mem_mb = 1500\n", "", "must have the key mem_mb"),
        ("runtime = 7", "runtime = 0", "runtime must be an integer of at least 1, got 0"),
        ("n_atoms = [10, 20]", "n_atoms = [10, 0]", "n_atoms of cells must be an integer of at least 1, got 0"),
        ("lams = [0.5, 1", "lams = [-0.5, 1", "lam must be a finite number of at least 0, got -0.5"),
        ("n_seeds = 2", "n_seeds = 0", "n_seeds of cells must be an integer of at least 1, got 0"),
        ("n_seeds = 2", "n_sedes = 2", "did you mean n_seeds"),
        ('kind = "wlsc"', 'kind = "ica"', r"models\.wlsc\.kind must be one of .* got 'ica'"),
        ('kind = "digits"', 'kind = "dogs"', r"data\.kind must be one of .* got 'dogs'"),
        ('models = ["wlsc"]', 'models = ["wlcs"]', "models of cells must be one of .* got 'wlcs'"),
        ('"trainings"', '"clusters"', "measures must be one of 'trainings', got 'clusters'"),
    ],
)
def test_a_wrong_sweep_is_refused(path, line, other, message):
    path.write_text(SWEEP.replace(line, other, 1), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        sweeps.read_study(path)


@pytest.mark.parametrize("profile", ["quick", "full"])
def test_the_sweep_of_a_profile_varies_model_penalty_size_and_seed(profile):
    path = REPOSITORY / "book" / "studies" / profile / "sweep.toml"
    assert study_module(path) == "wlsc.experiments.studies.sweeps"
    cells = sweeps.read_study(path).list_cells()
    for name in ("model", "lam", "n_atoms", "seed"):
        assert len({getattr(cell, name) for cell in cells}) > 1, name


@pytest.mark.parametrize("options", [["--cores", "1"], ["--profile", "profiles/slurm"]], ids=["here", "SLURM"])
def test_every_cell_is_a_job_with_its_memory_and_time(tmp_path, options):
    tree = plant(tmp_path)
    shutil.copytree(REPOSITORY / "profiles", tree / "profiles")
    study = tree / "book" / "studies" / "quick" / "sweep.toml"
    study.parent.mkdir(parents=True)
    study.write_text(SWEEP, encoding="utf-8")
    command = [str(Path(sys.executable).with_name("snakemake")), "sweep", *options, "--dry-run"]
    environment = os.environ | {"PYTHONPATH": str(tree)}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = re.findall(r"^rule cell:(.*?)(?=^\S|\Z)", done.stdout + done.stderr, flags=re.MULTILINE | re.DOTALL)
    records = {re.search(r"output: (\S+)", job)[1] for job in jobs}
    cells = sweeps.read_study(study).list_cells()
    assert records == {f"_build/quick/studied/sweep/{cell.name}.json" for cell in cells}
    assert len(jobs) == len(records) == 25
    for job in jobs:
        resources = re.search(r"resources: (.*)", job)[1].split(", ")
        assert {"mem_mb=1500", "runtime=7"} <= set(resources)
