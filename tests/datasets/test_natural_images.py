from __future__ import annotations

import struct
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
import scipy.io
import scipy.stats
import torch
from PIL import Image

from wlsc.datasets import (
    effective_dimension,
    extract_patches,
    gaussian_match,
    load_images,
    load_patches,
    source_hashes,
    whiten,
    whitening_matrix,
)


@pytest.fixture(scope="module")
def photographs() -> list[np.ndarray]:
    return load_images("embedded")


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


class TestLoadImages:
    def test_embedded_photographs(self, photographs):
        shapes = [(512, 512), (512, 512), (512, 512), (300, 451), (427, 640), (427, 640)]
        assert [image.shape for image in photographs] == shapes
        for image in photographs:
            assert image.dtype == np.float32
            assert image.min() >= 0 and image.max() <= 1 and image.std() > 0.05

    def test_downloaded_sets(self, mirror):
        photographs, berkeley = load_images("photographs"), load_images("bsd68")
        assert [image.shape for image in photographs] == [(500, 500)] * 3
        assert len(berkeley) == 68 and {image.shape for image in berkeley} == {(481, 321), (321, 481)}

    def test_colours_become_linear_luminance(self, tmp_path):
        from skimage.color import rgb2xyz

        colours = (noise(40, 30, 3) * 255).round().astype(np.uint8)
        Image.fromarray(colours).save(tmp_path / "colours.png")
        luminance = rgb2xyz(colours)[..., 1]  # its weights are those of Rec. 709 to four digits
        np.testing.assert_allclose(load_images(tmp_path)[0], luminance, atol=2e-4)

    def test_grey_values_are_decoded(self, tmp_path):
        Image.fromarray(np.array([[0, 10, 188, 255]], dtype=np.uint8)).save(tmp_path / "grey.png")
        Image.fromarray(np.array([[0, 2570, 48316, 65535]], dtype=np.uint16)).save(tmp_path / "grey16.png")
        expected = [[0, 10 / 255 / 12.92, 0.502886, 1]]  # 188 is the sRGB code of half the light
        for image in load_images(tmp_path):
            np.testing.assert_allclose(image, expected, atol=1e-6)

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
    def test_every_pixel_format_of_white_is_one(self, tmp_path, mode):
        suffix = ".tif" if mode == "CMYK" else ".png"
        Image.new("RGB", (7, 5), "white").convert(mode).save(tmp_path / f"white{suffix}")
        np.testing.assert_allclose(load_images(tmp_path)[0], np.ones((5, 7)), atol=1e-6)

    def test_orientation_tag_is_obeyed(self, tmp_path):
        upright = np.zeros((6, 4), dtype=np.uint8)
        upright[0] = 255
        tag = Image.Exif()
        tag[0x0112] = 8  # the camera was turned: the stored picture has to be turned by 90° to stand
        Image.fromarray(np.rot90(upright, -1)).save(tmp_path / "turned.png", exif=tag)
        np.testing.assert_array_equal(load_images(tmp_path)[0], upright / 255)

    def test_a_folder_is_read_in_the_order_of_names(self, tmp_path):
        for value, name in ((30, "b.png"), (20, "a.pgm"), (40, "c.bmp")):
            Image.new("L", (3, 2), value).save(tmp_path / name)
        (tmp_path / "notes.txt").write_text("no image")
        levels = [image[0, 0] for image in load_images(tmp_path)]
        assert levels == sorted(levels) and len(levels) == 3
        assert len(load_images(str(tmp_path / "b.png"))) == 1


