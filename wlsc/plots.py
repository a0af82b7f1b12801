"""Pictures of arrays. Nothing is computed here, and every figure has one style.

Colours begin with Okabe and Ito's palette, which colour-blind readers can tell apart; labels say again what a colour
says. A model has the same colour in every figure. Each function returns a Matplotlib figure that belongs to no window.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

_Parameters = ParamSpec("_Parameters")

#: Colour of each model and of the measurements, everywhere.
COLOURS = {
    "WLSC": "#0072B2",
    "sparse coding": "#D55E00",
    "non-negative sparse coding": "#E69F00",
    "sparse coding, half the atoms": "#B8860B",
    "hard-threshold sparse coding": "#8C6D1F",
    "simplex, λ → 0+": "#56B4E9",
    "WLSC, unrolled": "#5B3F8C",
    "WLSC on Gaussian patches": "#8FB8DE",
    "phase-shuffled WLSC": "#B0B0B0",
    "random patches": "#7A7A7A",
    "ICA": "#009E73",
    "LLD-style": "#CC79A7",
    "k-means": "#3D3D3D",
    "macaque V1": "#000000",
    "pixels": "#4C6A2E",
}

#: Colours of ten classes, and of series that are no model. Found by a random search for ten colours on white of which
#: no two look alike, also to readers who lack one kind of cone: see the test.
CLASS_COLOURS = (
    "#087683", "#DEB71C", "#28C1A0", "#AA4CFD", "#997B00", "#B8AFF6", "#7C2100", "#1321BD", "#6B7360", "#45323C",
)  # fmt: skip

#: Least weight of an edge that is drawn.
_DRAWN = 1e-6

#: Range of both axes of the (nx, ny) plane, in cycles.
_PLANE = (0.05, 3.0)

#: So many places along an axis each get a tick of their own.
_FEW_PLACES = 6

_STYLE: Any = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.grid": False,
    "legend.frameon": False,
    "lines.linewidth": 2,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "path",
    "svg.hashsalt": "wlsc",
    "image.cmap": "gray",
}


def _styled(draw: Callable[_Parameters, Figure]) -> Callable[_Parameters, Figure]:
    @wraps(draw)
    def styled(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> Figure:
        with mpl.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return styled


def save(figure: Figure, path: Any) -> None:
    """Write a figure as SVG or PNG, by the suffix of ``path``; the same figure gives the same bytes."""
    with mpl.rc_context(_STYLE):
        figure.savefig(path, bbox_inches="tight", dpi=160, metadata={"Date": None} if str(path).endswith("svg") else {})


def _axes(
    n_panels: int = 1, width: float = 7.0, height: float = 3.6, n_rows: int = 1, **options: Any
) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height * n_rows), layout="constrained")
    axes = figure.subplots(n_rows, -(-n_panels // n_rows), squeeze=False, **options)
    return figure, list(axes.flat)


@_styled
def curves(
    panels: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]],
    x_label: str,
    y_label: str,
    log: str = "",
    colours: Mapping[str, str] = COLOURS,
) -> Figure:
    """Draw curves (x, y) under their names, one panel per entry of ``panels``; ``log`` names logarithmic axes.

    Four panels and more go in two rows.
    """
    n_rows = 2 if len(panels) > 3 else 1
    figure, axes = _axes(len(panels), height=3.6 if n_rows == 1 else 2.8, n_rows=n_rows)
    for axis, (title, series) in zip(axes, panels.items(), strict=True):
        for index, (name, (x, y)) in enumerate(series.items()):
            marker = "o" if len(x) == 1 else None
            axis.plot(x, y, label=name, color=colours.get(name, CLASS_COLOURS[index % 10]), marker=marker)
        axis.set(title=title, xlabel=x_label)
        if "x" in log:
            axis.set_xscale("log")
            places = np.unique(np.concatenate([x for x, _ in series.values()]))
            if 1 < len(places) <= _FEW_PLACES:
                axis.set_xticks(places, labels=[f"{place:g}" for place in places])
                axis.set_xticks([], minor=True)
        if "y" in log:
            axis.set_yscale("log")
    if len({tuple(series) for series in panels.values()}) == 1 < len(panels):
        handles = axes[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside upper center", ncols=len(handles[1]))
    else:
        for axis in axes:
            axis.legend()
    for axis in axes[:: len(axes) // n_rows]:
        axis.set_ylabel(y_label)
    return figure


@_styled
def bipartite_graphs(
    panels: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    x_label: str = "feature 1",
    y_label: str = "feature 2",
) -> Figure:
    """Draw samples (n, 2), atoms (m, 2) and codes (n, m) as edges of their width, one panel per entry."""
    figure, axes = _axes(len(panels), width=3.4 * len(panels), height=3.7, sharex=True, sharey=True)
    figure.set_layout_engine("compressed")
    for axis, (title, (samples, atoms, codes)) in zip(axes, panels.items(), strict=True):
        _draw_graph(axis, samples, atoms, codes)
        axis.set(title=title, xlabel=x_label)
    axes[0].set_ylabel(y_label)
    figure.legend(*axes[-1].get_legend_handles_labels(), loc="outside lower center", ncols=2, handletextpad=0.2)
    return figure


def columns_of_graphs(panels: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]) -> dict[str, np.ndarray]:
    """What `bipartite_graphs` draws, as columns: where samples and atoms lie, and which edges have which weight."""
    columns: dict[str, np.ndarray] = {}
    for title, (samples, atoms, codes) in panels.items():
        for name, points in (("sample", samples), ("atom", atoms)):
            columns |= {f"{title}, {name}: feature {axis + 1}": points[:, axis] for axis in (0, 1)}
        rows, used = np.nonzero(codes > _DRAWN)
        columns |= {f"{title}, edge: {name}": values for name, values in (("sample", rows), ("atom", used))}
        columns[f"{title}, edge: weight"] = codes[rows, used]
    return columns


@_styled
def from_data_to_codes(samples: np.ndarray, atoms: np.ndarray, codes: np.ndarray) -> Figure:
    """Draw samples (n, 2), the graph of codes (n, m) between them and atoms (m, 2), and the codes as a matrix."""
    figure = Figure(figsize=(7, 4.4), layout="constrained")
    axes = figure.subplot_mosaic([["data", "graph"], ["codes", "codes"]], height_ratios=(5, 4))
    _draw_graph(axes["data"], samples, atoms[:0], codes[:, :0])
    _draw_graph(axes["graph"], samples, atoms, codes)
    image = axes["codes"].imshow(codes.T, aspect="auto", interpolation="nearest", cmap="Greys", vmin=0, vmax=1)
    axes["data"].set(title="data", xlabel="feature 1", ylabel="feature 2")
    axes["graph"].set(title="atoms, and the graph", xlabel="feature 1")
    axes["codes"].set(title="codes", xlabel="sample", ylabel="atom")
    figure.colorbar(image, ax=axes["codes"], label="weight")
    axes["graph"].legend(loc="lower left", handletextpad=0.2, borderpad=0, fontsize=9)
    return figure


def _draw_graph(axis: Axes, samples: np.ndarray, atoms: np.ndarray, codes: np.ndarray) -> None:
    rows, columns = np.nonzero(codes > _DRAWN)
    edges = np.stack([samples[rows], atoms[columns]], axis=1)
    widths = 1.8 * codes[rows, columns]
    axis.add_collection(LineCollection(list(edges), linewidths=widths, colors="#6B6B6B", zorder=1))
    axis.scatter(samples[:, 0], samples[:, 1], s=9, color=COLOURS["WLSC"], linewidth=0, label="samples", zorder=2)
    marks: Any = {"s": 70, "marker": "^", "color": COLOURS["sparse coding"], "edgecolor": "white", "zorder": 3}
    axis.scatter(atoms[:, 0], atoms[:, 1], label="atoms", **marks)
    axis.set_aspect("equal")


@_styled
def filter_grids(panels: Mapping[str, np.ndarray], patch_shape: tuple[int, int], n_columns: int = 14) -> Figure:
    """Draw filters (n_filters, height · width) as grids of small pictures; each has its own symmetric grey scale."""
    width = min(4.6 * len(panels), 9.2)  # more panels are smaller ones, and their titles stay as large
    figure, axes = _axes(len(panels), width=width, height=width / len(panels) + 0.3)
    for axis, (title, filters) in zip(axes, panels.items(), strict=True):
        axis.imshow(_tiles(filters, patch_shape, n_columns), vmin=-1, vmax=1, interpolation="nearest")
        axis.set(title=title)
        axis.set_axis_off()
    return figure


def _tiles(filters: np.ndarray, patch_shape: tuple[int, int], n_columns: int) -> np.ndarray:
    height, width = patch_shape
    n_rows = -(-len(filters) // n_columns)
    canvas = np.ones((n_rows * (height + 1) - 1, n_columns * (width + 1) - 1))
    for index, pixels in enumerate(filters):
        top, left = (index // n_columns) * (height + 1), (index % n_columns) * (width + 1)
        canvas[top : top + height, left : left + width] = pixels.reshape(patch_shape) / max(np.abs(pixels).max(), 1e-30)
    return canvas


@_styled
def atoms(model: Any, patch_shape: tuple[int, int] | None = None) -> Figure:
    """Draw the atoms of a fitted estimator, or filters (n_filters, n_features), in one call.

    They are small pictures of ``patch_shape``, which may be left out where the number of features is a square; other
    atoms are the rows of one matrix, in colours that are symmetric about zero.
    """
    filters = np.asarray(getattr(model, "components_", model))
    if patch_shape is None:
        side = round(filters.shape[1] ** 0.5)
        patch_shape = (side, side) if side**2 == filters.shape[1] and side > 1 else None
    if patch_shape is not None:
        return filter_grids({f"{len(filters)} atoms": filters}, patch_shape)
    figure, (axis,) = _axes(1, width=4.6, height=3.2)
    limit = max(float(np.abs(filters).max()), 1e-30)
    image = axis.imshow(filters, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    axis.set(title=f"{len(filters)} atoms", xlabel="feature", ylabel="atom")
    figure.colorbar(image, ax=axis, label="value")
    return figure


@_styled
def pictures(panels: Mapping[str, np.ndarray], limits: tuple[float, float] | None = None) -> Figure:
    """Draw images (height, width) side by side, grey, with shared ``limits`` or each with its own."""
    figure, axes = _axes(len(panels), width=3.2 * len(panels), height=3.2)
    for axis, (title, image) in zip(axes, panels.items(), strict=True):
        low, high = limits if limits else (None, None)
        axis.imshow(image, vmin=low, vmax=high)
        axis.set(title=title)
        axis.set_axis_off()
    return figure


@_styled
def phase_histogram(phases: Mapping[str, np.ndarray], n_bins: int = 6) -> Figure:
    """Draw the share of units per bin of folded spatial phase (degrees, 0 even … 90 odd), a bar per model."""
    figure, (axis,) = _axes()
    edges = np.linspace(0, 90, n_bins + 1)
    width = (edges[1] - edges[0]) / (len(phases) + 1)
    for index, (name, values) in enumerate(phases.items()):
        shares = np.histogram(values, edges)[0] / max(len(values), 1)
        left = edges[:-1] + width * (index + 0.5)
        label = f"{name} ({len(values)} units)"
        axis.bar(left, shares, width, align="edge", label=label, color=COLOURS.get(name, CLASS_COLOURS[index]))
    axis.axhline(1 / n_bins, color="#7A7A7A", linewidth=1, linestyle="--", label="uniform")
    axis.set(xlabel="spatial phase (degrees; 0 even, 90 odd)", ylabel="proportion of units", xticks=edges)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


@_styled
def receptive_field_plane(
    units: Mapping[str, tuple[np.ndarray, np.ndarray]],
    edges: tuple[np.ndarray, np.ndarray],
    counts: np.ndarray,
    cells: tuple[np.ndarray, np.ndarray] | None = None,
) -> Figure:
    """Draw the (nx, ny) plane of each model over the counts of cells (n_x_bins, n_y_bins) of a published table.

    Units outside of the axes are hollow and stand at the edge that they lie beyond; the titles count them. ``cells``,
    the nx and ny of a reader's own cells, are drawn beside the models' units as open squares.
    """
    figure, axes = _axes(len(units), width=4.2 * len(units), height=4.2, sharex=True, sharey=True)
    for axis, (name, (nx, ny)) in zip(axes, units.items(), strict=True):
        mesh = axis.pcolormesh(*edges, counts.T, cmap="Greys", vmax=counts.max() * 1.6)
        places = np.stack([nx, ny], axis=1)
        shown = np.clip(places, *_PLANE)
        is_inside = (shown == places).all(axis=1)
        filled: Any = {"s": 16, "color": COLOURS[name], "edgecolor": "white", "linewidth": 0.5}
        hollow: Any = {"s": 16, "facecolor": "white", "edgecolor": COLOURS[name], "clip_on": False, "zorder": 3}
        for is_chosen, look in ((is_inside, filled), (~is_inside, hollow)):
            axis.scatter(shown[is_chosen, 0], shown[is_chosen, 1], **look)
        if cells is not None:
            axis.scatter(
                *cells, s=16, marker="s", facecolor="none", edgecolor="black", linewidth=0.7, label="your cells"
            )
            axis.legend(loc="lower right", fontsize=9)
        axis.plot(_PLANE, _PLANE, color="#7A7A7A", linewidth=1, linestyle="--")
        title = f"{name}\n{len(places)} units, {np.sum(~is_inside)} beyond the axes"
        axis.set(xscale="log", yscale="log", xlim=_PLANE, ylim=_PLANE, title=title, aspect="equal")
        axis.set_xlabel("nx (cycles across the bars)")
        for setter in (axis.set_xticks, axis.set_yticks):
            setter([0.1, 0.3, 1.0, 3.0], labels=["0.1", "0.3", "1", "3"])
            setter([], minor=True)
    axes[0].set_ylabel("ny (cycles along the bars)")
    figure.colorbar(mesh, ax=axes, label="macaque V1 cells per bin", shrink=0.8)
    return figure


@_styled
def embedding(
    panels: Mapping[str, np.ndarray], labels: np.ndarray, unlabelled: Sequence[str] = (), legend: str = "digit"
) -> Figure:
    """Draw points (n_samples, 2), coloured by class, one panel per entry; the axes of an embedding have no unit.

    Four panels and more go in two rows; the points of the panels named in ``unlabelled`` belong to no class. Each
    class has its name on the point that is nearest to their median.
    """
    n_rows = 2 if len(panels) > 3 else 1
    n_columns = -(-len(panels) // n_rows)
    figure, axes = _axes(len(panels), width=4.6 * n_columns, height=4.6, n_rows=n_rows)
    size = 2 if len(labels) > 20_000 else 6
    for axis, (title, points) in zip(axes, panels.items(), strict=False):
        classes = [(None, points)] if title in unlabelled else [(c, points[labels == c]) for c in np.unique(labels)]
        for index, (label, chosen) in enumerate(classes):
            colour = "#7A7A7A" if label is None else CLASS_COLOURS[index % 10]
            axis.scatter(chosen[:, 0], chosen[:, 1], s=size, linewidth=0, color=colour, label=str(label))
            if label is not None:
                look: Any = {"weight": "bold", "path_effects": [withStroke(linewidth=3, foreground="white")]}
                nearest = np.argmin(np.linalg.norm(chosen - np.median(chosen, axis=0), axis=1))
                axis.annotate(str(label), chosen[nearest], ha="center", va="center", **look)
        axis.set(title=title, xticks=[], yticks=[], aspect="equal", adjustable="datalim")
    for axis in axes[len(panels) :]:
        axis.remove()
    for axis in axes[-n_columns:]:
        axis.set_xlabel("embedding 1")
    for axis in axes[::n_columns]:
        axis.set_ylabel("embedding 2")
    axes[n_columns - 1].legend(
        *axes[0].get_legend_handles_labels(),
        title=legend,
        markerscale=24 / size**0.5 / 4,
        bbox_to_anchor=(1, 1),
        loc="upper left",
        handletextpad=0,
    )
    return figure


@_styled
def bars(values: Mapping[str, float], y_label: str, names: Sequence[str] = ()) -> Figure:
    """Draw one bar per name with its value written above."""
    figure, (axis,) = _axes(height=3.0)
    drawn = axis.bar(list(names or values), list(values.values()), color=[COLOURS.get(n, "#7A7A7A") for n in values])
    axis.bar_label(drawn, fmt="%.3g")
    axis.set(ylabel=y_label)
    return figure


@_styled
def dots(rows: Mapping[str, Mapping[str, float]], x_label: str) -> Figure:
    """Draw the values of each row on one logarithmic axis, a colour and a marker per name."""
    names = list(dict.fromkeys(name for values in rows.values() for name in values))
    figure, (axis,) = _axes(height=1.5 + 0.36 * len(rows))
    for index, name in enumerate(names):
        places = [place for place, values in enumerate(rows.values()) if name in values]
        values = [values[name] for values in rows.values() if name in values]
        colour = COLOURS.get(name, CLASS_COLOURS[index % 10])
        axis.plot(values, places, "os^Dv"[index % 5], color=colour, label=name, markersize=7, linestyle="none")
    axis.set(yticks=range(len(rows)), yticklabels=list(rows), xlabel=x_label, xscale="log")
    axis.invert_yaxis()
    axis.grid(axis="y", color="#DDDDDD")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper center", ncols=3, handletextpad=0.2)
    return figure


@_styled
def cumulative(values: Mapping[str, np.ndarray], x_label: str, y_label: str) -> Figure:
    """Draw the cumulative share of the values under each name."""
    figure, (axis,) = _axes()
    for index, (name, sample) in enumerate(values.items()):
        ordered = np.sort(sample)
        shares = np.arange(1, len(ordered) + 1) / len(ordered)
        style = {"macaque V1": "--"}.get(name, ":" if name.startswith("macaque") else "-")
        colour = COLOURS.get(name, "#000000" if name.startswith("macaque") else CLASS_COLOURS[index % 10])
        axis.step(ordered, shares, where="post", label=f"{name} ({len(ordered)})", color=colour, linestyle=style)
    axis.set(xlabel=x_label, ylabel=y_label, ylim=(0, 1.02))
    axis.legend(fontsize=9)
    return figure


@_styled
def interval_panels(
    panels: Mapping[str, tuple[float, Mapping[str, tuple[float, float, float]]]], x_label: str
) -> Figure:
    """Draw estimate, low and high end of an interval per name, a panel for each threshold that they are held against.

    Panels lie below one another and share their axis; the first row of each is the one that counts. An interval whose
    ends are NaN is not drawn, and its estimate is a ring. A title may be empty.
    """
    sizes = [len(rows) for _, rows in panels.values()]
    figure = Figure(figsize=(7.0, 0.9 + 0.6 * len(panels) + 0.36 * sum(sizes)), layout="constrained")
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=sizes)[:, 0]
    for axis, (title, (threshold, rows)) in zip(axes, panels.items(), strict=True):
        for place, (estimate, low, high) in enumerate(rows.values()):
            colour = COLOURS["WLSC"] if place == 0 else "#4D4D4D"
            axis.plot([low, high], [place, place], color=colour, linewidth=2)
            axis.plot(estimate, place, "o", color=colour, fillstyle="none" if np.isnan(low) else "full")
        axis.axvline(threshold, color="#7A7A7A", linewidth=1, linestyle="--")
        axis.set_title(title, loc="left")
        axis.set(yticks=range(len(rows)), yticklabels=list(rows), ylim=(len(rows) - 0.4, -0.6))
    axes[-1].set(xlabel=x_label)
    axes[-1].locator_params(axis="x", nbins=5)
    return figure


@_styled
def ranges(panels: Mapping[str, Mapping[str, tuple[float, float, float]]]) -> Figure:
    """Draw median, least and most of each name as a dot and a line, a panel for each quantity, side by side.

    All panels name the same rows, or some of them.
    """
    names = list(dict.fromkeys(name for rows in panels.values() for name in rows))
    figure = Figure(figsize=(1.9 + 2.1 * len(panels), 1.0 + 0.32 * len(names)), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, (x_label, rows) in zip(axes, panels.items(), strict=True):
        for name, (middle, least, most) in rows.items():
            colour, place = COLOURS.get(name, "#4D4D4D"), names.index(name)
            axis.plot([least, most], [place, place], color=colour, linewidth=2)
            axis.plot(middle, place, "o", color=colour)
        axis.set(xlabel=x_label, yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.4, -0.6))
        axis.locator_params(axis="x", nbins=3)
        axis.grid(axis="y", color="#DDDDDD", linewidth=0.8)
    return figure


@_styled
def sweeps(
    rows: Mapping[str, Mapping[str, Sequence[tuple[float, float, float, float]]]],
    names: Mapping[str, Mapping[float, str]] | None = None,
) -> Figure:
    """Draw how quantities move along several axes: a row of panels for each quantity, a column for each axis.

    Parameters
    ----------
    rows
        Quantity → axis → points (place above 0, median, least, most). All quantities have the same axes.
    names
        Axis → place → what is written at that place in place of its number.
    """
    columns = list(next(iter(rows.values())))
    figure, axes = _axes(len(rows) * len(columns), height=2.5, n_rows=len(rows), sharex="col", sharey="row")
    pairs = [(quantity, column) for quantity in rows for column in columns]
    for axis, (quantity, column) in zip(axes, pairs, strict=True):
        places, middle, least, most = np.array(rows[quantity][column]).T
        axis.fill_between(places, least, most, color=COLOURS["WLSC"], alpha=0.2, linewidth=0)
        axis.plot(places, middle, "o-", color=COLOURS["WLSC"], markersize=5)
        axis.set_xscale("log")
        written = (names or {}).get(column, {})
        axis.set_xticks(places, labels=[written.get(place, f"{place:g}") for place in places.tolist()])
        axis.set_xticks([], minor=True)
        axis.tick_params(axis="x", labelsize=9)
        if quantity == list(rows)[-1]:
            axis.set(xlabel=column)
        if column == columns[0]:
            axis.set(ylabel=quantity)
    return figure


@_styled
def sheet_of_filters(filters: np.ndarray, places: np.ndarray, shape: tuple[int, int]) -> Figure:
    """Draw filters (n_filters, side²) where ``places`` (n_filters, 2) put them on a sheet of (rows, columns) cells."""
    side = round(filters.shape[1] ** 0.5)
    ordered = np.zeros((shape[0] * shape[1], filters.shape[1]))
    ordered[np.ravel_multi_index(tuple(places.T), shape)] = filters
    figure, (axis,) = _axes(width=6.4, height=6.4)
    axis.imshow(_tiles(ordered, (side, side), shape[1]), vmin=-1, vmax=1, interpolation="nearest")
    axis.set_axis_off()
    return figure


@_styled
def orientation_maps(panels: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Draw maps of orientation, complex images e^{2iθ} with NaN where there is none, and the charges of pinwheels.

    Hue is orientation, on a cyclic map that colour-blind readers can follow by its lightness. Charges have one row and
    one column less; those above 0 are circles, those below 0 triangles. A cross marks a cell without orientation.
    """
    n_rows = 2 if len(panels) > 3 else 1
    n_columns = -(-len(panels) // n_rows)
    figure, axes = _axes(len(panels), width=3.1 * n_columns, height=3.2, n_rows=n_rows)
    for axis, (title, (field, charges)) in zip(axes, panels.items(), strict=False):
        degrees = np.degrees(np.angle(field)) / 2 % 180
        image = axis.imshow(degrees, cmap="twilight", vmin=0, vmax=180, interpolation="nearest")
        for sign, marker in ((1, "o"), (-1, "^")):
            rows, columns = np.nonzero(np.sign(np.nan_to_num(charges)) == sign)
            axis.scatter(
                columns + 0.5, rows + 0.5, s=16, marker=marker, color="white", edgecolor="black", linewidth=0.7
            )
        axis.set(title=title, xticks=[], yticks=[])
    for axis in axes[len(panels) :]:
        axis.remove()
    figure.colorbar(
        image, ax=axes[: len(panels)], label="orientation (degrees)", ticks=[0, 45, 90, 135, 180], shrink=0.8
    )
    return figure


@_styled
def profile_by_distance(
    panels: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]], y_label: str
) -> Figure:
    """Draw similarity against distance, and the band (low, high) of permutations: x, y, low, high of each panel."""
    figure, axes = _axes(len(panels), sharey=True)
    for axis, (title, (x, y, low, high)) in zip(axes, panels.items(), strict=True):
        axis.fill_between(x, low, high, color="#D0D0D0", linewidth=0, label="units permuted, 95 %")
        axis.plot(x, y, "o-", color=COLOURS.get(title, CLASS_COLOURS[0]), label="as laid out")
        axis.set(title=title, xlabel="distance on the sheet (cells)")
    axes[0].set_ylabel(y_label)
    axes[0].legend()
    return figure
