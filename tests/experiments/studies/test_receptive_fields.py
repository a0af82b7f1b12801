"""Studies: what is matched is matched, what is measured is found again, and every cell is declared."""

import json
import math

import numpy as np
import pytest

import wlsc
from tests.conftest import REPOSITORY
from wlsc import experiments
from wlsc._io.files import runs_folder
from wlsc.datasets.natural_images import load_patches
from wlsc.experiments.kinds import study_module
from wlsc.experiments.matching import match_activity
from wlsc.experiments.studies import receptive_fields

STUDY = """
n_held_out = 200
n_noise = 2000
[data]
kind = "natural_images"
source = "embedded"
options = { patch_size = 8, n_patches = 1500, min_variance = 0.1, resample_images = true }
[training]
n_epochs = 2
batch_size = 500
[models.wlsc]
title = "WLSC"
kind = "wlsc"
lam = 0.1
[models.gaussian]
title = "null"
kind = "wlsc"
like = "wlsc"
data = { gaussian = true }
[models.patches]
title = "patches"
kind = "random_patches"
[models.shuffled]
title = "shuffled"
kind = "phase_shuffled"
like = "wlsc"
[models.ica]
title = "ICA"
kind = "ica"
[variations.mean_removed]
remove_mean = true
[[cells]]
models = ["wlsc", "gaussian", "shuffled"]
activities = [5]
n_seeds = 2
[[cells]]
models = ["wlsc"]
activities = [5]
fields = ["mapped", "mapped_in_image", "filter_in_image"]
[[cells]]
models = ["wlsc"]
activities = [5]
variations = ["mean_removed"]
[[cells]]
models = ["patches", "ica"]
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setenv("WLSC_RUNS_DIR", str(tmp_path / "runs"))
    path = tmp_path / "small.toml"
    path.write_text(STUDY, encoding="utf-8")
    return receptive_fields.read_study(path)


class TestMatching:
    @pytest.mark.parametrize("exponent", [-0.3, -1.0, -2.5])
    @pytest.mark.parametrize("start", [1e-3, 0.1, 30.0])
    def test_a_power_law_is_solved(self, exponent, start):
        match = match_activity(lambda lam: 10 * lam**exponent, 7.0, start, tolerance=0.01)
        assert match.reached
        assert match.lam == pytest.approx((7.0 / 10) ** (1 / exponent), rel=0.05)
        assert match.activity == pytest.approx(7.0, rel=0.01)

    def test_a_curve_that_is_no_power_is_solved(self):
        match = match_activity(lambda lam: 200 / (1 + math.exp(4 * math.log10(lam) + 3)), 20.0, 1.0)
        assert match.reached
        assert match.activity == pytest.approx(20.0, rel=0.05)

    def test_a_target_out_of_reach_is_reported_with_the_nearest_trial(self):
        match = match_activity(lambda lam: min(8.0, 1 / lam), 20.0, 1.0)
        assert not match.reached
        assert match.activity == 8.0
        assert (match.lam, match.activity) in match.trials

    def test_a_jump_over_the_target_is_reported(self):
        match = match_activity(lambda lam: 30.0 if lam < 0.2 else 3.0, 10.0, 1.0)
        assert not match.reached
        lams = sorted(lam for lam, _ in match.trials)
        assert min(abs(lam - 0.2) for lam in lams) < 0.01  # the search closed in on the jump

    @pytest.mark.parametrize("wrong", [{"target": 0}, {"start": -1.0}, {"tolerance": float("nan")}])
    def test_numbers_that_make_no_sense_are_refused(self, wrong):
        given = {"target": 5.0, "start": 1.0, "tolerance": 0.05} | wrong
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be a finite number greater than 0"):
            match_activity(lambda lam: 1 / lam, **given)


def test_every_cell_is_listed_once_with_all_its_fields(study):
    cells = {cell.name: cell for cell in study.list_cells()}
    assert len(cells) == len(study.list_cells()) == 9
    assert cells["wlsc-a5-x1-none-s0"].fields == receptive_fields.FIELDS
    assert cells["wlsc-a5-x1-none-s1"].fields == ("filter",)
    assert cells["ica-own-x1-none-s0"].activity is None


def test_a_cell_has_the_activity_that_was_asked_for(study):
    cell = study.cell("wlsc-a5-x1-none-s0")
    measured = receptive_fields.measure(study, cell)
    assert measured.summary["reached"]
    run = experiments.load_run(runs_folder() / measured.summary["run"])
    # counted anew, on patches drawn here
    options = study.data.options | {"n_patches": 200, "seed": 1_000_000, "resample_images": False}
    patches = load_patches("embedded", **options)
    codes = wlsc.infer_codes(patches, run.dictionary, run.config.model.lam)
    assert (codes != 0).sum(1).mean() == pytest.approx(5.0, rel=0.05)
    np.testing.assert_allclose(measured.units.usage, (codes != 0).mean(0), atol=1e-12)
    assert set(measured.fits) == set(receptive_fields.FIELDS)
    # reverse correlation of codes and the atoms agree about orientation where both are well fitted
    both = (measured.fits["filter"].r2 > 0.8) & (measured.fits["mapped"].r2 > 0.8)
    assert both.sum() >= 3
    turn = np.deg2rad(measured.fits["filter"].orientation_deg - measured.fits["mapped"].orientation_deg)[both]
    assert np.median(np.abs(np.cos(turn))) > 0.95


def test_a_follower_takes_the_lambda_over_and_other_data(study):
    first = receptive_fields.measure(study, study.cell("wlsc-a5-x1-none-s0"))
    null = receptive_fields.measure(study, study.cell("gaussian-a5-x1-none-s0"))
    assert null.summary["lam"] == first.summary["lam"]
    assert not np.array_equal(null.filters, first.filters)


def test_nulls_and_banks_are_measured(study):
    first = receptive_fields.measure(study, study.cell("wlsc-a5-x1-none-s0"))
    shuffled = receptive_fields.measure(study, study.cell("shuffled-a5-x1-none-s0"))
    spectra = [np.abs(np.fft.fft2(m.filters.reshape(-1, 8, 8))) for m in (first, shuffled)]
    np.testing.assert_allclose(*spectra, atol=1e-4)
    patches = receptive_fields.measure(study, study.cell("patches-own-x1-none-s0"))
    data = load_patches("embedded", **study.data.options, seed=0)
    assert all((data == row).all(1).any() for row in patches.filters)
    ica = receptive_fields.measure(study, study.cell("ica-own-x1-none-s0"))
    assert len(ica.units) == len(patches.units)
    assert math.isnan(ica.summary["activity"])


@pytest.mark.parametrize("name", ["wlsc-a5-x1-none-s0", "ica-own-x1-none-s0"])
def test_the_curve_of_a_unit_has_its_circular_variance(study, name):
    units = receptive_fields.measure(study, study.cell(name)).units
    units = units[units.live]
    turns = np.exp(2j * np.pi * np.arange(units.rates.shape[1]) / units.rates.shape[1])  # 180 degrees are a turn
    expected = 1 - np.abs(units.rates @ turns) / units.rates.sum(axis=1)
    np.testing.assert_allclose(units.circular_variance, expected, atol=1e-6)  # of rates in float32


def test_the_mapped_field_of_a_linear_unit_is_its_filter(study):
    cell = study.cell("patches-own-x1-none-s0")
    filters, fields = receptive_fields.measure(study, cell).filters, receptive_fields.map_fields(study, cell)
    assert fields.shape == filters.shape
    cosines = np.sum(filters * fields, 1) / np.linalg.norm(filters, axis=1) / np.linalg.norm(fields, axis=1)
    assert cosines.min() > 0.9  # what is left is noise of the stimuli


def test_a_measurement_is_found_again(study, monkeypatch):
    cell = study.cell("wlsc-a5-x1-none-s1")
    first = receptive_fields.measure(study, cell)

    def refuse(*_):
        raise AssertionError("measured a second time")

    monkeypatch.setattr(receptive_fields, "_measured", refuse)
    again = receptive_fields.measure(study, cell)
    np.testing.assert_array_equal(again.filters, first.filters)
    np.testing.assert_array_equal(again.units, first.units)
    assert again.summary == first.summary


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('models = ["patches", "ica"]', 'models = ["patchs"]'), r"models of cells must be one of .* got 'patchs'"),
        (('variations = ["mean_removed"]', 'variations = ["mean"]'), r"variations of cells must be one of .*'mean'"),
        (('like = "wlsc"', 'like = "nobody"'), r"models\.gaussian\.like must be one of .*'nobody'"),
        (('fields = ["mapped"', 'fields = ["maped"'), r"fields of cells must be one of .*'maped'"),
        (("n_noise = 2000", "n_noize = 2000"), r"did you mean n_noise"),
    ],
)
def test_a_wrong_study_is_refused(tmp_path, change, message):
    path = tmp_path / "wrong.toml"
    path.write_text(STUDY.replace(*change, 1), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        receptive_fields.read_study(path)


def test_an_unknown_cell_is_refused(study):
    with pytest.raises(ValueError, match=r"cell must be one of 'wlsc-a5-x1-none-s0'.* got 'wlsc-a6'"):
        study.cell("wlsc-a6")


@pytest.mark.parametrize("profile", ["quick", "full"])
def test_the_study_of_figure_1a_is_sound(profile):
    path = REPOSITORY / "book" / "studies" / profile / "figure_1a.toml"
    assert study_module(path) == "wlsc.experiments.studies.receptive_fields"
    cells = receptive_fields.read_study(path).list_cells()
    assert len({cell.name for cell in cells}) == len(cells) > 10
    primary = [c for c in cells if (c.activity, c.overcompleteness, c.variation) == (10, 2, "none")]
    seeds = {model: sum(c.model == model for c in primary) for model in ("wlsc", "sparse_coding")}
    assert set(seeds.values()) == {10 if profile == "full" else 3}


def test_a_measurement_holds_no_pickle(study, tmp_path):
    receptive_fields.measure(study, study.cell("patches-own-x1-none-s0"))
    (path,) = (tmp_path / "runs" / "cells").glob("patches-*.npz")
    with np.load(path, allow_pickle=False) as arrays:
        assert json.loads(str(arrays["summary"]))["n_units"] == len(arrays["units"])
