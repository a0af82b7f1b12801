"""Checks of arguments, and the one bridge between NumPy and torch.

Every public function takes NumPy arrays or torch tensors and gives back what it was given. `to_torch` is the
way in, `like` the way out. What is wrong with an argument is said in one sentence that names the argument,
what was expected and what came.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch

Array: TypeAlias = "np.ndarray | torch.Tensor"

_FLOATS = (torch.float32, torch.float64)


def to_torch(
    name: str,
    values: Array,
    ndim: int | None = None,
    finite: bool = True,
    dtypes: Sequence[torch.dtype] = _FLOATS,
) -> torch.Tensor:
    """Return ``values`` as a tensor that shares its memory wherever that is possible.

    Parameters
    ----------
    name
        The argument's name, for the message.
    values
        NumPy array or tensor. Integers and booleans become float32; other dtypes outside ``dtypes`` are refused.
    ndim
        Number of dimensions that is required, if any; of two, the second must not be empty.
    finite
        Refuse NaN and infinities.
    dtypes
        Accepted floating-point types.

    Raises
    ------
    ValueError
        If the kind, the type, the rank or a value is not what was asked for.
    """
    if isinstance(values, torch.Tensor):
        tensor = values
    elif isinstance(values, np.ndarray):
        if values.dtype.kind not in "fiub":
            raise ValueError(f"{name} must hold real numbers, got a NumPy array of dtype {values.dtype}")
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
        if any(stride < 0 for stride in values.strides) or not values.flags.writeable:
            values = values.copy()  # torch can hold neither negative strides nor read-only memory
        tensor = torch.from_numpy(values)
    else:
        raise ValueError(f"{name} must be a NumPy array or a torch tensor, got {type(values).__name__}")
    if not tensor.is_floating_point() and not tensor.is_complex():
        tensor = tensor.to(torch.float32)
    if tensor.dtype not in dtypes:
        expected = " or ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
        raise ValueError(f"{name} must be of dtype {expected}, got {str(tensor.dtype).removeprefix('torch.')}")
    if ndim is not None and tensor.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimensions, got shape {tuple(tensor.shape)}")
    if ndim == 2 and tensor.shape[1] == 0:
        raise ValueError(f"{name} must have at least one column, got shape {tuple(tensor.shape)}")
    if finite and not torch.compiler.is_compiling():  # what is traced has no values yet
        _check_finite(name, torch.func.debug_unwrap(tensor))  # under vmap, all samples at once
    return tensor


def _check_finite(name: str, tensor: torch.Tensor) -> None:
    # a sum is several times cheaper than a look at every value; it can overflow, hence the second look
    if not bool(torch.isfinite(tensor.sum())) and (n_bad := int((~torch.isfinite(tensor)).sum())):
        raise ValueError(f"{name} must be finite, got {n_bad} NaN or infinite values of {tensor.numel()}")


def at_least_float32(tensor: torch.Tensor) -> torch.Tensor:
    """Return ``tensor``, in float32 if its precision is lower: for sums and factorisations."""
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor


def like(result: torch.Tensor, template: Array) -> Array:
    """Return ``result`` as the kind that ``template`` is: a tensor as it is, a NumPy array as an array."""
    return result if isinstance(template, torch.Tensor) else result.detach().cpu().numpy()


def check_penalty(lam: float) -> float:
    """Return the penalty weight λ as a float; it must be a finite number of at least 0."""
    try:
        value = float(lam)
    except (TypeError, ValueError):
        raise ValueError(f"lam must be a number of at least 0, got {lam!r}") from None
    if not np.isfinite(value) or value < 0:
        raise ValueError(f"lam must be a finite number of at least 0, got {lam!r}")
    return value


def check_positive(name: str, value: float) -> float:
    """Return ``value`` as a float; it must be a finite number greater than 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a finite number greater than 0, got {value!r}")
    return float(value)


def check_count(name: str, value: int, minimum: int = 1) -> int:
    """Return ``value`` as an int; it must be an integer of at least ``minimum``."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < minimum:
        raise ValueError(f"{name} must be an integer of at least {minimum}, got {value!r}")
    return int(value)


def check_flag(name: str, value: bool) -> bool:
    """Return ``value`` if it is True or False: any other text or number would count as one of them, "no" as True."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def check_choice(name: str, value: str, choices: Sequence[str]) -> str:
    """Return ``value`` if it is one of ``choices``."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return value


def check_file_name(name: str, value: str) -> str:
    """Return ``value`` if it can be the beginning of a visible file's name, in whatever folder that lies."""
    if Path(value).name != value or value.startswith("."):
        raise ValueError(f"{name} must be a plain name without a path, got {value!r}")
    return value


def check_problem(
    patches: Array, dictionary: Array, codes: Array | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Return patches, dictionary and codes as tensors whose shapes, dtypes and devices fit together."""
    y = to_torch("patches", patches, ndim=2)
    atoms = to_torch("dictionary", dictionary, ndim=2)
    if atoms.shape[0] < 1:
        raise ValueError(f"dictionary must hold at least one atom, got shape {tuple(atoms.shape)}")
    if y.shape[1] != atoms.shape[1]:
        raise ValueError(
            f"patches and dictionary must agree in the number of features, got {y.shape[1]} and {atoms.shape[1]}"
        )
    x = None if codes is None else to_torch("codes", codes, ndim=2)
    if x is not None and x.shape != (y.shape[0], atoms.shape[0]):
        raise ValueError(
            f"codes must have shape (n_samples, n_atoms) = {(y.shape[0], atoms.shape[0])}, got {tuple(x.shape)}"
        )
    for name, tensor in (("dictionary", atoms), ("codes", x)):
        if tensor is not None and (tensor.dtype, tensor.device) != (y.dtype, y.device):
            raise ValueError(
                f"{name} must have the dtype and device of patches ({y.dtype} on {y.device}), "
                f"got {tensor.dtype} on {tensor.device}"
            )
    return y, atoms, x
