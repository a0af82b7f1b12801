"""Small image files in the layouts of the field, written byte by byte or by other libraries than those that read."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import h5py
import numpy as np
import scipy.io
from PIL import Image

SHAPE = (1024, 1536)  # of van Hateren's images


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def png16(pixels: np.ndarray, gamma: int | None = None) -> bytes:
    """Write a PNG of 16 bits per channel: grey, grey and alpha, RGB or RGBA."""
    height, width, n_channels = (*pixels.shape, 1)[:3]
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[n_channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    if gamma is not None:
        parts.insert(1, (b"gAMA", struct.pack(">I", gamma)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in parts
    )


def tiff(pages: list[np.ndarray], more_tags: dict[int, tuple[int, int, int]] | None = None) -> bytes:
    """Write a little-endian TIFF with a strip a page: grey or RGB, of 8 or 16 bits or floats."""
    content = bytearray(b"II*\0\0\0\0\0")
    link = 4
    for page in pages:
        n_channels = 1 if page.ndim == 2 else page.shape[2]
        bits, kind = 8 * page.dtype.itemsize, {"u": 1, "i": 2, "f": 3}[page.dtype.kind]
        strip, values = len(content), page.astype(page.dtype.newbyteorder("<")).tobytes()
        content += values + bytes(-len(values) % 4)
        bits_at = len(content)
        content += struct.pack(f"<{n_channels}H", *[bits] * n_channels) + bytes(-2 * n_channels % 4)
        tags = {
            256: (4, 1, page.shape[1]),
            257: (4, 1, page.shape[0]),
            258: (3, n_channels, bits if n_channels == 1 else bits_at),
            259: (3, 1, 1),
            262: (3, 1, 1 if n_channels == 1 else 2),
            273: (4, 1, strip),
            277: (3, 1, n_channels),
            278: (4, 1, page.shape[0]),
            279: (4, 1, len(values)),
            339: (3, 1, kind),
            **(more_tags or {}),
        }
        struct.pack_into("<I", content, link, len(content))
        content += struct.pack("<H", len(tags))
        content += b"".join(struct.pack("<HHII", tag, *entry) for tag, entry in sorted(tags.items()))
        link = len(content)
        content += bytes(4)
    return bytes(content)


def matlab73(path: Path, **arrays: np.ndarray) -> None:
    """Write what MATLAB's ``save -v7.3`` writes: a header of 512 bytes, axes reversed, the class as an attribute."""
    classes = {"f8": b"double", "f4": b"single", "u1": b"uint8", "u2": b"uint16"}
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            dataset = file.create_dataset(name, data=np.ascontiguousarray(array.T), chunks=True, compression="gzip")
            dataset.attrs["MATLAB_class"] = np.bytes_(classes[array.dtype.str[1:]])
        text = file.create_dataset("notes", data=np.array([[72], [105]], dtype=np.uint16))
        text.attrs["MATLAB_class"] = np.bytes_(b"char")
    header = b"MATLAB 7.3 MAT-file".ljust(124) + struct.pack("<H", 0x200) + b"IM"
    with path.open("r+b") as stream:
        stream.write(header)


def van_hateren(pixels: np.ndarray) -> bytes:
    assert pixels.shape == SHAPE
    return b"".join(struct.pack(f">{SHAPE[1]}H", *row) for row in pixels.tolist())


def smooth_scene() -> np.ndarray:
    """A picture of 12 bits whose neighbouring pixels resemble each other, in the size of van Hateren's."""
    rows, columns = np.indices(SHAPE)
    return (2000 + 1500 * np.sin(rows / 90) * np.cos(columns / 130)).astype(np.uint16)


def valid_files(folder: Path) -> dict[str, bytes]:
    """One small valid file of every kind that is read."""
    pixels = (noise(9, 11, 3) * 255).astype(np.uint8)
    deep = (noise(7, 6, 3) * 65535).astype(np.uint16)
    for suffix in (".bmp", ".jpg", ".png", ".ppm", ".tif"):
        Image.fromarray(pixels).save(folder / f"valid{suffix}")
    Image.fromarray(pixels).save(folder / "valid.tiff", compression="tiff_lzw")
    Image.fromarray(pixels).convert("CMYK").save(folder / "inks.tif")
    (folder / "deep.png").write_bytes(png16(deep))
    (folder / "stack.tif").write_bytes(tiff([deep, deep[::-1]]))
    (folder / "float.tif").write_bytes(tiff([noise(4, 5)]))
    for name, compressed in (("valid.mat", False), ("zipped.mat", True)):
        scipy.io.savemat(folder / name, {"IMAGES": noise(4, 5, 2), "other": {"a": [1, 2]}}, do_compression=compressed)
    matlab73(folder / "new.mat", IMAGES=noise(4, 5, 2))
    with h5py.File(folder / "plain.h5", "w") as file:
        file["group/IMAGES"] = noise(4, 5)
    np.save(folder / "valid.npy", noise(4, 5))
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.*"))}
