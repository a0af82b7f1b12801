"""How fast are exact codes at λ = 0 next to SPAMS, the only other package that solves this problem?

    python benchmarks/simplex.py

SPAMS' decompSimplex is C++ and works in float64: in float32 its codes leave the simplex, by how much is measured. Both
are given the whitened patches and dictionaries of `inference.py`, with the matrix product included, and reach the same
objective. Each peer runs in a process of its own.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from _measure import main, measured_in_process, seconds_of, spread
from inference import PROBLEMS, REPEATS, problem

import wlsc
from wlsc.inference.exact import infer_codes

#: Gap in float64 at which the objective agrees with that of SPAMS to several digits. The default is looser.
TIGHT = 1e-8


@measured_in_process
def exact_in_float64(name: str) -> dict[str, Any]:
    """What SPAMS is compared with: codes in float64 that are as near to the optimum as its own."""
    patches, dictionary, lam = problem(name)
    double, atoms = patches.double(), dictionary.double()
    codes = infer_codes(double, atoms, lam, tol=TIGHT)
    return {
        "seconds": seconds_of(lambda: infer_codes(double, atoms, lam, tol=TIGHT), REPEATS),
        "objective": float(wlsc.objective(double, atoms, codes, lam)),
    }


@measured_in_process
def spams(name: str) -> dict[str, Any]:
    """SPAMS' decompSimplex, C++: the same problem at λ = 0, in float64; in float32 its codes leave the simplex."""
    import spams as package

    patches, dictionary, lam = problem(name)
    options = {"computeXtX": True, "numThreads": torch.get_num_threads()}

    def solve(some: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        columns, atoms = (np.asfortranarray(values.to(dtype).numpy().T) for values in (some, dictionary))
        return torch.as_tensor(package.decompSimplex(columns, atoms, **options).toarray().T)

    columns, atoms = (np.asfortranarray(values.double().numpy().T) for values in (patches, dictionary))
    deviation = float((solve(patches[:64], torch.float32).double().sum(1) - 1).abs().max())
    value = wlsc.objective(patches.double(), dictionary.double(), solve(patches, torch.float64), lam)
    return {
        "seconds": seconds_of(lambda: package.decompSimplex(columns, atoms, **options), 3),
        "objective": float(value),
        "float32_largest_deviation_of_sum": deviation if math.isfinite(deviation) else None,
    }


def measure() -> dict[str, Any]:
    return {"problems": {name: compared(name) for name, (*_, lam) in PROBLEMS.items() if lam == 0}}


def compared(name: str) -> dict[str, Any]:
    """Medians and the ratio that is quoted, of one problem."""
    ours, theirs = ({**found, "seconds": spread(found["seconds"])} for found in (exact_in_float64(name), spams(name)))
    return {
        "exact": ours,
        "spams": theirs,
        "spams_over_exact": theirs["seconds"]["median"] / ours["seconds"]["median"],
        "excess_over_spams": ours["objective"] / theirs["objective"] - 1,
    }


if __name__ == "__main__":
    main("simplex", measure)
