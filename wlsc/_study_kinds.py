"""Which module reads and measures a study: its file says so under ``measures``."""

from __future__ import annotations

from pathlib import Path

from wlsc._tables import read_toml
from wlsc._validation import check_choice

_MODULES = {
    "receptive_fields": "wlsc.studies",
    "clusters": "wlsc.cluster_studies",
    "trainings": "wlsc.sweeps",
}


def study_module(path: Path) -> str:
    """Return the name of the module that has ``read_study`` and ``measure`` for the study at ``path``.

    Raises
    ------
    ValueError
        If the file is missing, is no TOML, or measures something unknown.
    """
    measures = read_toml(path, "study").get("measures", "receptive_fields")
    check_choice(f"{path}: measures", measures, tuple(_MODULES))
    return _MODULES[measures]