class TestArrays:
    def test_olshausens_layout(self, tmp_path):
        stack = noise(5, 7, 3).astype(np.float64) - 0.5
        scipy.io.savemat(tmp_path / "IMAGES.mat", {"IMAGES": stack})
        np.save(tmp_path / "images.npy", np.moveaxis(stack, 2, 1))
        for images in (
            load_images(tmp_path / "IMAGES.mat"),
            load_images(tmp_path / "IMAGES.mat", variable="IMAGES"),
            load_images(tmp_path / "images.npy", image_axis=1),
        ):
            assert all(image.dtype == np.float32 and image.flags.c_contiguous for image in images)
            np.testing.assert_array_equal(np.stack(images, axis=-1), stack.astype(np.float32))

    @pytest.mark.parametrize("compressed", [False, True])
    @pytest.mark.parametrize("name", ["I", "photographs"])
    @pytest.mark.parametrize("dtype", ["f8", "f4", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", ">f4"])
    def test_mat_files_against_scipy(self, tmp_path, dtype, name, compressed):
        path = tmp_path / "any.mat"
        stack = (noise(4, 3, 2) * 100).astype(dtype)
        others = {"before": {"a": ["b", {"c": 1}]}, name: stack, "z": 1j * np.ones(3), "text": "IMAGES"}
        scipy.io.savemat(path, others, do_compression=compressed)
        expected = scipy.io.loadmat(path)[name]
        scale = np.iinfo(expected.dtype).max if expected.dtype.kind == "u" else 1
        images = load_images(path, image_axis=2)
        np.testing.assert_allclose(np.stack(images, axis=-1), expected / scale, rtol=1e-6)

    def test_big_endian_mat_files(self, tmp_path):
        path, values = tmp_path / "big.mat", np.arange(6.0)
        path.write_bytes(mat_start(">") + mat_matrix(b"IMAGES", (2, 3), values, ">"))
        expected = scipy.io.loadmat(path)["IMAGES"]
        np.testing.assert_array_equal(load_images(path), [expected])
        np.testing.assert_array_equal(expected, values.reshape(2, 3, order="F"))

    def test_unsigned_integers_are_scaled_and_one_image_is_enough(self, tmp_path):
        scipy.io.savemat(tmp_path / "one.mat", {"photo": np.array([[0, 51], [255, 255]], dtype=np.uint8)})
        np.testing.assert_allclose(load_images(tmp_path / "one.mat"), [[[0, 0.2], [1, 1]]], atol=1e-7)

    def test_a_missing_array_is_answered_with_those_that_are_there(self, tmp_path):
        path = tmp_path / "two.mat"
        scipy.io.savemat(path, {"left": np.eye(3), "right": np.ones((2, 2)), "name": "text", "c": {"d": 1.0}})
        with pytest.raises(ValueError, match=r"two\.mat must hold the array 'IMAGES', got .*left \(3, 3\), right"):
            load_images(path, variable="IMAGES")
        with pytest.raises(ValueError, match=r"one numeric array unless variable names one, got .*left"):
            load_images(path)
        with pytest.raises(ValueError, match="must hold the array 'c'"):  # a struct is never entered
            load_images(path, variable="c")

    @pytest.mark.parametrize(
        "array",
        [np.ones(4), np.ones((2, 2, 2, 2)), np.ones((2, 2)) * 1j, np.array([[np.nan, 1]]), np.full((2, 2), 1e300)],
        ids=["1-d", "4-d", "complex", "nan", "overflow"],
    )
    def test_what_is_no_stack_of_images_is_refused(self, tmp_path, array):
        np.save(tmp_path / "array.npy", array)
        with pytest.raises(ValueError, match=r"array\.npy must hold (real|finite) numbers"):
            load_images(tmp_path / "array.npy")

    def test_variable_without_mat_file_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match="variable must be None"):
            load_images("embedded", variable="IMAGES")

    def test_other_sets_and_unknown_sources_are_refused(self, tmp_path):
        with pytest.raises(ValueError, match="source must be a set of images, got 'mnist', which holds digits"):
            load_images("mnist")
        with pytest.raises(ValueError, match="did you mean photographs"):
            load_images("photograph")
        (tmp_path / "data.csv").write_text("1,2")
        with pytest.raises(ValueError, match="of no known kind"):
            load_images(tmp_path / "data.csv")


class WritesAFile:
    """Unpickling it runs a command of the attacker's."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def mat_element(kind: int, payload: bytes, order: str = "<") -> bytes:
    return struct.pack(f"{order}II", kind, len(payload)) + payload + b"\0" * (-len(payload) % 8)


def mat_description(array_class: int, dims: tuple[int, ...], name: bytes, order: str = "<") -> bytes:
    flags, sizes = struct.pack(f"{order}II", array_class, 0), struct.pack(f"{order}{len(dims)}i", *dims)
    return mat_element(6, flags, order) + mat_element(5, sizes, order) + mat_element(1, name, order)


def mat_matrix(name: bytes, dims: tuple[int, ...], values: np.ndarray, order: str = "<") -> bytes:
    content = mat_element(9, values.astype(f"{order}f8").tobytes(), order)
    return mat_element(14, mat_description(6, dims, name, order) + content, order)


def mat_nested_cells(name: bytes, depth: int) -> bytes:
    """Build a cell that holds a cell that holds … a number."""
    child = mat_matrix(b"", (1, 1), np.ones(1))
    length, layers = len(child), []
    for level in range(depth):
        header = mat_description(1, (1, 1), name if level == depth - 1 else b"")
        layers.append(struct.pack("<II", 14, len(header) + length) + header)
        length += len(layers[-1])
    return b"".join(reversed(layers)) + child


def mat_start(order: str = "<") -> bytes:
    return b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(f"{order}HH", 0x100, 0x4D49)


class TestHostileFiles:
    def test_nothing_is_unpickled(self, tmp_path):
        np.save(tmp_path / "evil.npy", np.array([[WritesAFile(tmp_path / "written")]], dtype=object), allow_pickle=True)
        with pytest.raises(ValueError, match=r"evil\.npy is not a \.npy file of numbers"):
            load_images(tmp_path / "evil.npy")
        assert not (tmp_path / "written").exists()

    def test_cells_nested_deeper_than_the_stack_are_stepped_over(self, tmp_path):
        path, values = tmp_path / "deep.mat", np.arange(6.0)
        cells = mat_nested_cells(b"cells", 100_000)  # scipy.io.loadmat of all of it ends the process
        path.write_bytes(mat_start() + cells + mat_matrix(b"IMAGES", (2, 3), values))
        np.testing.assert_array_equal(load_images(path), [values.reshape(2, 3, order="F")])

    def test_a_name_used_twice_is_refused(self, tmp_path):
        path = tmp_path / "twice.mat"
        cells = mat_nested_cells(b"IMAGES", 100_000)
        array = mat_matrix(b"IMAGES", (2, 3), np.arange(6.0))
        path.write_bytes(mat_start() + cells + array)
        assert load_images(path)[0].shape == (2, 3)  # the cells of that name are no candidate
        path.write_bytes(mat_start() + array + array)
        with pytest.raises(ValueError, match=r"twice\.mat .* holds 'IMAGES' twice"):
            load_images(path)

    @pytest.mark.parametrize("dims", [(2**31 - 1, 2**31 - 1), (-2, -3), (4, 4), (100_000, 30_000)])
    def test_a_shape_that_the_values_do_not_fill_is_refused(self, tmp_path, dims):
        path = tmp_path / "shape.mat"
        path.write_bytes(mat_start() + mat_matrix(b"IMAGES", dims, np.arange(6.0)))
        with pytest.raises(ValueError, match=r"shape\.mat .* is broken"):
            load_images(path)

    def test_a_compressed_array_cannot_grow_beyond_its_shape(self, tmp_path):
        path = tmp_path / "bomb.mat"
        values = mat_element(9, bytes(2**26))  # 64 MiB of zeros in 64 KiB, for an array of 6 values
        packed = zlib.compress(mat_element(14, mat_description(6, (2, 3), b"IMAGES") + values))
        path.write_bytes(mat_start() + struct.pack("<II", 15, len(packed)) + packed)
        tracemalloc.start()
        with pytest.raises(ValueError, match=r"bomb\.mat .* broken at 'IMAGES': its values do not fill"):
            load_images(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2**20

    def test_an_image_that_would_fill_the_memory_is_refused(self, tmp_path):
        path = tmp_path / "bomb.png"
        Image.new("1", (10_000, 10_000)).save(path)  # 100 million pixels in a few kilobytes
        with warnings.catch_warnings(), pytest.raises(ValueError, match=r"bomb\.png is not .* \(DecompressionBomb"):
            warnings.simplefilter("ignore")  # the reader's own setting must not matter
            load_images(path)

    def test_other_formats_are_not_even_tried(self, tmp_path):
        path = tmp_path / "script.png"
        path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")
        with pytest.raises(ValueError, match="UnidentifiedImageError"):
            load_images(path)


def whiten_by_mirrored_fourier_transform(image: np.ndarray, cutoff: float) -> np.ndarray:
    """Mirror the image at its lower and right borders, filter the torus, keep the original quarter."""
    mirrored = np.block([[image, image[:, ::-1]], [image[::-1], image[::-1, ::-1]]])
    vertical, horizontal = (np.fft.fftfreq(length) for length in mirrored.shape)
    frequency = np.sqrt(vertical[:, None] ** 2 + horizontal[None, :] ** 2)
    response = frequency * np.exp(-((frequency / cutoff) ** 4))
    return np.fft.ifft2(np.fft.fft2(mirrored) * response).real[: image.shape[0], : image.shape[1]]


class TestWhiten:
    @pytest.mark.equation("eq-whitening", "wlsc.datasets.whiten")
    @pytest.mark.parametrize("cutoff", [0.4, 0.15])
    def test_equals_the_filter_written_as_a_fourier_transform(self, cutoff):
        images = [noise(32, 48).astype(np.float64), noise(17, 9, seed=1).astype(np.float64) * 3]
        expected = [whiten_by_mirrored_fourier_transform(image, cutoff) for image in images]
        scale = np.concatenate([image.ravel() for image in expected]).std()
        for result, reference in zip(whiten(images, cutoff), expected, strict=True):
            np.testing.assert_allclose(result, reference / scale, atol=1e-12)

    def test_all_images_share_one_scale(self, photographs):
        whitened = whiten(photographs)
        pixels = np.concatenate([image.ravel() for image in whitened])
        assert abs(pixels.std() - 1) < 1e-5 and abs(pixels.mean()) < 1e-5
        spreads = [image.std() for image in whitened]
        assert max(spreads) > 2 * min(spreads)  # contrasts stay different

    def test_a_spectrum_that_falls_as_one_over_f_becomes_flat(self):
        rng = np.random.default_rng(0)
        frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None, :])
        amplitude = np.divide(1, frequency, out=np.zeros_like(frequency), where=frequency > 0)
        images = [np.fft.ifft2(np.fft.fft2(rng.standard_normal((256, 256))) * amplitude).real for _ in range(4)]
        power = np.mean([np.abs(np.fft.fft2(image)) ** 2 for image in whiten(images)], axis=0)
        low = power[(frequency > 0.03) & (frequency < 0.08)].mean()
        middle = power[(frequency > 0.12) & (frequency < 0.2)].mean()
        corner = power[frequency > 0.6].mean()
        assert 0.9 < middle / low < 1.1
        assert corner < 1e-3 * low

    def test_photographs_become_far_less_correlated(self, photographs):
        def correlation(images):  # of pixels 4 apart: nearer ones stay correlated by the cutoff
            pairs = [(image[:, :-4].ravel(), image[:, 4:].ravel()) for image in images]
            return np.array([np.corrcoef(left, right)[0, 1] for left, right in pairs])

        assert np.median(correlation(photographs)) > 0.7
        assert np.median(np.abs(correlation(whiten(photographs)))) < 0.1

    @pytest.mark.parametrize("cutoff", [1e-9, 1e-5, 1e-4])
    def test_a_cutoff_far_below_all_frequencies_is_refused(self, photographs, cutoff):
        with pytest.raises(ValueError, match=r"got (1e-0\d|0\.0001) cycles per pixel, .* lowest frequency is 0\.00078"):
            whiten(photographs, cutoff)
        with pytest.raises(ValueError, match="cutoff must let some of the images' contrast pass"):
            whitening_matrix(12, cutoff)

    def test_a_low_cutoff_leaves_the_lowest_frequency(self, photographs):
        wide = [photographs[4]]  # 427 × 640: half a cycle along 640 pixels is the lowest frequency
        wave = np.cos(np.pi * (np.arange(640) + 0.5) / 640) * np.sqrt(2)
        (left,) = whiten(wide, 2e-4)
        # the next one, half a cycle along 427 pixels, passes exp(((1/1280)⁴ − (1/854)⁴) / 2e-4⁴) = 1e-410 times as much
        np.testing.assert_allclose(np.abs(left), np.abs(np.tile(wave, (427, 1))), atol=1e-5)

    @pytest.mark.parametrize("factor", [2.0**-1040, 1e-300, 1e-30, 1e30, 1e300])
    def test_the_scale_of_the_images_does_not_matter(self, factor):
        images = [noise(12, 15).astype(np.float64), noise(9, 9, seed=1).astype(np.float64)]
        scaled = whiten([image * factor for image in images])
        for result, expected in zip(scaled, whiten(images), strict=True):
            # the smallest numbers of float64 have few digits
            np.testing.assert_allclose(result, expected, atol=1e-12 if factor > 1e-307 else 1e-6)

    def test_nothing_wraps_around(self):
        image = noise(64, 64).astype(np.float64)
        changed = image.copy()
        changed[:, -8:] += 1  # at the right border; what happens at the left one?
        mirrored = whiten([image, changed])
        frequency = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64)[None, :])
        response = frequency * np.exp(-((frequency / 0.4) ** 4))
        circular = [np.fft.ifft2(np.fft.fft2(version) * response).real for version in (image, changed)]

        def change(before, after, columns):
            return np.abs(after - before)[:, columns].mean() / before.std()

        far, near = slice(0, 4), slice(-12, None)
        assert change(*circular, far) > 20 * change(*mirrored, far)
        assert change(*mirrored, near) > 20 * change(*mirrored, far)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_dtype_is_kept_and_input_untouched(self, dtype):
        image = noise(12, 15).astype(dtype)
        before = image.copy()
        assert whiten([image])[0].dtype == dtype
        np.testing.assert_array_equal(image, before)

    @pytest.mark.parametrize(
        ("images", "cutoff", "message"),
        [
            ([], 0.4, "at least one image"),
            ([np.ones((4, 4))], 0.4, "constant"),
            ([np.ones((4, 4, 3))], 0.4, r"shape \(height, width\), got \(4, 4, 3\) at 0"),
            ([np.full((4, 4), np.nan)], 0.4, "finite"),
            ([np.eye(4), np.eye(4, dtype=int)], 0.4, "dtype int64 at 1"),
            ([np.eye(4)], 0.0, "cutoff must be a finite number greater than 0"),
            ([np.eye(4)], np.inf, "cutoff must be a finite number greater than 0"),
            ([np.eye(4)], "0.4", "cutoff must be a finite number greater than 0"),
            ([np.eye(4)], True, "cutoff must be a finite number greater than 0, got True"),
            ([np.eye(4)], 1e-200, "contrast pass, got 1e-200 .* lowest frequency is 0.12"),
        ],
    )
    def test_bad_input(self, images, cutoff, message):
        with pytest.raises(ValueError, match=message):
            whiten(images, cutoff)


class TestExtractPatches:
    IMAGES = (noise(20, 13), noise(9, 31, seed=1))

    def test_every_patch_is_a_window_of_an_image(self):
        windows = {
            image[row : row + 5, column : column + 5].tobytes()
            for image in self.IMAGES
            for row in range(image.shape[0] - 4)
            for column in range(image.shape[1] - 4)
        }
        patches = extract_patches(self.IMAGES, 5, 200, seed=3)
        assert patches.shape == (200, 25) and patches.dtype == np.float32
        assert all(patch.tobytes() in windows for patch in patches)

    def test_every_position_is_equally_likely(self):
        n_positions = 16 * 9 + 5 * 27
        patches = extract_patches(self.IMAGES, 5, 100 * n_positions, seed=0)
        _, counts = np.unique(patches[:, 0], return_counts=True)  # its first pixel identifies a position
        assert len(counts) == n_positions
        assert scipy.stats.chisquare(counts).pvalue > 0.01

    def test_seed_decides(self):
        first, again, other = (extract_patches(self.IMAGES, 4, 50, seed=seed) for seed in (1, 1, 2))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)

    def test_patch_as_large_as_the_image(self):
        np.testing.assert_array_equal(extract_patches([noise(6, 6)], 6, 2), [noise(6, 6).ravel()] * 2)

    def test_low_variance_is_left_out(self):
        image = np.ones((60, 400), dtype=np.float32)
        image[:, 200:] += noise(60, 200)

        def share_flat(q):
            return np.mean(extract_patches([image], 3, 4000, min_variance=q).var(axis=1) < 1e-9)

        assert 0.45 < share_flat(0.0) < 0.55
        assert 0.20 < share_flat(0.35) < 0.25  # 198 of 398 columns are flat: (0.497 − 0.35) / 0.65 is left
        assert share_flat(0.52) == 0
        windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3)).reshape(-1, 9)
        threshold = np.quantile(windows.var(axis=1), 0.8)
        kept = extract_patches([image], 3, 4000, min_variance=0.8).var(axis=1)
        assert len(kept) == 4000 and abs(kept.min() / threshold - 1) < 0.05

    def test_mean_and_length(self):
        image = noise(30, 30)
        image[:10, :10] = 0.5  # some patches are constant
        patches = extract_patches([image], 3, 500, remove_mean=True, normalise="unit")
        lengths = np.linalg.norm(patches, axis=1)
        flat = lengths == 0
        assert 0 < flat.sum() < 100
        np.testing.assert_allclose(lengths[~flat], 1, rtol=1e-5)
        np.testing.assert_allclose(patches.sum(axis=1), 0, atol=1e-5)
        kept = extract_patches([image], 3, 500)
        centred = kept - kept.mean(axis=1, keepdims=True)
        expected = centred[~flat] / np.linalg.norm(centred[~flat], axis=1, keepdims=True)
        np.testing.assert_allclose(patches[~flat], expected, atol=1e-6)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"patch_size": 10}, r"patch_size must be at most .* got 10 for image 1 of shape \(9, 31\)"),
            ({"patch_size": 0}, "patch_size must be an integer of at least 1"),
            ({"patch_size": 2.5}, "patch_size must be an integer"),
            ({"n_patches": 0}, "n_patches must be"),
            ({"seed": -1}, "seed must be"),
            ({"seed": None}, "seed must be"),
            ({"min_variance": 1.0}, "min_variance must be a share"),
            ({"min_variance": float("nan")}, "min_variance must be a share"),
            ({"normalise": "l2"}, "normalise must be None or 'unit'"),
            ({"images": []}, "at least one image"),
            ({"images": ["a.png"]}, "NumPy arrays of dtype float32 or float64, got str at 0"),
        ],
    )
    def test_bad_input(self, change, message):
        arguments = {"images": self.IMAGES, "patch_size": 4, "n_patches": 3, "seed": 0} | change
        with pytest.raises(ValueError, match=message):
            extract_patches(**arguments)


class TestLoadPatches:
    def test_is_the_three_steps_in_a_row(self, photographs):
        patches = load_patches("embedded", 8, 30, seed=5, cutoff=0.3, remove_mean=True, min_variance=0.5)
        expected = extract_patches(whiten(photographs, 0.3), 8, 30, 5, remove_mean=True, min_variance=0.5)
        np.testing.assert_array_equal(patches, expected)

    def test_without_whitening(self, photographs):
        patches = load_patches("embedded", 8, 30, whiten=False, normalise="unit")
        np.testing.assert_array_equal(patches, extract_patches(photographs, 8, 30, normalise="unit"))

    def test_images_without_a_patch_are_no_trouble(self, tmp_path, photographs):
        patches = load_patches("embedded", 12, 10)
        np.testing.assert_array_equal(patches, extract_patches(whiten(photographs), 12, 10))
        for name, value, side in (("a_thumbnail", 10, 4), ("b_large", 200, 400)):
            Image.fromarray(np.full((side, side), value, np.uint8)).save(tmp_path / f"{name}.png")
        assert set(load_patches(tmp_path, 4, 20, whiten=False).ravel()) == {load_images(tmp_path)[1][0, 0]}

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"patch_size": 0}, "patch_size must be an integer of at least 1, got 0"),
            ({"patch_size": True}, "patch_size must be an integer"),
            ({"n_patches": "10"}, "n_patches must be an integer"),
            ({"seed": 1.0}, "seed must be an integer"),
            ({"whiten": "no"}, "whiten must be True or False, got 'no'"),
            ({"whiten": 0}, "whiten must be True or False, got 0"),
            ({"cutoff": "0.4"}, "cutoff must be a finite number"),
            ({"cutoff": True}, "cutoff must be a finite number"),
            ({"whiten": False, "cutoff": -1}, "cutoff must be a finite number"),
            ({"remove_mean": "no"}, "remove_mean must be True or False, got 'no'"),
            ({"min_variance": False}, "min_variance must be a share"),
            ({"min_variance": "0.1"}, "min_variance must be a share"),
            ({"normalise": True}, "normalise must be None or 'unit'"),
            ({"variable": 5}, "variable must be the name of an array, got 5"),
            ({"resample_images": "no"}, "resample_images must be True or False, got 'no'"),
            ({"gaussian": 1}, "gaussian must be True or False, got 1"),
        ],
    )
    def test_bad_arguments_are_seen_before_any_work(self, options, message):
        with pytest.raises(ValueError, match=message):
            load_patches("/no/such/folder", **({"patch_size": 4, "n_patches": 10} | options))


class TestSpectrum:
    def test_effective_dimension_against_eigenvalues(self):
        patches = noise(500, 12).astype(np.float64) @ np.diag(np.arange(1.0, 13)) @ noise(12, 12, seed=1)
        eigenvalues = np.linalg.eigvalsh(np.cov(patches.T))
        expected = eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
        assert effective_dimension(patches) == pytest.approx(expected, rel=1e-10)
        assert effective_dimension(torch.from_numpy(patches)) == pytest.approx(expected, rel=1e-10)

    def test_effective_dimension_of_a_line_and_of_axes(self):
        line = np.outer(np.arange(5.0), [1, 2, 3])
        assert effective_dimension(line) == pytest.approx(1)
        axes = np.vstack([np.eye(4), -np.eye(4)])
        assert effective_dimension(axes) == pytest.approx(4)

    def test_whitening_raises_it(self):
        raw = effective_dimension(load_patches("embedded", 8, 5000, whiten=False))
        white = effective_dimension(load_patches("embedded", 8, 5000))
        assert raw < 5 < 20 < white < 64

    def test_gaussian_match_keeps_two_moments_and_no_more(self):
        patches = load_patches("embedded", 6, 40_000).astype(np.float64)
        null = gaussian_match(patches, seed=1)
        assert null.shape == patches.shape and null.dtype == patches.dtype
        spread = patches.std(axis=0).mean()
        np.testing.assert_allclose(null.mean(axis=0), patches.mean(axis=0), atol=0.03 * spread)
        np.testing.assert_allclose(np.cov(null.T), np.cov(patches.T), atol=0.04 * spread**2)
        assert scipy.stats.kurtosis(patches.ravel()) > 3
        assert abs(scipy.stats.kurtosis(null.ravel())) < 0.1

    def test_gaussian_match_of_fewer_samples_than_features_stays_in_their_span(self):
        patches = noise(4, 30)
        null = gaussian_match(patches)
        centred = (patches - patches.mean(axis=0)).astype(np.float64)
        basis = np.linalg.svd(centred, full_matrices=False)[2][:3]
        rest = (null - patches.mean(axis=0)) - (null - patches.mean(axis=0)) @ basis.T @ basis
        np.testing.assert_allclose(rest, 0, atol=1e-5)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_gaussian_match_gives_back_what_it_got(self, dtype):
        patches = torch.from_numpy(noise(50, 4)).to(dtype)
        null = gaussian_match(patches, seed=2)
        assert isinstance(null, torch.Tensor) and null.dtype == dtype
        assert torch.equal(null, gaussian_match(patches, seed=2))
        assert not torch.equal(null, gaussian_match(patches, seed=3))
        np.testing.assert_array_equal(null.numpy(), gaussian_match(patches.numpy(), seed=2))

    def test_bad_input(self):
        with pytest.raises(ValueError, match="patches must hold at least two samples"):
            gaussian_match(np.ones((1, 4)))
        with pytest.raises(ValueError, match="patches must vary"):
            effective_dimension(np.ones((3, 4)))
        with pytest.raises(ValueError, match="seed must be"):
            gaussian_match(noise(3, 4), seed=-1)
        with pytest.raises(ValueError, match="patches must be finite"):
            effective_dimension(np.array([[np.nan], [1.0]]))


class TestStudiesOfImages:
    def test_a_sum_of_sets_holds_all_their_images(self, mirror):
        together = load_images("photographs+embedded")
        apart = [*load_images("photographs"), *load_images("embedded")]
        assert len(together) == len(apart) == 9
        assert all(np.array_equal(a, b) for a, b in zip(together, apart, strict=True))
        assert source_hashes("photographs+embedded") == source_hashes("photographs") | source_hashes("embedded")

    def test_a_sum_with_an_unknown_set_is_refused(self):
        with pytest.raises(ValueError, match="source must be one of"):
            load_images("embedded+nothing")

    def test_resampled_images_are_a_bootstrap_sample(self, tmp_path):
        for index in range(20):
            Image.fromarray(np.full((16, 16), 10 * index, np.uint8)).save(tmp_path / f"{index:02}.png")
        seen = []
        for seed in range(40):
            patches = load_patches(tmp_path, 4, 2000, seed, whiten=False, resample_images=True)
            seen.append(len(np.unique(patches)))
        # 20 draws with replacement show 20 (1 − (19/20)²⁰) = 12.8 different images on average
        assert abs(np.mean(seen) - 20 * (1 - (19 / 20) ** 20)) < 4 * np.std(seen) / np.sqrt(40)
        everything = load_patches(tmp_path, 4, 2000, 0, whiten=False)
        assert len(np.unique(everything)) == 20

    def test_gaussian_patches_have_the_moments_and_no_kurtosis(self):
        options = {"min_variance": 0.0, "seed": 3}
        patches = load_patches("embedded", 8, 20_000, **options)
        null = load_patches("embedded", 8, 20_000, **options, gaussian=True)
        scale = np.sqrt(np.outer(patches.var(0), patches.var(0)))
        assert np.abs(np.cov(null.T) - np.cov(patches.T)).max() < 0.1 * scale.max()
        assert scipy.stats.kurtosis(patches, axis=None) > 1
        assert abs(scipy.stats.kurtosis(null, axis=None)) < 0.1


@pytest.mark.equation("eq-whitening", "wlsc.datasets.whitening_matrix")
def test_whitening_matrix_is_the_filter_on_single_patches():
    matrix = whitening_matrix(9, 0.3)
    patch = noise(9, 9).astype(float)
    filtered = whiten([patch], 0.3)[0].ravel()
    product = matrix @ patch.ravel()
    np.testing.assert_allclose(product / np.linalg.norm(product), filtered / np.linalg.norm(filtered), atol=1e-10)
    assert product @ filtered > 0
