"""How fast are the unrolled layers and exact codes on a GPU, next to eager torch and to what the hardware allows?

    PYTHONPATH=. python benchmarks/gpu.py [--output results/benchmarks/gpu.json]
    PYTHONPATH=. python benchmarks/gpu.py --sweep

Needs torch, NumPy and Triton. The data are MNIST's digits if WLSC_DATA_DIR/mnist holds them, and sparse mixtures of
random parts otherwise; the dictionary comes from a few closed-form updates. Every method is compared with the layers
in float64 before it is timed, by CUDA events around the whole call, after warm-up calls. `--sweep` only times other
tile shapes than the ones that the package uses. Without a CUDA device nothing is measured and nothing is written.

"TFLOP/s" counts 2·n·m²·T operations, all products of a dense network, whether a method carries them out or skips zeros.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import itertools
import json
import os
import platform
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from wlsc.dictionary import SufficientStatistics, closed_form_update, initialize_dictionary
from wlsc.inference.exact import infer_codes
from wlsc.inference.unrolled import spectral_step_size, unroll
from wlsc.problem import objective_terms, quadratic_terms
from wlsc.simplex import project_last

DEVICE = "cuda"
LAM = 0.5
PUBLISHED = (65_536, 500, 100)  # samples, atoms and layers; 784 features
BEYOND_CHIP = (16_384, 2_000, 100)
PRECISIONS = ("float32", "tf32", "bfloat16")
TARGET_SPEEDUP = 25
TARGET_DEVIATION = 1e-4
TARGET_SHARE = 0.2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks/gpu.json"))
    parser.add_argument("--sweep", action="store_true", help="time other tile shapes, write nothing")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("not measured: no CUDA device")
        return
    if arguments.sweep:
        sweep_launches(*PUBLISHED)
        return
    report: dict[str, Any] = {
        "device": torch.cuda.get_device_name(),
        "versions": versions(),
        "ceilings": ceilings(),
        "problems": [measure(*PUBLISHED), measure(*BEYOND_CHIP)],
    }
    for problem in report["problems"]:
        if "share_of_atoms_in_use" in problem:
            shares = {"all atoms": 1.0, "atoms in use": problem["share_of_atoms_in_use"]}
            problem["estimated_tflops"] = {
                what: streaming_estimate(problem, report["ceilings"]["l2_read_tbps"], share)
                for what, share in shares.items()
            }
    print_report(report)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=1) + "\n")


def versions() -> dict[str, str]:
    import triton

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": str(torch.version.cuda),
        "triton": triton.__version__,
        "numpy": np.__version__,
    }


def milliseconds(call: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Median, fastest and slowest of ``repeats`` calls, after two for warm-up."""
    for _ in range(2):
        call()
    times = []
    for _ in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        call()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return {"median_ms": statistics.median(times), "fastest_ms": min(times), "slowest_ms": max(times)}


def ceilings() -> dict[str, float]:
    """What bounds the layers: the bfloat16 matrix rate, and how fast all processors can read what L2 holds."""
    return {
        "bfloat16_tflops_8192": matrix_rate(8192, 8192, 8192),
        "bfloat16_tflops_65536x500x500": matrix_rate(65_536, 500, 500),
        "l2_read_tbps": l2_read_rate(),
    }


def matrix_rate(n_rows: int, n_inner: int, n_columns: int) -> float:
    left = torch.randn(n_rows, n_inner, device=DEVICE, dtype=torch.bfloat16)
    right = torch.randn(n_inner, n_columns, device=DEVICE, dtype=torch.bfloat16)
    time = milliseconds(lambda: left @ right, 20)["median_ms"]
    return 2e-9 * n_rows * n_inner * n_columns / time


def l2_read_rate() -> float:
    """TB/s at which every processor reads the same 512 KB, the Gram matrix of 512 atoms in bfloat16, around L1."""
    import triton
    import triton.language as tl

    @triton.jit
    def read(source, sums, n_blocks, N_READS: tl.constexpr, BLOCK: tl.constexpr):
        total = tl.zeros((BLOCK,), tl.float32)
        for index in range(N_READS):
            block = (index + tl.program_id(0)) % n_blocks
            total += tl.load(source + block * BLOCK + tl.arange(0, BLOCK), cache_modifier=".cg").to(tl.float32)
        tl.store(sums + tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), total)

    block, n_reads, n_programs = 4096, 1024, 8 * torch.cuda.get_device_properties(0).multi_processor_count
    source = torch.randn(512 * 512, device=DEVICE).bfloat16()
    sums = torch.empty(n_programs * block, device=DEVICE)
    call = functools.partial(
        read[(n_programs,)], source, sums, source.numel() // block, N_READS=n_reads, BLOCK=block, num_warps=4
    )
    return 1e-9 * n_programs * n_reads * block * source.element_size() / milliseconds(call, 10)["median_ms"]


