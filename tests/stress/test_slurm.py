"""A sweep on a real SLURM of one node, with the committed profile: jobs that are cancelled, killed and doomed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import REPOSITORY
from tests.faults.tiny_book import plant
from tests.stress.slurm_node import slurm_node
from wlsc._io.files import load_tensors, save_tensors
from wlsc.experiments import Run, load_run

#: Models are called by what happens to their jobs; there are fewer digits than the last one wants atoms.
SWEEP = """
measures = "trainings"
mem_mb = 1500
runtime = 90
[data]
kind = "digits"
source = "embedded"
options = { unit_norm = true }
[training]
n_epochs = 80
batch_size = 300
tol = 0.0
[models.cancelled]
kind = "wlsc"
[models.killed]
kind = "wlsc"
[models.undisturbed]
kind = "sparse_coding"
[models.doomed]
kind = "wlsc"
[[cells]]
models = ["cancelled", "killed", "undisturbed"]
lams = [0.5]
n_atoms = [40]
[[cells]]
models = ["doomed"]
lams = [0.5]
n_atoms = [5000]
"""

DISTURBED = {"cancelled", "killed"}
FINISHED = [*sorted(DISTURBED), "undisturbed"]

#: Written into a checkpoint as the time that the job had taken: a run that ends with more has read that checkpoint.
MARK_S = 1e6


def cell(model: str) -> str:
    return f"{model}-l0.5-m{5000 if model == 'doomed' else 40}-none-s0"


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    tree = plant(tmp_path_factory.mktemp("sweep") / "tree")
    shutil.copytree(REPOSITORY / "profiles", tree / "profiles")
    study = tree / "book" / "studies" / "quick" / "sweep.toml"
    study.parent.mkdir(parents=True)
    study.write_text(SWEEP)
    return tree


@pytest.fixture(scope="module")
def node() -> Iterator[dict[str, str]]:
    with slurm_node() as environment:
        yield environment


@pytest.fixture(scope="module")
def jobs(tree, node) -> list[list[str]]:
    """Run the sweep, do to each job what it is called by; give all jobs that SLURM has known."""
    environment = node | {"PYTHONPATH": str(tree), "WLSC_RUNS_DIR": str(tree / "runs")}
    command = ["sweep", "--profile", "profiles/slurm", "--config", "profile=quick"]
    hasty = ["--slurm-init-seconds-before-status-checks", "5", "--retries", "1"]  # as the profile, but sooner
    with (tree / "said.txt").open("w") as stream:
        workflow = subprocess.Popen(
            [program("snakemake"), *command, *hasty], cwd=tree, env=environment, stdout=stream, stderr=stream
        )
    try:
        struck: set[str] = set()
        marked: set[str] = set()
        while marked != DISTURBED:
            for model in DISTURBED - marked:
                if model in struck and jobs_of(model, list_jobs(node))[0][1] not in ("RUNNING", "COMPLETING"):
                    mark(model, tree)
                    marked.add(model)
                elif model not in struck and checkpoints(model, tree):
                    strike(model, tree, node)
                    struck.add(model)
            assert workflow.poll() is None, (tree / "said.txt").read_text()
            time.sleep(0.05)
        workflow.wait(3000)
    finally:
        workflow.kill()
    assert workflow.returncode == 1, (tree / "said.txt").read_text()
    return list_jobs(node)


def program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def list_jobs(node: dict[str, str]) -> list[list[str]]:
    """Id, state, memory, limit of time and comment of every job."""
    command = ["squeue", "--states=all", "--sort=i", "--noheader", "--format=%i|%T|%m|%l|%k"]
    done = subprocess.run(command, env=node, capture_output=True, text=True, check=True)
    return [line.split("|") for line in done.stdout.splitlines()]


def jobs_of(model: str, jobs: list[list[str]]) -> list[list[str]]:
    return [job for job in jobs if model in job[-1]]


def checkpoints(model: str, tree: Path) -> list[Path]:
    return list(tree.glob(f"runs/sweep-{model}-*/checkpoint.safetensors"))


def strike(model: str, tree: Path, node: dict[str, str]) -> None:
    """Cancel the job that trains a model, as a scheduler does, or kill its process, as a system without memory does."""
    if model == "cancelled":
        subprocess.run(["scancel", jobs_of(model, list_jobs(node))[0][0]], env=node, check=True)
    else:
        os.kill(trainer(model, tree), signal.SIGKILL)


def trainer(model: str, tree: Path) -> int:
    """Number of the process that trains a model there."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            words = (folder / "cmdline").read_bytes().decode().split("\0")
            if cell(model) in words and program("wlsc") in words and (folder / "cwd").resolve() == tree.resolve():
                return int(folder.name)
    raise AssertionError(f"nobody trains {model}")


