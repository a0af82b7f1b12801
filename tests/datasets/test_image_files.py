"""The image sets of the field: each kind of file against the numbers that were written into it."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import skimage
from hypothesis import given, settings
from PIL import Image, ImageOps, ImageSequence

from tests.damage import damaged
from tests.datasets.image_writers import matlab73, noise, png16, smooth_scene, tiff, valid_files, van_hateren
from wlsc.datasets import load_images, load_patches, read_images, whiten

#: Damaged files a kind; make stress tries 1,000.
N_DAMAGED = int(os.environ.get("WLSC_DAMAGED_FILES", "60"))

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


def decode(encoded: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1, written again."""
    low = encoded / 12.92
    high = ((encoded + 0.055) / 1.055) ** 2.4
    return low * (encoded <= 0.04045) + high * (encoded > 0.04045)


class TestPictures:
    DEEP = (noise(7, 6, 4) * 65535).astype(np.uint16)

    @pytest.mark.parametrize("n_channels", [3, 4])
    def test_16_bit_colours_keep_their_16_bits(self, tmp_path, n_channels):
        (tmp_path / "deep.png").write_bytes(png16(self.DEEP[..., :n_channels]))
        found = read_images(tmp_path / "deep.png")
        expected = decode(self.DEEP[..., :3] / 65535) @ LUMINANCE
        np.testing.assert_allclose(found.images[0], expected, atol=1e-6)  # of 8 bits: 2e-3
        assert str(found) == "deep.png: 1 image, PNG, 16-bit RGB, taken as srgb"

    @pytest.mark.parametrize("n_channels", [1, 2])
    def test_16_bit_grey_with_and_without_alpha(self, tmp_path, n_channels):
        pixels = self.DEEP[..., 0] if n_channels == 1 else self.DEEP[..., :2]
        (tmp_path / "grey.png").write_bytes(png16(pixels))
        np.testing.assert_allclose(load_images(tmp_path)[0], decode(self.DEEP[..., 0] / 65535), atol=1e-6)

    def test_a_gamma_of_one_is_linear_and_another_is_asked_about(self, tmp_path):
        grey = self.DEEP[..., 0]
        (tmp_path / "linear.png").write_bytes(png16(grey, gamma=100_000))
        found = read_images(tmp_path / "linear.png")
        np.testing.assert_allclose(found.images[0], grey / 65535, atol=1e-6)
        assert found.files[0].encoding == "linear"
        (tmp_path / "usual.png").write_bytes(png16(grey, gamma=45_455))
        assert read_images(tmp_path / "usual.png").files[0].encoding == "srgb"
        (tmp_path / "odd.png").write_bytes(png16(grey, gamma=55_556))
        with pytest.raises(ValueError, match=r"odd\.png .* gamma of 0\.5556 is neither"):
            load_images(tmp_path / "odd.png")
        np.testing.assert_allclose(load_images(tmp_path / "odd.png", encoding="linear")[0], grey / 65535, atol=1e-6)

    def test_linear_pictures_are_not_decoded_if_the_reader_says_so(self, tmp_path):
        Image.fromarray(np.array([[0, 51, 255]], dtype=np.uint8)).save(tmp_path / "grey.png")
        np.testing.assert_allclose(load_images(tmp_path, encoding="linear"), [[[0, 0.2, 1]]], atol=1e-7)

    @pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8"])
    @pytest.mark.parametrize("colours", [False, True])
    def test_all_pages_of_a_tiff(self, tmp_path, dtype, colours):
        stack = noise(3, 5, 7, 3) if colours else noise(3, 5, 7)
        if dtype[0] == "u":
            stack = stack * np.iinfo(dtype).max
        stack = stack.astype(dtype)
        (tmp_path / "stack.tif").write_bytes(tiff(list(stack)))
        found = read_images(tmp_path / "stack.tif")
        light = decode(stack / np.iinfo(dtype).max) if dtype[0] == "u" else stack
        np.testing.assert_allclose(found.images, light @ LUMINANCE if colours else light, atol=1e-6)
        assert found.files[0].encoding == ("srgb" if dtype[0] == "u" else "linear")
        assert "TIFF of 3 pages" in str(found)

    def test_a_stack_that_others_wrote(self):
        path = Path(skimage.__file__).parent / "data" / "multipage.tif"
        with Image.open(path) as stored:
            pages = [np.asarray(page) for page in ImageSequence.Iterator(stored)]
        images = load_images(path, encoding="linear")
        assert len(images) == len(pages) == 2
        np.testing.assert_allclose(images, np.array(pages) / 255, atol=1e-6)

    def test_pages_of_different_sizes_and_those_of_pillow(self, tmp_path):
        (tmp_path / "sizes.tif").write_bytes(tiff([noise(4, 5), noise(6, 3)]))
        assert [image.shape for image in load_images(tmp_path / "sizes.tif")] == [(4, 5), (6, 3)]
        first = Image.new("RGB", (7, 5), "white").convert("CMYK")
        first.save(tmp_path / "inks.tif", save_all=True, append_images=[first.rotate(180)])
        np.testing.assert_allclose(load_images(tmp_path / "inks.tif"), np.ones((2, 5, 7)), atol=1e-6)

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_orientation_of_16_bit_pictures(self, tmp_path, orientation):
        pixels = (noise(5, 3) * 65535).astype(np.uint16)
        (tmp_path / "turned.tif").write_bytes(tiff([pixels], {274: (3, 1, orientation)}))
        picture = Image.fromarray((pixels >> 8).astype(np.uint8))
        picture.getexif()[0x0112] = orientation
        expected = np.asarray(ImageOps.exif_transpose(picture))  # of the upper bytes
        image = load_images(tmp_path / "turned.tif", encoding="linear")[0]
        np.testing.assert_array_equal((image * 65535).round().astype(int) >> 8, expected)

    def test_a_dng_is_refused_in_a_sentence(self, tmp_path):
        raw = tiff([(noise(4, 5) * 4095).astype(np.uint16)], {50706: (1, 4, 0x00000401)})
        for name in ("raw.dng", "raw.tif"):
            (tmp_path / name).write_bytes(raw)
            with pytest.raises(ValueError, match=rf"{name} .*it is a DNG, the raw mosaic of a sensor: develop"):
                load_images(tmp_path / name)

    def test_content_comes_before_the_name(self, tmp_path):
        (tmp_path / "really_a_png.tif").write_bytes(png16(self.DEEP[..., :3]))
        assert "PNG, 16-bit RGB" in str(read_images(tmp_path))


