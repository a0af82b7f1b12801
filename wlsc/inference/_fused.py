"""All layers of the unrolled network in Triton, for float32 codes on CUDA.

Up to 1,024 atoms, one program carries a tile of samples through all layers (`_layers_kernel`); beyond that, each
layer is a tiled matrix product (`_step_kernel`) and a projection (`_project_kernel`). Both solve an equal problem
that rounds better: since codes sum to one, the Gram matrix can be centred, G − w1ᵀ − 1wᵀ + mean(w) with w the mean
of its rows, if w is taken off the linear term as well; the rest is a constant per sample, which the projection
ignores. Only z₀ = 0 does not sum to one, and the first layer needs no product.

An estimate for one Hopper processor. A tile of R samples and M atoms keeps codes, linear term and accumulator in
float32 in registers: 12·R·M bytes, 192 of the 256 KB at R = 32, M = 512; two buffers of 32 Gram rows in bfloat16
take 64 KB of shared memory. Each layer streams the Gram matrix from L2, which allows R operations per byte: about
175 TFLOP/s, 22 % of a bfloat16 rate of 790 TFLOP/s, at 5.5 TB/s and R = 32. R = 64 would double that but needs
codes in bfloat16, whose rounding takes them off the simplex (the objective on MNIST moves by 7e-4). What is skipped
instead costs no accuracy: rows of atoms that no sample of the tile uses. Samples are sorted by their largest linear
term, so that a tile shares its atoms; on MNIST (500 atoms, λ = 0.5, 100 layers) it then reads about a quarter of
the rows, 8 % in the last layer.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

_LARGEST_TILE = 16_384
_MOST_ATOMS_ON_CHIP = 1_024
_OPERANDS = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16}


def fused_unroll(
    gram: torch.Tensor,
    linear: torch.Tensor,
    n_layers: int,
    step_size: torch.Tensor | float,
    precision: str = "float32",
) -> torch.Tensor:
    """Codes of `wlsc.inference.unrolled.unroll` with its projection onto the simplex, without gradients.

    Parameters
    ----------
    gram
        Gram matrix G of the atoms, float32, shape (n_atoms, n_atoms).
    linear
        Linear term b, float32, shape (n_samples, n_atoms), on the device of ``gram``.
    n_layers
        Number T ≥ 1 of layers.
    step_size
        Step size η > 0, a number or a scalar tensor.
    precision
        Operands of the products with the Gram matrix: "float32" (IEEE), "tf32" or "bfloat16". Sums, steps,
        thresholds and codes are float32 in all three.

    Returns
    -------
    torch.Tensor
        Codes, float32, shape (n_samples, n_atoms).
    """
    if not linear.numel():
        return torch.empty_like(linear)
    step = torch.as_tensor(step_size, dtype=torch.float32, device=linear.device).detach().reshape(1)
    layers = _on_chip if linear.shape[1] <= _MOST_ATOMS_ON_CHIP else _layer_by_layer
    with torch.no_grad(), torch.cuda.device_of(linear):
        return layers(gram, linear.contiguous(), n_layers, step, precision)


def _on_chip(
    gram: torch.Tensor, linear: torch.Tensor, n_layers: int, step: torch.Tensor, precision: str
) -> torch.Tensor:
    n_samples, n_atoms = linear.shape
    width = max(16, triton.next_power_of_2(n_atoms))
    launch = _tile_launch(width, precision)
    n_tiles = triton.cdiv(n_samples, launch["ROWS"])
    weights, shift = _centred(gram, step, width, _OPERANDS[precision])
    order = linear.argmax(1).argsort(stable=True)
    operand = torch.empty(n_tiles * width * launch["ROWS"], dtype=weights.dtype, device=linear.device)
    used = torch.empty(n_tiles * width, dtype=torch.int32, device=linear.device)
    codes = torch.empty_like(linear)
    _layers_kernel[(n_tiles,)](
        codes, linear, weights, shift, step, order, operand, used, n_samples, n_atoms, n_layers,
        WIDTH=width, PRECISION=_input_precision(precision), **launch,
    )  # fmt: skip
    return codes


def _tile_launch(width: int, precision: str) -> dict[str, Any]:
    # A fixed table, not a tuner that times candidates: which tile is chosen decides how sums are rounded, and the same
    # input is to give the same bits in every process.
    rows = min(64, _LARGEST_TILE // width)
    return {
        "ROWS": rows,
        "DEPTH": min(width, 32 if precision == "bfloat16" else 16),
        "num_warps": 8 if rows * width == _LARGEST_TILE else 4,
        "num_stages": 5,  # the Gram rows wait for their numbers: two stages for the one, three for the other
        "enable_fp_fusion": True,
    }


def _layer_by_layer(
    gram: torch.Tensor, linear: torch.Tensor, n_layers: int, step: torch.Tensor, precision: str
) -> torch.Tensor:
    n_samples, n_atoms = linear.shape
    rows = columns = 128
    width = triton.cdiv(n_atoms, columns) * columns
    weights, shift = _centred(gram, step, width, _OPERANDS[precision])
    state = linear.new_zeros(n_samples, width)
    state[:, :n_atoms] = step * (linear - linear.amax(1, keepdim=True))
    constant = state - shift
    operand = torch.zeros(n_samples, width, dtype=weights.dtype, device=linear.device)
    codes = torch.zeros_like(linear)
    thresholds = linear.new_full((n_samples,), -1.0)
    row_width = triton.next_power_of_2(n_atoms)
    for layer in range(n_layers):
        if layer:
            _step_kernel[(triton.cdiv(n_samples, rows) * (width // columns),)](
                state, operand, weights, n_samples, WIDTH=width, ROWS=rows, COLUMNS=columns,
                DEPTH=64 if precision == "bfloat16" else 32, PRECISION=_input_precision(precision),
                num_warps=8, num_stages=3, enable_fp_fusion=True,
            )  # fmt: skip
        _project_kernel[(n_samples,)](
            codes, state, operand, constant, thresholds, n_atoms, width, layer, WIDTH=row_width,
            num_warps=min(16, row_width // 512), enable_fp_fusion=True,
        )  # fmt: skip
    return codes


def _input_precision(precision: str) -> str:
    return "tf32" if precision == "tf32" else "ieee"


def _centred(
    gram: torch.Tensor, step: torch.Tensor, width: int, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """−η times the centred Gram matrix, and η times what centring takes off the linear term, with zeros up to width."""
    exact = gram.double()
    mean = exact.mean(0)
    centred = exact - mean - mean[:, None] + mean.mean()
    weights = torch.zeros(width, width, dtype=dtype, device=gram.device)
    weights[: len(gram), : len(gram)] = -step * centred
    shift = torch.zeros(width, dtype=torch.float32, device=gram.device)
    shift[: len(gram)] = step * mean
    return weights, shift


@triton.jit
def _tangent(values: tl.tensor, threshold: tl.tensor) -> tuple[tl.tensor, tl.tensor]:
    """Newton's next threshold (Σ_S v − 1)/|S| of each row, with S the values above ``threshold``, and |S|."""
    inside = values > threshold[:, None]
    count = tl.sum(inside.to(tl.float32), 1)
    return (tl.sum(tl.where(inside, values, 0.0), 1) - 1) / tl.maximum(count, 1), count


