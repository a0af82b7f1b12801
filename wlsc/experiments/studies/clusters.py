"""Many methods on the same digits: what each makes of them, and what can be read off it.

A study is a TOML file. Each of its *cells* is one method with one choice of its options, one variation of the data and
one seed. The same questions are put to all: how pure are neighbourhoods, what does a linear probe read, and which
clusters do k-means and the clustering of this package find? Measurements are found again by their address.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np
import torch

from wlsc._io.machine import peak_memory
from wlsc._lazy import same_random_numbers
from wlsc._validation import check_choice
from wlsc.analysis.clustering import (
    MOST_SPARSE,
    CodeClusters,
    class_purity,
    cluster_codes,
    clustering_scores,
    count_clusters,
    nearest_neighbours,
)
from wlsc.analysis.embedding import embed_tsne
from wlsc.dictionary import initialize_dictionary
from wlsc.experiments import Config, DataConfig, ModelConfig, Run, load_data, run, surroundings
from wlsc.experiments.matching import Match, match_activity
from wlsc.experiments.representations import (
    BASELINES,
    Representation,
    encode_in_blocks,
    represent,
    split_signs,
)
from wlsc.experiments.studies.base import (
    BaseStudy,
    load_measurement,
    match_once,
    measure_each,
    read_cells,
    save_measurement,
    write_once,
)
from wlsc.inference.exact import infer_codes
from wlsc.models import SparseCodingAutoencoder, WLSCAutoencoder
from wlsc.models._unrolled import UnrolledAutoencoder
from wlsc.training import ClosedFormTrainer, train

#: Models of this package among the methods; all others are `BASELINES`.
_MODELS: Mapping[str, type[UnrolledAutoencoder]] = {"wlsc": WLSCAutoencoder, "sparse_coding": SparseCodingAutoencoder}

#: Neighbours that count for purity and for the vote of the nearest ones.
_N_PURITY, _N_VOTES = 10, 5

#: Digits that embeddings are judged on, the same for all seeds; trustworthiness takes memory in the square of them.
_N_TRUSTED = 10_000

#: Digits on which the activity of two models is matched.
_N_MATCHED = 10_000


@dataclass(frozen=True)
class MethodSpec:
    """One method of a study.

    Attributes
    ----------
    title
        Name for people.
    kind
        "wlsc" or "sparse_coding"; or one of `wlsc.experiments.representations.represent`.
    options
        Of the kind. For the models: "n_atoms", "lam"; for "wlsc" also "n_layers", to encode by that many unrolled
        layers, and "n_dictionaries", to set the codes of so many side by side.
    trials
        Changes to the options, from which labels of one half may choose; none of them is the first.
    like
        Method whose activity is matched by the choice of λ, on the first seed.
    own
        What the method itself clusters by: "bipartite", "k_means", or "labels" if it gives them.
    """

    title: str
    kind: str
    options: dict[str, Any] = field(default_factory=dict)
    trials: list[dict[str, Any]] = field(default_factory=list)
    like: str = ""
    own: str = "k_means"


@dataclass(frozen=True)
class CellGroup:
    """Cells that share what is asked of them.

    Attributes
    ----------
    methods
        Names of methods.
    variations
        Names of variations of the data; "none" for the study's own.
    n_seeds
        Runs of each.
    with_trials
        Also run the trials of the methods.
    n_embedded
        Seeds whose codes are embedded by t-SNE.
    """

    methods: list[str]
    variations: list[str] = field(default_factory=lambda: ["none"])
    n_seeds: int = 1
    with_trials: bool = False
    n_embedded: int = 0


@dataclass(frozen=True, kw_only=True)
class Study(BaseStudy["Cell"]):
    """All of a study; see the module.

    Attributes
    ----------
    name, data, training, seed, device
        As in every study.
    measures
        "clusters".
    methods
        By name.
    variations
        Changes to the options of the data, by name; ``gaussian = true`` puts Gaussian samples of the same covariance in
        place of the digits.
    cells
        The cells.
    n_queries
        Digits whose neighbours are looked for, another draw for every seed.
    """

    COMPARED: ClassVar = "methods"

    methods: dict[str, MethodSpec]
    cells: list[CellGroup]
    measures: str = "clusters"
    n_queries: int = 10_000

    def expand(self, group: CellGroup) -> Iterator[Cell]:
        """Cells of a group: each method under each variation, on each seed; trials on the first seed alone."""
        for method in group.methods:
            n_trials = 1 + (len(self.methods[method].trials) if group.with_trials else 0)
            for trial, variation in itertools.product(range(n_trials), group.variations):
                for seed in range(group.n_seeds if trial == 0 else 1):
                    embedded = trial == 0 and seed < group.n_embedded
                    yield Cell(method, trial, variation, self.seed + seed, embedded)

    def merged(self, known: Cell, cell: Cell) -> Cell:
        """The cell, embedded if one of them is."""
        return dataclasses.replace(cell, embedded=cell.embedded or known.embedded)


@dataclass(frozen=True)
class Cell:
    """One run of a method. Its name is that of its coordinates."""

    method: str
    trial: int
    variation: str
    seed: int
    embedded: bool

    @property
    def name(self) -> str:
        """Coordinates in a word, such as ``wlsc-t0-none-s0``; trial 0 is the method's own choice."""
        return f"{self.method}-t{self.trial}-{self.variation}-s{self.seed}"


