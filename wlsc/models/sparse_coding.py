"""ℓ1 sparse coding, two-sided and non-negative: the baseline of Figure 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from wlsc._sparse import sum_along
from wlsc._validation import check_flag, check_problem
from wlsc.inference._proximal import solve_proximal
from wlsc.inference.exact import DEFAULT_TOLERANCE, ConvergenceError, has_numba
from wlsc.inference.unrolled import spectral_step_size, unroll
from wlsc.models._unit_norm import UnitNormAutoencoder

_MAX_ITERATIONS = 100_000


class SparseCodingAutoencoder(UnitNormAutoencoder):
    """Minimise ½‖y − Ax‖² + λ‖x‖₁ over x and over atoms of norm 1, by an unrolled network or exactly.

    Parameters
    ----------
    nonnegative
        Keep the codes at or above zero.
    **options
        Those of `UnrolledAutoencoder`.

    References
    ----------
    B. A. Olshausen, D. J. Field, Sparse coding with an overcomplete basis set: a strategy employed by V1?, Vision
    Research 37 (1997) 3311–3325.
    """

    def __init__(
        self,
        n_features: int,
        n_atoms: int,
        lam: float,
        n_layers: int = 15,
        *,
        nonnegative: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(n_features, n_atoms, lam, n_layers, **options)
        self.nonnegative = check_flag("nonnegative", nonnegative)

    def _prox(self, step_size: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
        if self.nonnegative:
            return lambda values: (values - step_size * self.lam).clamp(min=0)
        return lambda values: values.sign() * (values.abs() - step_size * self.lam).clamp(min=0)

    def _layers(self, patches: torch.Tensor) -> torch.Tensor:
        step = self.step_size
        gram, linear = self.dictionary @ self.dictionary.T, patches @ self.dictionary.T
        return unroll(gram, linear, self.n_layers, step, self.n_differentiated, self._prox(step))

    def infer(self, patches: torch.Tensor, initial_codes: torch.Tensor | None = None) -> torch.Tensor:
        """Optimal codes, shape (n_samples, n_atoms), whose duality gap is certified to be small.

        The gap is at most 1e-5 of ‖y‖² in float32 and 1e-6 of it in float64. Samples that float32 cannot bring there
        are solved again in float64. In float32 the certificate itself is rounded, by some 1e-7 ‖x‖₁/λ of ‖y‖².

        Parameters
        ----------
        patches
            Shape (n_samples, n_features), of the dtype and on the device of the dictionary.
        initial_codes
            Start, dense or sparse, shape (n_samples, n_atoms).

        Raises
        ------
        ValueError
            If ``patches`` are not finite, or shapes, dtypes or devices do not fit together.
        ConvergenceError
            If the gap of some samples could not be brought down to that.
        """
        start = None if initial_codes is None else initial_codes.to_dense()
        patches, _, start = check_problem(patches, self.dictionary.detach(), start)
        patches, tol = patches.detach(), DEFAULT_TOLERANCE[patches.dtype]
        with torch.no_grad():
            if patches.device.type == "cpu" and has_numba():
                codes, residuals = self._active_set(patches, start, tol)
            else:
                codes, residuals = self._accelerated_gradient(patches, start, tol)
            failed = torch.nonzero(~(residuals <= tol)).flatten()
            if len(failed):
                again, remaining = self._accelerated_gradient(patches[failed].double(), codes[failed].double(), tol)
                codes[failed], residuals[failed] = again.to(codes), remaining.to(residuals)
        failed = ~(residuals <= tol)
        if bool(failed.any()):
            raise ConvergenceError(
                f"the codes of {int(failed.sum())} of {len(codes)} samples did not reach the relative "
                f"duality gap {tol:g} (worst {float(residuals.max()):.3g})"
            )
        return codes

    def _active_set(
        self, patches: torch.Tensor, start: torch.Tensor | None, tol: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        from wlsc.inference._lasso import solve_lasso

        codes, gaps = solve_lasso(patches, self.dictionary.detach(), self.lam, self.nonnegative, tol, start)
        return codes, gaps / _energy_scale(patches)

    def _accelerated_gradient(
        self, patches: torch.Tensor, start: torch.Tensor | None, tol: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        atoms = self.dictionary.detach().to(patches.dtype)
        step = spectral_step_size(atoms)
        gram, linear = atoms @ atoms.T, patches @ atoms.T
        energy, scale = patches.square().sum(1), _energy_scale(patches)

        def residual(codes: torch.Tensor, gradient: torch.Tensor, samples: torch.Tensor) -> torch.Tensor:
            return self._duality_gap(codes, gradient, linear[samples], energy[samples]) / scale[samples]

        initial = torch.zeros_like(linear) if start is None else start
        codes, residuals, _ = solve_proximal(
            gram, linear, step, initial, self._prox(step), residual, tol, _MAX_ITERATIONS
        )
        return codes, residuals

    def _duality_gap(
        self, codes: torch.Tensor, gradient: torch.Tensor, linear: torch.Tensor, energy: torch.Tensor
    ) -> torch.Tensor:
        # With r = y − Ax: ‖r‖² = ‖y‖² − bᵀx + xᵀg and Aᵀr = −g. The dual point is r, shrunk until it is feasible.
        fit = (linear * codes).sum(1)
        error = (energy - fit + (codes * gradient).sum(1)).clamp(min=0)
        correlation = (-gradient if self.nonnegative else gradient.abs()).amax(1)
        shrink = torch.where(correlation > self.lam, self.lam / correlation, 1)
        primal = 0.5 * error + self.lam * codes.abs().sum(1)
        projection = energy - fit  # yᵀr
        dual = shrink * projection - 0.5 * shrink.square() * error
        return (primal - dual).clamp(min=0)

    def objective(self, patches: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Objective ½‖y − Ax‖² + λ‖x‖₁ of each sample, shape (n_samples,)."""
        residual = patches - self.decode(codes)
        return 0.5 * residual.square().sum(1) + self.lam * sum_along(codes.abs(), 1)


def _energy_scale(patches: torch.Tensor) -> torch.Tensor:
    energy = patches.square().sum(1)
    return torch.where(energy > 0, energy, 1)
