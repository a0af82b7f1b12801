"""Real numeric arrays of MATLAB 5 to 7 files.

SciPy's reader can be brought down, the whole process with it, by a crafted file: by cells nested deeper
than the stack or, also where one array alone is asked for, by an impossible type code. This one reads the
outermost level only, enters nothing but numeric arrays and checks every length that a file claims before it
is used.

The format (MathWorks, *MAT-File Format*, R2024b, chapter 1): a header of 128 bytes, then elements of type,
length and content. An array is an element that holds elements: flags, dimensions, name, values. Either may
be compressed.
"""

from __future__ import annotations

import math
import struct
import zlib
from typing import NamedTuple

import numpy as np

_HEADER = 128
_ARRAY, _COMPRESSED = 14, 15
_COMPLEX = 0x0800
_STORED_AS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CLASSES = {
    6: "f8",
    7: "f4",
    8: "i1",
    9: "u1",
    10: "i2",
    11: "u2",
    12: "i4",
    13: "u4",
    14: "i8",
    15: "u8",
}
_MOST_VALUES = 2**31  # a length in the file has 32 bits
_LONGEST_NAME = 63
_LONGEST_DESCRIPTION = 4096  # bytes; flags, dimensions and a name take far less


class _Element(NamedTuple):
    """Type code and content bounds of an element, and where the next one starts."""

    kind: int
    start: int
    size: int
    end: int


class _Array(NamedTuple):
    """What the file says of an array, and the bytes that hold its values at ``values_at``."""

    shape: tuple[int, ...]
    dtype: np.dtype
    order: str
    packed: memoryview
    compressed: bool
    values_at: int


def list_mat5(content: bytes) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the real numeric arrays in a MATLAB 5 to 7 file, by name.

    Raises
    ------
    ValueError
        If the file is broken or of another version.
    """
    try:
        return {name: array.shape for name, array in _list_arrays(memoryview(content)).items()}
    except (struct.error, zlib.error) as error:
        raise ValueError(str(error)) from None


def read_mat5(content: bytes, name: str) -> np.ndarray:
    """Return one of the arrays that `list_mat5` names.

    Raises
    ------
    ValueError
        If the array is broken.
    """
    try:
        return _read_values(_list_arrays(memoryview(content))[name])
    except (ValueError, struct.error, zlib.error) as error:
        raise ValueError(f"it is broken at {name!r}: {error}") from None


def _list_arrays(content: memoryview) -> dict[str, _Array]:
    """Read the descriptions of all real numeric arrays of the outermost level."""
    order = _byte_order(bytes(content[:_HEADER]))
    arrays: dict[str, _Array] = {}
    offset = _HEADER
    while offset < len(content):
        element = _element(content, offset, order)
        packed = content[element.start : element.start + element.size]
        if len(packed) < element.size:
            raise ValueError("it is cut off")
        compressed = element.kind == _COMPRESSED
        if compressed or element.kind == _ARRAY:
            _describe(packed, compressed, order, arrays)
        offset = element.start + element.size if compressed else element.end  # compressed ones are not padded
    return arrays


def _byte_order(header: bytes) -> str:
    order = {b"IM": "<", b"MI": ">"}.get(header[126:128])
    if order is None:
        raise ValueError("its header is not that of MATLAB 5 to 7")
    (version,) = struct.unpack_from(f"{order}H", header, 124)
    if version != 0x0100:
        raise ValueError(f"its version is {version:#06x} instead of 0x0100")
    return order


def _element(buffer: memoryview | bytes, offset: int, order: str) -> _Element:
    """Read the tag at ``offset``; up to four bytes of content can share its eight bytes."""
    first, second = struct.unpack_from(f"{order}II", buffer, offset)
    if first >> 16:
        return _Element(first & 0xFFFF, offset + 4, min(first >> 16, 4), offset + 8)
    return _Element(first, offset + 8, second, offset + 8 + second + -second % 8)


def _describe(packed: memoryview, compressed: bool, order: str, arrays: dict[str, _Array]) -> None:
    """Add the array in this element to ``arrays``, if it is a real numeric one."""
    start = bytes(packed[:_LONGEST_DESCRIPTION])
    if compressed:
        start = zlib.decompressobj().decompress(packed, _LONGEST_DESCRIPTION)
    flags = _element(start, 8 if compressed else 0, order)  # the tag of the array itself is compressed too
    (flag_bits,) = struct.unpack_from(f"{order}I", start, flags.start)
    if flag_bits & 0xFF not in _CLASSES or flag_bits & _COMPLEX:
        return
    dimensions = _element(start, flags.end, order)
    name_tag = _element(start, dimensions.end, order)
    if name_tag.end > len(start):
        raise ValueError("the description of an array is cut off")
    shape = struct.unpack_from(f"{order}{dimensions.size // 4}i", start, dimensions.start)
    name = start[name_tag.start : name_tag.start + name_tag.size].decode("latin-1")
    if len(name) > _LONGEST_NAME or not name.isprintable():
        raise ValueError("the name of an array is broken")
    if name in arrays:
        raise ValueError(f"it holds {name!r} twice")
    dtype = np.dtype(_CLASSES[flag_bits & 0xFF])
    arrays[name] = _Array(shape, dtype, order, packed, compressed, name_tag.end)


def _read_values(array: _Array) -> np.ndarray:
    n_values = math.prod(array.shape)
    if min(array.shape, default=0) < 1 or n_values > _MOST_VALUES:
        raise ValueError(f"it claims the shape {array.shape}")
    buffer: memoryview | bytes = array.packed
    if array.compressed:
        longest = array.values_at + 8 + 8 * n_values
        buffer = zlib.decompressobj().decompress(array.packed, longest)
    values = _element(buffer, array.values_at, array.order)
    stored = np.dtype(array.order + _STORED_AS.get(values.kind, "V1"))
    if stored.kind == "V" or (stored.kind == "f" and array.dtype.kind != "f"):
        raise ValueError(f"its values are of type {values.kind}")
    if values.size != n_values * stored.itemsize or values.start + values.size > len(buffer):
        raise ValueError(f"its values do not fill the shape {array.shape}")
    flat = np.frombuffer(buffer, dtype=stored, count=n_values, offset=values.start)
    with np.errstate(all="ignore"):
        return flat.astype(array.dtype).reshape(array.shape, order="F")
