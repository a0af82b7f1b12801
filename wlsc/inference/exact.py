"""Exact codes: the front that checks, picks a solver, and refuses what is not optimal."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch

from wlsc._validation import (
    Array,
    check_choice,
    check_count,
    check_penalty,
    check_positive,
    check_problem,
    like,
    to_torch,
)
from wlsc.inference._fork import say_that_threads_were_lost
from wlsc.inference._proximal import solve_proximal
from wlsc.inference.unrolled import encode_unrolled, spectral_step_size
from wlsc.problem import (
    SIMPLEX_TOLERANCE,
    balanced_terms,
    centred,
    check_resolved,
    curvature,
    kkt_residual,
    largest_squares,
    unit_of,
)
from wlsc.simplex import project_last

#: `kkt_residual` that is asked for by default: what the codes' own rounding leaves within reach.
DEFAULT_TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-6}

#: Smallest tolerance in units of the precision: below it, rounding decides what a residual says.
_ROUNDING = 64

#: Atoms from which their inner products are no longer worth their memory.
_MANY_ATOMS = 6000

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
        `kkt_residual` of each sample, shape (n_samples,), as far as the precision of the data tells.
    iterations
        Gradients over all atoms (layers) that each sample took, shape (n_samples,).
    solver
        Name of the method that was asked first.
    fallbacks
        Indices of the samples that a slower, safer method had to solve.
    """

    residuals: Array
    iterations: Array
    solver: str
    fallbacks: Array


class _Found(NamedTuple):
    """`InferenceInfo` in tensors."""

    residuals: torch.Tensor
    iterations: torch.Tensor
    solver: str
    fallbacks: torch.Tensor


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
        Largest `wlsc.kkt_residual` that is accepted of an exact code: 1e-5 in float32, 1e-6 in float64 by default;
        at least 64 times the precision (7.6e-6 in float32, 1.4e-14 in float64).
    n_layers
        Number of layers; required by, and only for, "unrolled".
    initial_codes
        Start of the exact method, dense or sparse, shape (n_samples, n_atoms).
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
    say_that_threads_were_lost()
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
            depth = check_count("n_layers", n_layers or 0)
            codes = encode_unrolled(y, atoms, weight, depth)
        layers = torch.full((y.shape[0],), depth, dtype=torch.int64)
        nobody = torch.zeros(0, dtype=torch.int64)
        residuals = torch.as_tensor(kkt_residual(y, atoms, codes, weight)) if return_info else None
        info = None if residuals is None else _Found(residuals, layers, "unrolled", nobody)
    else:
        tolerance = DEFAULT_TOLERANCE[y.dtype] if tol is None else check_positive("tol", tol)
        if tolerance < _ROUNDING * torch.finfo(y.dtype).eps:
            smallest = _ROUNDING * torch.finfo(y.dtype).eps
            raise ValueError(f"tol must be at least {smallest:.2g}, the rounding of {y.dtype}, got {tol!r}")
        initial = None if initial_codes is None else _checked_start(initial_codes, y, atoms)
        check_resolved(y, atoms)
        codes, info = _solve(*centred(y.detach(), atoms.detach()), weight, tolerance, initial, output)
    result = like(codes, patches) if output == "dense" else _like_csr(codes, patches)
    if not return_info:
        return result
    assert info is not None
    return result, InferenceInfo(
        like(info.residuals, patches), like(info.iterations, patches), info.solver, like(info.fallbacks, patches)
    )


