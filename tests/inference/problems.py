"""Problems of all shapes, offsets and scales for the exact solvers, and what every answer to them must keep."""

from unittest import mock

import numpy as np
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

import wlsc
from tests.inference.degenerate import degenerate_problems
from tests.inference.reference import by_daqp, by_enumeration, scales, values
from wlsc.inference import exact

#: `kkt_residual` that is promised by default.
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-6}

#: λ from which DAQP finds its own problem unbounded.
BEYOND_DAQP = 1e9

#: Atoms up to which every support is tried.
FEW_ATOMS = 6


@st.composite
def moved_problems(draw, most_atoms=40):
    """Patches, dictionary and λ, of either dtype, with an offset on all features or on one, at some scale."""
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    patches, dictionary, _ = draw(degenerate_problems(most_atoms=most_atoms))
    offset = np.zeros(patches.shape[1])
    moved = slice(None) if draw(st.booleans()) else draw(st.integers(0, len(offset) - 1))
    offset[moved] = 10.0 ** draw(st.integers(-3, 6))
    scale = 10.0 ** draw(st.integers(-6, 6))
    lam = draw(st.sampled_from([0.0, 1e-6, 1e-3, 0.1, 0.5, 1.0, 1e3, 1e9, 1e18]))
    return (scale * (patches + offset)).astype(dtype), (scale * (dictionary + offset)).astype(dtype), lam


def coincide(patches, dictionary):
    """Tell whether hardly more than rounding distinguishes samples and atoms, which is refused beside an offset."""
    rows = np.concatenate([patches, dictionary])
    return np.ptp(rows, axis=0).max() < 40 * np.finfo(rows.dtype).eps * np.abs(rows).max()


def check_against_reference(patches, dictionary, lam):
    """Solve in both ways, and hold the codes to the simplex, the certificate and an independent solver."""
    try:
        found = [_solve(patches, dictionary, lam, many) for many in (len(dictionary) + 1, 1)]
    except ValueError as refusal:
        assert "common offset" in str(refusal) and coincide(patches, dictionary)
        return
    reference = _reference(patches, dictionary, lam)
    for codes in found:
        _check(patches, dictionary, lam, codes, reference)


def _solve(patches, dictionary, lam, many):
    """Codes over all inner products of the atoms, or over working sets from so ``many`` atoms."""
    with mock.patch.object(exact, "_MANY_ATOMS", many):
        return wlsc.infer_codes(patches, dictionary, lam)


def _reference(patches, dictionary, lam):
    if len(dictionary) <= FEW_ATOMS:
        return by_enumeration(patches, dictionary, lam)
    if lam < BEYOND_DAQP:
        return by_daqp(patches, dictionary, lam)
    return np.eye(len(dictionary))[cdist(patches, dictionary).argmin(axis=1)]  # the optimum up to 1/λ


def _check(patches, dictionary, lam, codes, reference):
    tolerance = TOLERANCE[patches.dtype.type]
    assert codes.dtype == patches.dtype and codes.min() >= 0
    np.testing.assert_allclose(codes.sum(axis=1), 1, atol=1e-6, rtol=0)
    assert wlsc.kkt_residual(patches, dictionary, codes, lam).max() <= tolerance
    allowed = tolerance * scales(patches, dictionary) + np.finfo(float).tiny
    above = values(patches, dictionary, codes, lam) - values(patches, dictionary, reference, lam)
    assert np.all(above <= allowed), (above / allowed).max()
