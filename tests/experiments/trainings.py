"""Synthetic trainings of a study of receptive fields, whose units are what a test says they are."""

import numpy as np

from wlsc.experiments.studies.receptive_fields import Cell, Measurement
from wlsc.experiments.units import PRIMARY, Setting

FIT = {"r2": 0.9, "nx": 0.5, "ny": 0.5, "phase_deg": 45.0, "phase_se_deg": 5.0}
#: Of the Gabor function that a fit draws.
DRAWN = {
    "x": 0.0,
    "y": 0.0,
    "orientation_deg": 30.0,
    "frequency": 0.1,
    "sigma_x": 2.0,
    "sigma_y": 2.0,
    "amplitude": 1.0,
    "signed_phase_deg": 45.0,
}
UNITS = {"circular_variance": 0.2, "filter_circular_variance": 0.2, "modulation_ratio": 1.0}


def training(model, seed, n_units, setting: Setting = PRIMARY, live=None, n_pixels=4, fields=("filter",), **columns):
    """A training whose units have these columns of fits and tunings; a column that is not given has one usual value."""
    cell = Cell(model, setting.activity, setting.overcompleteness, setting.variation, seed, tuple(fields))
    unknown = set(columns) - set(FIT) - set(UNITS)
    assert not unknown, unknown
    fit = table(n_units, FIT | DRAWN, columns)
    units = table(n_units, UNITS, columns, live=np.ones(n_units, dtype=bool) if live is None else live)
    filters = np.random.default_rng(seed).normal(size=(n_units, n_pixels))
    summary = {"lam": 0.1, "activity": setting.activity or np.nan, "n_units": n_units, "reached": True, "run": None}
    return Measurement(cell, summary, units, dict.fromkeys(fields, fit), filters)


def table(n_units, usual, columns, **others):
    values = {name: np.broadcast_to(columns.get(name, value), n_units) for name, value in usual.items()} | others
    return np.rec.fromarrays(list(values.values()), names=list(values))