def load_patches(n_samples: int) -> tuple[str, torch.Tensor]:
    """Unit-norm patches of 784 features, and what they are."""
    folder = Path(os.environ.get("WLSC_DATA_DIR", "")) / "mnist"
    files = [folder / f"{name}-images-idx3-ubyte.gz" for name in ("train", "t10k")]
    random = np.random.default_rng(0)
    if all(file.exists() for file in files):
        name = "MNIST"
        pixels = [np.frombuffer(gzip.decompress(file.read_bytes()), np.uint8, offset=16) for file in files]
        patches = random.permutation(np.concatenate(pixels).reshape(-1, 784))[:n_samples].astype(np.float32)
    else:
        name = "mixtures of random parts"
        parts = random.random((300, 784)) * (random.random((300, 784)) < 0.1)
        weights = random.dirichlet(np.full(300, 0.02), n_samples)
        patches = (weights @ parts + 0.01 * random.random((n_samples, 784))).astype(np.float32)
    patches /= np.linalg.norm(patches, axis=1, keepdims=True)
    return name, torch.from_numpy(patches).to(DEVICE)


def learn_dictionary(patches: torch.Tensor, n_atoms: int) -> torch.Tensor:
    """Atoms after four closed-form updates from batches of the data."""
    dictionary = initialize_dictionary(patches.cpu(), n_atoms, torch.Generator().manual_seed(0)).to(DEVICE)
    for batch in patches[:16_384].chunk(4):
        codes = unroll(*quadratic_terms(batch, dictionary, LAM), 60, spectral_step_size(dictionary))
        dictionary = closed_form_update(SufficientStatistics.of(codes, batch), dictionary, LAM)
    return dictionary


def measure(n_samples: int, n_atoms: int, n_layers: int) -> dict[str, Any]:
    from wlsc.inference import _fused

    data, patches = load_patches(n_samples)
    dictionary = learn_dictionary(patches, n_atoms)
    gram, linear = quadratic_terms(patches, dictionary, LAM)
    step = spectral_step_size(dictionary)
    exact_codes = reference(patches, dictionary, n_layers)
    exact_objective = float(objective_terms(patches.double(), dictionary.double(), exact_codes, LAM).mean())

    def judge(layers: Callable[..., torch.Tensor], repeats: int) -> dict[str, float]:
        def encode() -> torch.Tensor:
            return layers(*quadratic_terms(patches, dictionary, LAM), n_layers, spectral_step_size(dictionary))

        codes = encode().double()
        reached = float(objective_terms(patches.double(), dictionary.double(), codes, LAM).mean())
        alone = milliseconds(lambda: layers(gram, linear, n_layers, step), repeats)
        return {
            "codes_error": float((codes - exact_codes).norm() / exact_codes.norm()),
            "objective_deviation": reached / exact_objective - 1,
            **milliseconds(encode, repeats),
            "layers_ms": alone["median_ms"],
            "layers_tflops": 2e-9 * n_samples * n_atoms**2 * n_layers / alone["median_ms"],
        }

    methods = {"eager float32": judge(unroll, 3)}
    for precision in PRECISIONS:
        methods[f"fused {precision}"] = judge(functools.partial(_fused.fused_unroll, precision=precision), 10)
    problem = {
        "data": data,
        "n_samples": n_samples,
        "n_features": patches.shape[1],
        "n_atoms": n_atoms,
        "n_layers": n_layers,
        "lam": LAM,
        "objective": exact_objective,
        "methods": methods,
        "exact": measure_exact(patches, dictionary),
    }
    if n_atoms <= _fused._MOST_ATOMS_ON_CHIP:
        rows = _fused._tile_launch(_padded(n_atoms), "bfloat16")["ROWS"]
        problem["rows_per_tile"] = rows
        problem["share_of_atoms_in_use"] = share_in_use(gram, linear, n_layers, step, rows)
    return problem


def measure_exact(patches: torch.Tensor, dictionary: torch.Tensor) -> dict[str, Any]:
    """Codes iterated until every sample has its certificate."""
    codes, info = infer_codes(patches, dictionary, LAM, return_info=True)
    return {
        **milliseconds(lambda: infer_codes(patches, dictionary, LAM), 3),
        "solver": info.solver,
        "worst_residual": float(info.residuals.max()),
        "objective": float(objective_terms(patches.double(), dictionary.double(), codes.double(), LAM).mean()),
    }


def reference(patches: torch.Tensor, dictionary: torch.Tensor, n_layers: int) -> torch.Tensor:
    """The same layers in float64, in pieces that fit beside everything else."""
    atoms = dictionary.double()
    step = spectral_step_size(dictionary).double()
    pieces = [unroll(*quadratic_terms(piece.double(), atoms, LAM), n_layers, step) for piece in patches.split(8192)]
    return torch.cat(pieces)


