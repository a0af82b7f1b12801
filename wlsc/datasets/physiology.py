"""Published measurements of macaque V1, to which models are compared.

Three tables of counts come with the project; the cells of Ringach, Shapley and Hawken (2002) are downloaded
through the registry, and ``RINGACH_2002`` states what is known of them where the file is not at hand.
"""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from wlsc.datasets._errors import brief
from wlsc.datasets._hdf5_files import is_hdf5
from wlsc.datasets.registry import DataError, fetch


@dataclass(frozen=True)
class BinnedCells:
    """A published histogram of cells.

    Parameters
    ----------
    quantities
        What was measured along each axis, with its unit.
    edges
        Bin edges along each axis.
    counts
        Cells in each bin, int64; ``counts[i, j]`` lies between ``edges[0][i]`` and ``edges[0][i + 1]`` on
        the first axis, and so on.
    citation
        Where it was published.
    """

    quantities: tuple[str, ...]
    edges: tuple[np.ndarray, ...]
    counts: np.ndarray
    citation: str


@dataclass(frozen=True)
class RingachCells:
    """The 308 entries of the database behind Ringach, Shapley and Hawken, J. Neurosci. 22:5639 (2002).

    Every array has one value a cell; rates are in spikes per second. The field's name in the file stands in
    brackets. Three entries repeat the measurements of another one (47 = 45, 48 = 46, 184 = 183, counted
    from 0): 305 are distinct.

    Parameters
    ----------
    circular_variance
        Of the orientation tuning curve of the mean rate, 0 (one orientation) … 1 (untuned) [orivar].
    bandwidth_deg
        Half-width of the tuning curve's peak at 1/√2 of its height, in degrees [bw].
    orthogonal_ratio
        Response at the orthogonal over that at the preferred orientation [po].
    max_rate, min_rate
        Highest and lowest mean rate over orientations [maxdc, mindc].
    first_harmonic
        Amplitude of the response at the grating's temporal frequency, at the optimum [maxfirst].
    spontaneous_rate
        Rate without a stimulus [spont].
    depth
        Normalised cortical depth, 0 … 1 [rdepth].
    animal, unit, experiment, channel
        Where the entry comes from [animal, unit, expt, chan].
    """

    circular_variance: np.ndarray
    bandwidth_deg: np.ndarray
    orthogonal_ratio: np.ndarray
    max_rate: np.ndarray
    min_rate: np.ndarray
    first_harmonic: np.ndarray
    spontaneous_rate: np.ndarray
    depth: np.ndarray
    animal: np.ndarray
    unit: np.ndarray
    experiment: np.ndarray
    channel: np.ndarray

    @property
    def is_simple(self) -> np.ndarray:
        """Simple cells: the first harmonic exceeds the evoked mean rate, ``max_rate − spontaneous_rate``.

        Written so, and not as a ratio above 1, it also holds for the one cell that every stimulus
        suppressed (entry 293), whose evoked rate is negative.
        """
        return self.first_harmonic > self.max_rate - self.spontaneous_rate


@dataclass(frozen=True)
class RingachSummary:
    """What is stated of the 308 cells without the file: counts, and quartiles of circular variance."""

    n_cells: int
    n_simple: int
    circular_variance_quartiles: tuple[float, float, float]
    simple_circular_variance_quartiles: tuple[float, float, float]
    citation: str


RINGACH_2002 = RingachSummary(
    n_cells=308,
    n_simple=131,
    circular_variance_quartiles=(0.34, 0.61, 0.78),
    simple_circular_variance_quartiles=(0.24, 0.48, 0.78),
    citation="D. L. Ringach, R. M. Shapley and M. J. Hawken, Orientation selectivity in macaque V1: "
    "diversity and laminar dependence, J. Neurosci. 22:5639 (2002)",
)


@dataclass(frozen=True)
class PhaseTable:
    """Spatial phases cell by cell: ``nx``, ``ny`` (envelope width × frequency) and ``phase_deg`` in degrees."""

    nx: np.ndarray
    ny: np.ndarray
    phase_deg: np.ndarray


@dataclass(frozen=True)
class CellTable:
    """Properties of single cells that a reader supplies, one value a cell; a property that is not in the table is None.

    Attributes
    ----------
    nx, ny
        Envelope width × frequency across and along the bars.
    phase_deg
        Spatial phase in degrees.
    circular_variance
        Of the orientation tuning curve, 0 (one orientation) … 1 (untuned).
    f1_f0
        First harmonic over mean response to a drifting grating.
    preferred_frequency
        Preferred spatial frequency, in whatever unit the table has.
    """

    nx: np.ndarray | None = None
    ny: np.ndarray | None = None
    phase_deg: np.ndarray | None = None
    circular_variance: np.ndarray | None = None
    f1_f0: np.ndarray | None = None
    preferred_frequency: np.ndarray | None = None

    def known(self, *properties: str) -> list[np.ndarray]:
        """Columns of several properties, of the cells in which all of them were measured.

        Raises
        ------
        ValueError
            If the table lacks one of them.
        """
        columns: list[Any] = [getattr(self, name, None) for name in properties]
        if missing := [name for name, column in zip(properties, columns, strict=True) if column is None]:
            raise ValueError(
                f"cells must have the properties {', '.join(properties)}, got none of {', '.join(missing)}"
            )
        measured = np.all([np.isfinite(column) for column in columns], axis=0)
        return [column[measured] for column in columns]


