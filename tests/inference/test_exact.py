"""Exact codes against SciPy, closed forms and the limits of λ; what is refused; what is left alone."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.spatial import Delaunay
from scipy.spatial.distance import cdist

import wlsc
from tests.inference.degenerate import degenerate_problems
from tests.test_problem import minimum
from wlsc.inference import exact

#: A gap near the rounding of float64, and how far from each other codes are that keep it: less than 3e-11 was seen.
TIGHT, CODES_WITHIN = 1e-12, 1e-9


def problem(seed=0, n_samples=30, n_atoms=8, n_features=5, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_samples, n_features)).astype(dtype), rng.normal(size=(n_atoms, n_features)).astype(dtype)


@pytest.mark.parametrize("lam", [0.0, 0.01, 0.1, 1.0])
def test_objective_equals_scipy(lam):
    patches, dictionary = problem(n_samples=8)
    codes = wlsc.infer_codes(patches, dictionary, lam)
    for patch, code in zip(patches, codes, strict=True):
        value = wlsc.objective(patch[None], dictionary, code[None], lam)
        scale = (1 + 2 * lam) * max(np.sum(patch**2), np.sum(dictionary**2, axis=1).max())
        assert value <= minimum(patch, dictionary, lam) + 1e-6 * scale


@pytest.mark.parametrize(("dtype", "tol"), [(np.float32, 1e-5), (np.float64, 1e-6)])
@pytest.mark.parametrize("lam", [0.0, 0.01, 0.5])
def test_certificate(dtype, tol, lam):
    patches, dictionary = problem(1, n_samples=200, n_atoms=40, n_features=12, dtype=dtype)
    codes, info = wlsc.infer_codes(patches, dictionary, lam, return_info=True)
    assert codes.dtype == dtype
    assert codes.min() >= 0
    np.testing.assert_allclose(codes.sum(axis=1), 1, atol=1e-6)
    assert wlsc.kkt_residual(patches, dictionary, codes, lam).max() <= tol
    assert info.residuals.max() <= tol


@pytest.mark.parametrize("n_samples", [1, 3, 200])
def test_supports_of_many_atoms(n_samples):
    rng = np.random.default_rng(11)
    dictionary = rng.normal(size=(60, 80))  # independent atoms: what they are mixed with comes back
    expected = np.zeros((n_samples, 60))
    for code in expected:
        code[rng.permutation(60)[:45]] = rng.dirichlet(np.full(45, 5.0))
    codes = wlsc.infer_codes(expected @ dictionary, dictionary, 0.0, tol=TIGHT)
    assert (codes > 1e-6).sum(axis=1).min() > 40
    np.testing.assert_allclose(codes, expected, atol=1e-5)  # the root of the gap


def test_large_penalty_is_the_nearest_atom():
    patches, dictionary = problem(2)
    nearest = np.eye(len(dictionary))[cdist(patches, dictionary).argmin(axis=1)]
    np.testing.assert_array_equal(wlsc.infer_codes(patches, dictionary, 1e6), nearest)


def test_small_penalty_is_delaunay():
    rng = np.random.default_rng(3)
    atoms = rng.uniform(-1, 1, size=(12, 2))
    points = rng.uniform(-0.5, 0.5, size=(40, 2))
    triangulation = Delaunay(atoms)
    triangle = triangulation.find_simplex(points)
    points, triangle = points[triangle >= 0], triangle[triangle >= 0]
    transform = triangulation.transform[triangle]
    inner = np.einsum("nij,nj->ni", transform[:, :2], points - transform[:, 2])
    expected = np.zeros((len(points), len(atoms)))
    np.put_along_axis(expected, triangulation.simplices[triangle], np.c_[inner, 1 - inner.sum(1)], axis=1)
    np.testing.assert_allclose(wlsc.infer_codes(points, atoms, 1e-6, tol=1e-11), expected, atol=1e-4)


def test_outputs_and_kinds():
    patches, dictionary = problem(4)
    dense = wlsc.infer_codes(patches, dictionary, 0.1)
    sparse = wlsc.infer_codes(patches, dictionary, 0.1, output="csr")
    assert isinstance(sparse, csr_array)
    np.testing.assert_array_equal(sparse.toarray(), dense)
    tensors = torch.as_tensor(patches), torch.as_tensor(dictionary)
    np.testing.assert_array_equal(wlsc.infer_codes(*tensors, 0.1).numpy(), dense)
    csr = wlsc.infer_codes(*tensors, 0.1, output="csr")
    assert csr.layout == torch.sparse_csr
    np.testing.assert_array_equal(csr.to_dense().numpy(), dense)


@pytest.mark.parametrize(
    "convert", [np.asarray, csr_array, torch.as_tensor, lambda start: torch.as_tensor(start).to_sparse()]
)
def test_initial_codes_change_nothing_but_time(convert):
    patches, dictionary = problem(5)
    cold = wlsc.infer_codes(patches, dictionary, 0.1)
    start = np.random.default_rng(0).dirichlet(np.ones(len(dictionary)), size=len(patches))
    before = start.copy()
    warm = wlsc.infer_codes(patches, dictionary, 0.1, initial_codes=convert(start))
    np.testing.assert_array_equal(start, before)
    assert wlsc.objective(patches, dictionary, warm, 0.1) == pytest.approx(
        wlsc.objective(patches, dictionary, cold, 0.1), rel=1e-6
    )


def test_inputs_are_left_alone():
    patches, dictionary = problem(6)
    copies = patches.copy(), dictionary.copy()
    wlsc.infer_codes(patches, dictionary, 0.1)
    np.testing.assert_array_equal(patches, copies[0])
    np.testing.assert_array_equal(dictionary, copies[1])


def test_no_samples_give_no_codes():
    assert wlsc.infer_codes(np.zeros((0, 3)), np.ones((4, 3)), 0.1).shape == (0, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lam": -0.1}, "lam must be a finite number of at least 0"),
        ({"method": "fast"}, "method must be one of 'exact', 'unrolled', got 'fast'"),
        ({"output": "coo"}, "output must be one of 'dense', 'csr', got 'coo'"),
        ({"method": "unrolled"}, 'n_layers must be given for method="unrolled"'),
        ({"n_layers": 3}, 'n_layers must be given for method="unrolled" and only then'),
        ({"method": "unrolled", "n_layers": 0}, "n_layers must be an integer of at least 1, got 0"),
        ({"method": "unrolled", "n_layers": 3, "tol": 1e-3}, "tol and initial_codes belong to"),
        ({"tol": 0.0}, "tol must be a finite number greater than 0"),
        ({"tol": 1e-15}, "tol must be at least 1.4e-14, the rounding of torch.float64, got 1e-15"),
        ({"initial_codes": np.ones((2, 2))}, r"initial_codes must have shape \(n_samples, n_atoms\) = \(30, 8\)"),
        ({"patches": np.full((30, 5), np.nan)}, "patches must be finite, got 150 NaN"),
        ({"patches": np.zeros((30, 4))}, "agree in the number of features, got 4 and 5"),
    ],
)
def test_bad_input(options, message):
    patches, dictionary = problem()
    with pytest.raises(ValueError, match=message):
        wlsc.infer_codes(**({"patches": patches, "dictionary": dictionary, "lam": 0.1} | options))


@st.composite
def problems(draw):
    patches, dictionary, _ = draw(degenerate_problems())
    scale = 10.0 ** draw(st.integers(-6, 6))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    lam = draw(st.sampled_from([0.0, 1e-6, 1e-3, 0.1, 1.0, 1e3]))
    return (scale * patches).astype(dtype), (scale * dictionary).astype(dtype), lam


def certificate(patches, dictionary, codes, lam):
    """The scale-free gap, written out in float64 with explicit distances."""
    patches, dictionary, codes = (array.astype(np.float64) for array in (patches, dictionary, codes))
    gradient = (codes @ dictionary - patches) @ dictionary.T + lam * cdist(patches, dictionary, "sqeuclidean")
    gap = np.sum(codes * gradient, axis=1) - gradient.min(axis=1)
    largest = np.maximum(np.sum(patches**2, axis=1), np.sum(dictionary**2, axis=1).max())
    return np.where(largest > 0, gap / np.where(largest > 0, (1 + 2 * lam) * largest, 1), 0)


@settings(deadline=None, max_examples=300)
@given(problems(), st.booleans(), st.sampled_from(["dense", "csr"]))
def test_degenerate_problems_are_solved(problem_, warm, output):
    patches, dictionary, lam = problem_
    start = None
    if warm:
        start = (
            np.random.default_rng(0).dirichlet(np.full(len(dictionary), 0.3), size=len(patches)).astype(patches.dtype)
        )
    codes = wlsc.infer_codes(patches, dictionary, lam, initial_codes=start, output=output)
    codes = codes if output == "dense" else codes.toarray()
    assert codes.min() >= 0
    np.testing.assert_allclose(codes.sum(axis=1), 1, atol=1e-6)
    assert certificate(patches, dictionary, codes, lam).max() <= (1e-5 if patches.dtype == np.float32 else 1e-6)


@pytest.mark.parametrize("lam", [0.0, 0.01, 0.5])
def test_the_solver_without_numba_agrees(monkeypatch, lam):
    patches, dictionary = problem(8, n_samples=50, n_atoms=20, n_features=12)
    fast, by_active_set = wlsc.infer_codes(patches, dictionary, lam, tol=TIGHT, return_info=True)
    monkeypatch.setattr(exact, "has_numba", lambda: False)
    slow, by_gradient = wlsc.infer_codes(patches, dictionary, lam, tol=TIGHT, return_info=True)
    assert (by_active_set.solver, by_gradient.solver) == ("active set", "accelerated projected gradient")
    assert certificate(patches, dictionary, slow, lam).max() <= TIGHT
    if lam:  # else codes of more atoms than dimensions are not unique
        np.testing.assert_allclose(fast, slow, atol=CODES_WITHIN)
    else:
        np.testing.assert_allclose(fast @ dictionary, slow @ dictionary, atol=CODES_WITHIN)


def spoiled(solve, rows):
    """A solver whose codes for some samples are far from optimal, and who says so."""

    def solve_badly(patches, dictionary, lam, tol, *options):
        codes, residuals, rounds = solve(patches, dictionary, lam, tol, *options)
        if codes.layout == torch.strided and len(codes) > max(rows):
            codes[rows] = 1 / len(dictionary)
            residuals[rows] = 1.0
        return codes, residuals, rounds

    return solve_badly


def test_what_the_fast_solver_leaves_is_solved_by_the_safe_one_and_named(monkeypatch):
    patches, dictionary = problem(9)
    expected = wlsc.infer_codes(patches, dictionary, 0.1, tol=TIGHT)
    monkeypatch.setattr(exact, "_active_set", spoiled(exact._active_set, [3, 7]))
    codes, info = wlsc.infer_codes(patches, dictionary, 0.1, tol=TIGHT, return_info=True)
    assert info.fallbacks.tolist() == [3, 7]
    assert certificate(patches, dictionary, codes, 0.1).max() <= TIGHT
    np.testing.assert_allclose(codes, expected, atol=CODES_WITHIN)


def test_what_nobody_solves_is_refused(monkeypatch):
    patches, dictionary = problem(10)
    monkeypatch.setattr(exact, "_active_set", spoiled(exact._active_set, [3, 7]))
    monkeypatch.setattr(exact, "_projected_gradient", spoiled(exact._projected_gradient, [0, 1]))
    with pytest.raises(exact.ConvergenceError, match=r"the codes of 2 of 30 samples did not reach tol=1e-06 \(worst"):
        wlsc.infer_codes(patches, dictionary, 0.1)


def test_result_does_not_depend_on_the_number_of_threads():
    patches, dictionary = problem(7, n_samples=3000, n_atoms=30, dtype=np.float32)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        single = wlsc.infer_codes(patches, dictionary, 0.05)
        torch.set_num_threads(3)
        np.testing.assert_array_equal(wlsc.infer_codes(patches, dictionary, 0.05), single)
    finally:
        torch.set_num_threads(before)