@dataclass(frozen=True)
class Measurement:
    """What is known of a cell.

    Attributes
    ----------
    cell
        The cell.
    summary
        "lam" (None for baselines), "reached" (whether the activity that was to be matched was), "activity" (mean number
        of non-zero codes), "n_empty" (samples whose code is zero), "n_parameters", "n_components" (of
        `Representation`), "seconds" (of encoding, and of training when it was done), "memory_bytes" (peak of the
        process beyond the data, the search for λ included), "purity", "vote" (accuracy of the nearest neighbours),
        "probe" (accuracy of a ridge classifier on the other half of the digits), "clusters": for each way of clustering
        "accuracy", "nmi", "ari", "n_clusters", "seconds", and the same of the half that labels may choose on
        ("chosen_on") and of the other ("scored_on"), and what is known of "embedding"; "cost" of the whole cell when it
        was measured: "duration_s", "peak_memory_bytes".
    labels
        Cluster of each sample for each way of clustering, shape (n_samples,).
    embedding
        t-SNE, shape (n_samples, 2); None where it was not asked for.
    """

    cell: Cell
    summary: dict[str, Any]
    labels: dict[str, np.ndarray]
    embedding: np.ndarray | None


def read_study(path: Path) -> Study:
    """Read a study from a TOML file with the tables of `Study`, groups as ``[[cells]]``.

    Raises
    ------
    ValueError
        If the file is missing, is no TOML, or has an unknown, missing or wrong entry.
    """
    study = read_cells(Study, path, "clusters")
    for name, spec in study.methods.items():
        check_choice(f"{path}: methods.{name}.kind", spec.kind, (*_MODELS, *BASELINES))
        check_choice(f"{path}: methods.{name}.own", spec.own, ("bipartite", "k_means", "labels"))
    return study


def measure(study: Study, cell: Cell, show_progress: bool = False) -> Measurement:
    """Run a method and put all questions to what it gives, or find the measurement.

    Two processes that ask for one cell at one time compute it once.
    """
    began = time.perf_counter()
    address = _conditions(study, cell) | {"cell": dataclasses.asdict(cell), "n_queries": study.n_queries}

    def write(path: Path) -> None:
        _save(path, _measured(study, cell, show_progress), began)

    return _load(write_once(Path("cells", f"{cell.name}.npz"), address, __name__, write), cell)


def encode(study: Study, cell: Cell) -> tuple[np.ndarray, Any]:
    """Dictionary and codes of a cell whose method is a model of this package.

    Returns
    -------
    dictionary : ndarray
        Shape (n_atoms, n_features).
    codes : scipy.sparse.csr_array
        Shape (n_samples, n_atoms).

    Raises
    ------
    ValueError
        If the method is a baseline.
    """
    spec, (options, _) = study.methods[cell.method], _options(study, cell)
    check_choice("kind of the cell's method", spec.kind, tuple(_MODELS))
    samples, _ = _load_samples(study, cell.variation)
    trained, model = _trained(study, cell, options, cell.seed)
    return trained.dictionary, _codes(model, samples, options)


def measure_all(study: Study) -> list[Measurement]:
    """Measure all cells of a study, or find what was measured, with a bar of its progress."""
    return measure_each(study, measure)


def _conditions(study: Study, cell: Cell) -> dict[str, Any]:
    """What the numbers of a cell depend on and its name does not say."""
    like = study.methods[cell.method].like
    return {
        "methods": [dataclasses.asdict(study.methods[name]) for name in (cell.method, *([like] if like else []))],
        "variation": study.variations[cell.variation],
        "training": dataclasses.asdict(study.training),
        "first_seed": study.seed,
        "options": study.data.options,
        "device": study.device,
        **surroundings(study.data),
    }


