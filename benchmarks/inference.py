"""How fast are exact codes on the CPU, against the unrolled encoder and the matrix product they all need?

    python benchmarks/inference.py
    WLSC_BASE=/path/to/another/build python benchmarks/inference.py

With the variable, another build that has a .venv of its own is measured in the same run, in turns with this one.
Whitened natural patches of 12 × 12 pixels with 196 and 1,024 learned atoms at three values of λ, and digits of
MNIST. The product b is part of every time. The unrolled peer is eager torch: Gram form, projection by sorting,
float32, 30 layers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _measure import main, measured_in_process, memory_of, seconds_of, spread

import wlsc
from wlsc.dictionary import initialize_dictionary
from wlsc.inference.exact import infer_codes
from wlsc.models import WLSCAutoencoder
from wlsc.training import ClosedFormTrainer, train

#: Name → data, number of samples to encode, number of atoms, λ of the learned dictionary and of the codes.
PROBLEMS = {
    "patches, 196 atoms, λ = 0.1": ("patches", 4096, 196, 0.1),
    "patches, 196 atoms, λ = 0.01": ("patches", 4096, 196, 0.01),
    "patches, 196 atoms, λ = 0": ("patches", 4096, 196, 0.0),
    "patches, 1,024 atoms, λ = 0.1": ("patches", 4096, 1024, 0.1),
    "patches, 1,024 atoms, λ = 0.01": ("patches", 4096, 1024, 0.01),
    "patches, 1,024 atoms, λ = 0": ("patches", 4096, 1024, 0.0),
    "digits, 500 atoms, λ = 0.5": ("digits", 35_037, 500, 0.5),
    "digits, 2,000 atoms, λ = 0.5": ("digits", 16_384, 2000, 0.5),
}
#: Numbers of data atoms, and values of λ, at which exact codes are measured beside the product alone.
DATA_ATOMS, DATA_LAMS = (196, 1024, 4096, 16_384), (0.1, 0.01, 0.0)
ROUNDS = 3
N_LAYERS = 30
REPEATS = 7


@cache
def samples(kind: str) -> np.ndarray:
    if kind == "digits":
        return wlsc.load_digits("mnist", (0, 3, 4, 6, 7), unit_norm=True)[0]
    return wlsc.load_patches("photographs", 12, 40_000, seed=0, min_variance=0.1, normalise="unit")


def problem(name: str) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Patches to encode and a dictionary learned from others by one pass of closed-form training."""
    kind, n_samples, n_atoms, lam = PROBLEMS[name]
    data = samples(kind)
    generator = torch.Generator().manual_seed(0)
    learned_from = data[-20_000:]
    model = WLSCAutoencoder(data.shape[1], n_atoms, lam, generator=generator)
    model.set_dictionary(initialize_dictionary(learned_from, n_atoms, generator))
    train(ClosedFormTrainer(model), learned_from, 1, 4096, seed=0)
    return torch.as_tensor(data[:n_samples]), model.dictionary.detach(), lam


@measured_in_process
def exact(name: str) -> dict[str, Any]:
    patches, dictionary, lam = problem(name)
    codes, info = infer_codes(patches, dictionary, lam, return_info=True)
    start = codes.to_sparse_csr()
    moved = dictionary + 0.02 * dictionary.norm(dim=1, keepdim=True) * torch.nn.functional.normalize(
        torch.randn(dictionary.shape, generator=torch.Generator().manual_seed(1))
    )
    return {
        "seconds": seconds_of(lambda: infer_codes(patches, dictionary, lam), REPEATS),
        "seconds_warm": seconds_of(lambda: infer_codes(patches, dictionary, lam, initial_codes=start), REPEATS),
        "seconds_moved": seconds_of(lambda: infer_codes(patches, moved, lam, initial_codes=start), REPEATS),
        "seconds_product": seconds_of(lambda: patches @ dictionary.T, REPEATS),
        "objective": float(wlsc.objective(patches.double(), dictionary.double(), codes.double(), lam)),
        "worst_residual": float(wlsc.kkt_residual(patches, dictionary, codes, lam).max()),
        "mean_activity": float((codes > 0).sum(1).double().mean()),
        "n_fallbacks": len(info.fallbacks),
    }


