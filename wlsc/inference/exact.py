"""Exact codes: the front that checks, picks a solver, and refuses what is not optimal."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import torch

from wlsc._validation import Array, check_choice, check_count, check_penalty, check_problem, like, to_torch
from wlsc.inference._proximal import solve_proximal
from wlsc.inference.unrolled import encode_unrolled, spectral_step_size
from wlsc.problem import kkt_residual, quadratic_terms, residual_scale
from wlsc.simplex import project_last

#: `kkt_residual` that is asked for by default: what the codes' own rounding leaves within reach.
DEFAULT_TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-6}

_MAX_ITERATIONS = 200_000

#: Codes that the projected gradient holds at a time; bounds its memory.
_CHUNK_ENTRIES = 1 << 25


class ConvergenceError(RuntimeError):
    """No solver brought the codes of some samples to the tolerance that was asked for."""


class InferenceInfo(NamedTuple):
    """How codes were found.

    Attributes
    ----------
    residuals
        `kkt_residual` of each sample, shape (n_samples,).
    iterations
        Iterations (layers) of each sample, shape (n_samples,).
    solver
        Name of the method that was asked first.
    fallbacks
        Indices of the samples that a slower, safer method had to solve.
    """

    residuals: Array
    iterations: Array
    solver: str
    fallbacks: Array


def infer_codes(
    patches: Array,
    dictionary: Array,
    lam: float,
    method: str = "exact",
    tol: float | None = None,
    n_layers: int | None = None,
    initial_codes: Any = None,
    output: str = "dense",
    return_info: bool = False,
) -> Any:
    """Codes on the simplex that minimise ½‖y − Ax‖² + λ Σⱼ xⱼ‖y − aⱼ‖² for every patch.

    Parameters
    ----------
    patches
        Shape (n_samples, n_features), float32 or float64.
    dictionary
        Atoms, shape (n_atoms, n_features), of the dtype and device of ``patches``.
    lam
        Weight λ ≥ 0 of the penalty.
    method
        "exact": the optimum, certified per sample; "unrolled": the paper's network with ``n_layers`` layers.
    tol
        Largest `wlsc.kkt_residual` that is accepted of an exact code: 1e-5 in float32, 1e-6 in float64 by default.
    n_layers
        Number of layers; required by, and only for, "unrolled".
    initial_codes
        Start of the exact method, dense or CSR, shape (n_samples, n_atoms).
    output
        "dense": an array like ``patches``; "csr": a SciPy CSR array, or a torch CSR tensor for tensors.
    return_info
        Also return an `InferenceInfo`.

    Returns
    -------
    codes
        Shape (n_samples, n_atoms), rows on the simplex.
    info : InferenceInfo
        Only with ``return_info``.

    Raises
    ------
    ValueError
        If an argument is not what is described above.
    ConvergenceError
        If not every sample reached ``tol``; nothing that is not optimal is ever returned as exact.
    """
    weight = check_penalty(lam)
    check_choice("method", method, ("exact", "unrolled"))
    check_choice("output", output, ("dense", "csr"))
    y, atoms, _ = check_problem(patches, dictionary)
    if (n_layers is None) != (method == "exact"):
        raise ValueError(f'n_layers must be given for method="unrolled" and only then, got {n_layers} for {method!r}')
    if method == "unrolled":
        if tol is not None or initial_codes is not None:
            raise ValueError('tol and initial_codes belong to method="exact", got one for method="unrolled"')
        with torch.no_grad():
            codes = encode_unrolled(y, atoms, weight, check_count("n_layers", n_layers or 0))
        layers = torch.full((y.shape[0],), n_layers, dtype=torch.int64)
        nobody = torch.zeros(0, dtype=torch.int64)
        info = InferenceInfo(kkt_residual(y, atoms, codes, weight), layers, "unrolled", nobody) if return_info else None
    else:
        tolerance = DEFAULT_TOLERANCE[y.dtype] if tol is None else tol
        if not tolerance > 0:
            raise ValueError(f"tol must be greater than 0, got {tol!r}")
        initial = None if initial_codes is None else _dense_start(initial_codes, y, atoms)
        codes, info = _solve(y, atoms, weight, tolerance, initial)
    result = like(codes, patches) if output == "dense" else _to_csr(codes, patches)
    if not return_info:
        return result
    assert info is not None
    return result, InferenceInfo(
        like(info.residuals, patches), like(info.iterations, patches), info.solver, like(info.fallbacks, patches)
    )


def _solve(
    patches: torch.Tensor, dictionary: torch.Tensor, lam: float, tol: float, initial: torch.Tensor | None
) -> tuple[torch.Tensor, InferenceInfo]:
    """Solve with the fastest method of the device, then what that leaves above ``tol`` in float64 with the safest."""
    on_cpu = patches.device.type == "cpu" and find_spec("numba") is not None
    solver = "active set" if on_cpu else "accelerated projected gradient"
    method = _active_set if on_cpu else _projected_gradient
    with torch.no_grad():
        codes, residuals, iterations = method(patches.detach(), dictionary.detach(), lam, tol, initial)
        failed = torch.nonzero(~(residuals <= tol)).flatten()
        if len(failed):
            again = patches[failed].double(), dictionary.double()
            safe, _, more = _projected_gradient(*again, lam, tol, None if initial is None else initial[failed].double())
            codes[failed] = safe.to(codes)
            # rounding to the precision of the data counts
            residuals[failed] = kkt_residual(patches[failed], dictionary, codes[failed], lam).to(residuals)
            iterations[failed] += more
    n_failed = int((~(residuals <= tol)).sum())
    if n_failed:
        raise ConvergenceError(
            f"the codes of {n_failed} of {len(codes)} samples did not reach tol={tol:g} "
            f"(worst kkt_residual {float(residuals.max()):.3g}); use float64 data or a larger tol"
        )
    return codes, InferenceInfo(residuals, iterations, solver, failed)


def _active_set(
    patches: torch.Tensor, dictionary: torch.Tensor, lam: float, tol: float, initial: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    from wlsc.inference._active_set import solve_active_set

    codes = patches.new_zeros(len(patches), len(dictionary))
    start = None if initial is None else initial.numpy()
    found = solve_active_set(patches.contiguous(), dictionary.contiguous(), lam, tol, start, codes)
    return codes, torch.from_numpy(found.residuals), torch.from_numpy(found.rounds)


def _projected_gradient(
    patches: torch.Tensor, dictionary: torch.Tensor, lam: float, tol: float, initial: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    step_size = spectral_step_size(dictionary)
    n_atoms = len(dictionary)
    chunk = max(_CHUNK_ENTRIES // n_atoms, 1)
    parts = []
    for first in range(0, max(len(patches), 1), chunk):
        some = patches[first : first + chunk]
        gram, linear = quadratic_terms(some, dictionary, lam)
        scale = residual_scale(some, dictionary, lam)
        scale = torch.where(scale > 0, scale, 1)
        start = (
            torch.full_like(linear, 1 / n_atoms) if initial is None else project_last(initial[first : first + chunk])
        )

        def residual(
            codes: torch.Tensor, gradient: torch.Tensor, samples: torch.Tensor, scale: torch.Tensor = scale
        ) -> torch.Tensor:
            return ((codes * gradient).sum(1) - gradient.amin(1)) / scale[samples]

        codes, _, iterations = solve_proximal(
            gram, linear, step_size, start, project_last, residual, tol / 2, _MAX_ITERATIONS
        )
        parts.append((codes, kkt_residual(some, dictionary, codes, lam), iterations))
    codes, residuals, iterations = (torch.cat(part) for part in zip(*parts, strict=True))
    return codes, residuals, iterations


def _dense_start(initial_codes: Any, patches: torch.Tensor, dictionary: torch.Tensor) -> torch.Tensor:
    if isinstance(initial_codes, torch.Tensor):
        dense = initial_codes.to_dense()
    else:
        dense = initial_codes.toarray() if hasattr(initial_codes, "toarray") else initial_codes
    start = to_torch("initial_codes", dense, ndim=2)
    expected = (patches.shape[0], dictionary.shape[0])
    if start.shape != expected:
        raise ValueError(f"initial_codes must have shape (n_samples, n_atoms) = {expected}, got {tuple(start.shape)}")
    return start.to(patches)


def _to_csr(codes: torch.Tensor, template: Array) -> Any:
    if isinstance(template, np.ndarray):
        from scipy.sparse import csr_array

        return csr_array(codes.cpu().numpy())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
        return codes.to_sparse_csr()
