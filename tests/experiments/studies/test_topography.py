"""The study of maps on a few small patches, against the tools that it calls."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from wlsc.analysis.gabor import fit_gabors
from wlsc.analysis.topography import axial, morans_i, sheet_weights
from wlsc.experiments.studies import topography
from wlsc.experiments.studies.topography import measure, measure_all, properties, read_study

STUDY = """
measures = "topography"
n_held_out = 600
side = 6
layouts = ["spectral", "torus", "random_start", "cosines", "spectra", "random", "tsne"]
removed = [0.5]
n_permutations = 50
tolerance = 0.3

[data]
kind = "natural_images"
source = "embedded"
options = { patch_size = 8, n_patches = 800, min_variance = 0.1, resample_images = true }

[training]
n_epochs = 2
batch_size = 400

[models.wlsc]
title = "WLSC"
kind = "wlsc"
lam = 0.1

[models.crossed]
title = "WLSC's atoms, ℓ1 codes"
kind = "wlsc"
like = "wlsc"
encoder = "nonnegative"

[models.random_patches]
title = "random patches"
kind = "random_patches"
encoder = "wlsc"

[models.ica]
title = "ICA"
kind = "ica"
size = 0.5
encoder = "energies"

[[cells]]
models = ["wlsc", "crossed", "random_patches"]
activities = [6]

[[cells]]
models = ["ica"]
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("maps")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WLSC_RUNS_DIR", str(folder / "runs"))
        (folder / "maps.toml").write_text(STUDY, encoding="utf-8")
        yield read_study(folder / "maps.toml")


@pytest.fixture(scope="module")
def measured(study):
    return {found.cell.model: found for found in measure_all(study)}


def test_every_dictionary_fills_the_sheet(measured):
    for name, found in measured.items():
        n_units = 18 if name == "ica" else 36
        assert found.filters.shape == (n_units, 64)
        assert found.graph.shape == (n_units, n_units)
        assert len(np.unique(found.places, axis=0)) == n_units
        assert found.units.known.sum() <= n_units


def test_numbers_are_those_of_the_tools(measured):
    found = measured["wlsc"]
    known = found.units.known
    fits = fit_gabors(found.filters.astype(float), (8, 8))
    np.testing.assert_array_equal(known, (fits.r2 >= 0.5) & found.graph.any(axis=1))
    orientation = axial(fits.orientation_deg[known])
    expected = morans_i(orientation, found.graph[np.ix_(known, known)], 2).statistic
    assert found.summary["graph"]["orientation"]["I"] == pytest.approx(expected)
    weights = sheet_weights(found.places[known], (6, 6))
    expected = morans_i(orientation, weights, 2).statistic
    assert found.summary["sheets"]["swap"]["orientation"] == pytest.approx(expected)
    assert set(found.summary["sheets"]) == {*topography.LAYOUTS, "surrogate"}
    assert set(found.summary["removed"]) == {"0.5"}


def test_activities_are_matched_also_of_codes_over_the_atoms_of_others(measured):
    for name in ("wlsc", "crossed", "random_patches"):
        found = measured[name].summary
        assert found["reached"]
        assert found["activity"] == pytest.approx(6, rel=0.3 + 0.2)  # matched on fewer patches than it is measured on
    np.testing.assert_array_equal(measured["crossed"].filters, measured["wlsc"].filters)
    assert measured["crossed"].summary["activity"] != measured["wlsc"].summary["activity"]


def test_surrogates_differ_from_the_patches_and_are_found_again(study, measured):
    found = measured["wlsc"]
    assert found.summary["surrogate"]["orientation"]["I"] != found.summary["graph"]["orientation"]["I"]
    again = measure(study, found.cell)
    assert again.summary == found.summary
    np.testing.assert_array_equal(again.graph, found.graph)


def test_properties_by_their_definitions(measured):
    units = measured["wlsc"].units
    units = units[units.known]
    named = properties(units)
    angles = np.radians(units.orientation_deg)
    np.testing.assert_allclose(named["cos 2θ"], np.cos(2 * angles))
    np.testing.assert_allclose(named["sin 2θ"], np.sin(2 * angles))
    np.testing.assert_allclose(named["position"], units.x + 1j * units.y)
    np.testing.assert_allclose(named["phase"], np.cos(2 * np.radians(units.phase_deg)))


def test_strata_are_of_equal_size():
    units = np.recarray(45, dtype=[("x", float), ("y", float), ("usage", float)])
    for name in units.dtype.names:
        units[name] = np.random.default_rng(len(name)).random(45)
    strata = topography._strata(units)
    assert np.bincount(strata["usage"]).tolist() == [9] * 5
    assert strata["position"].max() == 8
    assert np.bincount(strata["position"] // 3).tolist() == [15] * 3


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (('encoder = "nonnegative"', 'encoder = "l0"'), "models.crossed.encoder must be one of"),
        (('"spectral", "torus"', '"best"'), "layouts must be one of"),
        (('measures = "topography"', 'measures = "maps"'), "measures must be one of 'topography'"),
    ],
)
@pytest.mark.tried("inputs")
def test_bad_studies(tmp_path: Path, change, sentence):
    path = tmp_path / "maps.toml"
    path.write_text(STUDY.replace(*change), encoding="utf-8")
    with pytest.raises(ValueError, match=sentence):
        read_study(path)


@pytest.mark.tried("inputs")
def test_codes_that_cannot_be_had_are_refused(study):
    cell = study.cell("random_patches-a6-x1-none-s0")
    models = study.models | {"random_patches": topography.ModelSpec("r", "random_patches")}

    with pytest.raises(ValueError, match="encoder of random_patches must be another than 'own'"):
        measure(dataclasses.replace(study, models=models), dataclasses.replace(cell, activity=None))
    with pytest.raises(ValueError, match="activities of random_patches must be given"):
        measure(study, dataclasses.replace(cell, activity=None))