def _solve(
    patches: torch.Tensor, dictionary: torch.Tensor, lam: float, tol: float, initial: torch.Tensor | None, output: str
) -> tuple[torch.Tensor, _Found]:
    """Solve with the fastest method of the device, then what that leaves above ``tol`` in float64 with the safest.

    Patches and dictionary are centred. Whoever solves gives codes that leave the simplex an infinite residual.
    """
    with torch.no_grad():
        if patches.device.type == "cpu" and has_numba():
            solver = "active set"
            codes, residuals, iterations = _active_set(patches, dictionary, lam, tol, initial, output)
        else:
            solver = "accelerated projected gradient"
            start = None if initial is None else initial.to_dense()
            codes, residuals, iterations = _projected_gradient(patches, dictionary, lam, tol, start)
        failed = torch.nonzero(~(residuals <= tol)).flatten()
        if len(failed):
            safe, _, more = _projected_gradient(patches[failed].double(), dictionary.double(), lam, tol, None)
            safe = safe.to(codes.dtype)
            codes = _with_rows(codes, failed, safe)
            # rounding to the precision of the data counts
            residuals[failed] = _residuals(patches[failed], dictionary, safe, lam).to(residuals)
            iterations[failed] += more
    n_failed = int((~(residuals <= tol)).sum())
    if n_failed:
        raise ConvergenceError(
            f"the codes of {n_failed} of {len(codes)} samples did not reach tol={tol:g} "
            f"(worst kkt_residual {float(residuals.max()):.3g}); use float64 data or a larger tol"
        )
    return codes, _Found(residuals, iterations, solver, failed)


def has_numba() -> bool:
    """Tell whether the compiled solvers can be used."""
    try:
        import numba  # noqa: F401
    except ModuleNotFoundError:
        return False
    return True


