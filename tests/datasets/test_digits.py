from __future__ import annotations

import gzip
import logging
import os
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import datasets as reference

from wlsc.datasets import load_digits, read_idx, source_hashes
from wlsc.datasets.digits import load_gaussian_digits


def test_gaussian_digits_have_the_moments_of_digits_and_are_none():
    images, _ = load_digits("embedded", classes=[0, 1], unit_norm=True)
    noise = load_gaussian_digits("embedded", classes=[0, 1], unit_norm=True)
    assert (noise.shape, noise.dtype) == (images.shape, np.float32)
    error = images.std(axis=0).max() / np.sqrt(len(images))
    np.testing.assert_allclose(noise.mean(axis=0), images.mean(axis=0), atol=5 * error)
    assert np.cov(noise, rowvar=False).trace() == pytest.approx(np.cov(images, rowvar=False).trace(), rel=0.1)
    assert noise.min() < -0.1 and images.min() == 0  # no ink is negative
    assert not np.array_equal(noise, load_gaussian_digits("embedded", 1, classes=[0, 1], unit_norm=True))
    with pytest.raises(ValueError, match="source must be one of"):
        load_gaussian_digits("fashion")


VALUES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
VALID = b"\x00\x00\x08\x03" + struct.pack(">3I", 2, 3, 4) + VALUES.tobytes()


