"""Many trainings of one question, one module for each kind of study: receptive fields, clusters, sweeps."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from wlsc.experiments.kinds import study_module


def load_study(name: str, profile: str, folder: Path = Path("studies")) -> Any:
    """Read the study ``folder/profile/name.toml``; a notebook's folder holds ``studies``.

    What it gives is the ``Study`` of the module that the file names under ``measures``.

    Raises
    ------
    ValueError
        If the file is missing, is no TOML, or has an unknown, missing or wrong entry.
    """
    path = folder / profile / f"{name}.toml"
    return import_module(study_module(path)).read_study(path)
