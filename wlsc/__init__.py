"""Weighted-ℓ1 sparse coding: codes on the simplex, dictionaries in closed form, and the paper's unrolled network.

``import wlsc`` needs torch and NumPy and loads nothing else; every public name below is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

#: Public name → module that defines it.
_PUBLIC = {
    "WLSC": "wlsc.estimator",
    "fit_gabors": "wlsc.analysis.gabor",
    "frank_wolfe_gap": "wlsc.problem",
    "infer_codes": "wlsc.inference.exact",
    "kkt_residual": "wlsc.problem",
    "laplacian_quadratic_form": "wlsc.problem",
    "load_digits": "wlsc.datasets.digits",
    "load_patches": "wlsc.datasets.natural_images",
    "objective": "wlsc.problem",
    "project_simplex": "wlsc.simplex",
    "weighted_l1": "wlsc.problem",
}

_SUBMODULES = ("analysis", "datasets", "dictionary", "experiments", "inference", "models", "plots", "training")

__all__ = ["__version__", *_PUBLIC, *_SUBMODULES]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    if name in _SUBMODULES:
        return import_module(f"wlsc.{name}")
    raise AttributeError(f"module 'wlsc' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