def _options(study: Study, cell: Cell) -> tuple[dict[str, Any], bool]:
    """Options of a cell's method, λ matched on the first seed where a method is to be as active as another.

    Also whether that activity was reached.
    """
    spec = study.methods[cell.method]
    changes = spec.trials[cell.trial - 1] if cell.trial else {}
    options = spec.options | changes
    if not spec.like or "lam" in changes:
        return options, True
    address = _conditions(study, cell) | {"trial": cell.trial}
    path = Path("matches", f"{cell.method}-t{cell.trial}-{cell.variation}.json")
    match = match_once(path, address, __name__, lambda: _search(study, cell.variation, spec, options))
    return options | {"lam": float(f"{match.lam:.6g}")}, match.reached


def _search(study: Study, variation: str, spec: MethodSpec, options: Mapping[str, Any]) -> Match:
    samples, _ = _load_samples(study, variation)
    chosen = samples[np.random.default_rng(study.seed).permutation(len(samples))[:_N_MATCHED]]

    def activity_of(kind: str, given: Mapping[str, Any]) -> float:
        model = _trained_on(study, kind, chosen, given)
        return float((_codes(model, chosen, given) != 0).sum() / len(chosen))

    example = study.methods[spec.like]
    target = activity_of(example.kind, example.options)
    return match_activity(lambda lam: activity_of(spec.kind, {**options, "lam": lam}), target, options["lam"])


@cache
def _samples(source: str, options: str) -> tuple[np.ndarray, np.ndarray]:
    """Samples and their classes; Gaussian samples belong to no class, and keep the labels for the form's sake."""
    from wlsc.datasets.digits import load_digits

    data = _data(source, json.loads(options))
    samples, classes = load_digits(source, **data.options)
    return (samples if data.kind == "digits" else load_data(data)), classes


def _data(source: str, options: Mapping[str, Any]) -> DataConfig:
    given = dict(options)
    kind = "gaussian_digits" if given.pop("gaussian", False) else "digits"
    return DataConfig(kind, source, given)


def _load_samples(study: Study, variation: str) -> tuple[np.ndarray, np.ndarray]:
    return _samples(study.data.source, json.dumps(study.data.options | study.variations[variation], sort_keys=True))


def _trained(
    study: Study, cell: Cell, options: Mapping[str, Any], seed: int, show_progress: bool = False
) -> tuple[Run, UnrolledAutoencoder]:
    """Training of one dictionary of a cell, and the model; cells that ask for the same training share it."""
    kind = study.methods[cell.method].kind
    data = _data(study.data.source, study.data.options | study.variations[cell.variation])
    model = ModelConfig(kind, options["n_atoms"], float(options["lam"]))
    trained = run(Config(f"{study.name}-{kind}", data, model, study.training, seed, study.device), show_progress)
    return trained, cast(UnrolledAutoencoder, trained.model())


def _trained_on(study: Study, kind: str, samples: np.ndarray, options: Mapping[str, Any]) -> UnrolledAutoencoder:
    """Train on samples that are a part of the study's, in memory: λ is searched there."""
    generator = torch.Generator().manual_seed(study.seed)
    model = _MODELS[kind](samples.shape[1], options["n_atoms"], options["lam"], generator=generator)
    model.set_dictionary(initialize_dictionary(samples, options["n_atoms"], generator, study.training.initialization))
    device = "cuda" if study.device != "cpu" and torch.cuda.is_available() else "cpu"
    trainer = ClosedFormTrainer(model.to(device), **study.training.options)
    train(trainer, samples, study.training.n_epochs, study.training.batch_size, study.seed, study.training.tol)
    return model.cpu()


def _codes(model: UnrolledAutoencoder, samples: np.ndarray, options: Mapping[str, Any]) -> Any:
    """Codes as a SciPy CSR array: the optimal ones, or those of a network of ``n_layers``."""
    if "n_layers" in options:
        network = type(model)(model.dictionary.shape[1], model.dictionary.shape[0], model.lam, options["n_layers"])
        network.set_dictionary(model.dictionary.detach())
        with torch.no_grad():
            return encode_in_blocks(network.encode, samples)
    if isinstance(model, WLSCAutoencoder):
        return infer_codes(samples, model.dictionary.detach().numpy(), model.lam, output="csr")
    return encode_in_blocks(model.infer, samples)


