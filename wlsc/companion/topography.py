"""Figures and tables of the chapter on maps, from what its study found.

Each function saves one figure or table under its stable name and returns it. Numbers of several draws of images are
written as "mean [least, most]".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from wlsc import plots
from wlsc.analysis.topography import (
    axial,
    between_graphs,
    morans_i,
    on_sheet,
    pinwheels,
    random_layout,
    ring_noise,
    sheet_weights,
    similarity_by_distance,
    spectrum_cosines,
    swap_layout,
)
from wlsc.companion import verdicts
from wlsc.companion.results import SavedFigure, SavedTable, save_figure, save_table
from wlsc.experiments.claims.base import Claim
from wlsc.experiments.claims.topography import LEAST_SIDE, PEERS, excess, sheet_order, values_of
from wlsc.experiments.studies.topography import Measurement, Study

#: What the claims say.
CLAIMS = {
    "T1": "The graph orders orientation, beyond what covariance and contrast give.",
    "T2": "It does so more than the graph of sparse coding.",
    "T3": "The sheet is a map like that of V1.",
}

#: Layout → its name in words.
LAYOUTS = {
    "swap": "swaps",
    "random_start": "swaps, random start",
    "torus": "swaps, on a torus",
    "tsne": "10-D spectral, t-SNE, assignment",
    "spectral": "2-D spectral, assignment",
    "random": "random",
    "surrogate": "swaps, graph of surrogates",
    "cosines": "swaps, by filters' |cosine|",
    "spectra": "swaps, by filters' amplitude spectra",
}

#: Shares of the filters' similarity on the slider from graph to filters.
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def spans(numbers: Iterable[float], digits: int = 2) -> str:
    """Write numbers as "mean [least, most]", one number by itself, and a dash if there is none."""
    values = np.asarray(list(numbers), dtype=float)
    if not len(values):
        return verdicts.NONE
    text = f"{values.mean():.{digits}f}"
    return text if len(values) == 1 else f"{text} [{values.min():.{digits}f}, {values.max():.{digits}f}]"


def groups(measured: Sequence[Measurement]) -> dict[tuple[str, float | None], list[Measurement]]:
    """Put dictionaries of one model and activity together, in the order of the study."""
    found: dict[tuple[str, float | None], list[Measurement]] = {}
    for one in measured:
        found.setdefault((one.cell.model, one.cell.activity), []).append(one)
    return found


def orientation_field(found: Measurement, side: int, places: np.ndarray | None = None) -> np.ndarray:
    """Return e^{2iθ} of the atoms on the sheet, (side, side); NaN where an atom has no orientation."""
    values = np.where(found.units.known, axial(np.nan_to_num(found.units.orientation_deg)), np.nan)
    return on_sheet(values, found.places if places is None else places, (side, side))


def draw_sheet(found: Measurement, side: int, profile: str) -> SavedFigure:
    """Draw the filters where the graph puts them."""
    figure = plots.sheet_of_filters(found.filters, found.places, (side, side))
    columns = {"row": found.places[:, 0], "column": found.places[:, 1], "orientation_deg": found.units.orientation_deg}
    return save_figure(figure, "sheet-of-filters", profile, columns, ".png")


def draw_maps(found: Measurement, side: int, profile: str) -> SavedFigure:
    """Draw the map of orientation beside that of the filters' spectra, of a shuffle, and of ring noise."""
    shape, seed = (side, side), found.cell.seed
    by_spectra = swap_layout(spectrum_cosines(found.filters, _patch_shape(found)), shape, seed)
    fields = {
        "by the graph": orientation_field(found, side),
        "by filters' spectra": orientation_field(found, side, by_spectra.places),
        "units shuffled": orientation_field(found, side, random_layout(len(found.filters), shape, seed).places),
        "ring noise": ring_noise(shape, side / 2, seed),
    }
    panels = {name: (field, pinwheels(field)) for name, field in fields.items()}
    columns = {f"{name}: angle of e^2iθ (rad)": np.angle(field) for name, field in fields.items()}
    columns |= {f"{name}: charge": charges for name, (_, charges) in panels.items()}
    return save_figure(plots.orientation_maps(panels), "orientation-maps", profile, columns)


def draw_profiles(measured: Mapping[str, Measurement], profile: str, n_permutations: int = 1000) -> SavedFigure:
    """Draw how alike the orientations of atoms are at each distance on the sheet, a panel for each name."""
    panels = {}
    for name, found in measured.items():
        known = found.units.known
        orientation = axial(found.units.orientation_deg[known])
        panels[name] = similarity_by_distance(orientation, found.places[known], 6, n_permutations, found.cell.seed)
    figure = plots.profile_by_distance(panels, "similarity of orientation")
    columns = {f"{name}: {key}": getattr(p, key) for name, p in panels.items() for key in p._fields}
    return save_figure(figure, "similarity-by-distance", profile, columns)