@triton.jit
def _simplex_threshold(values: tl.tensor, start: tl.tensor) -> tl.tensor:
    """Threshold τ of each row with Σ max(v − τ, 0) = 1, by Newton's method from ``start``.

    The sum falls with τ, convex and piecewise linear, so that its tangent at any τ below some value reaches 1 at
    the solution or left of it; max(v) − 1 lies there too, and takes over where ``start`` is above all values. From
    the left τ only rises and the support S only shrinks. The tangent depends on S alone: a step that leaves S as it
    was is the last. The loop therefore ends, at the solution, after at most as many steps as there are values;
    rounding cannot make it cycle, because τ is never allowed to fall.
    """
    threshold, count = _tangent(values, start)
    if tl.min(count, 0) == 0:
        threshold = tl.where(count == 0, tl.max(values, 1) - 1, threshold)
    higher, count = _tangent(values, threshold)
    while tl.max((higher > threshold).to(tl.int32), 0) > 0:
        threshold = tl.maximum(threshold, higher)
        higher, count = _tangent(values, threshold)
    return threshold


@triton.jit(do_not_specialize=["n_layers"])
def _layers_kernel(
    codes: tl.tensor,
    linear: tl.tensor,
    weights: tl.tensor,
    shift: tl.tensor,
    step: tl.tensor,
    order: tl.tensor,
    operand: tl.tensor,
    used: tl.tensor,
    n_samples: int,
    n_atoms: int,
    n_layers: int,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    DEPTH: tl.constexpr,
    PRECISION: tl.constexpr,
) -> None:
    """All layers for the samples order[ROWS·tile : ROWS·(tile + 1)].

    The matrix product needs its left operand in blocks, and registers cannot be indexed: z goes through ``operand``, a
    few tens of KB per tile that stay in cache, as a column of ROWS numbers for each atom in use; ``used`` lists them.
    """
    tile = tl.program_id(0).to(tl.int64)
    place = tl.minimum(tile * ROWS + tl.arange(0, ROWS), n_samples - 1)  # the last tile repeats its last sample
    row = tl.arange(0, ROWS)[:, None]
    atom = tl.arange(0, WIDTH)
    real = (atom < n_atoms)[None, :]
    used += tile * WIDTH
    operand += tile * WIDTH * ROWS

    sample = tl.load(order + place)[:, None] * n_atoms
    constant = tl.load(linear + sample + atom[None, :], mask=real, other=-float("inf"))
    # A maximum of zero keeps thresholds of order one whatever the scale of the data; the projection ignores the shift.
    constant = tl.load(step) * (constant - tl.max(constant, 1)[:, None])
    threshold = _simplex_threshold(constant, tl.full((ROWS,), -1.0, tl.float32))
    current = tl.maximum(constant - threshold[:, None], 0.0)
    constant -= tl.load(shift + atom)[None, :]
    extrapolated = current

    for layer in range(1, n_layers):
        in_use = tl.max((extrapolated != 0).to(tl.int32), 0)
        n_used = tl.sum(in_use, 0)
        before = tl.cumsum(in_use, 0) - in_use
        slot = tl.where(in_use > 0, before, n_used + atom - before)  # atoms in use first, then columns of zeros
        kept = slot < tl.cdiv(n_used, DEPTH) * DEPTH
        tl.debug_barrier()  # until here, other warps may still read what the last layer wrote
        tl.store(used + slot, atom, mask=kept)
        tl.store(operand + slot[None, :] * ROWS + row, extrapolated.to(operand.dtype.element_ty), mask=kept[None, :])
        tl.debug_barrier()

        values = extrapolated + constant
        for first in range(0, n_used, DEPTH):
            block = first + tl.arange(0, DEPTH)
            left = tl.load(operand + block[None, :] * ROWS + row)
            right = tl.load(weights + tl.load(used + block)[:, None] * WIDTH + atom[None, :])
            values = tl.dot(left, right, values, input_precision=PRECISION)

        threshold = _simplex_threshold(values, threshold)
        following = tl.maximum(values - threshold[:, None], 0.0)
        extrapolated = following + layer / (layer + 3) * (following - current)
        current = following

    # Loaded again, because addresses that live through all layers would take registers from the tile.
    sample = tl.load(order + place)[:, None] * n_atoms
    tl.store(codes + sample + atom[None, :], current, mask=real)