class TestEmbedded:
    def test_are_those_of_scikit_learn(self):
        images, labels = load_digits("embedded")
        pixels, targets = reference.load_digits(return_X_y=True)
        np.testing.assert_array_equal(images * 16, pixels)
        np.testing.assert_array_equal(labels, targets)
        assert (images.dtype, labels.dtype) == (np.float32, np.int64)
        assert images.min() == 0 and images.max() == 1

    def test_split_is_cut_between_two_forms(self):
        whole = load_digits("embedded")
        train, test = (load_digits("embedded", split=split) for split in ("train", "test"))
        assert (len(train[0]), len(test[0])) == (1415, 382)
        for part in range(2):
            np.testing.assert_array_equal(np.concatenate([train[part], test[part]]), whole[part])
        for _, labels in (train, test):  # every form begins so
            np.testing.assert_array_equal(labels[:30], np.tile(np.arange(10), 3))

    def test_classes_and_unit_length(self):
        images, labels = load_digits("embedded", classes=[3, 8], unit_norm=True)
        plain, plain_labels = load_digits("embedded")
        chosen = plain[(plain_labels == 3) | (plain_labels == 8)]
        assert set(labels.tolist()) == {3, 8} and len(images) == len(chosen)
        np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1, rtol=1e-6)
        expected = chosen / np.sqrt((chosen**2).sum(axis=1, keepdims=True))
        np.testing.assert_allclose(images, expected, rtol=1e-6)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (
                {"source": "fashion"},
                "source must be one of 'mnist', 'embedded', a folder that exists, .* got 'fashion'",
            ),
            ({"split": "validation"}, "split must be one of"),
            ({"classes": []}, "classes must be a list of labels of the set, 0 to 9"),
            ({"classes": [3, 10]}, "classes must be a list of labels of the set, 0 to 9"),
            ({"classes": 3}, "classes must be a list of labels of the set, 0 to 9"),
            ({"classes": "34"}, "classes must be a list of labels of the set, 0 to 9"),
            ({"classes": [True]}, "classes must be a list of labels of the set, 0 to 9"),
            ({"unit_norm": "no"}, "unit_norm must be True or False, got 'no'"),
            ({"unit_norm": 0}, "unit_norm must be True or False, got 0"),
        ],
    )
    def test_bad_input(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            load_digits(**({"source": "embedded"} | arguments))


class TestMnist:
    def test_against_the_bytes_of_the_files(self, mirror):
        images, labels = load_digits("mnist", split="test")
        pixels = gzip.decompress((mirror / "mnist" / "t10k-images-idx3-ubyte.gz").read_bytes())[16:]
        targets = gzip.decompress((mirror / "mnist" / "t10k-labels-idx1-ubyte.gz").read_bytes())[8:]
        assert images.shape == (10_000, 784) and images.dtype == np.float32
        np.testing.assert_allclose(
            images[::97].ravel() * 255, np.frombuffer(pixels, np.uint8).reshape(-1, 784)[::97].ravel(), atol=1e-4
        )
        assert bytes(labels.astype(np.uint8)) == targets

    def test_five_classes_of_the_paper(self, mirror):
        images, labels = load_digits("mnist", classes=[0, 3, 4, 6, 7], unit_norm=True)
        assert images.shape == (35_037, 784)
        assert np.bincount(labels).tolist() == [6903, 0, 0, 7141, 6824, 0, 6876, 7293]


class TestIdx:
    @pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
    def test_values_and_shape(self, tmp_path, compress):
        path = tmp_path / "values.idx"
        path.write_bytes(compress(VALID))
        np.testing.assert_array_equal(read_idx(path), VALUES)
        path.write_bytes(compress(b"\x00\x00\x08\x01" + struct.pack(">I", 3) + b"abc"))
        np.testing.assert_array_equal(read_idx(str(path)), [97, 98, 99])

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "starts with"),
            (b"\x00\x00\x0a\x03" + VALID[4:], "type and dimensions was expected, it starts with 00 00 0a 03"),
            (b"\x00\x00\x08\x00" + VALID[4:], "starts with 00 00 08 00"),
            (b"\x01" + VALID[1:], "starts with 01"),
            (VALID[:10], "cut off"),
            (VALID[:-1], "must hold 24 values after its header, got 23"),
            (VALID + b"x", "must hold 24 values after its header, got more"),
            (b"\x00\x00\x08\x03" + b"\xff" * 12, "impossible shape"),
            (gzip.compress(VALID, mtime=0)[:-9], "not an idx file"),
            (gzip.compress(VALID, mtime=0)[:-8] + bytes(8), "not an idx file"),
            (b"<!DOCTYPE html>", "not an idx file"),
        ],
    )
    def test_anything_else_is_refused_by_name(self, tmp_path, content, message):
        path = tmp_path / "broken.gz"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message) as caught:
            read_idx(path)
        assert str(path) in str(caught.value)

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(ValueError, match=r"none\.gz is not an idx file"):
            read_idx(tmp_path / "none.gz")

    @settings(max_examples=int(os.environ.get("WLSC_DAMAGED_FILES", "400")), deadline=None)
    @given(
        compressed=st.booleans(),
        position=st.integers(0, len(VALID)),
        patch=st.binary(max_size=6),
        cut=st.booleans(),
    )
    def test_damaged_files_give_an_array_or_one_sentence(self, tmp_path_factory, compressed, position, patch, cut):
        content = gzip.compress(VALID, mtime=0) if compressed else VALID
        path = tmp_path_factory.getbasetemp() / "damaged.idx"
        path.write_bytes(content[:position] + patch + (b"" if cut else content[position + len(patch) :]))
        try:
            values = read_idx(path)
        except ValueError as error:
            assert str(path) in str(error)
        else:
            assert values.dtype.kind in "uif" and 1 <= values.ndim <= 4