@measured_in_process
def solver_alone(name: str) -> dict[str, Any]:
    """The solver's own part, sparse codes in and out: calls less the product that they share, one after the other."""
    patches, dictionary, lam = problem(name)
    codes = infer_codes(patches, dictionary, lam, output="csr")

    def seconds(start: Any) -> float:
        return min(seconds_of(lambda: infer_codes(patches, dictionary, lam, initial_codes=start, output="csr"), 3))

    cold, warm = [], []
    for _ in range(REPEATS):
        product = min(seconds_of(lambda: patches @ dictionary.T, 3))
        cold.append(seconds(None) - product)
        warm.append(seconds(codes) - product)
    return {"cold": cold, "warm": warm, "cold_over_warm": [a / b for a, b in zip(cold, warm, strict=True)]}


@measured_in_process
def unrolled(name: str) -> dict[str, Any]:
    patches, dictionary, lam = problem(name)
    codes = infer_codes(patches, dictionary, lam, "unrolled", n_layers=N_LAYERS)
    repeats = REPEATS if patches.shape[1] < 500 else 3
    return {
        "seconds": seconds_of(lambda: infer_codes(patches, dictionary, lam, "unrolled", n_layers=N_LAYERS), repeats),
        "objective": float(wlsc.objective(patches.double(), dictionary.double(), codes.double(), lam)),
    }


@measured_in_process
def lasso_scikit_learn(n_samples: int) -> dict[str, Any]:
    """scikit-learn's sparse_encode on its own problem, the Lasso, at the same patches and about the same activity."""
    from sklearn.decomposition import sparse_encode

    patches, dictionary, _ = problem("patches, 196 atoms, λ = 0.1")
    some, atoms = patches[:n_samples].numpy(), torch.nn.functional.normalize(dictionary).numpy()
    codes = sparse_encode(some, atoms, algorithm="lasso_lars", alpha=0.12)
    return {
        "seconds": seconds_of(lambda: sparse_encode(some, atoms, algorithm="lasso_lars", alpha=0.12), 3),
        "n_samples": n_samples,
        "mean_activity": float((codes != 0).sum(axis=1).mean()),
    }


#: One turn of one build: seconds of wall clock and of processors, of exact codes and of the product, and peak memory.
TURN = """
import json, resource, sys, time
import numpy as np, torch
from wlsc.inference.exact import infer_codes

def seconds(call):
    call()
    started = time.perf_counter(), time.process_time()
    call()
    return [time.perf_counter() - started[0], time.process_time() - started[1]]

rows, n_atoms, lam = np.load(sys.argv[1], allow_pickle=False), int(sys.argv[2]), float(sys.argv[3])
patches, atoms = torch.as_tensor(rows[:4096]), torch.as_tensor(rows[4096:][:n_atoms])
infer_codes(patches[:64], atoms[:64], lam, output="csr")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
codes = infer_codes(patches, atoms, lam, output="csr")
added = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
activity = codes.values().numel() / len(patches)
exact = seconds(lambda: infer_codes(patches, atoms, lam))
product = seconds(lambda: patches @ atoms.T)
print(json.dumps({"seconds": exact[0], "seconds_product": product[0], "exact_over_product": exact[0] / product[0],
                  "exact_over_product_of_processors": exact[1] / product[1], "memory_bytes": added,
                  "mean_activity": activity}))
"""


def data_atoms() -> dict[str, Any]:
    """Exact codes over patches as atoms, each turn in a process of its own; builds take turns."""
    builds = {"this": sys.executable}
    if base := os.environ.get("WLSC_BASE"):
        builds["base"] = str(Path(base) / ".venv" / "bin" / "python")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.npy")
        np.save(path, samples("patches")[: 4096 + max(DATA_ATOMS)])
        return {
            f"{n_atoms} atoms, λ = {lam:g}": _turns(builds, [str(path), str(n_atoms), str(lam)])
            for n_atoms in DATA_ATOMS
            for lam in DATA_LAMS
        }


def _turns(builds: dict[str, str], arguments: list[str]) -> dict[str, Any]:
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in builds}
    for _ in range(ROUNDS):
        for name, python in builds.items():
            print(f"data_atoms {name} {arguments[1:]}", file=sys.stderr, flush=True)
            # in the folder of the build, so that its own package is the one that is imported
            done = subprocess.run(
                [python, "-c", TURN, *arguments],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
                cwd=Path(python).parents[2],
                env=os.environ | {"OMP_WAIT_POLICY": "PASSIVE"},
            )
            turns[name].append(json.loads(done.stdout.splitlines()[-1]))
    result: dict[str, Any] = {
        name: {key: spread([turn[key] for turn in given]) for key in given[0]} for name, given in turns.items()
    }
    if "base" in turns:
        pairs = zip(turns["base"], turns["this"], strict=True)
        result["base_over_this"] = spread([base["seconds"] / this["seconds"] for base, this in pairs])
    return result