class TestVanHateren:
    def test_pixels_are_big_endian_rows_and_linear(self, tmp_path):
        scene = smooth_scene()
        for suffix in (".iml", ".imc"):
            (tmp_path / f"imk00042{suffix}").write_bytes(van_hateren(scene))
        found = read_images(tmp_path)
        assert len(found.images) == 2 and not found.whitened
        for file in found.files:
            assert file.encoding == "linear" and "uncalibrated" in file.format
            np.testing.assert_allclose(file.images[0], scene / 65535, rtol=1e-6)

    def test_calibration_gives_cd_per_square_metre(self, tmp_path):
        scene = smooth_scene()
        (tmp_path / "images").mkdir()
        (tmp_path / "images" / "imk00042.iml").write_bytes(van_hateren(scene))
        settings_list = tmp_path / "settings"
        settings_list.write_text("number iso aperture shutter factor\n00041 200 8.0 250 0.5\n00042 200 5.6 125 0.25\n")
        found = read_images(tmp_path / "images", calibration=settings_list)
        np.testing.assert_allclose(found.images[0], scene * 0.25, rtol=1e-6)
        assert "cd/m²" in str(found)
        settings_list.write_text("41 200 8.0 250 0.5\n")
        with pytest.raises(ValueError, match=r"calibration must have a row for the image imk00042\.iml, got none"):
            load_images(tmp_path / "images", calibration=settings_list)
        for broken in ("42 200 8.0 250\n", "42 200 8 250 x\n", "42 200 8 250 -1\n", "42 200 8 250 1 9\n"):
            settings_list.write_text(broken)
            with pytest.raises(ValueError, match="calibration must have 5 columns of numbers, got line 1"):
                load_images(tmp_path / "images", calibration=settings_list)
        settings_list.write_text("nothing\n")
        with pytest.raises(ValueError, match="calibration must list at least one image"):
            load_images(tmp_path / "images", calibration=settings_list)

    def test_damaged_files_give_pixels_or_one_sentence(self, tmp_path_factory):
        path, valid = tmp_path_factory.mktemp("fuzz") / "imk00001.iml", van_hateren(smooth_scene())

        @settings(max_examples=max(N_DAMAGED // 10, 5), deadline=None, database=None)  # 3 MB each
        @given(content=damaged(valid))
        def read_one(content):
            path.write_bytes(content)
            try:
                assert load_images(path)[0].shape == (1024, 1536)
            except ValueError as error:
                assert path.name in str(error)

        read_one()

    def test_another_length_and_swapped_bytes_are_refused(self, tmp_path):
        content = van_hateren(smooth_scene())
        path = tmp_path / "imk00001.iml"
        path.write_bytes(content[:-2])
        with pytest.raises(ValueError, match="3,145,728 bytes, got 3,145,726"):
            load_images(path)
        path.write_bytes(np.frombuffer(content, ">u2").astype("<u2").tobytes())
        with pytest.raises(ValueError, match="must be big-endian"):
            load_images(path)


class TestArrays:
    @pytest.mark.parametrize("dtype", ["f8", "f4", "u1", "u2"])
    def test_matlab_73_is_not_turned(self, tmp_path, dtype):
        image = (noise(5, 8) * 100).astype(dtype)
        matlab73(tmp_path / "new.mat", photo=image)
        scipy.io.savemat(tmp_path / "old.mat", {"photo": image})
        new, old = read_images(tmp_path / "new.mat"), read_images(tmp_path / "old.mat")
        np.testing.assert_array_equal(new.images, old.images)
        assert ("MATLAB 7.3" in str(new), "MATLAB 5" in str(old)) == (True, True)

    def test_stacks_of_matlab_73(self, tmp_path):
        stack = noise(5, 8, 3)
        matlab73(tmp_path / "stack.mat", IMAGES=stack, other=noise(2, 2))
        images = load_images(tmp_path / "stack.mat", "IMAGES")
        np.testing.assert_array_equal(np.stack(images, axis=-1), stack)
        with pytest.raises(ValueError, match=r"got the numeric arrays: IMAGES \(5, 8, 3\), other \(2, 2\)"):
            load_images(tmp_path / "stack.mat")

    def test_hdf5_of_others_is_not_turned_either(self, tmp_path):
        image = noise(5, 8)
        with h5py.File(tmp_path / "any.h5", "w") as file:
            file["a/photo"] = image
            file["names"] = np.array([b"x"])
            file["elsewhere"] = h5py.ExternalLink("other.h5", "photo")
        np.testing.assert_array_equal(load_images(tmp_path / "any.h5"), [image])
        assert "HDF5" in str(read_images(tmp_path / "any.h5", "a/photo"))

    def test_a_dataset_that_claims_more_than_it_stores_is_no_array(self, tmp_path):
        with h5py.File(tmp_path / "vast.h5", "w") as file:
            file.create_dataset("photo", shape=(10**9, 10**9), dtype="f8", chunks=(10, 10))
        with pytest.raises(ValueError, match="got the numeric arrays: none"):
            load_images(tmp_path / "vast.h5")

    def test_values_kept_in_other_files_are_not_read(self, tmp_path):
        (tmp_path / "secret.bin").write_bytes(bytes(80))
        layout = h5py.VirtualLayout((2, 5), "f8")
        layout[...] = h5py.VirtualSource(str(tmp_path / "other.h5"), "photo", (2, 5))
        with h5py.File(tmp_path / "outside.h5", "w") as file:
            file.create_dataset("photo", (2, 5), "f8", external=[(str(tmp_path / "secret.bin"), 0, 80)])
            file.create_virtual_dataset("virtual", layout)
        with pytest.raises(ValueError, match="got the numeric arrays: none"):
            load_images(tmp_path / "outside.h5")

    @pytest.mark.parametrize("axis", [0, 1, 2])
    def test_the_axis_that_counts_images_is_asked_for(self, tmp_path, axis):
        stack = noise(6, 4, 5)
        np.save(tmp_path / "stack.npy", stack)
        with pytest.raises(ValueError, match=r"image_axis must say which axis of .*stack\.npy counts images"):
            load_images(tmp_path / "stack.npy")
        images = load_images(tmp_path / "stack.npy", image_axis=axis)
        assert len(images) == stack.shape[axis]
        for index, image in enumerate(images):
            np.testing.assert_array_equal(image, stack.take(index, axis))
        with pytest.raises(ValueError, match="image_axis must be 0, 1 or 2, got 3"):
            load_images(tmp_path / "stack.npy", image_axis=3)

    def test_the_first_layout_of_olshausens_images(self, tmp_path):
        stack = noise(512, 512, 10).astype(np.float64)
        scipy.io.savemat(tmp_path / "IMAGES.mat", {"IMAGES": stack.reshape(-1, 10, order="F")})
        np.testing.assert_array_equal(np.stack(load_images(tmp_path / "IMAGES.mat"), axis=2), stack.astype(np.float32))

    def test_upenn_and_kyoto(self, tmp_path):
        luminance, cones = noise(6, 9) * 900, noise(5, 8)
        scipy.io.savemat(tmp_path / "DSC_0001_LUM.mat", {"LUM_Image": luminance})
        scipy.io.savemat(tmp_path / "kyoto.mat", {"OM": cones / 2, "OL": cones, "OS": cones / 3})
        found = read_images(tmp_path)
        np.testing.assert_array_equal(found.images[0], luminance)
        np.testing.assert_array_equal(found.images[1], cones)
        assert [file.encoding for file in found.files] == ["linear", "cone responses"]
        assert "UPenn" in str(found) and "L cones" in str(found)
        np.testing.assert_array_equal(load_images(tmp_path / "kyoto.mat", "OS"), [cones / 3])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Olshausen's two files, made of photographs at hand."""
    folder = tmp_path_factory.mktemp("olshausen")
    images = [image[:256, :256] for image in load_images("embedded")]
    white = np.stack(whiten(images), axis=2).astype(np.float64) * np.sqrt(0.1)
    scipy.io.savemat(folder / "IMAGES.mat", {"IMAGES": white})
    raw = np.stack(images, axis=2) - np.float32(0.3)
    scipy.io.savemat(folder / "IMAGES_RAW.mat", {"IMAGESr": raw.astype(np.float64)})
    return folder


class TestWhitened:
    def test_whitened_images_are_known_by_their_content(self, folder):
        assert "Olshausen's IMAGES.mat (MATLAB 5), taken as whitened" in str(read_images(folder / "IMAGES.mat"))
        raw = read_images(folder / "IMAGES_RAW.mat")
        assert "IMAGES_RAW.mat (MATLAB 5), taken as linear" in str(raw) and not raw.whitened
        assert read_images(folder / "IMAGES.mat", encoding="linear").whitened is False
        with pytest.raises(ValueError, match="all whitened or all not, got both"):
            load_patches(folder, 8, 10)

    def test_whitened_images_are_not_whitened_again_unless_told(self, folder):
        plain = load_patches(folder / "IMAGES.mat", 8, 50, whiten=False)
        np.testing.assert_array_equal(load_patches(folder / "IMAGES.mat", 8, 50), plain)
        assert not np.allclose(load_patches(folder / "IMAGES.mat", 8, 50, whiten=True), plain)
        again = load_patches(folder / "IMAGES_RAW.mat", 8, 50)
        np.testing.assert_array_equal(again, load_patches(folder / "IMAGES_RAW.mat", 8, 50, whiten=True))

    def test_a_few_white_pixels_prove_nothing(self, tmp_path):
        np.save(tmp_path / "small.npy", noise(8, 8) - 0.5)
        assert not read_images(tmp_path / "small.npy").whitened


def test_hidden_files_and_resource_forks_are_skipped_and_named(tmp_path, caplog):
    Image.new("L", (3, 2), 9).save(tmp_path / "a.png")
    (tmp_path / "._a.png").write_bytes(b"\0\x05\x16\x07resource fork")
    (tmp_path / ".hidden.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no image")
    with caplog.at_level(logging.INFO, "wlsc"):
        assert len(load_images(tmp_path)) == 1
    assert read_images(tmp_path).skipped == ["._a.png", ".hidden.png", "notes.txt"]
    assert "skipped: ._a.png, .hidden.png, notes.txt" in caplog.text


@pytest.fixture(scope="module")
def valid(tmp_path_factory) -> dict[str, bytes]:
    return valid_files(tmp_path_factory.mktemp("valid"))


def test_the_valid_files_are_read(tmp_path, valid):
    for name, content in valid.items():
        (tmp_path / name).write_bytes(content)
        assert load_images(tmp_path / name, **options_of(name)), name


def options_of(name: str) -> dict[str, str]:
    return {"valid.mat": {"variable": "IMAGES"}, "zipped.mat": {"variable": "IMAGES"}}.get(name, {})


KINDS = (
    "valid.bmp", "valid.jpg", "valid.png", "valid.ppm", "valid.tif", "valid.tiff", "inks.tif", "deep.png", "stack.tif",
    "float.tif", "valid.mat", "zipped.mat", "new.mat", "plain.h5", "valid.npy",
)  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_damaged_files_give_images_or_one_sentence(tmp_path_factory, record_property, valid, name):
    path = tmp_path_factory.mktemp("fuzz") / name
    n_tried = 0

    @settings(max_examples=N_DAMAGED, deadline=None, database=None)
    @given(content=damaged(valid[name]))
    def read_one(content):
        nonlocal n_tried
        n_tried += 1
        path.write_bytes(content)
        try:
            images = load_images(path, **options_of(name))
        except ValueError as error:
            assert path.name in str(error)
        else:
            assert all(image.ndim == 2 and np.isfinite(image).all() for image in images)

    read_one()
    record_property("inputs", n_tried)
