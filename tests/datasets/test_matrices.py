"""Any matrix: every kind of file against the numbers that were written into it, also where it is mapped."""

from __future__ import annotations

import os

import h5py
import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings

from tests.damage import damaged
from tests.datasets.image_writers import matlab73
from wlsc import WLSC
from wlsc.datasets import load_matrix, matrices

N_DAMAGED = int(os.environ.get("WLSC_DAMAGED_FILES", "80"))
MATRIX = np.random.default_rng(0).normal(size=(40, 3))
LABELS = np.arange(40) % 4


def write_table(path, delimiter=",", header=True):
    lines = [delimiter.join(["first", "kind", "second", "third"])] if header else []
    lines += [
        delimiter.join([repr(float(row[0])), f"k{label}", *map(repr, map(float, row[1:]))])
        for row, label in zip(MATRIX, LABELS, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n")


WRITERS = {
    "a.npy": lambda path, matrix: np.save(path, matrix),
    "fortran.npy": lambda path, matrix: np.save(path, np.asfortranarray(matrix)),
    "a.npz": lambda path, matrix: np.savez(path, samples=matrix, labels=LABELS),
    "packed.npz": lambda path, matrix: np.savez_compressed(path, samples=np.asfortranarray(matrix), labels=LABELS),
    "a.mat": lambda path, matrix: scipy.io.savemat(path, {"samples": matrix}),
    "new.mat": lambda path, matrix: matlab73(path, samples=matrix),
    "a.h5": lambda path, matrix: h5py.File(path, "w").create_dataset("group/samples", data=matrix).file.close(),
}


@pytest.fixture(params=["in memory", "mapped"])
def mapped(request, monkeypatch):
    if request.param == "mapped":
        monkeypatch.setattr(matrices, "IN_MEMORY", 0)
    monkeypatch.setattr(matrices, "_BLOCK_BYTES", 100)  # a few rows a block
    monkeypatch.setattr(matrices, "_ROWS_OF_TEXT", 7)
    return request.param == "mapped"


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_file(tmp_path, name, dtype, mapped):
    WRITERS[name](tmp_path / name, MATRIX.astype(dtype))
    samples, labels = load_matrix(tmp_path / name)
    np.testing.assert_array_equal(samples, MATRIX.astype(dtype))
    assert labels is None and samples.dtype == dtype
    assert isinstance(samples, np.memmap) == mapped


@pytest.mark.parametrize("dtype", ["i2", "u1", "f2", "?", ">f4"])
def test_other_types_become_float32(tmp_path, dtype, mapped):
    matrix = (MATRIX * 10).astype(dtype)
    np.save(tmp_path / "a.npy", matrix)
    samples, _ = load_matrix(tmp_path / "a.npy")
    np.testing.assert_array_equal(samples, matrix.astype(np.float32))
    assert samples.dtype == np.float32 and samples.dtype.isnative


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_with_labels(tmp_path, delimiter, mapped):
    write_table(tmp_path / "a.csv", delimiter)
    for column in ("kind", 1, -3):
        samples, labels = load_matrix(tmp_path / "a.csv", labels=column)
        np.testing.assert_array_equal(samples, MATRIX)
        assert labels.tolist() == [f"k{label}" for label in LABELS]


def test_a_table_without_header(tmp_path, mapped):
    np.savetxt(tmp_path / "a.txt", np.column_stack([MATRIX, LABELS]), delimiter=";", fmt="%.17g")
    samples, labels = load_matrix(tmp_path / "a.txt", labels=-1)
    np.testing.assert_array_equal(samples, MATRIX)
    assert labels.tolist() == LABELS.tolist() and labels.dtype == np.int64
    assert load_matrix(tmp_path / "a.txt")[0].shape == (40, 4)


@pytest.mark.parametrize("name", ["a.npz", "packed.npz"])
def test_labels_from_another_array(tmp_path, name):
    WRITERS[name](tmp_path / name, MATRIX)
    assert load_matrix(tmp_path / name, "samples", "labels")[1].tolist() == LABELS.tolist()
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["x"], file["y"] = MATRIX, LABELS[:, None]
    samples, labels = load_matrix(tmp_path / "b.h5", "x", "y")
    np.testing.assert_array_equal(samples, MATRIX)
    assert labels.tolist() == LABELS.tolist()


def test_missing_values_are_refused_unless_allowed(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n3,\n")
    with pytest.raises(ValueError, match=r"a\.csv .*line 3 holds '' in place of a number"):
        load_matrix(tmp_path / "a.csv")
    samples, _ = load_matrix(tmp_path / "a.csv", allow_missing=True)
    np.testing.assert_array_equal(samples, [[1, 2], [3, np.nan]])
    np.save(tmp_path / "a.npy", samples)
    with pytest.raises(ValueError, match="finite numbers, got nan in row 1 and column 1"):
        load_matrix(tmp_path / "a.npy")
    assert np.isnan(load_matrix(tmp_path / "a.npy", allow_missing=True)[0][1, 1])


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"a,b\n1,2\n1\n", {}, "line 3 has 1 columns instead of 2"),
        (b"a,b\n1,2\n1,x\n", {}, "line 3 holds 'x' in place of a number"),
        (b"a,b\n1,2\n", {"labels": "c"}, "labels must be one of the columns a, b, got 'c'"),
        (b"1,2\n3,4\n", {"labels": 2}, "labels must be the number of one of 2 columns, got 2"),
        (b"", {}, "holds no row"),
        (b"a,b\n", {}, "holds no row"),
        (b"\xff\xfe\x00", {}, "is no table of text"),
        (b"1,inf\n", {}, "finite numbers, got inf in row 0 and column 1"),
    ],
)
def test_tables_that_are_none(tmp_path, content, options, message):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        load_matrix(tmp_path / "a.csv", **options)
    assert "a.csv" in str(caught.value)