@measured_in_process
def many_atoms(n_atoms: int, n_samples: int) -> dict[str, Any]:
    """Normal samples and atoms of 144 features: memory that the codes add, and the certificate of some."""
    generator = torch.Generator().manual_seed(0)
    atoms = torch.randn(n_atoms, 144, generator=generator)
    patches = atoms[:n_samples] + torch.randn(n_samples, 144, generator=generator)
    infer_codes(patches[:64], atoms[:64], 0.1, output="csr")
    memory = memory_of(lambda: infer_codes(patches, atoms, 0.1, output="csr"))
    some = patches[:64]
    residuals = wlsc.kkt_residual(some, atoms, infer_codes(some, atoms, 0.1), 0.1)
    return {"n_samples": n_samples, "memory_bytes": memory, "worst_residual": float(residuals.max())}


@measured_in_process
def projection_alone(library: str) -> dict[str, Any]:
    """The projection onto the simplex of 4,096 rows of 500."""
    values = torch.randn(4096, 500, generator=torch.Generator().manual_seed(0))
    if library == "entmax":
        from entmax import sparsemax

        return {"seconds": seconds_of(lambda: sparsemax(values, dim=-1), REPEATS)}
    return {"seconds": seconds_of(lambda: wlsc.project_simplex(values), REPEATS)}


@measured_in_process
def scaling(n_samples: int, n_features: int, n_atoms: int, lam: float) -> dict[str, Any]:
    """Random unit-norm mixtures of atoms: time against one number at a time."""
    generator = torch.Generator().manual_seed(0)
    atoms = torch.nn.functional.normalize(torch.randn(n_atoms, n_features, generator=generator))
    chosen = torch.randint(n_atoms, (n_samples, 4), generator=generator)
    patches = atoms[chosen].mean(1) + 0.1 * torch.randn(n_samples, n_features, generator=generator) / n_features**0.5
    codes = infer_codes(patches, atoms, lam)
    return {
        "seconds": seconds_of(lambda: infer_codes(patches, atoms, lam), 3),
        "seconds_product": seconds_of(lambda: patches @ atoms.T, 3),
        "mean_activity": float((codes > 0).sum(1).double().mean()),
    }


def measure() -> dict[str, Any]:
    problems = {}
    for name, (kind, n_samples, n_atoms, lam) in PROBLEMS.items():
        peers = {"exact": exact(name), "unrolled": unrolled(name)}
        if kind == "patches":
            peers["solver_alone"] = solver_alone(name)
        shape = {"n_samples": n_samples, "n_features": 784 if kind == "digits" else 144, "n_atoms": n_atoms, "lam": lam}
        problems[name] = shape | summarise(peers)
    default = {"n_samples": 8192, "n_features": 144, "n_atoms": 512, "lam": 0.1}
    sweeps = {
        "n_samples": (1024, 4096, 16_384, 65_536),
        "n_features": (36, 144, 576),
        "n_atoms": (128, 512, 2048),
        "lam": (0.0, 0.01, 0.1, 1.0),
    }
    curves = {
        axis: {str(value): _spreads(scaling(*(default | {axis: value}).values())) for value in values}
        for axis, values in sweeps.items()
    }
    alone = [result["solver_alone"] for result in problems.values() if "solver_alone" in result]
    totals = {start: sum(result[start]["median"] for result in alone) for start in ("cold", "warm")}
    return {
        "n_layers": N_LAYERS,
        "problems": problems,
        "data_atoms": data_atoms(),
        "many_atoms": {str(n_atoms): many_atoms(n_atoms, 1024) for n_atoms in (16_384, 65_536)},
        "cold_over_warm_in_total": totals["cold"] / totals["warm"],
        "scaling": {"default": default, "curves": curves},
        "lasso_scikit_learn": _spreads(lasso_scikit_learn(512)),
        "projection": {library: _spreads(projection_alone(library)) for library in ("wlsc", "entmax")},
    }


def summarise(peers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Medians, and the ratios that are quoted, of one problem."""
    summary: dict[str, Any] = {name: _spreads(result) for name, result in peers.items()}
    time = summary["exact"]["seconds"]["median"]
    summary["unrolled_over_exact"] = summary["unrolled"]["seconds"]["median"] / time
    summary["exact_over_product"] = time / summary["exact"]["seconds_product"]["median"]
    return summary


def _spreads(result: dict[str, Any]) -> dict[str, Any]:
    return {name: spread(value) if isinstance(value, list) else value for name, value in result.items()}


if __name__ == "__main__":
    main("inference", measure)
