"""Euclidean projection onto the probability simplex, with its derivative."""

from __future__ import annotations

from typing import Any

import torch

from wlsc._validation import Array, at_least_float32, like, to_torch

_DTYPES = (torch.float32, torch.float64, torch.bfloat16)


def project_simplex(values: Array, dim: int = -1) -> Array:
    """Project onto the probability simplex {x : x ≥ 0, Σ x = 1} along one dimension.

    The projection is P(v) = max(v − τ, 0) with the threshold τ = max_k (v₍₁₎ + … + v₍ₖ₎ − 1)/k over the values
    in decreasing order [1]_. It is differentiable almost everywhere: on its support S the derivative is
    I − 11ᵀ/|S|, and zero elsewhere.

    Parameters
    ----------
    values
        Array or tensor of any shape, float32, float64 or bfloat16 (computed in float32).
    dim
        Dimension along which the entries of the result sum to one.

    Returns
    -------
    Array
        The projection, of the shape, kind, dtype and device of ``values``.

    Raises
    ------
    ValueError
        If ``values`` is not finite, is of another dtype, or has no entry along ``dim``.

    References
    ----------
    .. [1] M. Held, P. Wolfe, H. P. Crowder, Validation of subgradient optimization, Mathematical Programming 6
       (1974) 62–88.
    """
    tensor = to_torch("values", values, dtypes=_DTYPES)
    if tensor.ndim == 0 or not -tensor.ndim <= dim < tensor.ndim or tensor.shape[dim] == 0:
        raise ValueError(f"values must have at least one entry along dim={dim}, got shape {tuple(tensor.shape)}")
    return like(project_last(tensor.movedim(dim, -1)).movedim(-1, dim), values)


def project_last(values: torch.Tensor) -> torch.Tensor:
    """`project_simplex` along the last dimension of a floating-point tensor, unchecked: for inner loops.

    Half precision is computed in float32: its sums would be wrong in the second digit.
    """
    return _Projection.apply(at_least_float32(values)).to(values.dtype)


class _Projection(torch.autograd.Function):
    # torch.compile takes neither a rule of ours for vmap nor one for forward derivatives
    generate_vmap_rule = True

    @staticmethod
    def forward(values: torch.Tensor) -> torch.Tensor:
        # The projection ignores a common shift, and whatever lies 1 below the maximum is outside the support:
        # both together bound the numbers that are summed, so that large inputs lose no digits.
        shifted = (values - values.amax(-1, keepdim=True)).clamp(min=-1)
        excess = shifted.sort(-1, descending=True).values.cumsum(-1).sub_(1)
        excess /= torch.arange(1, values.shape[-1] + 1, dtype=values.dtype, device=values.device)
        return (shifted - excess.amax(-1, keepdim=True)).relu_()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        ctx.save_for_backward(output > 0)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        (support,) = ctx.saved_tensors
        inside = gradients[0] * support
        return inside - support * (inside.sum(-1, keepdim=True) / support.sum(-1, keepdim=True))