def load_nx_ny_counts() -> BinnedCells:
    """Load simple cells of macaque V1 by nx and ny (5 × 5 bins, 79 cells).

    nx = σx·f and ny = σy·f are the widths of the fitted Gabor's envelope across and along the bars, in
    periods of its carrier. The bins are those of the VOneNet project; cells outside 0.1 … 1.585 on either
    axis are not in the table.
    """
    return _read_counts(
        "ringach2002_nx_ny_counts.csv",
        ("nx", "ny"),
        [("nx_low", "nx_high"), ("ny_low", "ny_high")],
        "D. L. Ringach, Spatial structure and symmetry of simple-cell receptive fields in macaque primary "
        "visual cortex, J. Neurophysiol. 88:455 (2002), as binned by VOneNet",
    )


def load_orientation_counts() -> BinnedCells:
    """Load cells of macaque V1 by preferred orientation in degrees (4 bins, 246 cells), as binned by VOneNet.

    Other projects give the same paper's bins in another order (77, 49, 66, 54): name the source with them.
    """
    return _read_counts(
        "devalois1982_orientation_counts.csv",
        ("preferred orientation / deg",),
        [("orientation_low_deg", "orientation_high_deg")],
        "R. L. De Valois, E. W. Yund and N. Hepler, The orientation and direction selectivity of cells in "
        "macaque visual cortex, Vision Res. 22:531 (1982), as binned by VOneNet",
    )


def load_spatial_frequency_counts() -> BinnedCells:
    """Load cells of macaque V1 by preferred spatial frequency in cycles per degree (8 bins, 139 cells).

    A model has no degrees of visual angle: only the spread in octaves can be compared.
    """
    return _read_counts(
        "devalois1982_spatial_frequency_counts.csv",
        ("preferred spatial frequency / (cycles/deg)",),
        [("frequency_low_cpd", "frequency_high_cpd")],
        "R. L. De Valois, D. G. Albrecht and L. G. Thorell, Spatial frequency selectivity of cells in "
        "macaque visual cortex, Vision Res. 22:545 (1982), as binned by VOneNet",
    )


def load_ringach_cells() -> RingachCells:
    """Load the cells of Ringach, Shapley and Hawken (2002), one entry each.

    Raises
    ------
    DataError
        If the file cannot be had.
    """
    from scipy.io import loadmat

    name = "ringach_2002_db.mat"
    database = loadmat(fetch("physiology", name)[name])["db"][0, 0]
    return RingachCells(
        circular_variance=database["orivar"].ravel(),
        bandwidth_deg=database["bw"].ravel(),
        orthogonal_ratio=database["po"].ravel(),
        max_rate=database["maxdc"].ravel(),
        min_rate=database["mindc"].ravel(),
        first_harmonic=database["maxfirst"].ravel(),
        spontaneous_rate=database["spont"].ravel(),
        depth=database["rdepth"].ravel(),
        animal=np.array([str(cell.item()) for cell in database["animal"].ravel()]),
        unit=database["unit"].ravel().astype(np.int64),
        experiment=database["expt"].ravel().astype(np.int64),
        channel=database["chan"].ravel().astype(np.int64),
    )


def load_phases(path: str | Path) -> PhaseTable:
    """Load a table of spatial phases that the reader supplies: a CSV with the columns ``nx``, ``ny``, ``phase_deg``.

    No such table of the cells in Ringach, J. Neurophysiol. 88:455 (2002), is openly available. Further
    columns are ignored.

    Raises
    ------
    ValueError
        If the file cannot be read, a column is missing, there is no row, or a value is not a finite number.
    """
    return PhaseTable(*_read_columns(Path(path), ("nx", "ny", "phase_deg")))


