"""λ and lengths far apart: every row that is returned lies on the simplex and is right, or is refused in a sentence."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

import wlsc
from tests.inference.problems import TOLERANCE
from wlsc.inference import exact

#: Name → λ, factors on samples and atoms.
EXTREMES = {
    "λ = 1e18": (1e18, 1.0, 1.0),
    "λ = 1e30": (1e30, 1.0, 1.0),
    "λ = 1e300": (1e300, 1.0, 1.0),
    "λ = 1.7e308": (1.7e308, 1.0, 1.0),
    "long samples": (0.1, 1e18, 1.0),
    "long samples, λ = 0": (0.0, 1e18, 1.0),
    "short atoms, large λ": (1e12, 1.0, 1e-10),
    "shorter atoms, large λ": (1e12, 1.0, 1e-30),
    "short samples": (0.1, 1e-18, 1.0),
    "all short": (0.1, 1e-15, 1e-15),
    "all long": (0.1, 1e15, 1e15),
}


def draw(name, dtype):
    lam, of_samples, of_atoms = EXTREMES[name]
    rng = np.random.default_rng(0)
    patches, atoms = rng.normal(size=(50, 8)), rng.normal(size=(40, 8))
    return (of_samples * patches).astype(dtype), (of_atoms * atoms).astype(dtype), lam


@pytest.fixture(params=["active set", "working sets", "accelerated projected gradient"])
def solver(request, monkeypatch):
    monkeypatch.setattr(exact, "has_numba", lambda: request.param != "accelerated projected gradient")
    monkeypatch.setattr(exact, "_MANY_ATOMS", 1 if request.param == "working sets" else 10**9)
    return request.param


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", EXTREMES)
def test_rows_lie_on_the_simplex_and_are_right(solver, name, dtype, warm):
    patches, atoms, lam = draw(name, dtype)
    start = np.random.default_rng(1).dirichlet(np.full(40, 0.1), size=50).astype(dtype) if warm else None
    codes, info = wlsc.infer_codes(patches, atoms, lam, initial_codes=start, return_info=True)
    assert codes.min() >= 0
    np.testing.assert_allclose(codes.sum(axis=1), 1, atol=1e-6, rtol=0)
    assert info.residuals.max() <= TOLERANCE[dtype]
    assert wlsc.kkt_residual(patches, atoms, codes, lam).max() <= TOLERANCE[dtype]
    if lam >= 1e18:
        nearest = np.eye(40)[cdist(patches, atoms).argmin(axis=1)]
        np.testing.assert_allclose(codes, nearest, atol=1e-4)
    elif (
        "long samples" in name or "atoms" in name
    ) and not warm:  # a start within the tolerance of such lengths may stay
        farthest = np.eye(40)[(patches.astype(float) @ atoms.astype(float).T).argmax(axis=1)]
        np.testing.assert_allclose(codes, farthest, atol=1e-4)


@pytest.mark.parametrize("name", ["λ = 1e300", "long samples"])
def test_an_objective_that_its_dtype_cannot_hold_is_refused(name):
    patches, atoms, lam = draw(name, np.float32)
    with pytest.raises(ValueError, match="must keep the objective within float32, got inf"):
        wlsc.objective(10 * patches, atoms, wlsc.infer_codes(patches, atoms, lam), lam)


def test_a_row_that_leaves_the_simplex_is_never_returned(monkeypatch):
    """Whatever a solver calls its rows: what does not sum to one is solved again, or refused."""
    patches, atoms, lam = draw("all long", np.float64)
    expected = wlsc.infer_codes(patches, atoms, lam)
    plain = exact.solve_proximal

    def spoiled(*arguments):
        codes, residuals, iterations = plain(*arguments)
        return codes * 0, residuals, iterations

    monkeypatch.setattr(exact, "has_numba", lambda: False)
    assert expected.sum() == pytest.approx(50)
    monkeypatch.setattr(exact, "solve_proximal", spoiled)
    with pytest.raises(exact.ConvergenceError, match="50 of 50 samples"):
        wlsc.infer_codes(patches, atoms, lam)
