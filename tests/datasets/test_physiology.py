from __future__ import annotations

import csv

import numpy as np
import pytest
import scipy.io

from wlsc.datasets.physiology import (
    RINGACH_2002,
    load_nx_ny_counts,
    load_orientation_counts,
    load_phases,
    load_ringach_cells,
    load_spatial_frequency_counts,
)
from wlsc.datasets.registry import REGISTRY


def rows(file: str) -> list[dict[str, float]]:
    with (REGISTRY.parent / "physiology" / file).open() as stream:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(stream)]


class TestTables:
    def test_nx_ny_against_the_rows(self):
        table = load_nx_ny_counts()
        assert table.counts.shape == (5, 5) and table.counts.dtype == np.int64 and table.counts.sum() == 79
        for row in rows("ringach2002_nx_ny_counts.csv"):
            i, j = (
                int(np.argmin(np.abs(edge - row[f"{name}_low"])))
                for name, edge in zip(("nx", "ny"), table.edges, strict=True)
            )
            assert table.edges[0][i + 1] == row["nx_high"] and table.edges[1][j + 1] == row["ny_high"]
            assert table.counts[i, j] == row["count"]

    def test_nx_ny_shares_as_stated_in_the_literature(self):
        counts, (nx, ny) = load_nx_ny_counts().counts, load_nx_ny_counts().edges
        low_nx, low_ny = nx[1:] < 0.303, ny[1:] < 0.303
        assert counts[low_nx].sum() / 79 == pytest.approx(0.316, abs=5e-4)
        assert counts[np.ix_(low_nx, low_ny)].sum() / 79 == pytest.approx(0.241, abs=5e-4)
        assert counts[nx[:-1] > 0.52].sum() / 79 == pytest.approx(0.152, abs=5e-4)

    @pytest.mark.parametrize(
        ("load", "file", "total", "ends"),
        [
            (load_orientation_counts, "devalois1982_orientation_counts.csv", 246, (-22.5, 157.5)),
            (load_spatial_frequency_counts, "devalois1982_spatial_frequency_counts.csv", 139, (0.5, 8)),
        ],
    )
    def test_histograms_against_the_rows(self, load, file, total, ends):
        table = load()
        (edges,) = table.edges
        assert table.counts.tolist() == [row["count"] for row in rows(file)]
        assert table.counts.sum() == total and (edges[0], edges[-1]) == ends
        assert len(table.quantities) == 1 and "1982" not in table.quantities[0] and "(1982)" in table.citation


class TestRingachCells:
    @pytest.fixture
    def cells(self, mirror):
        return load_ringach_cells()

    def test_fields_are_those_of_the_file(self, cells, mirror):
        path = mirror / "physiology" / "ringach_2002_db.mat"
        database = scipy.io.loadmat(path, squeeze_me=True)["db"]
        pairs = {
            "orivar": cells.circular_variance,
            "bw": cells.bandwidth_deg,
            "po": cells.orthogonal_ratio,
            "maxdc": cells.max_rate,
            "mindc": cells.min_rate,
            "maxfirst": cells.first_harmonic,
            "spont": cells.spontaneous_rate,
            "rdepth": cells.depth,
            "unit": cells.unit,
            "expt": cells.experiment,
            "chan": cells.channel,
        }
        for name, values in pairs.items():
            np.testing.assert_array_equal(values, database[name].item())
        assert [str(name) for name in database["animal"].item()] == cells.animal.tolist()

    def test_summary_agrees_with_the_cells(self, cells):
        simple = cells.is_simple
        assert (len(simple), simple.sum()) == (RINGACH_2002.n_cells, RINGACH_2002.n_simple)
        for variances, stated in (
            (cells.circular_variance, RINGACH_2002.circular_variance_quartiles),
            (cells.circular_variance[simple], RINGACH_2002.simple_circular_variance_quartiles),
        ):
            np.testing.assert_allclose(np.quantile(variances, [0.25, 0.5, 0.75]), stated, atol=0.005)

    def test_traps_of_the_file(self, cells):
        measured = np.stack([cells.circular_variance, cells.bandwidth_deg, cells.max_rate, cells.first_harmonic])
        assert len(np.unique(measured, axis=1).T) == 305
        for repeated, original in ((47, 45), (48, 46), (184, 183)):
            np.testing.assert_array_equal(measured[:, repeated], measured[:, original])
        suppressed = np.flatnonzero(cells.max_rate < cells.spontaneous_rate)
        assert suppressed.tolist() == [293] and cells.is_simple[293]


class TestPhases:
    def test_columns_in_any_order(self, tmp_path):
        path = tmp_path / "phases.csv"
        path.write_text("\ufeffcell,phase_deg,ny,nx\na,90,0.4,0.2\nb,1e1,0.5,0.3\n", encoding="utf-8")
        table = load_phases(path)
        assert table.nx.tolist() == [0.2, 0.3]
        assert table.ny.tolist() == [0.4, 0.5]
        assert table.phase_deg.tolist() == [90, 10]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"nx,phase\n1,2\n", "must have the columns nx, ny, phase_deg, got no ny, phase_deg"),
            (b"", "got no nx, ny, phase_deg"),
            (b"nx,ny,phase_deg\n", "at least one row"),
            (b"nx,ny,phase_deg\n1,2,odd\n", "finite numbers, got 'odd' in row 1 of the column phase_deg"),
            (b"nx,ny,phase_deg\n1,2,3\n1,nan,3\n", "got 'nan' in row 2 of the column ny"),
            (b"nx,ny,phase_deg\n1,2\n", "got None in row 1 of the column phase_deg"),
            (b"\xff\xfe\x00nx", "not a CSV file"),
        ],
    )
    def test_what_is_wrong_is_named(self, tmp_path, content, message):
        path = tmp_path / "phases.csv"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message) as caught:
            load_phases(path)
        assert "phases.csv" in str(caught.value)

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(ValueError, match=r"none\.csv is not a CSV file"):
            load_phases(tmp_path / "none.csv")