def load_cells(path: str | Path, columns: Mapping[str, str] | None = None) -> CellTable:
    """Load properties of single cells that the reader supplies: a CSV table, or an NWB file.

    Parameters
    ----------
    path
        A CSV file with a header; or an NWB file (which needs the package ``pynwb``), of which the table of units, or
        the first table of a processing module (such as a plane segmentation), that has such a column is read.
    columns
        Property of `CellTable` → what the file calls its column, where that is another name.

    Returns
    -------
    CellTable
        float64, one value a cell; NaN where a cell was not measured (an empty cell, or ``nan``).

    Raises
    ------
    ValueError
        If the file cannot be read, has none of the columns, lacks one of ``columns``, holds no row, or a value is
        neither a number nor missing; or if it is an NWB file and ``pynwb`` is not installed.
    """
    path = Path(path).expanduser()
    properties = [field.name for field in fields(CellTable)]
    renamed = dict(columns or {})
    if unknown := [name for name in renamed if name not in properties]:
        raise ValueError(f"columns must name properties among {', '.join(properties)}, got {', '.join(unknown)}")
    wanted = {name: renamed.get(name, name) for name in properties}
    table = _read_nwb(path, set(wanted.values())) if _is_hdf5_file(path) else _read_texts(path)
    if missing := [column for column in renamed.values() if column not in table]:
        raise ValueError(f"{path} must have the columns that columns names, got no {', '.join(missing)}")
    found = {
        name: np.array([_to_measurement(value, column, row, path) for row, value in enumerate(table[column], 1)])
        for name, column in wanted.items()
        if column in table
    }
    if not found:
        raise ValueError(f"{path} must have one of the columns {', '.join(wanted.values())}, got {', '.join(table)}")
    return CellTable(**found)


def _is_hdf5_file(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return is_hdf5(stream.read(520))
    except OSError as error:
        raise ValueError(f"{path} is not a table of cells that can be read ({error})") from None


def _read_texts(path: Path) -> dict[str, Sequence[Any]]:
    """Columns of a CSV file, as text."""
    header, rows = _read_rows(path)
    _check_rows(path, rows)
    return {column: [row[column] for row in rows] for column in header}


def _read_nwb(path: Path, wanted: set[str]) -> dict[str, Sequence[Any]]:
    """Columns of the first table of an NWB file that has any of those wanted."""
    try:
        from pynwb import NWBHDF5IO
    except ImportError:
        raise ValueError(f"{path} is an NWB file, which needs the package pynwb: pip install pynwb") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other versions of the format
            with NWBHDF5IO(str(path), "r") as stream:
                for table in _nwb_tables(stream.read()):
                    names = [name for name in table.colnames if name in wanted]
                    if names:
                        return {name: np.asarray(table[name][:]).tolist() for name in names}
    except Exception as error:  # of the format, of HDF5, or of what a damaged file makes of either
        raise ValueError(f"{path} is not an NWB file that can be read ({brief(error)})") from None
    raise ValueError(f"{path} must have a table with one of the columns {', '.join(sorted(wanted))}, got none")


def _nwb_tables(file: Any) -> Iterator[Any]:
    if file.units is not None:
        yield file.units
    yield from (item for item in file.objects.values() if hasattr(item, "colnames") and item is not file.units)


def _to_measurement(value: Any, column: str, row: int, path: Path) -> float:
    """A number, or NaN for what was not measured."""
    if value is None or (isinstance(value, str) and value.strip().lower() in ("", "nan")):
        return np.nan
    if isinstance(value, float) and np.isnan(value):
        return np.nan
    return _to_number(value, column, row, path)


def _read_counts(
    file: str, quantities: tuple[str, ...], bounds: Sequence[tuple[str, str]], citation: str
) -> BinnedCells:
    """Read a shipped table with one row a bin into a grid."""
    columns = [column for pair in bounds for column in pair]
    path = fetch("physiology", file)[file]
    *limits, counts = _read_columns(path, (*columns, "count"))
    edges = tuple(np.union1d(low, high) for low, high in zip(limits[::2], limits[1::2], strict=True))
    positions = tuple(np.searchsorted(edge, low) for edge, low in zip(edges, limits[::2], strict=True))
    grid = np.zeros([len(edge) - 1 for edge in edges], dtype=np.int64)
    if len(counts) != grid.size:
        raise DataError(f"{path} must hold one row for each of {grid.size} bins, got {len(counts)}")
    grid[positions] = counts
    return BinnedCells(quantities, edges, grid, citation)


def _read_columns(path: Path, columns: Sequence[str]) -> list[np.ndarray]:
    """Read named columns of numbers from a CSV file."""
    header, rows = _read_rows(path)
    missing = [column for column in columns if column not in header]
    if missing:
        raise ValueError(f"{path} must have the columns {', '.join(columns)}, got no {', '.join(missing)}")
    _check_rows(path, rows)
    return [np.array([_to_number(row[column], column, n, path) for n, row in enumerate(rows, 1)]) for column in columns]


def _read_rows(path: Path) -> tuple[Sequence[str], list[dict[str, str]]]:
    """Header and rows of a CSV file."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            rows = list(reader)
            header = reader.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not a CSV file that can be read ({error})") from None
    return header, rows


def _check_rows(path: Path, rows: Sequence[Any]) -> None:
    if not rows:
        raise ValueError(f"{path} must have at least one row below its header, got none")


def _to_number(text: Any, column: str, row: int, path: Path) -> float:
    try:
        value = float("" if text is None else text)
    except (ValueError, TypeError):
        value = np.nan
    if not np.isfinite(value):
        raise ValueError(f"{path} must hold finite numbers, got {text!r} in row {row} of the column {column}")
    return value
