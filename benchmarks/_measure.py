"""What the benchmarks share: peers in processes of their own, medians with their spread, and the record on disk.

torch, numba and other libraries in one process fight over OpenMP threads, so each peer runs alone, with threads
that sleep while they wait. Machines differ and are noisy: quote the ratios of one run.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from functools import wraps
from importlib import metadata
from pathlib import Path
from typing import Any

from wlsc._io.machine import processor_name

RESULTS = Path(__file__).resolve().parents[1] / "results" / "benchmarks"

_LIBRARIES = ("wlsc", "torch", "numpy", "numba", "scipy", "scikit-learn", "spams-bin", "entmax")
_peers: dict[str, Callable[..., Any]] = {}


def measured_in_process(peer: Callable[..., Any]) -> Callable[..., Any]:
    """Run ``peer`` in a fresh process; its arguments and its result are plain JSON values."""
    _peers[peer.__name__] = peer

    @wraps(peer)
    def run(*arguments: Any) -> Any:
        print(f"{peer.__name__}{arguments}", file=sys.stderr, flush=True)
        command = [sys.executable, sys.argv[0], "--peer", peer.__name__, json.dumps(arguments)]
        environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
        return json.loads(done.stdout.splitlines()[-1])

    return run


def main(name: str, measure: Callable[[], dict[str, Any]]) -> None:
    """Be one peer if asked to by `measured_in_process`; otherwise measure all of them and save ``name``.json."""
    if sys.argv[1:2] == ["--peer"]:
        print(json.dumps(_peers[sys.argv[2]](*json.loads(sys.argv[3])), allow_nan=False))
        return
    record = {"machine": describe_machine(), **measure()}
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    print(path)


def describe_machine() -> dict[str, Any]:
    """Versions, processor and threads: what a figure has to be read with."""
    import torch

    return {
        "python": platform.python_version(),
        "architecture": platform.machine(),
        "processor": processor_name(),
        "threads": torch.get_num_threads(),
        "versions": {name: metadata.version(name) for name in _LIBRARIES if _is_installed(name)},
    }


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def seconds_of(call: Callable[[], Any], repeats: int) -> list[float]:
    """Wall-clock seconds of each of ``repeats`` calls, after one that is not counted."""
    call()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds


def spread(values: Iterable[float]) -> dict[str, float]:
    """Minimum, median and maximum."""
    numbers = sorted(values)
    return {"min": numbers[0], "median": statistics.median(numbers), "max": numbers[-1]}


def memory_of(call: Callable[[], Any]) -> int | None:
    """Bytes of resident memory that a call adds at its peak; None where the system cannot forget earlier peaks.

    Linux with glibc alone can. Call it once before, if what it compiles or loads is not to count.
    """
    forget, trim = Path("/proc/self/clear_refs"), getattr(ctypes.CDLL(None), "malloc_trim", None)
    if not forget.exists() or trim is None:
        call()
        return None
    gc.collect()
    trim(0)  # what earlier calls have freed would be taken again unseen
    forget.write_text("5", encoding="ascii")
    before = _memory("VmRSS")
    call()
    return _memory("VmHWM") - before


def _memory(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
