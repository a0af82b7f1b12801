"""How soon does each trainer reach the same objective? And how does closed-form training scale?

    python benchmarks/training.py

The problem is that of K-Deep-Simplex: MNIST digits {0, 3, 4, 6, 7} of unit norm, 500 atoms, λ = 0.5, first atoms drawn
from the data. The unrolled trainer has the published settings (T = 100 layers, Adam at 1e-3, gradient norm clipped at
1e-4). It takes one pass over the data; the objective that it then stands at is the target. Each peer runs in a process
of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from _measure import main, measured_in_process, memory_of, spread

import wlsc
from wlsc.dictionary import initialize_dictionary
from wlsc.models import SparseCodingAutoencoder, WLSCAutoencoder
from wlsc.training import ClosedFormTrainer, UnrolledTrainer, train

CLASSES, N_ATOMS, LAM = (0, 3, 4, 6, 7), 500, 0.5
N_LAYERS, UNROLLED_BATCH = 100, 256
CLOSED_FORM_BATCH = 2048
REPEATS = 5

#: Sizes of one pass: samples at `N_ATOMS` atoms, and atoms at so many samples.
PASS_SAMPLES, PASS_ATOMS, SAMPLES_OF_ATOMS = (8_000, 16_000, 32_000, 64_000), (125, 250, 500, 1_000), 16_000

#: The l1 problem on which scikit-learn is a peer: samples, atoms, λ, samples per step.
N_PATCHES, N_L1_ATOMS, L1_LAM, L1_BATCH = 20_000, 196, 1.0, 1000


def load() -> np.ndarray:
    return wlsc.load_digits("mnist", CLASSES, unit_norm=True)[0]


def started(digits: np.ndarray, seed: int, n_layers: int = N_LAYERS, n_atoms: int = N_ATOMS) -> WLSCAutoencoder:
    generator = torch.Generator().manual_seed(seed)
    model = WLSCAutoencoder(digits.shape[1], n_atoms, LAM, n_layers, generator=generator)
    model.set_dictionary(initialize_dictionary(digits, n_atoms, generator))
    return model


def own_objective(model: WLSCAutoencoder, digits: np.ndarray) -> float:
    """Mean objective at the network's own codes."""
    with torch.no_grad():
        total = sum(float(model.loss(batch)) * len(batch) for batch in torch.as_tensor(digits).split(4096))
    return total / len(digits)


def exact_objective(dictionary: np.ndarray, digits: np.ndarray) -> float:
    """Mean objective at exact codes: what the dictionary is worth, whoever encodes."""
    return float(wlsc.objective(digits, dictionary, wlsc.infer_codes(digits, dictionary, LAM), LAM))


@measured_in_process
def unrolled(seed: int) -> dict[str, Any]:
    digits = load()
    model = started(digits, seed)
    trainer = UnrolledTrainer(model, learning_rate=1e-3, clip_norm=1e-4)
    start = time.perf_counter()
    memory = memory_of(lambda: train(trainer, digits, 1, UNROLLED_BATCH, seed, show_progress=True))
    return {
        "seconds": time.perf_counter() - start,
        "memory_bytes": memory,
        "own_objective": own_objective(model, digits),
        "exact_objective": exact_objective(model.dictionary.detach().numpy(), digits),
    }


@measured_in_process
def closed_form(seed: int, n_epochs: int = 2) -> dict[str, Any]:
    """Time stamps of every update, and what each dictionary is worth, evaluated when the clock has stopped."""
    digits = load()
    train(
        ClosedFormTrainer(started(digits, seed)), digits[:4096], 1, CLOSED_FORM_BATCH, seed
    )  # compiles what is compiled
    model = started(digits, seed)
    trainer, stamps, dictionaries = ClosedFormTrainer(model), [], []
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(seed))
    start, paused = time.perf_counter(), 0.0
    for _ in range(n_epochs):
        for rows in order.split(CLOSED_FORM_BATCH):
            trainer.step(torch.as_tensor(digits[rows.numpy()]))
            pause = time.perf_counter()
            stamps.append(pause - start - paused)
            dictionaries.append(model.dictionary.detach().numpy().copy())
            paused += time.perf_counter() - pause
    return {
        "seconds": stamps,
        "objectives": [exact_objective(dictionary, digits) for dictionary in dictionaries],
    }


