"""What samples and atoms have in common changes nothing: codes, objective, certificates, training, closed form."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

import wlsc
from tests.inference.problems import TOLERANCE
from tests.inference.reference import by_daqp
from tests.test_training import draw
from wlsc.dictionary import SufficientStatistics, closed_form_update
from wlsc.inference import exact

OFFSETS = [1e-3, 1.0, 1e3, 1e4, 1e6]
#: Roundings of the offset that results may move by: the data round by half of one, beside differences of order 1.
ROUNDINGS = 100


def moved(offset, dtype, *arrays, feature=0):
    """Arrays with an offset on one feature, as their dtype holds them, and in float64 without it."""
    shifted = []
    for array in arrays:
        rows = array.copy()
        rows[:, feature] += offset
        shifted.append(rows.astype(dtype))
    back = [rows.astype(np.float64) for rows in shifted]
    for rows in back:
        rows[:, feature] -= offset
    return shifted, back


@pytest.fixture(params=["active set", "working sets", "accelerated projected gradient"])
def solver(request, monkeypatch):
    monkeypatch.setattr(exact, "has_numba", lambda: request.param != "accelerated projected gradient")
    monkeypatch.setattr(exact, "_MANY_ATOMS", 1 if request.param == "working sets" else 10**9)
    return request.param


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", OFFSETS)
def test_codes_objective_and_residual(solver, offset, dtype):
    rng = np.random.default_rng(0)
    (patches, atoms), (plain, plain_atoms) = moved(offset, dtype, rng.normal(size=(300, 8)), rng.normal(size=(40, 8)))
    reference = by_daqp(plain, plain_atoms, 0.1)
    codes, info = wlsc.infer_codes(patches, atoms, 0.1, return_info=True)
    assert info.solver == ("active set" if solver == "working sets" else solver)
    best = wlsc.objective(plain, plain_atoms, reference, 0.1)
    tolerance = TOLERANCE[dtype] * 1.2 * 40  # the largest squared length is below 40
    found = wlsc.objective(plain, plain_atoms, codes.astype(np.float64), 0.1)
    assert -1e-7 <= found - best <= tolerance  # codes in float32 sum to 1 up to rounding
    rounding = ROUNDINGS * float(np.finfo(dtype).eps) * max(offset, 1.0)
    assert wlsc.objective(patches, atoms, codes, 0.1) == pytest.approx(found, rel=rounding)
    assert wlsc.weighted_l1(patches, atoms, codes) == pytest.approx(
        np.sum(codes * cdist(plain, plain_atoms, "sqeuclidean")), rel=rounding
    )
    residuals = wlsc.kkt_residual(patches, atoms, codes, 0.1)
    np.testing.assert_allclose(
        residuals, wlsc.kkt_residual(plain, plain_atoms, codes.astype(np.float64), 0.1), atol=rounding
    )
    assert residuals.max() <= TOLERANCE[dtype]
    # the projected gradient ends as soon as the gap is small, and codes differ by its root
    np.testing.assert_allclose(codes, reference, atol=2e-2 if solver == "accelerated projected gradient" else 1e-4)


def test_a_bad_code_is_told_whatever_the_offset():
    """The residual sees what a float64 solver that did not centre called exact: 0.2 % above the optimum at 1,000."""
    rng = np.random.default_rng(0)
    patches, atoms = rng.normal(size=(300, 8)), rng.normal(size=(40, 8))
    codes = rng.dirichlet(np.full(40, 0.1), size=300)
    plain = wlsc.kkt_residual(patches, atoms, codes, 0.1)
    assert plain.min() > 1e-3
    for offset in OFFSETS:
        (y, a), _ = moved(offset, np.float64, patches, atoms)
        np.testing.assert_allclose(wlsc.kkt_residual(y, a, codes, 0.1), plain, rtol=1e-6)
        np.testing.assert_allclose(
            wlsc.frank_wolfe_gap(y, a, codes, 0.1), wlsc.frank_wolfe_gap(patches, atoms, codes, 0.1), rtol=1e-6
        )
        form = wlsc.laplacian_quadratic_form(y[:20], a, codes[:20])
        assert form == pytest.approx(np.sum(codes[:20] * cdist(patches[:20], atoms, "sqeuclidean")), rel=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("lam", [0.0, 0.2])
def test_closed_form_dictionary(offset, dtype, lam):
    rng = np.random.default_rng(1)
    codes = rng.dirichlet(np.full(7, 0.5), size=100)
    (patches, atoms), (plain, _) = moved(offset, dtype, rng.normal(size=(100, 5)), rng.normal(size=(7, 5)))
    tensors = [torch.as_tensor(array.astype(dtype)) for array in (codes, patches, atoms)]
    origin = tensors[2].mean(0)
    updated = closed_form_update(SufficientStatistics.of(tensors[0], tensors[1], origin), tensors[2], lam).numpy()
    system = codes.T @ codes + 2 * lam * np.diag(codes.sum(axis=0))
    expected = (1 + 2 * lam) * np.linalg.solve(system, codes.T @ plain)
    back = updated.astype(np.float64)
    back[:, 0] -= offset
    rounding = ROUNDINGS * float(np.finfo(dtype).eps) * max(offset, 1.0)
    np.testing.assert_allclose(back, expected, atol=rounding)


@pytest.mark.parametrize("offset", [1e3, 1e6])
@pytest.mark.parametrize("initialization", ["data", "k-means++"])
def test_training(offset, initialization):
    options = {"n_atoms": 12, "lam": 0.2, "n_epochs": 4, "batch_size": 200, "tol": 0.0, "random_state": 0}
    (patches,), (plain,) = moved(offset, np.float64, draw().astype(np.float64))
    shifted, reference = (wlsc.WLSC(**options, initialization=initialization).fit(rows) for rows in (patches, plain))
    np.testing.assert_allclose(shifted.history_["objective"], reference.history_["objective"], rtol=1e-6)
    back = shifted.components_.copy()
    back[:, 0] -= offset
    np.testing.assert_allclose(back, reference.components_, atol=1e-6)
    np.testing.assert_allclose(shifted.transform(patches), reference.transform(plain), atol=1e-4)


@pytest.mark.parametrize(("dtype", "offset"), [(np.float32, 1e8), (np.float32, 1e12), (np.float64, 1e16)])
@pytest.mark.parametrize("everywhere", [True, False])
def test_what_the_dtype_cannot_hold_is_refused(dtype, offset, everywhere):
    rng = np.random.default_rng(0)
    patches, atoms = rng.normal(size=(30, 8)), rng.normal(size=(10, 8))
    columns = slice(None) if everywhere else 3
    patches[:, columns] += offset
    atoms[:, columns] += offset
    with pytest.raises(ValueError, match=r"patches and dictionary must differ by at least .* common offset of"):
        wlsc.infer_codes(patches.astype(dtype), atoms.astype(dtype), 0.1)
    with pytest.raises(ValueError, match="common offset"):
        wlsc.WLSC(n_atoms=5, batch_size=30).fit(patches.astype(dtype))
