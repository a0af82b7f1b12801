"""What a study of clusters found, by method, and what follows from it: sweeps, choices by labels, confusions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from wlsc.analysis.clustering import class_purity
from wlsc.analysis.embedding import embed_tsne
from wlsc.experiments.representations import represent
from wlsc.experiments.studies.clusters import Measurement, Study, encode

#: Ways of clustering among which labels of one half may choose: those that labels had no part in before.
_CHOSEN_AMONG = ("k_means", "textbook")

#: Where the exact code, which is the limit of many layers, is drawn on the axis of layers.
EXACT_LAYERS = 100


@dataclass(frozen=True)
class ClusterResults:
    """Measurements of a study of clusters, by method.

    Attributes
    ----------
    study
        The study.
    measurements
        Those of its cells, or of some of them.
    """

    study: Study
    measurements: Sequence[Measurement]

    def of(self, method: str, variation: str = "none", trial: int = 0) -> list[Measurement]:
        """Return the measurements of a method, one a run; none if there is none."""
        wanted = (method, variation, trial)
        return [run for run in self.measurements if (run.cell.method, run.cell.variation, run.cell.trial) == wanted]

    def values(self, method: str, *path: str, variation: str = "none") -> np.ndarray:
        """Return one number of every run of a method, shape (n_runs,).

        Parameters
        ----------
        method
            Name of a method.
        path
            Keys that lead to the number in `Measurement.summary`, such as "clusters", "bipartite", "accuracy". Runs
            whose summary lacks a key are left out.
        variation
            Name of a variation.
        """
        found = (_at(run.summary, path) for run in self.of(method, variation))
        return np.array([number for number in found if number is not None], float)

    def title(self, method: str) -> str:
        """Return the name of a method for people."""
        return self.study.methods[method].title

    def encode(self, method: str, variation: str = "none") -> tuple[np.ndarray, Any]:
        """Return dictionary and codes of the first run of a model, as `wlsc.experiments.studies.clusters.encode`.

        Raises
        ------
        ValueError
            If the method is a baseline or has no run.
        """
        runs = self.of(method, variation)
        if not runs:
            raise ValueError(f"method must have a run in the variation {variation}, got {method!r}, which has none")
        return encode(self.study, runs[0].cell)

    @property
    def settings(self) -> list[str]:
        """Variations of the data that a claim has to survive: all but the study's own and the null without classes."""
        return [name for name, options in self.study.variations.items() if options and "gaussian" not in options]

    @property
    def compared(self) -> list[str]:
        """Methods with a run, those left out that are WLSC with another number in one place."""
        moved = {name for points in self.sweeps().values() for name in points} - {"wlsc"}
        return [name for name in self.study.methods if name not in moved and self.of(name)]

    def sweeps(self) -> dict[str, dict[str, float]]:
        """Return where each WLSC of a sweep stands on its axis: axis → method → place, in ascending order.

        The axes are the "penalty", the number of "atoms" and that of "layers". A method is on an axis if it differs
        from "wlsc" in that number alone; "wlsc" itself is on all, and has `EXACT_LAYERS` layers.
        """
        main = self.study.methods["wlsc"].options
        axes = {"penalty": "lam", "atoms": "n_atoms", "layers": "n_layers"}
        exact = {"n_layers": EXACT_LAYERS, **main}
        swept: dict[str, dict[str, float]] = {}
        for axis, option in axes.items():
            places = {
                name: {**exact, **spec.options}[option]
                for name, spec in self.study.methods.items()
                if spec.kind == "wlsc" and {**exact, **spec.options, option: 0} == {**exact, option: 0}
            }
            swept[axis] = dict(sorted(places.items(), key=lambda item: item[1]))
        return swept


def _at(summary: Mapping[str, Any], path: Sequence[str]) -> Any:
    value: Any = summary
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def paired_differences(results: ClusterResults, method: str, other: str, variation: str = "none") -> np.ndarray:
    """Return the purity of a method less that of another, run by run, shape (n_runs,), in the order of seeds.

    Runs that only one of them has are left out, as are those in which the activity that had to be matched was not.
    """
    purities = [
        {run.cell.seed: run.summary["purity"] for run in results.of(name, variation) if run.summary["reached"]}
        for name in (method, other)
    ]
    return np.array([purities[0][seed] - purities[1][seed] for seed in sorted(purities[0].keys() & purities[1].keys())])


class LabelledChoice(NamedTuple):
    """What labels of one half of the samples chose for a method, and how it does on the other half.

    Attributes
    ----------
    method
        Name of the method.
    options
        Its options, λ being the one that was found where activity was matched.
    way
        Way of clustering.
    scores
        "accuracy", "nmi" and "ari" on the other half.
    """

    method: str
    options: dict[str, Any]
    way: str
    scores: Mapping[str, float]