def share_in_use(gram: torch.Tensor, linear: torch.Tensor, n_layers: int, step: torch.Tensor, rows: int) -> float:
    """Mean share of the atoms that a tile of ``rows`` samples uses in a product, with samples in the tiles' order."""
    ordered = linear[linear.argmax(1).argsort(stable=True)]
    ordered = ordered[: len(ordered) // rows * rows]
    codes = extrapolated = torch.zeros_like(ordered)
    shares = []
    for layer in range(n_layers - 1):
        previous = codes
        codes = project_last(extrapolated - step * (extrapolated @ gram - ordered))
        extrapolated = codes + layer / (layer + 3) * (codes - previous)
        in_use = (extrapolated != 0).view(-1, rows, len(gram)).any(1)
        shares.append(float(in_use.float().mean()))
    return statistics.mean(shares)


def sweep_launches(n_samples: int, n_atoms: int, n_layers: int) -> None:
    """Time tile shapes for bfloat16, and print them from the fastest on."""
    from triton.runtime.errors import TritonError

    from wlsc.inference import _fused

    _, patches = load_patches(n_samples)
    dictionary = learn_dictionary(patches, n_atoms)
    terms = quadratic_terms(patches, dictionary, LAM)
    call = functools.partial(_fused.fused_unroll, *terms, n_layers, spectral_step_size(dictionary), "bfloat16")
    results = [(milliseconds(call, 3)["median_ms"], "the package's own")]
    for rows, depth, warps, stages in itertools.product((16, 32), (32, 64), (4, 8, 16), (5, 7)):
        launch = {"ROWS": rows, "DEPTH": depth, "num_warps": warps, "num_stages": stages, "enable_fp_fusion": True}
        try:
            with mock.patch.object(_fused, "_tile_launch", return_value=launch):
                results.append((milliseconds(call, 3)["median_ms"], str(launch)))
        except TritonError as failure:  # more shared memory or registers than there are
            print(f"left out {launch}: {failure}")
    for time, name in sorted(results):
        print(f"{time:8.2f} ms  {name}")


def _padded(n_atoms: int) -> int:
    return 1 << (n_atoms - 1).bit_length()


def streaming_estimate(problem: dict[str, Any], l2_read_tbps: float, share: float) -> float:
    """TFLOP/s of a dense network if reading this share of a bfloat16 Gram matrix per tile and layer took all time."""
    n_operations = 2 * problem["rows_per_tile"] * problem["n_atoms"] ** 2
    n_bytes = 2 * share * problem["n_atoms"] * _padded(problem["n_atoms"])
    return n_operations / n_bytes * l2_read_tbps


def print_report(report: dict[str, Any]) -> None:
    print(report["device"], *(f"{name} {version}" for name, version in report["versions"].items()), sep=" · ")
    for name, value in report["ceilings"].items():
        print(f"{name:32} {value:8.1f}")
    rate = report["ceilings"]["bfloat16_tflops_8192"]
    for problem in report["problems"]:
        print(
            f"\n{problem['data']}: n = {problem['n_samples']}, d = {problem['n_features']}, m = {problem['n_atoms']}, "
            f"T = {problem['n_layers']}, λ = {problem['lam']}, objective {problem['objective']:.6f}"
        )
        print(f"{'':16} {'encoder ms':>11} {'speed-up':>9} {'layers ms':>10} {'TFLOP/s':>8} {'of bf16':>8} ", end="")
        print(f"{'objective':>10} {'codes':>9}")
        eager = problem["methods"]["eager float32"]["median_ms"]
        for name, method in problem["methods"].items():
            print(
                f"{name:16} {method['median_ms']:11.2f} {eager / method['median_ms']:9.1f} {method['layers_ms']:10.2f} "
                f"{method['layers_tflops']:8.1f} {method['layers_tflops'] / rate:8.1%} "
                f"{method['objective_deviation']:10.1e} {method['codes_error']:9.1e}"
            )
        exact = problem["exact"]
        print(f"{'exact':16} {exact['median_ms']:11.2f} {eager / exact['median_ms']:9.1f}, {exact['solver']}, ", end="")
        print(f"worst residual {exact['worst_residual']:.1e}, objective {exact['objective']:.6f}")
        for what, estimate in problem.get("estimated_tflops", {}).items():
            print(f"estimate, L2 alone, {what}: {estimate:.0f} TFLOP/s, {estimate / rate:.0%} of bf16")
    print(
        f"\ntargets for the first problem: encoder {TARGET_SPEEDUP} times eager, objective within "
        f"{TARGET_DEVIATION:g}, layers at {TARGET_SHARE:.0%} of the bf16 rate"
    )


if __name__ == "__main__":
    main()
