"""Figures that are drawn, saved with their numbers, and the same bytes each time."""

import csv
import json

import numpy as np
import pytest

from wlsc import plots
from wlsc.companion.results import load_claims, save_claims, save_figure

RNG = np.random.default_rng(0)
FIGURES = {
    "curves": lambda: plots.curves(
        {"a": {"WLSC": (np.arange(1, 4), np.ones(3))}, "b": {"x": (np.arange(1, 4), np.ones(3))}}, "x", "y", "xy"
    ),
    "bipartite_graphs": lambda: plots.bipartite_graphs(
        {"a": (RNG.normal(size=(5, 2)), RNG.normal(size=(3, 2)), np.eye(5, 3))}
    ),
    "from_data_to_codes": lambda: plots.from_data_to_codes(
        RNG.normal(size=(5, 2)), RNG.normal(size=(3, 2)), np.eye(5, 3)
    ),
    "filter_grids": lambda: plots.filter_grids({"a": RNG.normal(size=(20, 12)), "b": np.zeros((3, 12))}, (3, 4)),
    "pictures": lambda: plots.pictures({"a": np.eye(4)}, (0, 1)),
    "phase_histogram": lambda: plots.phase_histogram({"WLSC": np.array([0.0, 45, 90]), "none": np.array([])}),
    "receptive_field_plane": lambda: plots.receptive_field_plane(
        {"WLSC": (np.array([0.2]), np.array([0.3]))}, (np.array([0.1, 0.5, 1]), np.array([0.1, 0.5, 1])), np.eye(2)
    ),
    "interval_panels": lambda: plots.interval_panels(
        {"a": (0.0, {"x": (1.0, 0.5, 1.5), "y": (1.0, np.nan, np.nan)}), "b": (-1.0, {"x": (0.0, -1.0, 1.0)})}, "gap"
    ),
    "ranges": lambda: plots.ranges({"p": {"WLSC": (1.0, 0.5, 1.5), "y": (1.0, 1.0, 1.0)}, "q": {"y": (0.0, 0.0, 1.0)}}),
    "sweeps": lambda: plots.sweeps({"p": {"λ": [(0.1, 1.0, 0.5, 1.5), (1.0, 2.0, 2.0, 2.0)]}}, {"λ": {1.0: "exact"}}),
    "embedding": lambda: plots.embedding({"a": RNG.normal(size=(6, 2))}, np.array([0, 1, 2, 0, 1, 2])),
}


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("WLSC_FIGURES_DIR", str(tmp_path / "figures"))
    monkeypatch.setenv("WLSC_CLAIMS_DIR", str(tmp_path / "claims"))
    return tmp_path


@pytest.mark.parametrize("name", FIGURES)
def test_every_panel_is_labelled(name):
    figure = FIGURES[name]()
    for axes in figure.axes:
        assert axes.get_title() or axes.get_title("left") or axes.get_xlabel() or axes.get_ylabel()


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_a_saved_figure_is_the_same_bytes_each_time(folders, suffix):
    contents = []
    for _ in range(2):
        shown = save_figure(FIGURES["curves"](), "f", "quick", {"x": [1, 2, 3], "short": [4]}, suffix)
        contents.append(shown.path.read_bytes())
    assert contents[0] == contents[1]
    assert shown.path == folders / "figures" / f"f{suffix}"
    with (folders / "figures" / "f.csv").open(encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["x", "short"], ["1", "4"], ["2", ""], ["3", ""]]
    assert {path.suffix for path in (folders / "figures").iterdir()} == {suffix, ".csv"}


def test_jupyter_shows_what_was_saved():
    svg = save_figure(FIGURES["curves"](), "f", "quick", {"x": [1]})
    assert svg._repr_mimebundle_()["image/svg+xml"].startswith("<?xml")
    png = save_figure(FIGURES["curves"](), "f", "quick", {"x": [1]}, ".png")
    assert png._repr_mimebundle_()["image/png"].startswith("iVBOR")


def test_claims_come_back(folders):
    save_claims("figure_1a", "quick", {"share": 0.5})
    assert load_claims("figure_1a", "quick") == {"share": 0.5}
    assert json.loads((folders / "claims" / "figure_1a.json").read_text()) == {"share": 0.5}
    with pytest.raises(ValueError, match="must have been saved by the chapter figure_9"):
        load_claims("figure_9", "quick")


def test_models_keep_their_colour():
    figure = FIGURES["curves"]()
    assert figure.axes[0].lines[0].get_color() == plots.COLOURS["WLSC"]


def test_rows_stand_beside_each_other_whichever_panel_lacks_them():
    figure = FIGURES["ranges"]()
    dots = [[float(line.get_ydata()[0]) for line in axes.lines[1::2]] for axes in figure.axes]
    assert dots == [[0, 1], [1]]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["WLSC", "y"]


def test_a_place_of_a_sweep_can_have_a_name():
    axes = FIGURES["sweeps"]().axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.1", "exact"]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [1.0, 2.0])


def test_every_panel_of_intervals_has_its_threshold():
    figure = FIGURES["interval_panels"]()
    assert [axes.lines[-1].get_xdata()[0] for axes in figure.axes] == [0.0, -1.0]