def slide(found: Measurement, side: int) -> dict[float, float]:
    """Moran's I of orientation on sheets between the graph's and the filters': share of the spectra → I."""
    known, spectra = found.units.known, spectrum_cosines(found.filters, _patch_shape(found))
    orientation = axial(found.units.orientation_deg[known])
    order = {}
    for share in SHARES:
        layout = swap_layout(between_graphs(found.graph, spectra, share), (side, side), found.cell.seed)
        order[share] = morans_i(orientation, sheet_weights(layout.places[known], (side, side)), 2).statistic
    return order


def draw_dose_response(found: Measurement, side: int, profile: str) -> SavedFigure:
    """Draw how order grows from graph to filters, and falls as edges of the graph are removed."""
    removed = {0.0: found.summary["graph"]["orientation"]["I"]}
    removed |= {float(share): order for share, order in found.summary["removed"].items()}
    order = slide(found, side)
    panels = {
        "from graph (0) to filters (1), sheet": {"WLSC": (np.array([*order]), np.array([*order.values()]))},
        "share of edges removed, graph": {"WLSC": (np.array([*removed]), np.array([*removed.values()]))},
    }
    columns = {f"{title}, {axis}": series["WLSC"][i] for title, series in panels.items() for i, axis in enumerate("xy")}
    return save_figure(plots.curves(panels, "share", "Moran's I of orientation"), "dose-response", profile, columns)


def tabulate_models(study: Study, measured: Sequence[Measurement], profile: str) -> SavedTable:
    """Say how much every model's graph and sheet order orientation."""
    header = ["model", "active", "draws", "graph", "surrogates' graph", "excess", "z", "sheet", "atoms left out"]
    rows = []
    for (model, _), found in groups(measured).items():
        summaries = [one.summary for one in found]
        rows.append(
            [
                study.models[model].title,
                f"{np.mean([s['activity'] for s in summaries]):.0f}",
                len(found),
                spans(s["graph"]["orientation"]["I"] for s in summaries),
                spans(s["surrogate"]["orientation"]["I"] for s in summaries),
                spans(map(excess, found)),
                spans((s["graph"]["orientation"]["z"] for s in summaries), 0),
                spans(map(sheet_order, found)),
                spans([np.sum(~one.units.known) for one in found], 0),
            ]
        )
    return save_table("map-models", profile, header, rows)


def tabulate_layouts(measured: Sequence[Measurement], profile: str) -> SavedTable:
    """Say what each layout of one model's graph shows."""
    rows = [
        [title, len(measured), *(spans(sheet_order(one, name, layout) for one in measured) for name in _SHOWN)]
        for layout, title in LAYOUTS.items()
        if all(layout in one.summary["sheets"] for one in measured)
    ]
    return save_table("map-layouts", profile, ["layout", "draws", *_SHOWN], rows)


def tabulate_properties(measured: Sequence[Measurement], profile: str) -> SavedTable:
    """Say which properties one model's graph orders."""
    rows = [
        [
            name,
            *(spans(one.summary[key][name]["I"] for one in measured) for key in ("graph", "surrogate")),
            spans((one.summary["graph"][name]["z"] for one in measured), 0),
            spans(sheet_order(one, name) for one in measured),
        ]
        for name in measured[0].summary["graph"]
    ]
    return save_table("map-properties", profile, ["property", "graph", "surrogates' graph", "z", "sheet"], rows)


def tabulate_claims(claims: Mapping[str, Claim], profile: str) -> SavedTable:
    """Write the numbers of T1 to T3, and in `full` the verdicts that follow from them."""
    return save_table("map-claims", profile, *verdicts.tabulate(claims, CLAIMS, profile))


def quote_answer(measured: Sequence[Measurement], side: int) -> dict[str, str]:
    """Write the answer of the chapter in three sentences, as numbers; verdicts are in the table of claims."""
    ours = values_of(measured, "wlsc", _graph_order)
    surrogates = values_of(measured, "wlsc", lambda one: one.summary["surrogate"]["orientation"]["I"])
    peers = {name: values_of(measured, name, _graph_order) for name in PEERS}
    told = [f"{spans(peers[name])} for {title}" for name, title in _PEERS.items() if len(peers[name])]
    second = f"At the same activity it is {' and '.join(told)}." if told else "No other model was measured."
    return {
        "map-first": f"Moran's I of orientation is {spans(ours)} on the graph of WLSC's codes of photographs, and "
        f"{spans(surrogates)} on that of surrogates with the same covariance and contrasts.",
        "map-second": second,
        "map-third": f"Laid out by the graph alone, a sheet of {side} × {side} atoms has a Moran's I of "
        f"{spans(values_of(measured, 'wlsc', sheet_order))} between neighbours; "
        f"fewer than {LEAST_SIDE} × {LEAST_SIDE} are too few to call it a map like that of V1 or not.",
    }


def _graph_order(found: Measurement) -> float:
    return float(found.summary["graph"]["orientation"]["I"])


#: Models that WLSC is compared with, in words.
_PEERS = {"sparse_coding": "sparse coding", "nonnegative": "non-negative sparse coding"}

#: Properties of the table of layouts.
_SHOWN = ("orientation", "log frequency", "position", "phase")


def _patch_shape(found: Measurement) -> tuple[int, int]:
    side = round(found.filters.shape[1] ** 0.5)
    return side, side
