"""Several processes give the dictionary of one, and a process that dies leaves a run that resumes."""

import os
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from wlsc import experiments
from wlsc.experiments.runs import _process_group
from wlsc.training import _worst_over_processes

CONFIGURATION = """
[data]
kind = "digits"
source = "embedded"
options = {{ unit_norm = true }}
[model]
kind = "wlsc"
n_atoms = 60
lam = 0.5
[training]
n_epochs = {n_epochs}
batch_size = 450
tol = 0.0
"""

TRAIN = "import sys, pathlib; from wlsc import experiments as e; e.run(e.read_config(pathlib.Path(sys.argv[1])))"


def torchrun(n_processes, config, runs, **options):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n_processes}"]
    environment = os.environ | {"WLSC_RUNS_DIR": str(runs), "OMP_NUM_THREADS": "1"}
    script = runs.parent / "train.py"
    script.write_text(TRAIN, encoding="utf-8")
    command += [str(script), str(config)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, **options)


def the_run(runs, monkeypatch):
    monkeypatch.setenv("WLSC_RUNS_DIR", str(runs))
    (folder,) = experiments.list_runs()
    return folder


def test_n_processes_give_the_dictionary_of_one(tmp_path, monkeypatch):
    config = tmp_path / "digits.toml"
    config.write_text(CONFIGURATION.format(n_epochs=3), encoding="utf-8")
    found = {}
    for n_processes in (1, 2, 4):
        runs = tmp_path / f"runs{n_processes}"
        process = torchrun(n_processes, config, runs)
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        found[n_processes] = experiments.load_run(the_run(runs, monkeypatch))
    for n_processes in (2, 4):
        # sums in another order differ by rounding of float32 codes; three passes let it grow a little
        np.testing.assert_allclose(found[n_processes].dictionary, found[1].dictionary, atol=2e-4)
        np.testing.assert_allclose(found[n_processes].history["objective"], found[1].history["objective"], rtol=1e-5)


def worst_of_a_share(rank, folder):
    """What process ``rank`` of three finds to be the four patches represented worst, from a share of its own."""
    patches, objectives = torch.load(folder / "shares.pt", weights_only=True)[rank]
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=3)
    torch.save(_worst_over_processes(patches, objectives, 4), folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("sizes", [(7, 5, 6), (7, 2, 1), (1, 1, 1)], ids=["enough", "few in some", "fewer than asked"])
def test_all_processes_find_the_same_worst_patches(tmp_path, sizes):
    generator = torch.Generator().manual_seed(0)
    shares = [(torch.randn(n, 3, generator=generator), torch.rand(n, generator=generator)) for n in sizes]
    torch.save(shares, tmp_path / "shares.pt")
    torch.multiprocessing.spawn(worst_of_a_share, (tmp_path,), nprocs=3)
    patches, objectives = (torch.cat(parts).numpy() for parts in zip(*shares, strict=True))
    expected = patches[np.argsort(-objectives)[:4]]
    for rank in range(3):
        np.testing.assert_array_equal(torch.load(tmp_path / f"{rank}.pt", weights_only=True).numpy(), expected)


def start_by_hand(n_processes, config, runs):
    """What torchrun does, without its watch over the others when one dies."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"WORLD_SIZE": n_processes, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": 1}
    processes = []
    for rank in range(n_processes):
        given = shared | {"RANK": rank, "LOCAL_RANK": rank, "WLSC_RUNS_DIR": runs}
        environment = os.environ | {name: str(value) for name, value in given.items()}
        command = [sys.executable, "-c", TRAIN, str(config)]
        processes.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    return processes


@pytest.mark.tried("kills")
def test_a_process_that_dies_stops_the_run_and_it_resumes_to_the_end(tmp_path, monkeypatch):
    config, runs = tmp_path / "digits.toml", tmp_path / "runs"
    config.write_text(CONFIGURATION.format(n_epochs=150), encoding="utf-8")
    first, other = start_by_hand(2, config, runs)
    deadline = time.monotonic() + 240
    while not list(runs.glob("digits-*/checkpoint.safetensors")):
        assert first.poll() is None, first.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    other.kill()
    other.communicate()
    _, errors = first.communicate(timeout=240)
    assert first.returncode != 0
    assert "one of 2 processes stopped answering; the same command resumes from the last checkpoint" in errors
    folder = the_run(runs, monkeypatch)
    assert not (folder / "provenance.json").exists()
    assert (folder / "checkpoint.safetensors").exists()
    ended = {}
    for name, where in (("resumed", runs), ("whole", tmp_path / "whole" / "runs")):
        where.mkdir(parents=True, exist_ok=True)
        again = torchrun(2, config, where)
        _, errors = again.communicate(timeout=240)
        assert again.returncode == 0, errors
        ended[name] = experiments.load_run(the_run(where, monkeypatch))
    assert ended["resumed"].path == folder
    assert len(ended["resumed"].history["objective"]) == 150
    # codes of the epoch after the interruption start cold, so that they differ by the solver's tolerance
    final = [run.history["objective"][-1] for run in ended.values()]
    assert final[0] == pytest.approx(final[1], rel=1e-3)


@pytest.mark.parametrize(("device", "steps"), [("cuda", [("take", 3), ("join", "nccl")]), ("cpu", [("join", "gloo")])])
def test_each_process_of_a_machine_takes_a_gpu_of_its_own_before_it_joins(monkeypatch, device, steps):
    found = []

    def join(backend, **_):
        found.append(("join", backend))
        raise TimeoutError("the others are not there")

    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", lambda rank: found.append(("take", rank)))
    monkeypatch.setattr(torch.distributed, "init_process_group", join)
    config = experiments.Config(
        "x", experiments.DataConfig("digits", "embedded"), experiments.ModelConfig("wlsc", 5, 0.1), device=device
    )
    with pytest.raises(TimeoutError, match="not there"), _process_group(config):
        pass
    assert found == steps


def test_back_propagation_is_refused_under_torchrun(monkeypatch, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("WLSC_RUNS_DIR", str(tmp_path))
    config = experiments.Config(
        "x", experiments.DataConfig("digits", "embedded"), experiments.ModelConfig("wlsc", 5, 0.1),
        experiments.TrainingConfig(trainer="unrolled"),
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"training\.trainer must be 'closed_form' under torchrun"):
        experiments.run(config)