def mark(model: str, tree: Path) -> None:
    """Mark the checkpoint that a job has left."""
    (checkpoint,) = checkpoints(model, tree)
    assert not (checkpoint.parent / "provenance.json").exists(), "it was finished before it was struck"
    tensors, notes = load_tensors(checkpoint)
    progress = json.loads(notes["progress"]) | {"seconds": MARK_S}
    save_tensors(checkpoint, tensors, {"progress": json.dumps(progress)})


@pytest.fixture(scope="module")
def whole(tree) -> dict[str, Run]:
    """The same cells trained here, one after the other, by nothing that could be disturbed."""
    environment = os.environ | {"WLSC_RUNS_DIR": str(tree / "whole"), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(tree)}
    cells = [cell(model) for model in FINISHED]
    command = [program("wlsc"), "study", "run", "book/studies/quick/sweep.toml", *cells]
    subprocess.run(command, cwd=tree, env=environment, check=True, capture_output=True)
    return {model: load_one(tree / "whole", model) for model in FINISHED}


def load_one(runs: Path, model: str) -> Run:
    (folder,) = runs.glob(f"sweep-{model}-*")
    return load_run(folder)


@pytest.mark.timeout(3600)
def test_every_cell_is_a_job_that_asks_for_what_the_sweep_declares(jobs):
    for model in (*FINISHED, "doomed"):
        assert jobs_of(model, jobs)[0][2:4] == ["1500M", "1:30:00"]
    assert len(jobs_of("undisturbed", jobs)) == 1


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("model", [*sorted(DISTURBED), "doomed"])
def test_a_job_that_is_submitted_again_asks_for_more_memory(jobs, model):
    assert [job[2:4] for job in jobs_of(model, jobs)] == [["1500M", "1:30:00"], ["3000M", "1:30:00"]]


@pytest.mark.timeout(3600)
@pytest.mark.tried("kills")
@pytest.mark.parametrize("model", sorted(DISTURBED))
def test_a_job_that_was_killed_is_submitted_again_and_resumes_to_the_same_numbers(tree, jobs, whole, model):
    assert [job[1] for job in jobs_of(model, jobs)] == ["CANCELLED" if model == "cancelled" else "FAILED", "COMPLETED"]
    run = load_one(tree / "runs", model)
    assert run.provenance["duration_s"] > MARK_S, "it began anew"
    assert run.history == whole[model].history
    np.testing.assert_array_equal(run.dictionary, whole[model].dictionary)


@pytest.mark.timeout(3600)
def test_a_job_that_fails_leaves_the_results_of_others_and_is_listed_as_missing(tree, jobs, whole):
    assert [job[1] for job in jobs_of("doomed", jobs)] == ["FAILED", "FAILED"]
    for model in FINISHED:
        record = json.loads((tree / f"_build/quick/studied/sweep/{cell(model)}.json").read_text())
        assert record["cells"][cell(model)]["objective"] == whole[model].history["objective"][-1]
    command = [program("wlsc"), "study", "status", "book/studies/quick/sweep.toml", "_build/quick"]
    done = subprocess.run(command, cwd=tree, env=os.environ | {"PYTHONPATH": str(tree)}, capture_output=True, text=True)
    states = {words[0]: " ".join(words[1:]) for words in map(str.split, done.stdout.splitlines()[:-1])}
    assert done.returncode == 1
    assert {model for model in FINISHED if states[cell(model)].startswith("finished in ")} == set(FINISHED)
    assert (
        states[cell("doomed")]
        == "failed: n_atoms must be at most the number of samples, got 5000 atoms for 1797 samples"
    )
    assert "3 of 4 cells are finished" in done.stdout