@measured_in_process
def one_pass(n_samples: int, n_atoms: int) -> dict[str, Any]:
    digits = np.tile(load(), (2, 1))[:n_samples]
    model = started(digits, 0, n_layers=1, n_atoms=n_atoms)
    train(ClosedFormTrainer(model), digits[:4096], 1, CLOSED_FORM_BATCH, 0)
    trainer = ClosedFormTrainer(started(digits, 0, n_layers=1, n_atoms=n_atoms))
    start = time.perf_counter()
    memory = memory_of(lambda: train(trainer, digits, 1, CLOSED_FORM_BATCH, 0))
    return {"seconds": time.perf_counter() - start, "memory_bytes": memory}


def among_processes(n_processes: int) -> float:
    """Seconds of one pass by so many processes of one thread each, which sum their statistics with gloo."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n_processes}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    print(f"among_processes({n_processes})", file=sys.stderr, flush=True)
    done = subprocess.run(
        [*command, __file__, "--worker"], stdout=subprocess.PIPE, text=True, check=True, env=environment
    )
    return json.loads(done.stdout.splitlines()[-1])


def work() -> None:
    """Be one of the processes of `among_processes`; the first one says how long the pass took."""
    torch.distributed.init_process_group("gloo")
    torch.set_num_threads(1)
    digits = load()
    for part in (digits[:4096], digits):  # the first one compiles what is compiled
        model = started(digits, 0, n_layers=1)
        torch.distributed.barrier()
        start = time.perf_counter()
        train(ClosedFormTrainer(model), part, 1, CLOSED_FORM_BATCH, 0)
        seconds = time.perf_counter() - start
    if torch.distributed.get_rank() == 0:
        print(json.dumps(seconds))
    torch.distributed.destroy_process_group()


def l1_problem() -> tuple[np.ndarray, np.ndarray]:
    """Whitened patches, and first atoms of length 1 from among them."""
    patches = wlsc.load_patches("photographs", 12, N_PATCHES, seed=0, min_variance=0.1)
    atoms = initialize_dictionary(patches, N_L1_ATOMS, torch.Generator().manual_seed(0)).numpy()
    return patches, atoms / np.linalg.norm(atoms, axis=1, keepdims=True)


def l1_objective(dictionary: np.ndarray, patches: np.ndarray) -> float:
    model = SparseCodingAutoencoder(patches.shape[1], N_L1_ATOMS, L1_LAM)
    model.set_dictionary(torch.as_tensor(dictionary))
    samples = torch.as_tensor(patches)
    return float(model.objective(samples, model.infer(samples)).mean().detach())


@measured_in_process
def l1_closed_form() -> dict[str, Any]:
    """One pass of l1 sparse coding by this package."""
    patches, atoms = l1_problem()
    for part in (patches[:1024], patches):  # the first one compiles what is compiled
        model = SparseCodingAutoencoder(patches.shape[1], N_L1_ATOMS, L1_LAM)
        model.set_dictionary(torch.as_tensor(atoms))
        start = time.perf_counter()
        train(ClosedFormTrainer(model), part, 1, L1_BATCH, 0)
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "objective": l1_objective(model.dictionary.detach().numpy(), patches)}


@measured_in_process
def l1_scikit_learn() -> dict[str, Any]:
    """The same pass from the same atoms by scikit-learn's MiniBatchDictionaryLearning."""
    from sklearn.decomposition import MiniBatchDictionaryLearning

    patches, atoms = l1_problem()
    options = {"fit_algorithm": "lars", "n_jobs": torch.get_num_threads(), "max_no_improvement": None, "tol": 0}
    model = MiniBatchDictionaryLearning(
        N_L1_ATOMS, alpha=L1_LAM, batch_size=L1_BATCH, max_iter=1, dict_init=atoms, random_state=0, **options
    )
    start = time.perf_counter()
    model.fit(patches)
    return {"seconds": time.perf_counter() - start, "objective": l1_objective(model.components_, patches)}


