"""Gradients by central differences, one number of a parameter after the other."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

_STEP = 1e-6


def assert_gradient(loss: Callable[[], torch.Tensor], parameter: torch.Tensor, every: int = 1) -> None:
    """Compare ``parameter.grad`` with differences of the loss, in float64, at every so many of its numbers."""
    flat, gradient = parameter.data.view(-1), parameter.grad.view(-1)
    for index in range(0, len(flat), every):
        losses = []
        for change in (_STEP, -_STEP):
            flat[index] += change
            losses.append(float(loss().detach()))
            flat[index] -= change
        assert float(gradient[index]) == pytest.approx((losses[0] - losses[1]) / (2 * _STEP), abs=1e-6)