class _Represented(NamedTuple):
    """A representation, the seconds of training and encoding, and the peak memory of the processes that did it."""

    found: Representation
    seconds: float
    peak: int | None


def _represented(
    study: Study, cell: Cell, options: Mapping[str, Any], samples: np.ndarray, n_clusters: int, show_progress: bool
) -> _Represented:
    from scipy.sparse import hstack

    spec = study.methods[cell.method]
    if spec.kind not in _MODELS:
        began = time.perf_counter()
        found = represent(spec.kind, samples, n_clusters, cell.seed, options)
        return _Represented(found, time.perf_counter() - began, peak_memory())
    n_dictionaries = options.get("n_dictionaries", 1)
    blocks, seconds, peaks = [], 0.0, []
    for index in range(n_dictionaries):
        trained, model = _trained(study, cell, options, n_dictionaries * cell.seed + index, show_progress)
        began = time.perf_counter()
        blocks.append(_codes(model, samples, options))
        seconds += trained.cost["duration_s"] + time.perf_counter() - began
        peaks.append(trained.cost["peak_memory_bytes"])
    codes = hstack(blocks, format="csr")
    found = Representation(codes, n_dictionaries * options["n_atoms"] * samples.shape[1])
    return _Represented(found, seconds, max(filter(None, [*peaks, peak_memory()]), default=None))


def _stored(codes: Any) -> Any:
    """Codes in the storage that is faster for what is asked of them: dense, unless most of them are zero."""
    from scipy.sparse import issparse

    if not issparse(codes):
        return codes
    if codes.nnz > MOST_SPARSE * codes.shape[0] * codes.shape[1]:
        return codes.toarray()
    # scikit-learn takes no larger integers
    codes.indices, codes.indptr = codes.indices.astype(np.int32), codes.indptr.astype(np.int32)
    return codes


def _measured(study: Study, cell: Cell, show_progress: bool) -> Measurement:
    samples, classes = _load_samples(study, cell.variation)
    n_clusters = len(np.unique(classes))
    before = peak_memory()
    options, reached = _options(study, cell)
    found, seconds, peak = _represented(study, cell, options, samples, n_clusters, show_progress)
    codes = split_signs(found.codes) if study.methods[cell.method].kind == "sparse_coding" else found.codes
    found = found._replace(codes=_stored(codes))
    rng = np.random.default_rng(cell.seed)
    order = rng.permutation(len(samples))
    queries, halves = order[: study.n_queries], np.array_split(order, 2)
    nearest = classes[nearest_neighbours(found.codes, max(_N_PURITY, _N_VOTES), queries)]
    labels = dict(_clusterings(study.methods[cell.method], found, n_clusters, cell.seed))
    summary = {
        "lam": options.get("lam"),
        "reached": reached,
        "activity": (found.codes != 0).sum() / len(samples),
        "n_empty": int((np.asarray((found.codes != 0).sum(axis=1)) == 0).sum()),
        "n_parameters": found.n_parameters,
        "n_components": found.n_components,
        "seconds": seconds,
        "memory_bytes": math.nan if before is None or peak is None else peak - before,
        "purity": float(np.mean(nearest[:, :_N_PURITY] == classes[queries][:, None])),
        "vote": _vote(nearest[:, :_N_VOTES], classes[queries]),
        "probe": _probe(found.codes, classes, halves),
        "clusters": {
            name: _scores(classes, given, halves) | {"seconds": time_} for name, (given, time_) in labels.items()
        },
    }
    embedding = None
    if cell.embedded:
        trusted = np.random.default_rng(study.seed).permutation(len(samples))[:_N_TRUSTED]
        embedding, summary["embedding"] = _embedded(found.codes, classes, queries, trusted, cell.seed, show_progress)
    return Measurement(cell, summary, {name: given for name, (given, _) in labels.items()}, embedding)


def _vote(votes: np.ndarray, own: np.ndarray) -> float:
    known = np.unique(votes)
    counts = (votes[:, :, None] == known).sum(1)
    return float(np.mean(known[counts.argmax(1)] == own))


def _probe(codes: Any, classes: np.ndarray, halves: list[np.ndarray]) -> float:
    from scipy.sparse import issparse

    with same_random_numbers():
        from sklearn.linear_model import RidgeClassifier

    given, asked = halves
    classifier = RidgeClassifier(solver="sparse_cg" if issparse(codes) else "cholesky")  # each where it is the faster
    return float(classifier.fit(codes[given], classes[given]).score(codes[asked], classes[asked]))


