"""Problems that break solvers, as a Hypothesis strategy."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

KINDS = (
    "generic",
    "copies",
    "near copies",
    "grid",
    "line",
    "patches on atoms",
    "some zero atoms",
    "only zero atoms",
    "some zero patches",
    "only zero patches",
)


@st.composite
def degenerate_problems(draw, mirrored=False, most_atoms=40):
    """Patches, a dictionary with copies (``mirrored``: of either sign), lines, grids or zeros, and their generator."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_samples, n_features = draw(st.integers(1, 20)), draw(st.integers(1, 12))
    n_atoms = draw(st.integers(1, most_atoms))
    patches, dictionary = rng.normal(size=(n_samples, n_features)), rng.normal(size=(n_atoms, n_features))
    kind = draw(st.sampled_from(KINDS))
    if kind in ("copies", "near copies"):
        dictionary = dictionary[rng.integers(n_atoms, size=n_atoms)]
        if mirrored:
            dictionary *= rng.choice([-1, 1], size=(n_atoms, 1))
    if kind == "near copies":
        dictionary += 10.0 ** draw(st.integers(-9, -2)) * rng.normal(size=dictionary.shape)
    elif kind == "grid":
        patches, dictionary = np.round(patches), np.round(dictionary)
    elif kind == "line":
        dictionary = dictionary[:, :1] * np.ones(n_features)
    elif kind == "patches on atoms":
        patches = dictionary[rng.integers(n_atoms, size=n_samples)]
    elif kind.endswith("zero atoms"):
        dictionary *= rng.random((n_atoms, 1)) < (0.5 if kind.startswith("some") else 0)
    elif kind.endswith("zero patches"):
        patches *= rng.random((n_samples, 1)) < (0.5 if kind.startswith("some") else 0)
    return patches, dictionary, rng
