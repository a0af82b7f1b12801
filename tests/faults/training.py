"""Trainings in processes of their own, which a test can kill; what they leave behind, and what must never be there."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open

from tests.waiting import note_attempts
from wlsc import experiments
from wlsc.experiments import Config, DataConfig, ModelConfig, Run, TrainingConfig

#: Processes are forked from one that has imported everything and started nothing.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([__name__])

N_EPOCHS = 20

CLOSED_FORM = Config(
    "digits",
    DataConfig("digits", "embedded", {"unit_norm": True}),
    ModelConfig("wlsc", 40, 0.5),
    TrainingConfig(n_epochs=N_EPOCHS, batch_size=300, tol=0.0),
    seed=3,
)
UNROLLED = Config(
    "digits",
    CLOSED_FORM.data,
    ModelConfig("wlsc", 20, 0.5, {"n_layers": 3}),
    TrainingConfig("unrolled", N_EPOCHS, 900, tol=0.0),
    seed=3,
)


def _train(config: Config, runs: Path, die: str, write: int) -> None:
    os.environ["WLSC_RUNS_DIR"] = str(runs)
    torch.set_num_threads(1)
    _note_trainings(runs)
    note_attempts(attempts(runs))
    if die:
        _kill_at(die, write)
    experiments.run(config)


def _note_trainings(runs: Path) -> None:
    """Add a line to a file whenever a run is trained, and not found."""
    train = experiments.runs._train

    def noting(config: Config, address: dict, folder: Path, show_progress: bool) -> None:
        with (runs / "trainings").open("a") as file:
            file.write(f"{os.getpid()}\n")
        train(config, address, folder, show_progress)

    experiments.runs._train = noting


def _kill_at(moment: str, write: int) -> None:
    """Kill this process just "before" or just "after" its n-th file gets its final name."""
    rename, count = Path.replace, iter(range(1, 1000))

    def deadly(path: Path, target: Path) -> Path:
        last = next(count) == write
        if last and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        done = rename(path, target)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    Path.replace = deadly


def start_training(config: Config, runs: Path, die: str = "", write: int = 0) -> ForkServerProcess:
    """Train in a process of its own; it can ``die`` "before" or "after" its n-th ``write``."""
    runs.mkdir(parents=True, exist_ok=True)
    process = FORKS.Process(target=_train, args=(config, runs, die, write))
    process.start()
    return process


def finish_training(config: Config, runs: Path) -> Run:
    """Train, or resume, in a process of its own until the end."""
    process = start_training(config, runs)
    process.join(120)
    assert process.exitcode == 0
    return experiments.load_run(run_folder(runs))


def run_folder(runs: Path) -> Path:
    (folder,) = runs.glob("digits-*")
    return folder


def trainers(runs: Path) -> list[int]:
    """Numbers of the processes that have begun to train, the last one last."""
    log = runs / "trainings"
    return [int(line) for line in log.read_text().splitlines()] if log.exists() else []


def attempts(runs: Path) -> Path:
    """File in which processes note that they tried to take the lock of a run."""
    return runs / "attempts"


def wait_for(happened: Callable[[], object], process: ForkServerProcess) -> None:
    """Wait until something has happened or the process has ended, whichever comes first."""
    deadline = time.monotonic() + 60
    while not happened() and process.is_alive():
        assert time.monotonic() < deadline
        time.sleep(0.0002)


def is_writing(process: ForkServerProcess, runs: Path) -> bool:
    """Whether a process writes a checkpoint, or did when it was killed."""
    return any(runs.glob(f"digits-*/.{process.pid}.checkpoint.safetensors"))


def kill(process: ForkServerProcess) -> bool:
    """Send SIGKILL; say whether it met a living process."""
    process.kill()
    process.join(30)
    return process.exitcode == -signal.SIGKILL


def kill_at_random(config: Config, whole: Run, folder: Path, draw: random.Random, n_kills: int) -> int:
    """Train and kill until ``n_kills`` met a living process and a run ended; runs end with the numbers of ``whole``."""
    n_met, n_runs = 0, 0
    while n_met < n_kills or n_runs == 0:
        runs = folder / f"runs{n_runs}"
        process = start_training(config, runs)
        process.join(draw.uniform(0, 1) * whole.provenance["duration_s"])
        n_met += kill(process)
        assert_nothing_is_half(runs)
        if is_finished(runs):
            assert_same_numbers(finish_training(config, runs), whole)
            n_runs += 1
    return n_met


def is_finished(runs: Path) -> bool:
    return any(runs.glob("digits-*/provenance.json"))


def assert_nothing_is_half(runs: Path) -> None:
    """Whatever has a final name is whole, and only a whole run calls itself finished."""
    for folder in runs.glob("digits-*"):
        for path in folder.glob("[!.]*.safetensors"):
            with safe_open(path, framework="np") as file:
                assert all(np.isfinite(file.get_tensor(name)).all() for name in file.keys())  # noqa: SIM118
        for path in folder.glob("[!.]*.json"):
            json.loads(path.read_text())
        if (folder / "provenance.json").exists():
            assert len(experiments.load_run(folder).history["objective"]) == N_EPOCHS


def assert_same_numbers(run: Run, whole: Run) -> None:
    assert run.history == whole.history
    np.testing.assert_array_equal(run.dictionary, whole.dictionary)