def _active_set(
    patches: torch.Tensor, dictionary: torch.Tensor, lam: float, tol: float, initial: torch.Tensor | None, output: str
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    from wlsc.inference._active_set import Rows, solve_active_set
    from wlsc.inference._working_set import solve_working_sets

    shape = (len(patches), len(dictionary))
    start: np.ndarray | Rows | None = None
    if initial is not None:
        start = initial.numpy() if initial.layout == torch.strided else Rows(*_arrays(initial))
    dense = patches.new_zeros(shape) if output == "dense" else None
    solve = solve_active_set if len(dictionary) < _MANY_ATOMS else solve_working_sets
    solution = solve(
        patches.contiguous(),
        dictionary.contiguous(),
        lam,
        tol,
        start,
        None if dense is None else dense.numpy(),
    )
    if dense is None:
        assert solution.rows is not None
        starts, atoms, values = map(torch.from_numpy, solution.rows)
        dense = _csr(starts, atoms, values, shape)
    return dense, torch.from_numpy(solution.residuals), torch.from_numpy(solution.rounds)


def _projected_gradient(
    patches: torch.Tensor, dictionary: torch.Tensor, lam: float, tol: float, initial: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    n_atoms = len(dictionary)
    chunk = max(_CHUNK_ENTRIES // n_atoms, 1)
    unit = unit_of(patches, dictionary)
    atoms = dictionary / unit
    step_size = spectral_step_size(atoms) / curvature(lam)
    parts = []
    for first in range(0, max(len(patches), 1), chunk):
        some = patches[first : first + chunk] / unit
        gram, linear = balanced_terms(some, atoms, lam)
        scale = largest_squares(some, atoms)
        scale = torch.where(scale > 0, scale, 1)
        if initial is None:  # the best vertex
            best = (linear - gram.diagonal() / 2).argmax(1, keepdim=True)
            start = torch.zeros_like(linear).scatter_(1, best, 1)
        else:
            start = project_last(initial[first : first + chunk])

        def residual(
            codes: torch.Tensor, gradient: torch.Tensor, samples: torch.Tensor, scale: torch.Tensor = scale
        ) -> torch.Tensor:
            return ((codes * gradient).sum(1) - gradient.amin(1)) / scale[samples]

        codes, _, iterations = solve_proximal(
            gram, linear, step_size, start, project_last, residual, tol / 2, _MAX_ITERATIONS
        )
        codes = codes / codes.sum(1, keepdim=True)  # the projection's threshold rounds
        parts.append((codes, _residuals(some, atoms, codes, lam), iterations))
    codes, residuals, iterations = (torch.cat(part) for part in zip(*parts, strict=True))
    return codes, residuals, iterations


def _residuals(patches: torch.Tensor, dictionary: torch.Tensor, codes: torch.Tensor, lam: float) -> torch.Tensor:
    """`kkt_residual` of each sample, infinite where the codes are not on the simplex."""
    on_simplex = ((codes.sum(1) - 1).abs() <= SIMPLEX_TOLERANCE) & (codes >= 0).all(1)
    residuals = patches.new_full((len(codes),), float("inf"), dtype=torch.float64)
    if bool(on_simplex.any()):
        residuals[on_simplex] = torch.as_tensor(kkt_residual(patches[on_simplex], dictionary, codes[on_simplex], lam))
    return residuals


def _checked_start(initial_codes: Any, patches: torch.Tensor, dictionary: torch.Tensor) -> torch.Tensor:
    """Start as a tensor, dense or CSR, with the dtype and on the device of ``patches``."""
    expected = (len(patches), len(dictionary))
    if tuple(getattr(initial_codes, "shape", ())) != expected:
        got = getattr(initial_codes, "shape", type(initial_codes).__name__)
        raise ValueError(f"initial_codes must have shape (n_samples, n_atoms) = {expected}, got {got}")
    if hasattr(initial_codes, "tocsr"):  # SciPy
        rows = initial_codes.tocsr(copy=True)
        rows.sum_duplicates()
        starts, atoms, codes = torch.tensor(rows.indptr), torch.tensor(rows.indices), rows.data
    elif isinstance(initial_codes, torch.Tensor) and initial_codes.layout != torch.strided:
        initial_codes = _compressed(initial_codes)
        starts, atoms, codes = initial_codes.crow_indices(), initial_codes.col_indices(), initial_codes.values()
    else:
        return to_torch("initial_codes", initial_codes, ndim=2).to(patches)
    return _csr(starts, atoms, to_torch("initial_codes", codes).to(patches), expected, check=True)


def _arrays(codes: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Starts, atoms and values of a CSR tensor; rows have fewer than 2³¹ atoms."""
    return codes.crow_indices().numpy(), codes.col_indices().int().numpy(), codes.values().numpy()


def _csr(
    starts: torch.Tensor, atoms: torch.Tensor, codes: torch.Tensor, shape: tuple[int, int], check: bool = False
) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
        return torch.sparse_csr_tensor(
            starts.long(), atoms.long(), codes, shape, device=codes.device, check_invariants=check
        )


def _compressed(codes: torch.Tensor) -> torch.Tensor:
    """Codes of any layout as a CSR tensor."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
        return codes.to_sparse_csr()


def _with_rows(codes: torch.Tensor, samples: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Codes, dense or CSR, with the rows of some samples replaced."""
    if codes.layout == torch.strided:
        codes[samples] = rows
        return codes
    starts, atoms, values = codes.crow_indices(), codes.col_indices(), codes.values()
    owners = torch.arange(len(codes)).repeat_interleave(starts.diff())
    stay = ~torch.isin(owners, samples)
    new, new_atoms = torch.nonzero(rows, as_tuple=True)
    owners = torch.cat([owners[stay], samples[new]])
    order = owners.argsort(stable=True)
    starts = torch.cat([starts[:1], torch.bincount(owners, minlength=len(codes)).cumsum(0)])
    atoms, values = torch.cat([atoms[stay], new_atoms])[order], torch.cat([values[stay], rows[new, new_atoms]])[order]
    return _csr(starts, atoms, values, (codes.shape[0], codes.shape[1]))


def _like_csr(codes: torch.Tensor, template: Array) -> Any:
    """Codes, dense or CSR, as a CSR tensor, or as a SciPy CSR array where ``template`` is a NumPy array."""
    rows = _compressed(codes)
    if isinstance(template, torch.Tensor):
        return rows
    from scipy.sparse import csr_array

    starts, atoms, values = _arrays(rows)
    return csr_array((values, atoms, starts), shape=tuple(rows.shape))
