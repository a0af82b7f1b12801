#!/bin/sh
# Guessed: a 16-bit RGB PNG, a valid and common file, is read with its 16 bits, or refused.
# Seen: Pillow 12.0.0 opens it as "RGB" of 8 bits, and imageio 2.37.0 gives uint8 through it, both without a warning;
# of 65,536 levels 256 are left. imagecodecs 2025.8.2 keeps all of them.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pillow==12.0.0 imageio==2.37.0 imagecodecs==2025.8.2 numpy==2.3.4
cat > "$folder/read.py" <<'PYTHON'
import struct, warnings, zlib, io
import imagecodecs, imageio.v3, numpy
from PIL import Image

warnings.simplefilter("error")
pixels = numpy.arange(64 * 64 * 3, dtype=">u2").reshape(64, 64, 3)
part = lambda name, content: struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
header = struct.pack(">IIBBBBB", 64, 64, 16, 2, 0, 0, 0)
rows = b"".join(b"\0" + row.tobytes() for row in pixels)
png = b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")

pillow = numpy.asarray(Image.open(io.BytesIO(png)))
through_imageio = imageio.v3.imread(png)
whole = imagecodecs.png_decode(png)
for name, found in (("written", pixels), ("Pillow", pillow), ("imageio", through_imageio), ("imagecodecs", whole)):
    print(f"{name}: {found.dtype.name}, {len(numpy.unique(found))} levels")
assert pillow.dtype == through_imageio.dtype == numpy.uint8
assert len(numpy.unique(pixels)) == 12288 and len(numpy.unique(pillow)) <= 49
assert (whole == pixels).all()
PYTHON
"$folder/venv/bin/python" "$folder/read.py"