def idx(values: np.ndarray) -> bytes:
    """Write the format by hand, value by value."""
    code, letter = {"u1": (8, "B"), "i1": (9, "b"), "i2": (11, "h"), "i4": (12, "i"), "f4": (13, "f"), "f8": (14, "d")}[
        values.dtype.str[1:]
    ]
    header = bytes([0, 0, code, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return header + b"".join(struct.pack(f">{letter}", value) for value in values.ravel().tolist())


IMAGES = np.random.default_rng(0).integers(0, 256, (6, 5, 4)).astype(np.uint8)
LABELS = np.array([2, 0, 1, 0, 2, 1], dtype=np.uint8)


class TestOtherSets:
    def test_a_folder_with_a_training_and_a_test_set(self, tmp_path):
        (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(IMAGES)))
        (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS)))
        (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(IMAGES[:2]))
        (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(LABELS[:2]))
        (tmp_path / "._train-images-idx3-ubyte.gz").write_bytes(b"resource fork")
        images, labels = load_digits(tmp_path)
        np.testing.assert_allclose(images, np.concatenate([IMAGES, IMAGES[:2]]).reshape(8, 20) / 255, atol=1e-7)
        assert labels.tolist() == [*LABELS, *LABELS[:2]] and labels.dtype == np.int64
        assert len(load_digits(tmp_path, split="test")[0]) == 2
        assert load_digits(tmp_path, classes=[1], split="train")[1].tolist() == [1, 1]
        assert len(source_hashes(tmp_path)) == 4

    @pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "f4", "f8"])
    def test_other_types_are_big_endian_and_not_scaled(self, tmp_path, dtype):
        values = (IMAGES // 2).astype(dtype)
        (tmp_path / "values").write_bytes(idx(values))
        found = read_idx(tmp_path / "values")
        np.testing.assert_array_equal(found, values)
        assert found.dtype == np.dtype(dtype) and found.dtype.isnative
        (tmp_path / "labels").write_bytes(idx(LABELS))
        images, _ = load_digits((tmp_path / "values", tmp_path / "labels"))
        np.testing.assert_array_equal(images, values.reshape(6, 20))

    def test_emnist_stands_right_side_up(self, tmp_path):
        pair = tmp_path / "emnist-letters-train-images-idx3-ubyte", tmp_path / "emnist-letters-train-labels-idx1-ubyte"
        pair[0].write_bytes(idx(np.ascontiguousarray(IMAGES.transpose(0, 2, 1))))
        pair[1].write_bytes(idx(LABELS))
        upright = IMAGES.reshape(6, 20) / np.float32(255)
        np.testing.assert_array_equal(load_digits(pair)[0], upright)
        np.testing.assert_array_equal(load_digits(tmp_path)[0], upright)
        assert not np.array_equal(load_digits(pair, transposed=False)[0], upright)

    def test_labels_from_1_are_named(self, tmp_path, caplog):
        (tmp_path / "images").write_bytes(idx(IMAGES))
        (tmp_path / "labels").write_bytes(idx(LABELS + np.uint8(1)))
        with caplog.at_level(logging.WARNING, "wlsc"):
            _, labels = load_digits((tmp_path / "images", tmp_path / "labels"))
        assert labels.tolist() == (LABELS + 1).tolist()
        assert "run from 1 to 3, not from 0" in caplog.text

    def test_the_first_column_of_qmnists_labels_is_the_class(self, tmp_path):
        columns = np.stack([LABELS, LABELS * 0 + 7], axis=1).astype(np.int32)
        (tmp_path / "qmnist-test-images-idx3-ubyte").write_bytes(idx(IMAGES))
        (tmp_path / "qmnist-test-labels-idx2-int").write_bytes(idx(columns))
        assert load_digits(tmp_path, split="test")[1].tolist() == LABELS.tolist()

    def test_what_does_not_belong_together_is_refused(self, tmp_path):
        images, labels = tmp_path / "images", tmp_path / "labels"
        images.write_bytes(idx(IMAGES))
        labels.write_bytes(idx(LABELS[:5]))
        with pytest.raises(ValueError, match=r"must hold as many images as labels, got 6 and 5"):
            load_digits((images, labels))
        with pytest.raises(ValueError, match=r"labels must hold images, of shape"):
            load_digits((labels, images))
        with pytest.raises(ValueError, match=r"got 1 files and split='all'"):
            load_digits((images,))
        with pytest.raises(ValueError, match=r"got none in"):
            load_digits(tmp_path)
        for name in ("balanced", "letters"):
            (tmp_path / f"emnist-{name}-train-images-idx3-ubyte").write_bytes(idx(IMAGES))
            (tmp_path / f"emnist-{name}-train-labels-idx1-ubyte").write_bytes(idx(LABELS))
        with pytest.raises(ValueError, match=r"one set of idx files, .* got emnist-balanced, emnist-letters"):
            load_digits(tmp_path)