@triton.jit
def _step_kernel(
    state: tl.tensor,
    operand: tl.tensor,
    weights: tl.tensor,
    n_samples: int,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
    PRECISION: tl.constexpr,
) -> None:
    """Add operand · weights to ``state``, one block of it per program; blocks side by side share their left operand."""
    across = WIDTH // COLUMNS
    row = (tl.program_id(0) // across).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    column = tl.program_id(0) % across * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    real = row < n_samples
    left_row = operand + tl.minimum(row, n_samples - 1) * WIDTH
    values = tl.load(state + row * WIDTH + column, mask=real, other=0.0)
    for first in range(0, WIDTH, DEPTH):
        block = first + tl.arange(0, DEPTH)
        left = tl.load(left_row + block[None, :])
        right = tl.load(weights + block[:, None] * WIDTH + column)
        values = tl.dot(left, right, values, input_precision=PRECISION)
    tl.store(state + row * WIDTH + column, values, mask=real)


@triton.jit(do_not_specialize=["layer"])
def _project_kernel(
    codes: tl.tensor,
    state: tl.tensor,
    operand: tl.tensor,
    constant: tl.tensor,
    thresholds: tl.tensor,
    n_atoms: int,
    stride: int,
    layer: int,
    WIDTH: tl.constexpr,
) -> None:
    """End a layer for one sample: project ``state``, extrapolate, and begin the next step with z + ``constant``."""
    sample = tl.program_id(0).to(tl.int64) + tl.arange(0, 1)
    atom = tl.arange(0, WIDTH)[None, :]
    real = atom < n_atoms
    code = codes + sample[:, None] * n_atoms + atom
    at = sample[:, None] * stride + atom
    values = tl.load(state + at, mask=real, other=-float("inf"))
    threshold = _simplex_threshold(values, tl.load(thresholds + sample))
    following = tl.maximum(values - threshold[:, None], 0.0)
    extrapolated = following + layer / (layer + 3) * (following - tl.load(code, mask=real, other=0.0))
    tl.store(thresholds + sample, threshold)
    tl.store(code, following, mask=real)
    tl.store(operand + at, extrapolated.to(operand.dtype.element_ty), mask=real)
    tl.store(state + at, extrapolated + tl.load(constant + at, mask=real, other=0.0), mask=real)
