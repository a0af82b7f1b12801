"""What the chapter on maps draws and tabulates, on a made-up dictionary."""

from __future__ import annotations

import csv
import re
from types import SimpleNamespace

import numpy as np
import pytest

from tests.experiments.claims.test_topography import draws
from wlsc.analysis.topography import axial, code_graph, morans_i, sheet_weights, spectrum_cosines, swap_layout
from wlsc.companion import topography
from wlsc.experiments.claims.base import answer
from wlsc.experiments.claims.topography import ask
from wlsc.experiments.studies.receptive_fields import Cell
from wlsc.experiments.studies.topography import Measurement, _describe

SIDE, PIXELS = 5, 8


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("WLSC_FIGURES_DIR", str(tmp_path))


@pytest.fixture(scope="module")
def found():
    """Gratings under an envelope, one of them noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:PIXELS, :PIXELS] - 3.5
    angles, phases = rng.uniform(0, np.pi, SIDE**2), rng.uniform(0, 2 * np.pi, SIDE**2)
    waves = np.cos(
        1.3 * (np.multiply.outer(np.cos(angles), x) + np.multiply.outer(np.sin(angles), y)) + phases[:, None, None]
    )
    filters = (waves * np.exp(-(x**2 + y**2) / 9)).reshape(SIDE**2, -1)
    filters[3] = rng.normal(size=PIXELS**2)
    graph = code_graph(rng.random((200, SIDE**2)) * (rng.random((200, SIDE**2)) < 0.3))
    units = _describe(filters, np.full(SIDE**2, 0.3), graph)
    names = ("orientation", "log frequency", "position", "phase")
    summary = {
        "activity": 8.2,
        **{key: {name: {"I": 0.1, "z": 5.0, "p": 0.01} for name in names} for key in ("graph", "surrogate")},
        "sheets": {layout: dict.fromkeys(names, 0.25) for layout in ("swap", "spectral", "surrogate")},
        "removed": {"0.5": 0.08},
    }
    places = swap_layout(graph, (SIDE, SIDE)).places
    return Measurement(Cell("wlsc", 8.0, 1.0, "none", 0, ("filter",)), summary, units, filters, graph, places)


def rows_of(folder, name):
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_numbers_in_words():
    assert topography.spans([0.5]) == "0.50"
    assert topography.spans([0.1, 0.2, 0.6]) == "0.30 [0.10, 0.60]"
    assert topography.spans([]) == "–"


def test_unknown_orientations_are_gaps_in_the_map(found):
    field = topography.orientation_field(found, SIDE)
    assert np.isnan(field).sum() == np.sum(~found.units.known) > 0
    unit = int(np.flatnonzero(found.units.known)[0])
    expected = np.exp(2j * np.radians(found.units.orientation_deg[unit]))
    assert field[tuple(found.places[unit])] == pytest.approx(expected)


def test_the_slider_goes_from_the_graph_to_the_filters(found):
    order, known = topography.slide(found, SIDE), found.units.known
    assert list(order) == [0.0, 0.25, 0.5, 0.75, 1.0]
    by_spectra = swap_layout(spectrum_cosines(found.filters, (PIXELS, PIXELS)), (SIDE, SIDE)).places[known]
    orientation = axial(found.units.orientation_deg[known])
    expected = morans_i(orientation, sheet_weights(by_spectra, (SIDE, SIDE)), 2).statistic
    # only the scale of the similarity differs
    assert order[1.0] == pytest.approx(expected, abs=0.1)
    assert order[1.0] > order[0.0]


def test_figures_come_with_their_numbers(found, tmp_path):
    topography.draw_sheet(found, SIDE, "quick")
    topography.draw_maps(found, SIDE, "quick")
    topography.draw_profiles({"WLSC": found}, "quick", 50)
    topography.draw_dose_response(found, SIDE, "quick")
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{name}{suffix}"
        for name, own in (
            ("sheet-of-filters", ".png"),
            ("orientation-maps", ".svg"),
            ("similarity-by-distance", ".svg"),
            ("dose-response", ".svg"),
        )
        for suffix in (own, ".csv")
    }
    assert len(rows_of(tmp_path, "sheet-of-filters")) == 1 + SIDE**2
    assert "ring noise: charge" in rows_of(tmp_path, "orientation-maps")[0]
    doses = rows_of(tmp_path, "dose-response")
    assert doses[1][2:] == ["0.0", "0.1"]
    assert doses[2][2:] == ["0.5", "0.08"]


def test_tables(found, tmp_path):
    study = SimpleNamespace(models={"wlsc": SimpleNamespace(title="WLSC")})
    topography.tabulate_models(study, [found], "quick")
    topography.tabulate_layouts([found], "quick")
    topography.tabulate_properties([found], "quick")
    n_left_out = int(np.sum(~found.units.known))
    assert rows_of(tmp_path, "map-models")[1] == [
        "WLSC",
        "8",
        "1",
        "0.10",
        "0.10",
        "0.00",
        "5",
        "0.25",
        str(n_left_out),
    ]
    assert [row[0] for row in rows_of(tmp_path, "map-layouts")[1:]] == [
        "swaps", "2-D spectral, assignment", "swaps, graph of surrogates",
    ]  # fmt: skip
    assert rows_of(tmp_path, "map-properties")[1] == ["orientation", "0.10", "0.10", "5", "0.25"]


def test_the_answer_quotes_what_was_measured(found):
    said = topography.quote_answer([found], SIDE)
    assert list(said) == ["map-first", "map-second", "map-third"]
    assert "is 0.10 on the graph of WLSC's codes" in said["map-first"]
    assert "No other model" in said["map-second"]
    assert "5 × 5 atoms" in said["map-third"]
    measured = draws(wlsc=0.2, peers=0.1, noise=0)
    assert "0.10 for sparse coding and 0.10 for non-negative" in re.sub(
        r"(\d\.\d\d) \[[^]]*\]", "0.10", topography.quote_answer(measured, SIDE)["map-second"]
    )


@pytest.mark.parametrize(("profile", "said"), [("quick", False), ("full", True)])
def test_verdicts_are_in_full_alone(tmp_path, profile, said):
    topography.tabulate_claims(answer(ask(draws(), 16)), profile)
    rows = rows_of(tmp_path, "map-claims")
    assert ("verdict" in rows[0]) == said
    assert [row[0][:2] for row in rows[1:]] == ["T1", "T2", "T3"]
    assert any("**supported**" in cell for cell in rows[1]) == said
