"""The picture that stands beside a link to the book where people share it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from sphinx.application import Sphinx

POSTER = "_static/poster.png"
POSTER_TEXT = "Filters learned from natural images by weighted sparse coding and by sparse coding, side by side."

#: Pixels of the poster, as previews of links show it, and of a gap between two panels of its picture.
_WIDTH, _HEIGHT, _GAP = 1200, 630, 24


def write_poster(app: Sphinx, exception: Exception | None) -> None:
    """Write the poster from the picture of the dictionaries, where a build has one."""
    picture = find_picture(app)
    if exception is None and app.builder.name == "html" and picture:
        poster = draw_poster(picture, app.config.html_title)
        poster.savefig(Path(app.outdir) / POSTER, dpi=100, metadata={"Software": None})


def find_picture(app: Sphinx) -> Path | None:
    """The picture of the dictionaries, where a build has one."""
    picture = Path(app.srcdir) / "figures" / "dictionaries.png"
    return picture if picture.exists() else None


def draw_poster(picture: Path, title: str) -> Figure:
    """Draw the title and what it is about to the left of a picture without its empty columns."""
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("L"))
    is_near = np.convolve((pixels < 250).any(axis=0), np.ones(2 * _GAP + 1), mode="same") > 0
    shown = pixels[:, is_near]
    share = min(_HEIGHT * shown.shape[1] / shown.shape[0] / _WIDTH, 0.6)
    figure = Figure(figsize=(_WIDTH / 100, _HEIGHT / 100), facecolor="white")
    axis = figure.add_axes((1 - share - 0.02, 0.03, share, 0.94))
    axis.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
    axis.set_axis_off()
    figure.text(0.05, 0.62, "\nsparse coding".join(title.split(" sparse coding")), fontsize=34, weight="bold")
    words = "An executable companion to\n“Clustering Inductive Biases\nwith Unrolled Networks”"
    figure.text(0.05, 0.34, words, fontsize=19, linespacing=1.4, color="#333333")
    return figure
