"""Figures and tables of the chapter on Figure 1B, from what its study found.

Each function saves one figure or table under its stable name and returns it. Numbers of several runs are written as
"median [least, most]".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from wlsc import plots
from wlsc.analysis.clustering import class_purity
from wlsc.companion import verdicts
from wlsc.companion.explorers import Still
from wlsc.companion.results import SavedFigure, SavedTable, measured, save_figure, save_table
from wlsc.experiments.claims.base import Claim, Measured
from wlsc.experiments.claims.clusters import purity_difference
from wlsc.experiments.cluster_results import (
    EXACT_LAYERS,
    ClusterResults,
    Confusions,
    SharedAtoms,
    atoms_by_cluster,
    choose_by_labels,
    share_heaviest_atoms,
    umap_and_tsne,
)
from wlsc.experiments.toys import SolvedToy

#: Pictures of t-SNE: title → method and variation of the data. The last is the null without classes.
PICTURES = {
    "WLSC": ("wlsc", "none"),
    "sparse coding": ("sparse_coding", "none"),
    "pixels": ("pixels", "none"),
    "WLSC on Gaussian digits": ("wlsc", "gaussian"),
}

#: Pictures that stand behind the explorers.
STILL_OF_ATOMS = Still("atom-clusters.png", "Rows of small pictures of digits, the atoms of the dictionary.")
STILL_OF_PLANES = Still("fig-1b.png", "Scatter plots of t-SNE, coloured by class of digit.")

#: Ways of clustering that no label had a part in.
WAYS = {"k_means": "k-means", "textbook": "textbook spectral", "eigengap": "eigengap", "labels": "its own"}

#: Score → digits after the point, of the benchmark.
_SCORES = {"accuracy": 3, "nmi": 3, "ari": 3, "seconds": 1}

#: Digits of one cluster, and atoms of one digit, in a row of pictures.
_N_PER_CLUSTER, _N_PER_DIGIT = 16, 5

#: Decimals of differences of purity.
_DIGITS = 3

#: Points of a toy that are drawn, and digits that UMAP is given.
_N_DRAWN, N_UMAP = 400, 10_000

#: What the claims say, and what is compared.
CLAIMS = {"C4a": "Codes maintain the class structure.", "C4b": "They do so better than sparse coding."}
_COMPARED = {"C4a": "WLSC − pixels", "C4b": "WLSC − sparse coding"}


def spans(numbers: Iterable[float], digits: int = 3) -> str:
    """Write numbers as "median [least, most]", as one number if they agree, and as a dash if there is none."""
    values = np.asarray(list(numbers), float)
    if not len(values) or np.isnan(values).all():
        return "—"
    low, middle, high = values.min(), np.median(values), values.max()
    text = f"{middle:.{digits}f}"
    return text if low == high else f"{text} [{low:.{digits}f}, {high:.{digits}f}]"


def draw_toys(solved: Mapping[str, Sequence[SolvedToy]], profile: str) -> SavedFigure:
    """Draw points, atoms and edges of the first toy of each name."""
    graphs = {
        name: (toys[0].points[:_N_DRAWN], toys[0].dictionary, toys[0].codes[:_N_DRAWN]) for name, toys in solved.items()
    }
    return save_figure(plots.bipartite_graphs(graphs), "toys", profile, plots.columns_of_graphs(graphs))


def tabulate_toys(solved: Mapping[str, Sequence[SolvedToy]], profile: str) -> SavedTable:
    """Say how often toys are solved."""
    header = ["toy", "median", "worst", "share above 0.99", "k-means, median"]
    rows = []
    for name, toys in solved.items():
        reached = np.array([toy.accuracy for toy in toys])
        by_means = np.median([toy.accuracy_of_k_means for toy in toys])
        numbers = np.median(reached), reached.min(), (reached > 0.99).mean(), by_means
        rows.append([name, *(f"{number:.{digits}f}" for number, digits in zip(numbers, (3, 3, 2, 3), strict=True))])
    return save_table("toys-solved", profile, header, rows)


def draw_pictures(results: ClusterResults, classes: np.ndarray, profile: str) -> SavedFigure:
    """Draw the first embedding of each of `PICTURES`, coloured by class."""
    planes = {name: plane_of(results, name) for name in PICTURES}
    figure = plots.embedding(planes, classes, unlabelled=["WLSC on Gaussian digits"])
    columns = {f"{name}, axis {axis + 1}": points[:, axis] for name, points in planes.items() for axis in (0, 1)}
    return save_figure(figure, "fig-1b", profile, columns | {"digit": classes}, ".png")


def plane_of(results: ClusterResults, picture: str) -> np.ndarray:
    """Return the first embedding of one of `PICTURES`, shape (n_samples, 2).

    Raises
    ------
    ValueError
        If no run of it was embedded.
    """
    method, variation = PICTURES[picture]
    for run in results.of(method, variation):
        if run.embedding is not None:
            return run.embedding
    raise ValueError(f"results must hold an embedding of {method} in the variation {variation}, got none")


def tabulate_pictures(results: ClusterResults, profile: str) -> SavedTable:
    """Say how true the pictures are, and how pure."""
    header = ["picture", "seeds", "trustworthiness", "class purity in the plane", "class purity before"]
    rows = []
    for name, (method, variation) in PICTURES.items():
        runs = [run.summary for run in results.of(method, variation) if run.embedding is not None]
        purities = [spans(run["embedding"]["purity"] for run in runs), spans(run["purity"] for run in runs)]
        known = purities if variation != "gaussian" else ["—", "—"]
        rows.append([name, len(runs), spans(run["embedding"]["trustworthiness"] for run in runs), *known])
    return save_table("pictures", profile, header, rows)


def share_atoms(results: ClusterResults, random_state: int) -> dict[str, SharedAtoms]:
    """Count how often neighbours in the pictures of WLSC share their heaviest atom, by picture."""
    return {
        name: share_heaviest_atoms(
            results.encode(*PICTURES[name])[1], plane_of(results, name), results.study.n_queries, random_state
        )
        for name in ("WLSC", "WLSC on Gaussian digits")
    }


def tabulate_islands(shared: Mapping[str, SharedAtoms], profile: str) -> SavedTable:
    """Say how often neighbours in a picture share their heaviest atom."""
    header = ["picture", "neighbours with the same heaviest atom", "any two samples", "its mean weight"]
    rows = [[name, f"{s.neighbours:.2f}", f"{s.by_chance:.3f}", f"{s.weight:.2f}"] for name, s in shared.items()]
    return save_table("islands", profile, header, rows)


def tabulate_umap(
    results: ClusterResults, samples: np.ndarray, classes: np.ndarray, random_state: int, profile: str
) -> SavedTable:
    """Say how pure the planes of UMAP and t-SNE are; in `full` alone, since UMAP takes long to compile."""
    chosen = np.random.default_rng(random_state).permutation(len(samples))[:N_UMAP]
    rows = []
    for name in ("WLSC", "sparse coding", "pixels"):
        shown = ["not measured", "not measured"]
        if profile == "full":
            given = samples[chosen] if name == "pixels" else results.encode(*PICTURES[name])[1][chosen].toarray()
            planes = umap_and_tsne(given, len(np.unique(classes)), random_state)
            shown = [f"{class_purity(plane, classes[chosen]).mean():.3f}" for plane in planes]
        rows.append([name, *shown])
    header = ["picture", "class purity in the plane of UMAP", "in that of t-SNE"]
    return save_table("umap-control", profile, header, rows)


def by_setting(claim: Claim) -> dict[str, Measured]:
    """Return what was measured of a claim of one part, by setting, the primary one first."""
    (part,) = claim.parts.values()
    return {"unit norm": part, **{name.replace("_", " "): found for name, found in part.sensitivity.items()}}


def draw_claims(claims: Mapping[str, Claim], profile: str) -> SavedFigure:
    """Draw the differences of purity that C4a and C4b are about, each against its threshold."""
    panels = {}
    for name, claim in claims.items():
        (part,) = claim.parts.values()
        rows = {
            setting: (found.estimate, *(found.interval if isinstance(found.interval, tuple) else (np.nan, np.nan)))
            for setting, found in by_setting(claim).items()
            if found.estimate is not None
        }
        if rows:
            panels[f"{name}: {_COMPARED[name]}"] = part.threshold, rows
    drawn = {f"{title}, {setting}": row for title, (_, rows) in panels.items() for setting, row in rows.items()}
    columns = {"comparison": list(drawn)} | {
        end: [row[place] for row in drawn.values()] for place, end in enumerate(("estimate", "low", "high"))
    }
    return save_figure(plots.interval_panels(panels, "difference of class purity"), "purity", profile, columns)


def tabulate_claims(claims: Mapping[str, Claim], profile: str) -> SavedTable:
    """Write the numbers of C4a and C4b, and in `full` the verdicts that follow from them."""
    return save_table("verdicts-1b", profile, *verdicts.tabulate(claims, CLAIMS, profile, _DIGITS))


def draw_read_off(results: ClusterResults, profile: str) -> SavedFigure:
    """Draw what can be read off the codes of every method."""
    shown = {"class purity": "purity", "5 nearest vote": "vote", "linear probe": "probe"}
    panels = {
        label: {results.title(name): _range(results.values(name, key)) for name in results.compared}
        for label, key in shown.items()
    }
    return save_figure(plots.ranges(panels), "read-off-picture", profile, _columns(panels, "method"))


def _range(values: np.ndarray) -> tuple[float, float, float]:
    return float(np.median(values)), float(values.min()), float(values.max())


def _columns(panels: Mapping[str, Mapping[str, tuple[float, ...]]], label: str) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for title, rows in panels.items():
        columns[f"{title}: {label}"] = list(rows)
        for place, end in enumerate(("median", "least", "most")):
            columns[f"{title}: {end}"] = [row[place] for row in rows.values()]
    return columns


def tabulate_read_off(results: ClusterResults, profile: str) -> SavedTable:
    """Write what can be read off the codes of every method; memory where every run had a process of its own."""
    shown = {"non-zeros per digit": ("activity", 1), "empty codes": ("n_empty", 0)}
    shown |= {"class purity": ("purity", 3), "5 nearest vote": ("vote", 3), "linear probe": ("probe", 3)}
    own_process = profile == "full"
    rows = []
    for name in results.compared:
        row = [results.title(name), len(results.of(name))]
        row += [spans(results.values(name, key), digits) for key, digits in shown.values()]
        row.append(measured(spans(results.values(name, "seconds"), 1)))
        if own_process:
            row.append(measured(spans(results.values(name, "memory_bytes") / 2**20, 0)))
        rows.append([*row, f"{results.values(name, 'n_parameters')[0]:,.0f}"])
    header = ["method", "runs", *shown, "seconds", *(["MiB"] if own_process else []), "numbers learned"]
    return save_table("read-off", profile, header, rows)


def _scores(results: ClusterResults, method: str, way: str, variation: str = "none") -> list[str]:
    keys = ("accuracy", "nmi", "ari")
    return [spans(results.values(method, "clusters", way, key, variation=variation)) for key in keys]


def ways_of(results: ClusterResults, method: str, variation: str = "none") -> set[str]:
    """Return the ways of clustering by which a method has clusters."""
    return {way for run in results.of(method, variation) for way in run.summary["clusters"]}


def tabulate_label_free(results: ClusterResults, profile: str) -> SavedTable:
    """Score every method's codes by every way of clustering that no label had a part in."""
    header = ["method, clustered by", "runs", "accuracy", "NMI", "ARI"]
    rows = [
        [f"{results.title(name)}, {label}", len(results.of(name)), *_scores(results, name, way)]
        for name in results.compared
        for way, label in WAYS.items()
        if way in ways_of(results, name) and (way != "eigengap" or results.study.methods[name].own == "bipartite")
    ]
    return save_table("label-free", profile, header, rows)


