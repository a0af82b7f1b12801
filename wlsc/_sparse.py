"""Products and sums of codes that are mostly zero."""

from __future__ import annotations

import torch

#: Share of non-zero codes below which a sparse product is the faster one.
_FEW = 0.05


def sparse_if_few(codes: torch.Tensor) -> torch.Tensor:
    """Codes (n_samples, n_atoms) as a sparse COO tensor if few of them are not zero; as they are otherwise.

    On a GPU, in half precision, where a gradient is asked for, and where a transform of torch or a trace hides the
    values, they stay as they are.
    """
    if torch.compiler.is_compiling() or torch.func.debug_unwrap(codes) is not codes:
        return codes
    wanted = torch.is_grad_enabled() and codes.requires_grad
    if codes.is_sparse or not codes.is_cpu or wanted or codes.dtype not in (torch.float32, torch.float64):
        return codes
    return codes.to_sparse() if int(codes.count_nonzero()) < _FEW * codes.numel() else codes


def sum_along(codes: torch.Tensor, dim: int) -> torch.Tensor:
    """Sums of codes along one dimension, as a dense tensor."""
    return torch.sparse.sum(codes, dim).to_dense() if codes.is_sparse else codes.sum(dim)