def choose_by_labels(results: ClusterResults) -> Iterator[LabelledChoice]:
    """Yield the choice for each method that has trials, all of them measured.

    Every method has the same budget: its trials, each clustered by k-means and by textbook spectral clustering. The
    accuracy on one half of the samples decides, the earlier trial among equals.
    """
    for name, spec in results.study.methods.items():
        trials = [results.of(name, trial=index) for index in range(1 + len(spec.trials))]
        if not spec.trials or not all(trials):
            continue
        candidates = [(index, way) for index in range(len(trials)) for way in _CHOSEN_AMONG]
        summaries = [runs[0].summary for runs in trials]

        def reached(candidate: tuple[int, str], summaries: list[dict[str, Any]] = summaries) -> float:
            index, way = candidate
            return summaries[index]["clusters"][way]["chosen_on"]["accuracy"]

        index, way = max(candidates, key=reached)
        options = spec.options | (spec.trials[index - 1] if index else {})
        if "lam" in options:
            options["lam"] = summaries[index]["lam"]
        yield LabelledChoice(name, options, way, summaries[index]["clusters"][way]["scored_on"])


class SharedAtoms(NamedTuple):
    """How often neighbours in an embedding have the same heaviest atom.

    Attributes
    ----------
    neighbours
        Share of a sample's ten neighbours, mean over samples.
    by_chance
        Share of any two samples.
    weight
        Mean weight of the heaviest atom of a code.
    """

    neighbours: float
    by_chance: float
    weight: float


def share_heaviest_atoms(codes: Any, embedding: np.ndarray, n_queries: int, random_state: int = 0) -> SharedAtoms:
    """Count neighbours in an embedding that share their heaviest atom.

    Parameters
    ----------
    codes
        SciPy sparse array, shape (n_samples, n_atoms).
    embedding
        Shape (n_samples, 2).
    n_queries
        Samples, drawn at random, whose neighbours are looked for among all.
    random_state
        Seed of the draw.
    """
    queries = np.random.default_rng(random_state).permutation(codes.shape[0])[:n_queries]
    heaviest = np.asarray(codes.argmax(axis=1)).ravel()
    return SharedAtoms(
        neighbours=float(class_purity(embedding, heaviest, queries=queries).mean()),
        by_chance=float(np.sum((np.bincount(heaviest) / len(heaviest)) ** 2)),
        weight=float(codes.max(axis=1).toarray().mean()),
    )


def umap_and_tsne(values: np.ndarray, n_classes: int, random_state: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the planes of UMAP and of t-SNE, both of the same 50 principal components, shape (n_samples, 2) each."""
    reduced = represent("pca", values, n_classes, random_state, {"n_components": 50}).codes
    plane = represent("umap", reduced, n_classes, random_state, {"n_components": 2}).codes
    return plane, embed_tsne(values, random_state=random_state)


def atoms_by_cluster(dictionary: np.ndarray, usage: np.ndarray, atom_labels: np.ndarray, n_shown: int) -> np.ndarray:
    """Return the most used atoms of every cluster, the most used first.

    Parameters
    ----------
    dictionary
        Shape (n_atoms, n_features).
    usage
        Sum of the weights of each atom, shape (n_atoms,).
    atom_labels
        Cluster of each atom, shape (n_atoms,); -1 for atoms in none.
    n_shown
        Atoms of each cluster.

    Returns
    -------
    ndarray
        float32, shape (n_clusters, n_shown, n_features), 0 where a cluster has fewer atoms.
    """
    rows = np.zeros((atom_labels.max() + 1, n_shown, dictionary.shape[1]), np.float32)
    for cluster, row in enumerate(rows):
        members = np.flatnonzero(atom_labels == cluster)
        chosen = members[np.argsort(-usage[members])][:n_shown]
        row[: len(chosen)] = dictionary[chosen]
    return rows


class Confusions(NamedTuple):
    """Samples in clusters most of whose samples are of another class.

    Attributes
    ----------
    share
        Of all samples.
    samples
        Index of one sample for each of the most frequent pairs of classes: the one whose code uses most atoms. Shape
        (n_pairs,).
    taken_for
        Class that most samples of its cluster have, shape (n_pairs,).
    """

    share: float
    samples: np.ndarray
    taken_for: np.ndarray


def find_confusions(classes: np.ndarray, sample_labels: np.ndarray, n_used: np.ndarray, n_pairs: int = 8) -> Confusions:
    """Find the pairs of classes that clusters confuse most often.

    Parameters
    ----------
    classes
        Shape (n_samples,).
    sample_labels
        Cluster of each sample, 0 and up, shape (n_samples,).
    n_used
        Atoms that each sample's code uses, shape (n_samples,).
    n_pairs
        Pairs of classes at most, the most frequent first.
    """
    known = np.unique(classes)
    counts = np.array(
        [[np.sum(classes[sample_labels == c] == k) for k in known] for c in range(sample_labels.max() + 1)]
    )
    meant = known[counts.argmax(axis=1)][sample_labels]
    wrong = np.flatnonzero(meant != classes)
    pairs, n_wrong = np.unique(np.stack([classes[wrong], meant[wrong]]), axis=1, return_counts=True)
    chosen = []
    for own, other in pairs[:, np.argsort(-n_wrong, kind="stable")[:n_pairs]].T:
        mistakes = wrong[(classes[wrong] == own) & (meant[wrong] == other)]
        chosen.append(mistakes[np.argmax(n_used[mistakes])])
    samples = np.array(chosen, dtype=np.int64)
    return Confusions(len(wrong) / len(classes), samples, meant[samples])
