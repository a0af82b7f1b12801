"""The projection against brute force and bisection, and its derivative against finite differences."""

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from torch.func import grad, jacrev, vmap

import wlsc


def project_by_enumeration(values):
    """Try every support: on each the projection is a shift, and the closest feasible candidate is the answer."""
    best, best_distance = None, np.inf
    for size in range(1, len(values) + 1):
        for support in map(list, combinations(range(len(values)), size)):
            candidate = np.zeros(len(values))
            candidate[support] = values[support] - (values[support].sum() - 1) / size
            distance = np.sum((candidate - values) ** 2)
            if candidate.min() >= -1e-12 and distance < best_distance:
                best, best_distance = candidate, distance
    return best


def project_by_bisection(values):
    """Solve Σ max(v − τ, 0) = 1 for τ, in float64."""
    values = values.astype(np.float64)
    threshold = brentq(lambda t: np.maximum(values - t, 0).sum() - 1, values.max() - 1, values.max(), xtol=1e-15)
    return np.maximum(values - threshold, 0)


@pytest.mark.equation("eq-projection", "wlsc.project_simplex")
@pytest.mark.parametrize("seed", range(20))
def test_equals_brute_force(seed):
    values = np.random.default_rng(seed).normal(scale=1.5, size=7)
    np.testing.assert_allclose(wlsc.project_simplex(values), project_by_enumeration(values), atol=1e-12)


@pytest.mark.equation("eq-projection", "wlsc.project_simplex")
@pytest.mark.parametrize(("dtype", "precision"), [(np.float32, 1e-6), (np.float64, 1e-12)])
@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e3, 1e6])
def test_equals_bisection_at_every_scale(scale, dtype, precision):
    values = (np.random.default_rng(1).normal(size=(50, 200)) * scale).astype(dtype)
    expected = np.stack([project_by_bisection(row) for row in values])
    np.testing.assert_allclose(wlsc.project_simplex(values), expected, atol=precision)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=30))
def test_satisfies_the_variational_inequality(numbers):
    """P is the projection iff (v − P)·(c − P) ≤ 0 for every corner c of the simplex."""
    values = np.array(numbers)
    projected = wlsc.project_simplex(values)
    assert projected.min() >= 0
    assert projected.sum() == pytest.approx(1, abs=1e-12)
    slack = (np.eye(len(values)) - projected) @ (values - projected)
    assert slack.max() <= 1e-9


def test_any_dimension_and_batch_shape():
    values = torch.randn(3, 4, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for dim in range(-4, 4):
        moved = values.movedim(dim, -1)
        expected = np.apply_along_axis(project_by_bisection, -1, moved.numpy())
        torch.testing.assert_close(wlsc.project_simplex(values, dim).movedim(dim, -1), torch.as_tensor(expected))


def test_bfloat16_is_rounded_only_at_the_end():
    values = torch.randn(8, 40, generator=torch.Generator().manual_seed(0)).bfloat16()
    expected = np.stack([project_by_bisection(row) for row in values.float().numpy()])
    projected = wlsc.project_simplex(values)
    assert projected.dtype == torch.bfloat16
    # unit roundoff of bfloat16, which has 8 significant binary digits
    np.testing.assert_allclose(projected.float().numpy(), expected, rtol=2**-8, atol=1e-6)


def test_derivative_against_finite_differences():
    values = torch.randn(6, 9, generator=torch.Generator().manual_seed(3), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: wlsc.project_simplex(v), (values,))
    assert torch.autograd.gradgradcheck(lambda v: wlsc.project_simplex(v), (values,))


@pytest.mark.parametrize("values", [np.array([1.0, -2.0, 0.5]), torch.tensor([[1.0, 1.0]])])
def test_keeps_kind_and_leaves_the_input_alone(values):
    before = values.copy() if isinstance(values, np.ndarray) else values.clone()
    projected = wlsc.project_simplex(values)
    assert type(projected) is type(values)
    assert projected.dtype == values.dtype
    assert bool((values == before).all())


@pytest.mark.parametrize(
    ("values", "dim", "message"),
    [
        (np.array([1.0, np.nan]), -1, "values must be finite, got 1 NaN"),
        (np.array([np.inf, 0.0]), -1, "values must be finite"),
        (np.array(["a"]), -1, "values must hold real numbers"),
        ([1.0, 2.0], -1, "values must be a NumPy array or a torch tensor, got list"),
        (np.zeros((2, 0)), -1, "at least one entry along dim=-1"),
        (np.zeros(2), 1, "at least one entry along dim=1"),
        (torch.zeros(2, dtype=torch.float16), -1, "got float16"),
    ],
)
def test_bad_input(values, dim, message):
    with pytest.raises(ValueError, match=message):
        wlsc.project_simplex(values, dim)


def derivative_by_definition(projected):
    """I − 11ᵀ/|S| on the support S, zero elsewhere."""
    inside = (projected > 0).double()
    return torch.diag(inside) - torch.outer(inside, inside) / inside.sum()


def test_transforms_of_torch_func():
    values = torch.randn(6, 9, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    projected = wlsc.project_simplex(values)
    assert torch.equal(vmap(wlsc.project_simplex)(values), projected)
    assert torch.equal(vmap(wlsc.project_simplex, in_dims=1, out_dims=1)(values), wlsc.project_simplex(values, 0))
    expected = torch.stack([derivative_by_definition(row) for row in projected])
    torch.testing.assert_close(vmap(jacrev(wlsc.project_simplex))(values), expected)
    gradients = vmap(grad(lambda row: 0.5 * wlsc.project_simplex(row).square().sum()))(values)
    torch.testing.assert_close(gradients, (expected @ projected[:, :, None])[:, :, 0])
    hessian = jacrev(jacrev(lambda row: 0.5 * wlsc.project_simplex(row).square().sum()))(values[0])
    torch.testing.assert_close(hessian, expected[0])


def test_values_are_looked_at_under_vmap_too():
    with pytest.raises(ValueError, match="values must be finite, got 2 NaN or infinite values of 6"):
        vmap(wlsc.project_simplex)(torch.tensor([[1.0, np.nan, 0.0], [np.inf, 1.0, 0.0]]))
