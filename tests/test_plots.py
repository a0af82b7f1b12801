"""Figures: colours that all readers tell apart, and nothing dropped in silence."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from skimage.color import deltaE_ciede2000, rgb2lab

from wlsc import plots

#: What is left of linear RGB without one kind of cone: Machado, Oliveira and Fernandes 2009,
#: doi:10.1109/TVCG.2009.113, their tables for severity 1.0.
VISIONS = {
    "all cones": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}

#: CIEDE2000; 1 is just noticeable side by side, and small points far apart need a good deal more.
LEAST_DIFFERENCE = 15


def to_linear(encoded: np.ndarray) -> np.ndarray:
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def to_encoded(linear: np.ndarray) -> np.ndarray:
    inside = np.clip(linear, 0, 1)
    return np.where(inside <= 0.0031308, 12.92 * inside, 1.055 * inside ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("vision", VISIONS)
def test_classes_are_told_apart_by_every_kind_of_colour_vision(vision):
    colours = np.array([to_rgb(colour) for colour in plots.CLASS_COLOURS])
    seen = rgb2lab(to_encoded(to_linear(colours) @ np.array(VISIONS[vision]).T)[None])[0]
    differences = deltaE_ciede2000(seen[:, None], seen[None])
    assert len(colours) == 10
    assert differences[np.triu_indices(10, 1)].min() > LEAST_DIFFERENCE


def test_classes_are_seen_on_white():
    luminance = to_linear(np.array([to_rgb(colour) for colour in plots.CLASS_COLOURS])) @ [0.2126, 0.7152, 0.0722]
    assert (1.05 / (luminance + 0.05)).min() > 1.8, "the contrast of WCAG; ten colours apart cannot all have 3"


def test_units_beyond_the_axes_are_drawn_at_their_edge_and_counted():
    nx, ny = np.array([0.01, 0.2, 0.4, 5.0]), np.array([0.3, 0.2, 3.0, 0.01])
    edges = np.array([0.1, 0.3, 1.0])
    figure = plots.receptive_field_plane({"WLSC": (nx, ny)}, (edges, edges), np.ones((2, 2)))
    axis = figure.axes[0]
    inside, beyond = (collection.get_offsets() for collection in axis.collections[-2:])
    np.testing.assert_array_equal(inside, [[0.2, 0.2], [0.4, 3.0]])
    np.testing.assert_array_equal(beyond, [[0.05, 0.3], [3.0, 0.05]])
    assert to_hex(axis.collections[-1].get_facecolor()[0]) == "#ffffff"
    assert axis.get_title() == "WLSC\n4 units, 2 beyond the axes"


def test_the_name_of_a_class_stands_among_its_points():
    points = np.array([[0.0, 0.0], [1.0, 0.0], [9.0, 2.0], [5.0, 5.0], [4.0, 7.0], [6.0, 9.0]])
    figure = plots.embedding({"codes": points, "noise": points}, np.repeat([3, 8], 3), unlabelled=["noise"])
    names = {text.get_text(): text.xy for text in figure.axes[0].texts}
    assert {name: tuple(place) for name, place in names.items()} == {"3": (1.0, 0.0), "8": (4.0, 7.0)}
    assert not figure.axes[1].texts
