"""Damaged versions of valid files, for tests of readers."""

from __future__ import annotations

from hypothesis import strategies as st


@st.composite
def damaged(draw, content: bytes) -> bytes:
    """Flip bits, overwrite, cut out or cut off."""
    broken = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        position = draw(st.integers(0, max(len(broken) - 1, 0)))
        kind = draw(st.sampled_from(["flip", "overwrite", "remove", "cut"]))
        if kind == "flip" and broken:
            broken[position] ^= 1 << draw(st.integers(0, 7))
        elif kind == "overwrite":
            patch = draw(st.binary(min_size=1, max_size=8))
            broken[position : position + len(patch)] = patch
        elif kind == "remove":
            del broken[position : position + draw(st.integers(1, 8))]
        else:
            del broken[position:]
    return bytes(broken)
