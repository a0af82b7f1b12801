"""How fast, and how well, do codes cluster?

    python benchmarks/clustering.py

First speed alone: planted codes of 70,000 samples on 2,000 atoms, 8 to 20 non-zeros in each row. Then MNIST digits of
unit norm, from the data to labels without any label of a digit: the five classes {0, 3, 4, 6, 7} with one dictionary
of 500 atoms, and all ten with one to five dictionaries of 1,000 atoms whose codes stand side by side. Every
dictionary takes one closed-form pass over the data (λ = 0.5, first atoms drawn from the data). Seconds count training,
encoding and clustering; the solver is compiled before. "textbook" is k-means on as many singular vectors of the
normalised bipartite graph as there are classes, on the same codes. Class purity is that of codes and of pixels, on all
digits. Ablations cluster the codes of one dictionary with one part of `cluster_codes` left out, or one put before it:
a step of a lazy random walk over the atoms, or a dictionary of the dictionary; their seconds count both.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from _measure import main, measured_in_process, memory_of, seconds_of, spread
from scipy import sparse
from sklearn.preprocessing import normalize

import wlsc
from wlsc.analysis.clustering import class_purity, cluster_codes, clustering_scores

LAM, BATCH = 0.5, 4096
FIVE, N_FIVE_ATOMS, FIVE_SEEDS = (0, 3, 4, 6, 7), 500, range(10)
N_TEN_ATOMS, N_DICTIONARIES, TEN_RUNS = 1_000, 5, range(5)
N_UPPER_ATOMS, UPPER_EPOCHS = 200, 10
N_SAMPLES, N_ATOMS, N_BLOCKS = 70_000, 2_000, 10

#: Options of `cluster_codes` for ten classes, by what they leave out or put in.
VARIANTS: dict[str, dict[str, Any]] = {
    "all parts": {},
    "with self-loops": {"self_loops": True},
    "without regularization": {"regularization": 0},
    "as many eigenvectors as clusters": {"n_eigenvectors": 10},
    "as many groups as clusters, none merged": {"n_groups": 10},
    "one start of k-means": {"n_init": 1},
}


def planted_codes(seed: int) -> tuple[sparse.csr_array, np.ndarray]:
    """Codes on atoms of one block, but for one atom in ten; and the block of each sample."""
    rng = np.random.default_rng(seed)
    n_active = rng.integers(8, 21, size=N_SAMPLES)
    rows = np.repeat(np.arange(N_SAMPLES), n_active)
    blocks = rng.integers(N_BLOCKS, size=N_SAMPLES)
    inside = rng.integers(N_ATOMS // N_BLOCKS, size=len(rows)) * N_BLOCKS + blocks[rows]
    atoms = np.where(rng.random(len(rows)) < 0.9, inside, rng.integers(N_ATOMS, size=len(rows)))
    return sparse.csr_array((rng.random(len(rows)), (rows, atoms)), shape=(N_SAMPLES, N_ATOMS)), blocks


@measured_in_process
def speed(kind: str) -> dict[str, Any]:
    codes, blocks = planted_codes(0)
    given = codes if kind == "csr" else codes.toarray()
    seconds = seconds_of(lambda: cluster_codes(given, N_BLOCKS), repeats=5)
    memory = memory_of(lambda: cluster_codes(given, N_BLOCKS))
    accuracy = clustering_scores(blocks, cluster_codes(given, N_BLOCKS).sample_labels).accuracy
    return {"seconds": spread(seconds), "memory_bytes": memory, "accuracy": accuracy}


def learned(samples: np.ndarray, n_atoms: int, seed: int, n_epochs: int = 1) -> np.ndarray:
    model = wlsc.WLSC(n_atoms, LAM, n_epochs=n_epochs, batch_size=BATCH, random_state=seed)
    return model.fit(samples).components_


def encoded(digits: np.ndarray, n_atoms: int, seed: int) -> sparse.csr_array:
    return wlsc.infer_codes(digits, learned(digits, n_atoms, seed), LAM, output="csr")


def diffused(codes: sparse.csr_array) -> np.ndarray:
    """Codes after one step of a lazy random walk over atoms that share samples: half of each weight stays."""
    coupling = (codes.T @ codes).toarray()
    np.fill_diagonal(coupling, 0)
    return (codes + codes @ normalize(coupling, norm="l1")) / 2


def of_two_levels(codes: sparse.csr_array, atoms: np.ndarray, seed: int) -> np.ndarray:
    """Codes on a dictionary of the dictionary: the atoms' own codes, averaged by the codes of the samples."""
    upper = learned(atoms, N_UPPER_ATOMS, seed, UPPER_EPOCHS)
    return codes @ wlsc.infer_codes(atoms, upper, LAM)