def _clusterings(
    spec: MethodSpec, found: Representation, n_clusters: int, seed: int
) -> Iterator[tuple[str, tuple[np.ndarray, float]]]:
    """Clusters by each way, and the seconds that it took: the method's own last, as a copy of one or by itself."""
    from scipy.sparse import issparse

    with same_random_numbers():
        from sklearn.cluster import KMeans

    # the same clusters but for rounding: each is the faster one where it is chosen
    k_means = KMeans(n_clusters, n_init=5, random_state=seed, algorithm="lloyd" if issparse(found.codes) else "elkan")
    ways = {
        "k_means": k_means.fit_predict,
        "textbook": lambda codes: _of_graph(codes, lambda weights: _textbook(weights, n_clusters, seed)),
        "bipartite": lambda codes: _of_graph(codes, lambda weights: cluster_codes(weights, n_clusters, seed)),
        "eigengap": lambda codes: _of_graph(codes, lambda weights: _textbook(weights, None, seed)),
    }
    results = {}
    for name, cluster in ways.items():
        began = time.perf_counter()
        results[name] = np.asarray(cluster(found.codes), dtype=np.int16), time.perf_counter() - began
    yield from results.items()
    if found.labels is not None:
        yield "labels", (found.labels.astype(np.int16), 0.0)


def _textbook(weights: Any, n_clusters: int | None, seed: int) -> CodeClusters:
    """Spectral clustering with as many eigenvectors as clusters; how many says the eigengap if nobody does."""
    plain: Any = {"self_loops": True, "regularization": 0}
    n_clusters = n_clusters or count_clusters(weights, seed, **plain)
    return cluster_codes(weights, n_clusters, seed, n_eigenvectors=n_clusters, n_groups=n_clusters, **plain)


def _of_graph(codes: Any, cluster: Callable[[Any], CodeClusters]) -> np.ndarray:
    """Clusters of samples by the graph of their codes; those whose code is empty belong to none, which is -1."""
    weights = split_signs(codes)
    filled = np.flatnonzero(np.asarray(weights.sum(axis=1)).ravel() > 0)
    labels = np.full(weights.shape[0], -1)
    labels[filled] = cluster(weights[filled]).sample_labels
    return labels


def _scores(classes: np.ndarray, labels: np.ndarray, halves: list[np.ndarray]) -> dict[str, Any]:
    def scored(rows: Any) -> dict[str, float]:
        own, given = classes[rows], labels[rows]
        scores = clustering_scores(own, given)
        known = given >= 0
        if not known.all():  # who is in no cluster is in no class's either
            found = clustering_scores(own[known], given[known]).accuracy if known.any() else 0.0
            scores = scores._replace(accuracy=found * float(known.mean()))
        return scores._asdict()

    return scored(slice(None)) | {
        "n_clusters": len(np.unique(labels[labels >= 0])),
        "chosen_on": scored(halves[0]),
        "scored_on": scored(halves[1]),
    }


def _embedded(
    codes: Any, classes: np.ndarray, queries: np.ndarray, trusted: np.ndarray, seed: int, show_progress: bool
) -> tuple[np.ndarray, dict[str, float]]:
    with same_random_numbers():
        from sklearn.manifold import trustworthiness

    dense = codes.toarray() if hasattr(codes, "toarray") else codes
    began = time.perf_counter()
    embedding = embed_tsne(dense, random_state=seed, verbose=show_progress)
    seconds = time.perf_counter() - began
    return embedding.astype(np.float32), {
        "seconds": seconds,
        "purity": float(class_purity(embedding, classes, _N_PURITY, queries).mean()),
        "trustworthiness": float(trustworthiness(dense[trusted], embedding[trusted], n_neighbors=_N_PURITY)),
    }


def _save(path: Path, measurement: Measurement, began: float) -> None:
    arrays = {f"labels_{name}": labels for name, labels in measurement.labels.items()}
    if measurement.embedding is not None:
        arrays["embedding"] = measurement.embedding
    save_measurement(path, measurement.summary, arrays, began)


def _load(path: Path, cell: Cell) -> Measurement:
    summary, arrays = load_measurement(path)
    labels = {name.removeprefix("labels_"): given for name, given in arrays.items() if name.startswith("labels_")}
    return Measurement(cell, summary, labels, arrays.get("embedding"))