def time_to(target: float, run: dict[str, Any]) -> float:
    """First time stamp at which the objective is at or below the target."""
    reached = [seconds for seconds, value in zip(run["seconds"], run["objectives"], strict=True) if value <= target]
    if not reached:
        raise RuntimeError(f"closed-form training must reach {target}, got {min(run['objectives'])} at best")
    return reached[0]


def sizes() -> dict[str, dict[str, Any]]:
    """What was measured, by part of the record: numbers of samples, atoms, features, layers and seeds."""
    digits = load()
    return {
        "problem": {
            "data": "mnist",
            "classes": list(CLASSES),
            "n_samples": len(digits),
            "n_features": digits.shape[1],
            "n_atoms": N_ATOMS,
            "lam": LAM,
        },
        "unrolled": {"n_layers": N_LAYERS, "batch_size": UNROLLED_BATCH, "epochs": 1},
        "closed_form": {"batch_size": CLOSED_FORM_BATCH, "n_seeds": REPEATS},
        "l1": {"n_samples": N_PATCHES, "n_atoms": N_L1_ATOMS, "lam": L1_LAM, "batch_size": L1_BATCH},
        "pass": {"n_samples_at_varied_n_atoms": SAMPLES_OF_ATOMS, "n_atoms_at_varied_n_samples": N_ATOMS},
    }


def passes(of: str, runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Seconds and memory of one pass, by what it was varied in."""
    return {
        f"{what}_of_one_pass_by_{of}": {value: spread([run[key] for run in given]) for value, given in runs.items()}
        for what, key in (("seconds", "seconds"), ("memory", "memory_bytes"))
        if all(run[key] is not None for given in runs.values() for run in given)
    }


def measure() -> dict[str, Any]:
    known = sizes()
    paper = unrolled(0)
    ours = [closed_form(seed) for seed in range(REPEATS)]
    # the harder of the two targets: the network's own objective, or what its dictionary is worth to an exact encoder
    target = min(paper["own_objective"], paper["exact_objective"])
    times = [time_to(target, run) for run in ours]
    monotone = [all(b <= a for a, b in pairwise(run["objectives"])) for run in ours]
    samples = {str(n): [one_pass(n, N_ATOMS) for _ in range(3)] for n in PASS_SAMPLES}
    atoms = {str(m): [one_pass(SAMPLES_OF_ATOMS, m) for _ in range(3)] for m in PASS_ATOMS}
    processes = {str(n): [among_processes(n) for _ in range(3)] for n in (1, 2)}
    l1 = {"closed_form": l1_closed_form(), "scikit_learn": l1_scikit_learn()}
    return {
        "problem": known["problem"],
        "unrolled": paper | known["unrolled"],
        "closed_form": {
            **known["closed_form"],
            "seconds_to_target": spread(times),
            "seconds_of_one_pass": spread([run["seconds"][len(run["seconds"]) // 2 - 1] for run in ours]),
            "objective_after_one_pass": spread([run["objectives"][len(run["seconds"]) // 2 - 1] for run in ours]),
            "objective_never_rose": all(monotone),
            "curve": {name: ours[0][name] for name in ("seconds", "objectives")},
        },
        "target": target,
        "times_sooner": spread([paper["seconds"] / seconds for seconds in times]),
        **passes("n_samples", samples),
        "seconds_of_one_pass_by_n_processes": {n: spread(seconds) for n, seconds in processes.items()},
        "l1": l1 | known["l1"],
        "pass": known["pass"],
        **passes("n_atoms", atoms),
    }


if __name__ == "__main__":
    if sys.argv[1:] == ["--worker"]:
        work()
    else:
        main("training", measure)