def compile_solver(digits: np.ndarray) -> None:
    cluster_codes(encoded(digits[:2_000], 20, 0), 2)


def scores_of(labels: np.ndarray, clusters: np.ndarray) -> dict[str, float]:
    return clustering_scores(labels, clusters)._asdict()


def textbook_scores(labels: np.ndarray, codes: sparse.csr_array, n_clusters: int, seed: int) -> dict[str, float]:
    plain = {"n_eigenvectors": n_clusters, "n_groups": n_clusters, "self_loops": True, "regularization": 0}
    return scores_of(labels, cluster_codes(codes, n_clusters, seed, **plain).sample_labels)


@measured_in_process
def five_classes(seed: int) -> dict[str, Any]:
    digits, labels = wlsc.load_digits("mnist", FIVE, unit_norm=True)
    compile_solver(digits)
    start = time.perf_counter()
    codes = encoded(digits, N_FIVE_ATOMS, seed)
    found = cluster_codes(codes, len(FIVE), seed)
    seconds = time.perf_counter() - start
    scores = scores_of(labels, found.sample_labels)
    return scores | {"seconds": seconds, "textbook": textbook_scores(labels, codes, len(FIVE), seed)}


@measured_in_process
def ten_classes(run: int) -> list[dict[str, Any]]:
    """Scores with the first dictionary, the first two, and so on."""
    digits, labels = wlsc.load_digits("mnist", unit_norm=True)
    compile_solver(digits)
    results, blocks, training = [], [], 0.0
    for index in range(N_DICTIONARIES):
        start = time.perf_counter()
        blocks.append(encoded(digits, N_TEN_ATOMS, N_DICTIONARIES * run + index))
        training += time.perf_counter() - start
        start = time.perf_counter()
        codes = sparse.hstack(blocks, format="csr")
        found = cluster_codes(codes, 10, run)
        clustering = time.perf_counter() - start
        results.append(
            scores_of(labels, found.sample_labels)
            | {"seconds": training + clustering, "seconds_of_clustering": clustering}
            | {"textbook": textbook_scores(labels, codes, 10, run)}
        )
    return results


@measured_in_process
def ablations(run: int) -> dict[str, dict[str, float]]:
    """Scores of each variant on the codes of the first dictionary of the run."""
    digits, labels = wlsc.load_digits("mnist", unit_norm=True)
    compile_solver(digits)
    seed = N_DICTIONARIES * run
    atoms = learned(digits, N_TEN_ATOMS, seed)
    codes = wlsc.infer_codes(digits, atoms, LAM, output="csr")

    def scored(prepare: Callable[[], Any], n_clusters: int | None = 10, **options: Any) -> dict[str, float]:
        start = time.perf_counter()
        found = cluster_codes(prepare(), n_clusters, run, **options)
        seconds = time.perf_counter() - start
        return scores_of(labels, found.sample_labels) | {"seconds": seconds}

    return {
        **{name: scored(lambda: codes, **options) for name, options in VARIANTS.items()},
        "number of clusters by the eigengap": scored(lambda: codes, None),
        "after a step of a walk over the atoms": scored(lambda: diffused(codes)),
        f"on {N_UPPER_ATOMS} atoms of the atoms": scored(lambda: of_two_levels(codes, atoms, seed)),
    }


@measured_in_process
def purity(kind: str) -> dict[str, Any]:
    digits, labels = wlsc.load_digits("mnist", unit_norm=True)
    values = digits if kind == "pixels" else encoded(digits, N_TEN_ATOMS, 0)
    start = time.perf_counter()
    mean = float(class_purity(values, labels).mean())
    return {"seconds": time.perf_counter() - start, "purity": mean}


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    numbers = {name: spread([run[name] for run in runs]) for name in runs[0] if name != "textbook"}
    return numbers | {"runs": runs}


def measure() -> dict[str, Any]:
    ten = [ten_classes(run) for run in TEN_RUNS]
    ablated = [ablations(run) for run in TEN_RUNS]
    return {
        "planted": {"n_samples": N_SAMPLES, "n_atoms": N_ATOMS, **{kind: speed(kind) for kind in ("csr", "dense")}},
        "five_classes": {"classes": list(FIVE), "n_atoms": N_FIVE_ATOMS, "lam": LAM}
        | summary([five_classes(seed) for seed in FIVE_SEEDS]),
        "ten_classes": {"n_atoms": N_TEN_ATOMS, "lam": LAM}
        | {f"dictionaries_{n}": summary([results[n - 1] for results in ten]) for n in range(1, N_DICTIONARIES + 1)},
        "ablations": {name: summary([found[name] for found in ablated]) for name in ablated[0]},
        "class_purity": {kind: purity(kind) for kind in ("codes", "pixels")},
    }


if __name__ == "__main__":
    main("clustering", measure)
