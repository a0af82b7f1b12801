"""Accelerated proximal gradient with adaptive restart: the method that works on every device and for every prox."""

from __future__ import annotations

from collections.abc import Callable

import torch

#: Steps between two looks at which samples have converged.
_CHECK_EVERY = 10


def solve_proximal(
    gram: torch.Tensor,
    linear: torch.Tensor,
    step_size: torch.Tensor,
    initial: torch.Tensor,
    prox: Callable[[torch.Tensor], torch.Tensor],
    residual: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor],
    tol: float,
    max_iterations: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Minimise ½xᵀGx − bᵀx + h(x) for every row b of ``linear``, until each residual is at most ``tol``.

    FISTA whose momentum restarts, sample by sample, when it points uphill [1]_; samples that have converged leave the
    batch.

    Parameters
    ----------
    gram
        Shape (n_atoms, n_atoms).
    linear
        Shape (n_samples, n_atoms).
    step_size
        Scalar tensor, at most the inverse of the largest eigenvalue of ``gram``.
    initial
        Start, shape (n_samples, n_atoms); not changed.
    prox
        Proximal operator of ``step_size`` · h, applied to rows.
    residual
        Maps codes, gradient Gx − b and the samples' indices to a residual per sample, zero at the optimum.
    tol
        Residual at which a sample counts as solved.
    max_iterations
        Steps after which the loop ends, solved or not.

    Returns
    -------
    codes : torch.Tensor
        Shape (n_samples, n_atoms).
    residuals : torch.Tensor
        Shape (n_samples,), the residual of each returned code.
    iterations : torch.Tensor
        Shape (n_samples,), steps that each sample took.

    References
    ----------
    .. [1] B. O'Donoghue, E. Candès, Adaptive restart for accelerated gradient schemes, Foundations of Computational
       Mathematics 15 (2015) 715–732.
    """
    codes, residuals = initial.clone(), linear.new_full((linear.shape[0],), float("inf"))
    iterations = torch.zeros(linear.shape[0], dtype=torch.int64, device=linear.device)
    active = torch.arange(linear.shape[0], device=linear.device)
    x, b = initial, linear
    gradient = x @ gram - b
    z, z_gradient = x, gradient
    age = linear.new_zeros(linear.shape[0], 1)
    for iteration in range(max_iterations + 1):
        if iteration % _CHECK_EVERY == 0 or iteration == max_iterations:
            codes[active], residuals[active] = x, residual(x, gradient, active)
            iterations[active] = iteration
            keep = residuals[active] > tol
            if not bool(keep.any()) or iteration == max_iterations:
                break
            if not bool(keep.all()):
                active, x, b, gradient = active[keep], x[keep], b[keep], gradient[keep]
                z, z_gradient, age = z[keep], z_gradient[keep], age[keep]
        following = prox(z - step_size * z_gradient)
        following_gradient = following @ gram - b
        uphill = ((z - following) * (following - x)).sum(1, keepdim=True) > 0
        age = torch.where(uphill, 0, age)
        momentum = age / (age + 3)
        # G is linear, so the gradient at the extrapolated point costs no second product
        z = following + momentum * (following - x)
        z_gradient = following_gradient + momentum * (following_gradient - gradient)
        x, gradient, age = following, following_gradient, age + 1
    return codes, residuals, iterations