def test_arrays_that_are_not_there_are_answered_with_those_that_are(tmp_path):
    np.savez(tmp_path / "two.npz", x=MATRIX, y=MATRIX)
    with pytest.raises(ValueError, match=r"variable must name .* x \(40, 3\), y \(40, 3\)"):
        load_matrix(tmp_path / "two.npz")
    with pytest.raises(ValueError, match="holds no array 'z', but x, y"):
        load_matrix(tmp_path / "two.npz", "z")
    np.save(tmp_path / "object.npy", np.array([[{}]]), allow_pickle=True)
    with pytest.raises(ValueError, match=r"object\.npy is not a \.npy file of numbers"):
        load_matrix(tmp_path / "object.npy")
    with pytest.raises(ValueError, match="source must be a file that can be read"):
        load_matrix(tmp_path / "none.npy")


def test_a_mapped_matrix_is_learned_as_the_same_matrix_in_memory(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", x=MATRIX)
    options = {"n_atoms": 4, "batch_size": 10, "shuffle": False, "random_state": 0}
    in_memory = WLSC(**options).fit(load_matrix(tmp_path / "a.npz")[0]).components_
    monkeypatch.setattr(matrices, "IN_MEMORY", 0)
    mapped, _ = load_matrix(tmp_path / "a.npz")
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(WLSC(**options).fit(mapped).components_, in_memory)


@pytest.mark.parametrize("name", [*WRITERS, "table.csv"])
def test_damaged_files_give_a_matrix_or_one_sentence(tmp_path_factory, record_property, name):
    path = tmp_path_factory.mktemp("fuzz") / name
    write_table(path) if name == "table.csv" else WRITERS[name](path, MATRIX)
    valid, n_tried = path.read_bytes(), 0

    @settings(max_examples=N_DAMAGED, deadline=None, database=None)
    @given(content=damaged(valid))
    def read_one(content):
        nonlocal n_tried
        n_tried += 1
        path.write_bytes(content)
        try:
            samples, _ = load_matrix(path, labels=1 if name == "table.csv" else None)
        except ValueError as error:
            assert path.name in str(error)
        else:
            assert samples.ndim == 2 and np.isfinite(samples).all()

    read_one()
    record_property("inputs", n_tried)
