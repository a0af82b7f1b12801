"""Weighted-ℓ1 sparse coding: codes on the simplex, dictionaries in closed form, and the paper's unrolled network.

``import wlsc`` needs torch and NumPy and loads nothing else; every public name below is imported when it is first used.
"""

from wlsc._lazy import lazy_names

__version__ = "0.1.0"

_PUBLIC = {
    "WLSC": "wlsc.estimator",
    "fit_gabors": "wlsc.analysis.gabor",
    "frank_wolfe_gap": "wlsc.problem",
    "infer_codes": "wlsc.inference.exact",
    "kkt_residual": "wlsc.problem",
    "laplacian_quadratic_form": "wlsc.problem",
    "load_digits": "wlsc.datasets.digits",
    "load_matrix": "wlsc.datasets.matrices",
    "load_patches": "wlsc.datasets.natural_images",
    "objective": "wlsc.problem",
    "project_simplex": "wlsc.simplex",
    "weighted_l1": "wlsc.problem",
}

_SUBMODULES = (
    "analysis", "companion", "datasets", "dictionary", "experiments", "inference", "models", "observed", "plots",
    "problem", "simplex", "training",
)  # fmt: skip

__all__ = ["__version__", *_PUBLIC]

__getattr__, __dir__ = lazy_names("wlsc", _PUBLIC, _SUBMODULES)
