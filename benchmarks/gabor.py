"""How fast and how good are batched Gabor fits next to a loop over SciPy's curve_fit?

    python benchmarks/gabor.py

The filters are the atoms of five WLSC dictionaries of whitened natural 16×16 patches, 1,000 in all, trained in closed
form. Both fit from the same five starts within the same bounds; the loop goes over the 200 atoms of the first
dictionary, once with the finite differences that SciPy takes by default and once with analytic derivatives. Each peer
runs in a process of its own.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from _measure import main, measured_in_process, seconds_of, spread
from scipy.optimize import curve_fit

import wlsc
from wlsc.analysis import gabor

SHAPE = (16, 16)
N_DICTIONARIES, N_ATOMS, N_PATCHES = 5, 200, 40_000
N_STARTS = 5
REPEATS = 5


def learned_filters(seed: int) -> np.ndarray:
    patches = wlsc.load_patches("embedded", SHAPE[0], N_PATCHES, seed, min_variance=0.1, normalise="unit")
    model = wlsc.WLSC(N_ATOMS, lam=0.1, n_epochs=1, random_state=seed).fit(patches)
    return model.components_.astype(float)


def evaluate(parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the Gabor of (x₀, y₀, θ, log f, log σ_x, log σ_y, a, b) and its derivatives, (n_pixels, 8)."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].reshape(2, -1).astype(float)
    x0, y0, theta, log_f, log_sx, log_sy, a, b = parameters
    cos, sin = np.cos(theta), np.sin(theta)
    u, v = (x - x0) * cos + (y - y0) * sin, (y - y0) * cos - (x - x0) * sin
    k, curve_u, curve_v = 2 * np.pi * np.exp(log_f), np.exp(-2 * log_sx), np.exp(-2 * log_sy)
    envelope = np.exp(-(curve_u * u**2 + curve_v * v**2) / 2)
    even, odd = envelope * np.cos(k * u), envelope * np.sin(k * u)
    model, turned = a * even + b * odd, b * even - a * odd
    by_u, by_v = k * turned - curve_u * u * model, -curve_v * v * model
    columns = [-cos * by_u + sin * by_v, -sin * by_u - cos * by_v, v * by_u - u * by_v, k * u * turned]
    columns += [curve_u * u**2 * model, curve_v * v**2 * model, even, odd]
    return model, np.stack(columns, axis=1)


def curve_fit_r2(
    target: np.ndarray, starts: np.ndarray, bounds: tuple[np.ndarray, np.ndarray], analytic: bool
) -> float:
    """Best r2 over the starts, with amplitude and phase started at their least-squares values."""
    low, high = (np.append(bound, [end, end]) for bound, end in zip(bounds, (-np.inf, np.inf), strict=True))
    best = 0.0
    for start in starts:
        quadratures = evaluate(np.append(start, [1.0, 0.0]))[1][:, 6:]
        linear = np.linalg.lstsq(quadratures, target, rcond=None)[0]
        found, *_ = curve_fit(
            lambda _, *parameters: evaluate(np.array(parameters))[0],
            None,
            target,
            np.clip(np.append(start, linear), low + 1e-9, high - 1e-9),
            bounds=(low, high),
            jac=(lambda _, *parameters: evaluate(np.array(parameters))[1]) if analytic else None,
            max_nfev=10_000,
        )
        best = max(best, 1 - ((evaluate(found)[0] - target) ** 2).sum() / (target**2).sum())
    return best


@measured_in_process
def batched() -> dict[str, Any]:
    dictionaries = [learned_filters(seed) for seed in range(N_DICTIONARIES)]
    filters = np.concatenate(dictionaries)
    seconds = seconds_of(lambda: gabor.fit_gabors(filters, SHAPE, N_STARTS), REPEATS)
    return {"seconds": seconds, "r2": gabor.fit_gabors(filters, SHAPE, N_STARTS).r2.tolist()}


@measured_in_process
def curve_fit_loop(analytic: bool) -> dict[str, Any]:
    filters = learned_filters(0)
    targets = torch.from_numpy(filters / np.linalg.norm(filters, axis=1, keepdims=True))
    starts = gabor._spectral_starts(targets, SHAPE, N_STARTS).numpy()
    low, high = (bound.numpy() for bound in gabor._bounds(SHAPE, targets))
    begin = time.perf_counter()
    r2 = [curve_fit_r2(t, s, (low, high), analytic) for t, s in zip(targets.numpy(), starts, strict=True)]
    return {"seconds": time.perf_counter() - begin, "r2": r2}


def compare(ours: dict[str, Any], loop: dict[str, Any]) -> dict[str, Any]:
    gains = np.array(ours["r2"][:N_ATOMS]) - loop["r2"]
    per_filter = loop["seconds"] / N_ATOMS
    return {
        "seconds": loop["seconds"],
        "n_filters": N_ATOMS,
        "times_slower": spread([per_filter * len(ours["r2"]) / seconds for seconds in ours["seconds"]]),
        "r2": spread(loop["r2"]),
        "r2_gain": spread(gains.tolist()),
        "r2_mean_gain": float(gains.mean()),
        "n_better_by_1e-4": {"batched": int((gains > 1e-4).sum()), "curve_fit": int((gains < -1e-4).sum())},
    }


def measure() -> dict[str, Any]:
    ours = batched()
    return {
        "problem": {
            "data": "embedded",
            "patch_shape": list(SHAPE),
            "n_filters": N_DICTIONARIES * N_ATOMS,
            "n_starts": N_STARTS,
        },
        "batched": {"seconds": spread(ours["seconds"]), "r2": spread(ours["r2"])},
        "curve_fit": compare(ours, curve_fit_loop(False)),
        "curve_fit_analytic": compare(ours, curve_fit_loop(True)),
    }


if __name__ == "__main__":
    main("gabor", measure)
