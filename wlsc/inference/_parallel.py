"""What the compiled solvers share: how they are compiled, and how samples are spread over all cores."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np
import torch

#: Bytes of the linear term that are formed at a time, tasks that each thread finds in them, fewest samples in a task.
_CHUNK_BYTES, _TASKS, _FEWEST = 1 << 23, 4, 16

#: Hash of the sources beside this file, whose compiled functions call one another.
_SOURCES = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))))

_Part = TypeVar("_Part")


def jit(function: Callable[..., Any]) -> Any:
    """Compile ``function`` at its first call; keep the machine code on disk if there is a folder to write to.

    What is kept is found again by the name, and numba looks at no other file than the function's own to tell whether
    it is out of date: the name therefore says of which sources it is.
    """
    options: Any = {"nogil": True, "fastmath": True, "error_model": "numpy"}
    function.__qualname__ += f"_{_SOURCES.hexdigest()[:12]}"
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return numba.njit(**options)(function)


def in_tasks(solve: Callable[[int, int], None], n_samples: int) -> None:
    """Call ``solve`` with the first sample of a task and the one after its last, on `torch.get_num_threads` threads."""
    n_threads = torch.get_num_threads()
    size = max(-(-n_samples // (_TASKS * n_threads)), _FEWEST)
    begins = range(0, n_samples, size)
    if n_threads == 1 or len(begins) == 1:
        return solve(0, n_samples)
    with ThreadPoolExecutor(min(n_threads, len(begins))) as pool:
        for done in [pool.submit(solve, begin, min(begin + size, n_samples)) for begin in begins]:
            done.result()
    return None


def solve_in_parallel(
    patches: torch.Tensor, encoder: torch.Tensor, solve: Callable[[int, int, np.ndarray], _Part]
) -> list[_Part]:
    """Solve all samples, a task at a time, on `torch.get_num_threads` threads.

    The linear term is formed in pieces that fit into the caches, never as a whole.

    Parameters
    ----------
    patches
        Shape (n_samples, n_features).
    encoder
        What maps patches to the linear term, shape (n_features, n_atoms).
    solve
        Called with the first sample of a task, the one after its last, and the linear term of the samples between
        them. Without samples it is called once, for none.

    Returns
    -------
    list
        What ``solve`` returned, in the order of the samples.
    """
    n_samples, n_atoms = len(patches), encoder.shape[1]
    n_threads = torch.get_num_threads()
    chunk = max(_CHUNK_BYTES // (n_atoms * patches.itemsize), 256)
    products = patches.new_empty(min(chunk, n_samples), n_atoms)
    solved: dict[int, _Part] = {}

    def work(tasks: Iterator[tuple[int, int, int]]) -> None:
        for offset, begin, end in tasks:
            solved[begin] = solve(begin, end, products[begin - offset : end - offset].numpy())

    with ThreadPoolExecutor(n_threads) as pool:
        for offset in range(0, max(n_samples, 1), chunk):
            stop = min(offset + chunk, n_samples)
            torch.mm(patches[offset:stop], encoder, out=products[: stop - offset])
            size = max(-(-(stop - offset) // (_TASKS * n_threads)), _FEWEST)
            tasks = [(offset, begin, min(begin + size, stop)) for begin in range(offset, max(stop, 1), size)]
            queue = iter(tasks)  # shared: whoever has done a task takes the next one
            helpers = [pool.submit(work, queue) for _ in range(min(n_threads, len(tasks)) - 1)]
            work(queue)
            for helper in helpers:
                helper.result()
    return [solved[begin] for begin in sorted(solved)]
