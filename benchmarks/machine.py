"""What can this machine do at best: float32 matrix products, and reading and writing memory?

    python benchmarks/machine.py

The floors under every other figure. Arrays are far larger than any cache.
"""

from __future__ import annotations

from typing import Any

import torch
from _measure import main, measured_in_process, seconds_of, spread

SIDE = 4096
N_NUMBERS = 2**27
REPEATS = 9


@measured_in_process
def product() -> list[float]:
    """Floating-point operations per second of the product of two square matrices."""
    left, right = torch.ones(SIDE, SIDE), torch.ones(SIDE, SIDE)
    return [2 * SIDE**3 / seconds for seconds in seconds_of(lambda: left @ right, REPEATS)]


@measured_in_process
def copy() -> list[float]:
    """Bytes per second, read and written ones together, of a copy."""
    source = torch.ones(N_NUMBERS)
    target = torch.empty_like(source)
    n_bytes = 2 * source.numel() * source.element_size()
    return [n_bytes / seconds for seconds in seconds_of(lambda: target.copy_(source), REPEATS)]


def measure() -> dict[str, Any]:
    return {
        "product": {"side": SIDE, "dtype": "float32", "flops_per_s": spread(product())},
        "copy": {"n_bytes": 4 * N_NUMBERS, "bytes_per_s": spread(copy())},
    }


if __name__ == "__main__":
    main("machine", measure)
