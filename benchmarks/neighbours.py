"""What does exact weighted-ℓ1 coding cost beside encoders of one pass, to encode and to train?

    python benchmarks/neighbours.py

10,000 digits of MNIST of norm 1 are learned, 2,000 others encoded. Encoding: samples a second of every model, with
random digits for atoms, which decides the time of the exact code alone. Training: CPU seconds of 20 epochs of SpaDE
and TopK by Adam, and after how many of them the closed form of WLSC, at the activity of SpaDE within 5 %, has as small
an error. All on one thread, in processor time, which a busy machine disturbs least.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from _measure import main, measured_in_process, spread

import wlsc
from wlsc.analysis.coding import activity, normalised_error
from wlsc.dictionary import initialize_dictionary
from wlsc.experiments.matching import match_activity
from wlsc.models import KMeansAutoencoder, SpaDEAutoencoder, SparseCodingAutoencoder, TopKAutoencoder, WLSCAutoencoder
from wlsc.training import ClosedFormTrainer, GradientTrainer, Progress, train

N_TRAIN, N_TEST, N_EPOCHS, BATCH_SIZE, REPEATS = 10_000, 2_000, 20, 128, 5
SIZES, N_ACTIVE = (256, 4096), 15
LAM = 0.1

#: Of Adam for TopK: the published rate falls short of convergence in so few steps.
TOP_K_RATE = 3e-3


@cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    samples, _ = wlsc.load_digits("mnist", unit_norm=True)
    order = np.random.default_rng(0).permutation(len(samples))
    return samples[order[:N_TRAIN]], samples[order[N_TRAIN : N_TRAIN + N_TEST]]


def first_atoms(n_atoms: int) -> torch.Tensor:
    return initialize_dictionary(digits()[0], n_atoms, torch.Generator().manual_seed(0))


def encoder(name: str, n_atoms: int) -> Callable[[torch.Tensor], Any]:
    """What gives the codes of a model whose atoms are digits."""
    atoms, n_features = first_atoms(n_atoms), digits()[0].shape[1]
    if name == "wlsc":
        return lambda samples: wlsc.infer_codes(samples, atoms, LAM)
    if name == "nonnegative":
        coder = SparseCodingAutoencoder(n_features, n_atoms, LAM, nonnegative=True)
        coder.set_dictionary(atoms)
        return coder.infer
    if name == "k_means":
        clusters = KMeansAutoencoder(n_features, n_atoms)
        clusters.dictionary.copy_(atoms)
        return clusters.encode
    model = TopKAutoencoder(n_features, n_atoms, N_ACTIVE) if name == "top_k" else SpaDEAutoencoder(n_features, n_atoms)
    model.initialize(digits()[0], atoms)
    return model.encode


@measured_in_process
def throughput(name: str, n_atoms: int) -> list[float]:
    """Samples a CPU second, of each repeat."""
    torch.set_num_threads(1)
    encode, given, rates = encoder(name, n_atoms), torch.from_numpy(digits()[1]), []
    with torch.no_grad():
        encode(given)
        for _ in range(REPEATS):
            began = time.process_time()
            encode(given)
            rates.append(len(given) / (time.process_time() - began))
    return rates


def quality(codes: torch.Tensor, reconstruction: torch.Tensor) -> dict[str, float]:
    return {
        "activity": float(activity(codes).mean()),
        "nmse": normalised_error(digits()[1], reconstruction.numpy()),
    }


@measured_in_process
def by_gradients(name: str) -> dict[str, float]:
    """CPU seconds of training by Adam, and what it ends with."""
    torch.set_num_threads(1)
    train_samples, test = digits()
    n_features, n_steps = test.shape[1], N_EPOCHS * -(-N_TRAIN // BATCH_SIZE)
    model: Any = SpaDEAutoencoder(n_features, SIZES[0])
    if name == "top_k":
        model = TopKAutoencoder(n_features, SIZES[0], N_ACTIVE, torch.Generator().manual_seed(0))
    model.initialize(train_samples, first_atoms(SIZES[0]) if name == "spade" else None)
    trainer = GradientTrainer(model, TOP_K_RATE if name == "top_k" else None, n_steps=n_steps)
    began = time.process_time()
    train(trainer, train_samples, N_EPOCHS, BATCH_SIZE, seed=0)
    seconds = time.process_time() - began
    with torch.no_grad():
        reconstruction, codes = model(torch.from_numpy(test))
    return {"seconds": seconds, **quality(codes, reconstruction)}


@measured_in_process
def by_closed_form(target: float) -> dict[str, Any]:
    """CPU seconds, activity and error of WLSC after every epoch, at a λ that makes it as active as ``target``."""
    torch.set_num_threads(1)
    train_samples, test = digits()
    given = torch.from_numpy(test)
    wlsc.infer_codes(given[:100], first_atoms(SIZES[0]), LAM)  # compiles

    def learn(lam: float, n_epochs: int) -> list[dict[str, float]]:
        model = WLSCAutoencoder(test.shape[1], SIZES[0], lam)
        model.set_dictionary(first_atoms(SIZES[0]))
        trainer, start, seconds, epochs = ClosedFormTrainer(model), Progress(), 0.0, []
        for epoch in range(1, n_epochs + 1):
            finished: list[Progress] = []
            began = time.process_time()
            train(trainer, train_samples, epoch, 1024, seed=0, start=start, after_epoch=finished.append)
            seconds, start = seconds + time.process_time() - began, finished[0]
            codes = model.infer(given)
            with torch.no_grad():
                epochs.append({"seconds": seconds, **quality(codes, model.decode(codes))})
        return epochs

    match = match_activity(lambda lam: learn(lam, 1)[0]["activity"], target, LAM)
    return {"lam": match.lam, "reached": match.reached, "epochs": learn(match.lam, 5)}


def measure() -> dict[str, Any]:
    names = ("wlsc", "nonnegative", "top_k", "spade", "k_means")
    rates = {name: {str(size): spread(throughput(name, size)) for size in SIZES} for name in names}
    spade, top_k = by_gradients("spade"), by_gradients("top_k")
    closed_form = by_closed_form(spade["activity"])
    as_good = [epoch for epoch in closed_form["epochs"] if epoch["nmse"] <= spade["nmse"]]
    return {
        "lam": LAM,
        "n_active": N_ACTIVE,
        "samples_per_second": rates,
        "spade": spade,
        "top_k": top_k,
        "wlsc": closed_form,
        # None where WLSC does not come as far
        "spade_seconds_over_wlsc": spade["seconds"] / as_good[0]["seconds"] if as_good else None,
        "wlsc_reaches_top_k": any(epoch["nmse"] <= top_k["nmse"] for epoch in closed_form["epochs"]),
    }


if __name__ == "__main__":
    main("neighbours", measure)
