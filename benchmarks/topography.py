"""How fast are the permutations of Moran's I next to PySAL's esda, and how long does the layout by swaps take?

    python benchmarks/topography.py

The graph is that of WLSC's codes of 20,000 patches of photographs over 1,024 atoms, which are patches too. Both run
1,000 permutations of e^{2iθ} over the same weights, esda of cosine and sine one after the other, in turns within one
process, so that whatever else the machine does slows both. The layouts are of graphs of made-up codes, eight atoms
each, whose atoms lie together on a ring: 256 atoms with the default kicks, 1,024 and 4,096 without. Seconds are of the
wall clock; processor seconds say what they would be on one core of a machine at rest.
"""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
from _measure import main, measured_in_process, spread

import wlsc
from wlsc.analysis.topography import axial, code_graph, layout_score, morans_i, swap_layout

N_UNITS, N_SAMPLES, N_ACTIVE, N_PERMUTATIONS, REPEATS = 1024, 20_000, 8, 1000, 3


def ring_of_codes(n_units: int, seed: int = 0) -> Any:
    """Codes whose active atoms lie about a place on a ring, as CSR."""
    from scipy.sparse import csr_array

    rng = np.random.default_rng(seed)
    middle = rng.integers(n_units, size=(N_SAMPLES, 1))
    spread_ = n_units / 16
    units = (middle + np.rint(rng.normal(0, spread_, size=(N_SAMPLES, N_ACTIVE))).astype(int)) % n_units
    rows = np.repeat(np.arange(N_SAMPLES), N_ACTIVE)
    return csr_array((rng.random(units.size), (rows, units.ravel())), shape=(N_SAMPLES, n_units))


def timed(call: Any) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - processor


@measured_in_process
def permutations() -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import esda
        from libpysal.weights import WSP
        from scipy.sparse import csr_array

        patches = wlsc.load_patches("embedded", 12, N_UNITS + N_SAMPLES, 0, min_variance=0.1)
        codes = wlsc.infer_codes(patches[N_UNITS:], patches[:N_UNITS], 0.1, output="csr")
        graph = code_graph(codes)
        weights = WSP(csr_array(graph).tocsr()).to_W(silence_warnings=True)
        weights.transform = "o"
        orientation = axial(np.random.default_rng(0).uniform(0, 180, N_UNITS))

        def theirs() -> list[float]:
            parts = (orientation.real, orientation.imag)
            morans = [esda.Moran(part, weights, transformation="o", permutations=N_PERMUTATIONS) for part in parts]
            return [float(moran.I) for moran in morans]

        def ours() -> Any:
            return morans_i(orientation, graph, N_PERMUTATIONS)

        found, given = ours(), theirs()
        variances = orientation.real.var(), orientation.imag.var()
        times = [(timed(ours), timed(theirs)) for _ in range(REPEATS)]
    return {
        "share_of_pairs_joined": float((graph > 0).mean()),
        "difference_of_statistics": abs(float(found.statistic - np.average(given, weights=variances))),
        "seconds": spread([our[0] for our, _ in times]),
        "esda_seconds": spread([their[0] for _, their in times]),
        "times_slower_esda": spread([their[0] / our[0] for our, their in times]),
        "times_slower_esda_processor": spread([their[1] / our[1] for our, their in times]),
    }


@measured_in_process
def layout(side: int, n_kicks: int) -> dict[str, Any]:
    swap_layout(code_graph(ring_of_codes(64)), (8, 8), n_kicks=1)  # compiles
    graph, found = code_graph(ring_of_codes(side**2)), []
    seconds, processor = timed(lambda: found.append(swap_layout(graph, (side, side), n_kicks=n_kicks)))
    score = layout_score(graph, found[0], (side, side))
    return {
        "n_units": side**2, "n_kicks": n_kicks, "seconds": seconds, "processor_seconds": processor, "score": score,
    }  # fmt: skip


def measure() -> dict[str, Any]:
    return {
        "problem": {"n_units": N_UNITS, "n_samples": N_SAMPLES, "n_permutations": N_PERMUTATIONS},
        "morans_i": permutations(),
        "swap_layout": [layout(side, n_kicks) for side, n_kicks in ((16, 40), (32, 0), (64, 0))],
    }


if __name__ == "__main__":
    main("topography", measure)
