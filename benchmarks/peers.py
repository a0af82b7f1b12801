"""Who else solves this problem, how fast, and how exactly? One thread each, one environment for all of them.

    make peers

Whitened natural patches and a learned dictionary, as in `inference.py`, in float64 for the peers. Every peer runs in a
process of its own (`_peer_solvers.py`), round after round with all the others between, and reports processor time,
which counts no waiting: the machine may be busy. Medians of the rounds, and the ratio to ours of the same round.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from _measure import main, measured_in_process
from _peer_solvers import GENERAL, HULL
from inference import problem

from wlsc.inference.exact import infer_codes
from wlsc.problem import objective_terms, quadratic_terms

PROBLEMS = ("patches, 196 atoms, λ = 0.1", "patches, 196 atoms, λ = 0")
N_SAMPLES = 32  # given to the peers, which take milliseconds each
N_TOGETHER = 2048
ROUNDS = 3
DEPTHS = (30, 300)
TIGHT = 1e-12  # residual of the codes in float64 that stand for the optimum
PYTHON = Path(__file__).resolve().parents[1] / "_build" / "peers" / "bin" / "python"
SCRIPT = Path(__file__).with_name("_peer_solvers.py")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
OURS = "ours, exact"


def seconds_per_sample(call: Callable[[], Any], n_samples: int) -> float:
    call()
    start = process_time()
    call()
    return (process_time() - start) / n_samples


@measured_in_process
def of_ours(written_to: str, output: str) -> dict[str, float]:
    """Processor time per sample of exact codes and of layers, and the codes of the samples that the peers are given."""
    torch.set_num_threads(1)
    given = dict(np.load(written_to, allow_pickle=False))
    many, few, dictionary = (torch.as_tensor(given[key]).float() for key in ("together", "patches", "atoms"))
    lam = float(given["lam"])
    ways: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        OURS: lambda samples: infer_codes(samples, dictionary, lam),
        "ours, exact, float64": lambda samples: infer_codes(samples.double(), dictionary.double(), lam),
        "ours, exact, one by one": lambda samples: torch.cat(
            [infer_codes(sample, dictionary, lam) for sample in samples[:N_SAMPLES].split(1)]
        ),
    }
    for depth in DEPTHS:
        ways[f"{depth} layers"] = lambda samples, depth=depth: infer_codes(  # type: ignore[misc]
            samples, dictionary, lam, "unrolled", n_layers=depth
        )
    np.savez(output, allow_pickle=False, **{way: find(few).double().numpy() for way, find in ways.items()})
    alone = {"ours, exact, one by one": N_SAMPLES}
    return {
        way: seconds_per_sample(lambda find=find: find(many), alone.get(way, N_TOGETHER)) for way, find in ways.items()
    }


@measured_in_process
def written(name: str, output: str) -> dict[str, float]:
    """Write the samples and atoms, and G and b of the quadratic programme, all in float64, for the peers."""
    patches, dictionary, lam = problem(name)
    together, atoms = patches[:N_TOGETHER].double(), dictionary.double()
    gram, linear = quadratic_terms(together[:N_SAMPLES], atoms, lam)
    arrays = {"together": together, "patches": together[:N_SAMPLES], "atoms": atoms, "gram": gram, "linear": linear}
    np.savez(output, allow_pickle=False, lam=lam, **{key: value.numpy() for key, value in arrays.items()})
    return {"lam": lam}


def of_peer(peer: str, written_to: Path, output: Path) -> dict[str, Any]:
    command = [PYTHON, SCRIPT, peer, written_to, output]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | ONE_THREAD)
    return json.loads(done.stdout.splitlines()[-1])


def quality(codes: np.ndarray, given: dict[str, np.ndarray], optimum: torch.Tensor) -> dict[str, Any]:
    """How far codes lie from the optimum, in units of its mean, and from the simplex."""
    if not np.isfinite(codes).all():
        return {"not_finite": int((~np.isfinite(codes)).any(1).sum())}
    excess = (objectives(codes, given) - optimum) / optimum.mean()
    return {
        "mean_excess": float(excess.mean()),
        "largest_excess": float(excess.max()),
        "least_excess": float(excess.min()),
        "sum_less_one": float(np.abs(codes.sum(1) - 1).max()),
        "smallest_code": float(codes.min()),
        "exact_zeros": float((codes == 0).mean()),
    }


def objectives(codes: np.ndarray, given: dict[str, np.ndarray]) -> torch.Tensor:
    samples, atoms = torch.as_tensor(given["patches"]), torch.as_tensor(given["atoms"])
    return objective_terms(samples, atoms, torch.as_tensor(codes), float(given["lam"]))


def compared(name: str, folder: Path) -> dict[str, Any]:
    """All peers on one problem."""
    given_at, codes_at = folder / "given.npz", folder / "codes.npz"
    written(name, str(given_at))
    given = dict(np.load(given_at, allow_pickle=False))
    rounds: list[dict[str, Any]] = []
    for _ in range(ROUNDS):
        found: dict[str, Any] = {way: {"seconds": s} for way, s in of_ours(str(given_at), str(codes_at)).items()}
        for peer in (*GENERAL, *HULL):
            found[peer] = of_peer(peer, given_at, folder / f"{peer}.npy")
        rounds.append(found)
    samples, atoms = torch.as_tensor(given["patches"]), torch.as_tensor(given["atoms"])
    tight = infer_codes(samples, atoms, float(given["lam"]), tol=TIGHT)
    optimum = objectives(tight.numpy(), given)
    ours = dict(np.load(codes_at, allow_pickle=False))
    return {
        "n_samples": N_SAMPLES,
        "n_atoms": len(given["atoms"]),
        "n_features": given["atoms"].shape[1],
        "lam": float(given["lam"]),
        "peers": {
            peer: summary(
                peer, rounds, None if "refused" in last else ours.get(peer, folder / f"{peer}.npy"), given, optimum
            )
            for peer, last in rounds[-1].items()
        },
    }


def summary(
    peer: str,
    rounds: list[dict[str, Any]],
    codes: np.ndarray | Path | None,
    given: dict[str, np.ndarray],
    optimum: torch.Tensor,
) -> dict[str, Any]:
    if codes is None:
        return rounds[-1][peer]
    seconds = [found[peer]["seconds"] for found in rounds]
    ratios = [found[peer]["seconds"] / found[OURS]["seconds"] for found in rounds]
    return {
        "seconds_per_sample": {"min": min(seconds), "median": statistics.median(seconds), "max": max(seconds)},
        "over_ours": {"min": min(ratios), "median": statistics.median(ratios), "max": max(ratios)},
        **quality(codes if isinstance(codes, np.ndarray) else np.load(codes, allow_pickle=False), given, optimum),
        **{key: value for key, value in rounds[-1][peer].items() if key == "version"},
    }


def measure() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        return {
            "rounds": ROUNDS,
            "samples_together": N_TOGETHER,
            "problems": {name: compared(name, Path(folder)) for name in PROBLEMS},
        }


if __name__ == "__main__":
    os.environ.update(ONE_THREAD)
    torch.set_num_threads(1)
    main("peers", measure)
