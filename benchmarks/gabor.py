"""How fast and how good are batched Gabor fits next to a loop over SciPy's curve_fit?

    PYTHONPATH=. python benchmarks/gabor.py [--output results/benchmarks/gabor.json]

The filters are the 1,000 atoms of a WLSC dictionary of whitened natural 16×16 patches, trained in closed form. Both
fit from the same five starts within the same bounds; the loop goes over the first 200 atoms, with the derivatives that
SciPy takes by default (finite differences) and once more with analytic ones. All in one process, one after the other.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import torch
from scipy.optimize import curve_fit

import wlsc
from wlsc.analysis import gabor

SHAPE = (16, 16)
N_FILTERS, N_STARTS = 1000, 5
N_COMPARED = 200
REPEATS = 5
TARGET_SECONDS, TARGET_SPEEDUP = 5.0, 10.0


def learned_filters() -> np.ndarray:
    patches = wlsc.load_patches("embedded", SHAPE[0], 4 * N_FILTERS, seed=0, min_variance=0.1, normalise="unit")
    return wlsc.WLSC(N_FILTERS, lam=0.1, n_epochs=3, random_state=0).fit(patches).components_.astype(float)


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


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def measure() -> dict[str, Any]:
    filters = learned_filters()
    gabor.fit_gabors(filters[:10], SHAPE, N_STARTS)
    runs = [timed(lambda: gabor.fit_gabors(filters, SHAPE, N_STARTS)) for _ in range(REPEATS)]
    seconds, fits = [run[0] for run in runs], runs[0][1]
    per_fit = statistics.median(seconds) / N_FILTERS

    targets = torch.from_numpy(filters[:N_COMPARED])
    targets = targets / targets.norm(dim=1, keepdim=True)
    starts = gabor._spectral_starts(targets, SHAPE, N_STARTS).numpy()
    low, high = (bound.numpy() for bound in gabor._bounds(SHAPE, targets))
    peers = {}
    for name, analytic in (("finite_differences", False), ("analytic_derivatives", True)):
        loop_seconds, r2 = timed(
            lambda analytic=analytic: np.array(
                [curve_fit_r2(t, s, (low, high), analytic) for t, s in zip(targets.numpy(), starts, strict=True)]
            )
        )
        gain = fits.r2[:N_COMPARED] - r2
        peers[name] = {
            "seconds": loop_seconds,
            "n_filters": N_COMPARED,
            "times_slower_per_filter": loop_seconds / N_COMPARED / per_fit,
            "r2_median": float(np.median(r2)),
            "r2_gain": {"lowest": float(gain.min()), "mean": float(gain.mean()), "highest": float(gain.max())},
            "n_curve_fit_better_by_1e-4": int((gain < -1e-4).sum()),
            "n_batched_better_by_1e-4": int((gain > 1e-4).sum()),
        }
    return {
        "problem": {"n_filters": N_FILTERS, "patch_shape": list(SHAPE), "n_starts": N_STARTS},
        "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
        "load_average": os.getloadavg()[0],
        "versions": {"python": platform.python_version(), "torch": torch.__version__}
        | {module.__name__: module.__version__ for module in (np, scipy)},
        "batched": {"seconds": sorted(seconds), "median_seconds": statistics.median(seconds)},
        "r2": {str(q): float(np.quantile(fits.r2, q)) for q in (0.1, 0.25, 0.5, 0.75, 0.9)},
        "curve_fit": peers,
        "targets": {
            "seconds": TARGET_SECONDS,
            "speedup": TARGET_SPEEDUP,
            "met": statistics.median(seconds) <= TARGET_SECONDS
            and all(peer["times_slower_per_filter"] >= TARGET_SPEEDUP for peer in peers.values()),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks/gabor.json"))
    arguments = parser.parse_args()
    report = measure()
    text = json.dumps(report, indent=1)
    print(text)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
