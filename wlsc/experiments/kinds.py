"""The one table of kinds: which module implements a kind of model, of data or of study that a TOML file names."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from wlsc._io.tables import read_toml
from wlsc._validation import check_choice


class Kind(NamedTuple):
    """What implements a kind.

    Attributes
    ----------
    module
        Its module: the sources that decide its numbers are this one and what it imports.
    name
        Its class or function in that module.
    """

    module: str
    name: str

    def load(self) -> Any:
        """Import the class or function."""
        return getattr(import_module(self.module), self.name)


#: Kind of model → its class.
MODEL_KINDS = {
    "wlsc": Kind("wlsc.models.wlsc", "WLSCAutoencoder"),
    "sparse_coding": Kind("wlsc.models.sparse_coding", "SparseCodingAutoencoder"),
    "hard_threshold": Kind("wlsc.models.hard_threshold", "HardThresholdAutoencoder"),
    "ica": Kind("wlsc.models.ica", "IndependentComponents"),
    "k_means": Kind("wlsc.models.k_means", "KMeansFilters"),
    "lld": Kind("wlsc.models.lld", "LLDFilters"),
}

#: Kind of data → the function that loads it.
DATA_KINDS = {
    "natural_images": Kind("wlsc.datasets.natural_images", "load_patches"),
    "digits": Kind("wlsc.datasets.digits", "load_digits"),
    "matrix": Kind("wlsc.datasets.matrices", "load_matrix"),
    "gaussian_digits": Kind("wlsc.datasets.digits", "load_gaussian_digits"),
    "planted": Kind("wlsc.datasets.planted", "load_planted"),
}

#: What a study measures → the module that has its ``read_study`` and ``measure``.
STUDY_KINDS = {
    "receptive_fields": "wlsc.experiments.studies.receptive_fields",
    "clusters": "wlsc.experiments.studies.clusters",
    "neighbours": "wlsc.experiments.studies.neighbours",
    "trainings": "wlsc.experiments.studies.sweeps",
    "topography": "wlsc.experiments.studies.topography",
}


def study_module(path: Path) -> str:
    """Return the name of the module that has ``read_study`` and ``measure`` for the study at ``path``.

    Its file says so under ``measures``.

    Raises
    ------
    ValueError
        If the file is missing, is no TOML, or measures something unknown.
    """
    measures = read_toml(path, "study").get("measures", "receptive_fields")
    check_choice(f"{path}: measures", measures, tuple(STUDY_KINDS))
    return STUDY_KINDS[measures]