def tabulate_one_pipeline(results: ClusterResults, profile: str) -> SavedTable:
    """Score this package's clustering on every method's codes."""
    header = ["method", "runs", "accuracy", "NMI", "ARI", "seconds"]
    rows = []
    for name in results.compared:
        seconds = spans(results.values(name, "clusters", "bipartite", "seconds"), 1)
        rows.append(
            [results.title(name), len(results.of(name)), *_scores(results, name, "bipartite"), measured(seconds)]
        )
    return save_table("one-pipeline", profile, header, rows)


def _benchmark_cells(found: Mapping[str, Any]) -> list[Any]:
    spread = [spans((run[key] for run in found["runs"]), digits) for key, digits in _SCORES.items()]
    return [len(found["runs"]), *spread]


def dictionaries_side_by_side(kept: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    """Return what was found for ten classes, by the number of dictionaries side by side."""
    prefix = "dictionaries_"
    found = kept["ten_classes"].items()
    return {int(name.removeprefix(prefix)): entry for name, entry in found if name.startswith(prefix)}


def _benchmark_tasks(kept: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    five, n_atoms = kept["five_classes"], f"{kept['ten_classes']['n_atoms']:,}"
    tasks = {f"classes {', '.join(map(str, five['classes']))}; {five['n_atoms']} atoms": five}
    return tasks | {
        f"ten classes; {count} × {n_atoms} atoms": entry for count, entry in dictionaries_side_by_side(kept).items()
    }


def draw_benchmark(kept: Mapping[str, Any], profile: str) -> SavedFigure:
    """Draw the accuracy of the benchmark `clustering`, by this package's clustering and by the textbook's."""
    reads = {
        "accuracy": lambda run: run["accuracy"],
        "accuracy, textbook": lambda run: run["textbook"]["accuracy"],
    }
    panels = {
        label: {
            task: _range(np.array([read(run) for run in found["runs"]]))
            for task, found in _benchmark_tasks(kept).items()
        }
        for label, read in reads.items()
    }
    return save_figure(plots.ranges(panels), "benchmark-picture", profile, _columns(panels, "task"))


def tabulate_benchmark(kept: Mapping[str, Any], profile: str) -> SavedTable:
    """Write the benchmark `clustering` of results/benchmarks."""
    header = ["task", "runs", "accuracy", "NMI", "ARI", "seconds, training included", "accuracy, textbook"]
    rows = [
        [task, *_benchmark_cells(found), spans(run["textbook"]["accuracy"] for run in found["runs"])]
        for task, found in _benchmark_tasks(kept).items()
    ]
    return save_table("benchmark-clusters", profile, header, rows)


def tabulate_ablations(kept: Mapping[str, Any], profile: str) -> SavedTable:
    """Write what the benchmark found with a part of the clustering left out, or something put before it."""
    header = ["ten classes, one dictionary", "runs", "accuracy", "NMI", "ARI", "seconds with what is put before"]
    rows = [[name, *_benchmark_cells(found)] for name, found in kept["ablations"].items()]
    return save_table("ablations", profile, header, rows)


def _raw_rows(results: ClusterResults) -> list[tuple[str, str, str]]:
    """Return title, method and way of clustering of everything that was run on raw pixels."""
    return [
        (results.title(name) + (", its own clusters" if way == "labels" else ""), name, way)
        for name in results.study.methods
        for way in ("bipartite", "labels")
        if way in ways_of(results, name, "raw")
    ]


def draw_raw(results: ClusterResults, profile: str) -> SavedFigure:
    """Draw purity and accuracy on raw pixels."""
    panels = {
        "class purity": {t: _range(results.values(m, "purity", variation="raw")) for t, m, _ in _raw_rows(results)},
        "accuracy": {
            t: _range(results.values(m, "clusters", w, "accuracy", variation="raw")) for t, m, w in _raw_rows(results)
        },
    }
    return save_figure(plots.ranges(panels), "raw-picture", profile, _columns(panels, "method"))


def tabulate_raw(results: ClusterResults, profile: str) -> SavedTable:
    """Write purity and scores on raw pixels."""
    header = ["method, raw pixels", "runs", "non-zeros per digit", "class purity", "accuracy", "NMI", "ARI"]
    rows = []
    for title, name, way in _raw_rows(results):
        activity, purity = (results.values(name, key, variation="raw") for key in ("activity", "purity"))
        scores = _scores(results, name, way, "raw")
        rows.append([title, len(results.of(name, "raw")), spans(activity, 1), spans(purity), *scores])
    return save_table("raw-pixels", profile, header, rows)


def tabulate_tuned(results: ClusterResults, profile: str) -> SavedTable:
    """Write what labels of one half of the digits chose, and how it does on the other half."""
    rows = []
    for choice in choose_by_labels(results):
        given = {key: f"{value:.3g}" if key == "lam" else value for key, value in choice.options.items()}
        shown = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in given.items()) or "its defaults"
        scores = [f"{choice.scores[key]:.3f}" for key in ("accuracy", "nmi", "ari")]
        rows.append([results.title(choice.method), f"{shown}; {WAYS[choice.way].removesuffix(' spectral')}", *scores])
    return save_table("label-tuned", profile, ["method", "chosen", "accuracy", "NMI", "ARI"], rows)


_AXES = {"penalty": "penalty λ", "atoms": "number of atoms", "layers": "unrolled layers"}


def draw_sweeps(results: ClusterResults, profile: str) -> SavedFigure:
    """Draw purity and accuracy of WLSC along λ, the number of atoms and the number of layers."""
    reads = {"class purity": ("purity",), "accuracy": ("clusters", "bipartite", "accuracy")}
    rows = {
        quantity: {
            _AXES[axis]: [
                (place, *_range(results.values(name, *path))) for name, place in points.items() if results.of(name)
            ]
            for axis, points in results.sweeps().items()
        }
        for quantity, path in reads.items()
    }
    figure = plots.sweeps(rows, {_AXES["layers"]: {EXACT_LAYERS: "exact"}})
    columns = {
        f"{axis}, {quantity}, {end}": [point[index] for point in points]
        for quantity, axes in rows.items()
        for axis, points in axes.items()
        for index, end in enumerate(("at", "median", "least", "most"))
    }
    return save_figure(figure, "purity-along", profile, columns)


def tabulate_settings(results: ClusterResults, profile: str) -> SavedTable:
    """Write the numbers of WLSC as the claims have it, and with one number changed at a time."""
    header = ["setting", "runs", "non-zeros per digit", "class purity", "less that of the pixels", "accuracy"]
    names = dict.fromkeys(name for points in results.sweeps().values() for name in points)
    rows = []
    for name in names:
        title = f"{results.title(name)}, {describe_setting(results)}, exact" if name == "wlsc" else results.title(name)
        numbers = [spans(results.values(name, "activity"), 1), spans(results.values(name, "purity"))]
        gap = say_purity_difference(results, "pixels", name)
        accuracy = spans(results.values(name, "clusters", "bipartite", "accuracy"))
        rows.append([title, len(results.of(name)), *numbers, gap, accuracy])
    return save_table("settings", profile, header, rows)


def say_purity_difference(results: ClusterResults, other: str, method: str = "wlsc") -> str:
    """Write the purity of a method less that of another, run by run, with its 95 % interval."""
    found = purity_difference(results, other, method=method)
    if found is None:
        return verdicts.NONE
    return verdicts.say_number(Measured(estimate=found.estimate, interval=found.interval()), _DIGITS)


def describe_setting(results: ClusterResults) -> str:
    """Say how many atoms the WLSC of the claims has, and its λ."""
    options = results.study.methods["wlsc"].options
    return f"{options['n_atoms']:,} atoms, λ = {options['lam']:g}"


def draw_atoms(dictionary: np.ndarray, usage: np.ndarray, atom_labels: np.ndarray, profile: str) -> SavedFigure:
    """Draw the most used atoms of every cluster, one row a cluster."""
    side = int(np.sqrt(dictionary.shape[1]))
    grid = atoms_by_cluster(dictionary, usage, atom_labels, _N_PER_CLUSTER).reshape(-1, dictionary.shape[1])
    figure = plots.filter_grids({"": grid}, (side, side), n_columns=_N_PER_CLUSTER)
    columns = {"cluster of atom": atom_labels, "usage": usage, "pixels, row by row": grid.round(3)}
    return save_figure(figure, "atom-clusters", profile, columns, ".png")


def draw_confused(
    confused: Confusions,
    samples: np.ndarray,
    classes: np.ndarray,
    dictionary: np.ndarray,
    codes: np.ndarray,
    profile: str,
) -> SavedFigure:
    """Draw confused digits, each with the atoms that represent it, the largest weight first."""
    side, strips = int(np.sqrt(samples.shape[1])), []
    for index in confused.samples:
        best = np.argsort(-codes[index])[:_N_PER_DIGIT]
        strips += [samples[index], *(dictionary[best] * (codes[index, best] > 0)[:, None])]
    figure = plots.filter_grids({"": np.array(strips)}, (side, side), n_columns=1 + _N_PER_DIGIT)
    columns = {
        "digit": classes[confused.samples],
        "taken for": confused.taken_for,
        "pixels, row by row": np.round(strips, 3),
    }
    return save_figure(figure, "confused", profile, columns, ".png")


def summarise(results: ClusterResults) -> dict[str, Any]:
    """Return medians for other chapters: class purity, and this package's clustering on every method's codes."""
    return {
        "purity": {
            name: float(np.median(results.values(name, "purity"))) for name in ("wlsc", "sparse_coding", "pixels")
        },
        "clusters": {
            name: {
                key: float(np.median(results.values(name, "clusters", "bipartite", key)))
                for key in ("accuracy", "nmi", "ari")
            }
            for name in results.compared
        },
    }
