"""Tables of single cells that a reader brings, as CSV and as NWB."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings

from tests.damage import damaged
from wlsc import plots
from wlsc.datasets.physiology import load_cells, load_nx_ny_counts

N_DAMAGED = int(os.environ.get("WLSC_DAMAGED_FILES", "100"))
TEXT = "cell,nx,ny,phase_deg,cv,f1_f0\na,0.3,0.4,10,0.5,1.2\nb,0.5,,80,nan,0.4\n"


def test_a_table_of_text(tmp_path):
    (tmp_path / "cells.csv").write_text(TEXT)
    cells = load_cells(tmp_path / "cells.csv", {"circular_variance": "cv"})
    np.testing.assert_array_equal(cells.nx, [0.3, 0.5])
    np.testing.assert_array_equal(cells.ny, [0.4, np.nan])
    np.testing.assert_array_equal(cells.circular_variance, [0.5, np.nan])
    assert cells.preferred_frequency is None
    assert [column.tolist() for column in cells.known("nx", "ny", "phase_deg")] == [[0.3], [0.4], [10]]
    with pytest.raises(ValueError, match="got none of preferred_frequency"):
        cells.known("nx", "preferred_frequency")


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        (TEXT, {"width": "nx"}, "columns must name properties among nx, .* got width"),
        (TEXT, {"nx": "n_x"}, "must have the columns that columns names, got no n_x"),
        ("a,b\n1,2\n", None, "must have one of the columns nx, .* got a, b"),
        ("nx\n", None, "at least one row"),
        ("nx\nwide\n", None, "finite numbers, got 'wide' in row 1 of the column nx"),
        ("nx\ninf\n", None, "finite numbers, got 'inf'"),
        ("nx,ny\n1\n", None, None),
    ],
)
def test_what_is_no_table_of_cells(tmp_path, text, columns, message):
    (tmp_path / "cells.csv").write_text(text)
    if message is None:  # a row that ends early was not measured further
        assert np.isnan(load_cells(tmp_path / "cells.csv").ny).all()
        return
    with pytest.raises(ValueError, match=message):
        load_cells(tmp_path / "cells.csv", columns)


def test_a_missing_file(tmp_path):
    with pytest.raises(ValueError, match=r"none\.csv is not a table of cells that can be read"):
        load_cells(tmp_path / "none.csv")


@pytest.fixture(scope="module")
def nwb(tmp_path_factory):
    """A file with a table of units, and one with a table in a processing module."""
    import pynwb

    folder = tmp_path_factory.mktemp("nwb")
    for name in ("units", "module"):
        file = pynwb.NWBFile(
            session_description="cells", identifier=name, session_start_time=datetime(2020, 1, 1, tzinfo=UTC)
        )
        if name == "units":
            for column in ("nx", "ny"):
                file.add_unit_column(name=column, description=column)
            for nx, ny in ((0.3, 0.4), (0.5, np.nan)):
                file.add_unit(nx=nx, ny=ny)
        else:
            columns = [
                pynwb.core.VectorData(name="orientation", description="degrees", data=[10.0, 20.0]),
                pynwb.core.VectorData(name="my_cv", description="circular variance", data=[0.2, 0.9]),
            ]
            table = pynwb.core.DynamicTable(name="cells", description="properties of cells", columns=columns)
            file.create_processing_module(name="ophys", description="imaging").add(table)
        with pynwb.NWBHDF5IO(str(folder / f"{name}.nwb"), "w") as stream:
            stream.write(file)
    return folder


def test_units_and_tables_of_modules_of_nwb(nwb):
    cells = load_cells(nwb / "units.nwb")
    np.testing.assert_array_equal(cells.nx, [0.3, 0.5])
    np.testing.assert_array_equal(cells.ny, [0.4, np.nan])
    cells = load_cells(nwb / "module.nwb", {"circular_variance": "my_cv"})
    np.testing.assert_array_equal(cells.circular_variance, [0.2, 0.9])
    with pytest.raises(ValueError, match="must have a table with one of the columns"):
        load_cells(nwb / "module.nwb")


def test_without_pynwb_it_is_asked_for(nwb, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynwb", None)
    with pytest.raises(ValueError, match=r"units\.nwb is an NWB file, which needs the package pynwb"):
        load_cells(nwb / "units.nwb")


def try_damaged(path, content, n_tried):
    path.write_bytes(content)
    try:
        load_cells(path)
    except ValueError as error:
        assert path.name in str(error)
    n_tried.append(1)


def test_damaged_tables_give_cells_or_one_sentence(tmp_path_factory, record_property):
    path, n_tried = tmp_path_factory.mktemp("fuzz") / "cells.csv", []

    @settings(max_examples=N_DAMAGED, deadline=None, database=None)
    @given(content=damaged(TEXT.encode()))
    def read_one(content):
        try_damaged(path, content, n_tried)

    read_one()
    record_property("inputs", len(n_tried))


def test_damaged_nwb_files_give_cells_or_one_sentence(nwb, tmp_path_factory, record_property):
    path, n_tried = tmp_path_factory.mktemp("fuzz") / "cells.nwb", []

    @settings(max_examples=max(N_DAMAGED // 20, 5), deadline=None, database=None)  # pynwb takes its time for each
    @given(content=damaged((nwb / "units.nwb").read_bytes()))
    def read_one(content):
        try_damaged(path, content, n_tried)

    read_one()
    record_property("inputs", len(n_tried))


def test_the_readers_cells_are_drawn_beside_the_models(tmp_path):
    (tmp_path / "cells.csv").write_text("nx,ny\n0.3,0.4\n0.5,\n0.6,0.7\n")
    published = load_nx_ny_counts()
    units = {"WLSC": (np.array([0.2]), np.array([0.2])), "sparse coding": (np.array([1.0]), np.array([1.0]))}
    own = load_cells(tmp_path / "cells.csv").known("nx", "ny")
    figure = plots.receptive_field_plane(units, published.edges, published.counts, tuple(own))
    for axis in figure.axes[:2]:
        np.testing.assert_array_equal(axis.collections[-1].get_offsets(), [[0.3, 0.4], [0.6, 0.7]])
        assert [text.get_text() for text in axis.get_legend().get_texts()] == ["your cells"]
