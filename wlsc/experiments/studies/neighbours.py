"""The neighbours of weighted-ℓ1 sparse coding on one bench: the same samples, sparsity, starts and questions for all.

A study is a TOML file. Each of its *cells* is one model at one number of active atoms, from one kind of start, on one
share of the samples and with one seed. Models that can be told how many atoms are active are told; for the others the
weight of their penalty is searched for. What is asked of codes is asked of samples that nobody was trained on.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch

from wlsc._validation import check_choice, check_count, check_positive
from wlsc.analysis.clustering import class_purity, cluster_codes, clustering_scores
from wlsc.analysis.coding import (
    activity,
    amortisation_gap,
    description_length,
    normalised_error,
    sparse_probing,
    unused_atoms,
)
from wlsc.analysis.stability import Stability, recovery, stability
from wlsc.dictionary import initialize_dictionary
from wlsc.experiments import DataConfig, surroundings
from wlsc.experiments.kinds import DATA_KINDS
from wlsc.experiments.matching import Match, match_activity
from wlsc.experiments.representations import encode_in_blocks
from wlsc.experiments.studies.base import (
    BaseStudy,
    load_measurement,
    match_once,
    measure_each,
    read_cells,
    save_measurement,
    write_once,
)
from wlsc.models import (
    ArchetypalAutoencoder,
    BatchTopKAutoencoder,
    HardThresholdAutoencoder,
    JumpReLUAutoencoder,
    KMeansAutoencoder,
    MatryoshkaAutoencoder,
    PamAutoencoder,
    SpaDEAutoencoder,
    SparseCodingAutoencoder,
    TopKAutoencoder,
    WLSCAutoencoder,
)
from wlsc.models._unrolled import UnrolledAutoencoder
from wlsc.models.autoencoder import Autoencoder, FittedAutoencoder, GradientAutoencoder
from wlsc.training import ClosedFormTrainer, GradientTrainer, train

#: Where the atoms of a training begin: each kind is drawn anew for every seed, but that of the last, which all share.
STARTS = ("gaussian", "data", "k_means", "shared_k_means")

#: Shares of the samples that a training may see.
SHARES = ("all", "first", "second")

#: Neighbours that count for purity, numbers of atoms that probes may read, depths of the network of weighted ℓ1.
_N_PURITY, _N_PROBED, _DEPTHS = 5, (1, 5), (1, 5, 15)

_Model = Autoencoder | UnrolledAutoencoder


class _Way(NamedTuple):
    """How a kind of model is made, and how its sparsity is set.

    Attributes
    ----------
    make
        Takes the size of the samples, the number of atoms, that of the active ones or the weight that decides it, the
        first atoms, a generator, and options.
    weight
        Where the search for a weight begins; None where the number of active atoms is set.
    signed
        Whether an atom and its negative are different, because codes are at least 0.
    """

    make: Callable[..., _Model]
    weight: float | None = None
    signed: bool = True


def _with_active(kind: type[Any]) -> Callable[..., _Model]:
    return lambda d, m, active, first, generator, **options: kind(d, m, active, generator, **options)


def _with_weight(kind: type[Any]) -> Callable[..., _Model]:
    return lambda d, m, weight, first, generator, **options: kind(d, m, weight, generator=generator, **options)


def _matryoshka(d: int, m: int, active: int, first: Any, generator: torch.Generator, **options: Any) -> _Model:
    levels = sorted({max(active // 4, 1), max(active // 2, 1), active})
    return MatryoshkaAutoencoder(d, m, levels, generator, **options)


def _archetypal(d: int, m: int, active: int, first: Any, generator: torch.Generator, **options: Any) -> _Model:
    return ArchetypalAutoencoder(d, m, active, first, generator=generator, **options)


def _spade(d: int, m: int, weight: float, first: Any, generator: torch.Generator, **options: Any) -> _Model:
    return SpaDEAutoencoder(d, m, generator, sharpness=weight, **options)  # γ hardly changes how many atoms are active


def _cells(d: int, m: int, active: int, first: Any, generator: torch.Generator, **options: Any) -> _Model:
    return KMeansAutoencoder(d, m // active, active - 1, **options)  # as many parameters and active atoms as the others


_WAYS: Mapping[str, _Way] = {
    "wlsc": _Way(_with_weight(WLSCAutoencoder), 0.1),
    "sparse_coding": _Way(_with_weight(SparseCodingAutoencoder), 0.1, False),
    "nonnegative": _Way(lambda *given, **options: _with_weight(SparseCodingAutoencoder)(*given, nonnegative=True), 0.1),
    "hard_threshold": _Way(_with_weight(HardThresholdAutoencoder), 0.01, False),
    "top_k": _Way(_with_active(TopKAutoencoder)),
    "batch_top_k": _Way(_with_active(BatchTopKAutoencoder)),
    "jump_relu": _Way(_with_active(JumpReLUAutoencoder)),
    "matryoshka": _Way(_matryoshka),
    "archetypal": _Way(_archetypal),
    "spade": _Way(_spade, 0.5),
    "pam": _Way(_with_active(PamAutoencoder), signed=False),
    "k_means": _Way(_cells),
}


@dataclass(frozen=True)
class ModelSpec:
    """One model of a study.

    Attributes
    ----------
    title
        Name for people.
    kind
        One of the table of this module: "wlsc", "sparse_coding", "nonnegative", "hard_threshold", "top_k",
        "batch_top_k", "jump_relu", "matryoshka", "archetypal", "spade", "pam", "k_means" (with local directions).
    options
        Further arguments of the model's class.
    learning_rate
        Of Adam, for models that learn by gradients; 0 for that of the model's recipe.
    """

    like: ClassVar[str] = ""  # activity is matched to a number, see `base.read_cells`

    title: str
    kind: str
    options: dict[str, Any] = field(default_factory=dict)
    learning_rate: float = 0.0


@dataclass(frozen=True)
class CellGroup:
    """Cells that share what is asked of them; every combination of the lists is trained.

    Attributes
    ----------
    models
        Names of models.
    n_active
        Numbers of active atoms.
    starts
        Of `STARTS`. Archetypal models take their anchors from there, and k-means, which has starts of its own, takes
        nothing.
    shares
        Of `SHARES`: all samples for training, or either half of them.
    variations
        Names of variations of the data.
    n_seeds
        Runs of each.
    """

    models: list[str]
    n_active: list[int]
    starts: list[str] = field(default_factory=lambda: ["data"])
    shares: list[str] = field(default_factory=lambda: ["all"])
    variations: list[str] = field(default_factory=lambda: ["none"])
    n_seeds: int = 1


@dataclass(frozen=True, kw_only=True)
class Study(BaseStudy["Cell"]):
    """All of a study; see the module.

    Attributes
    ----------
    name, data, training, variations, seed, device
        As in every study; of ``training``, models that learn by gradients use the numbers of epochs and of samples in a
        batch.
    measures
        "neighbours".
    models
        By name.
    cells
        The cells.
    n_atoms
        Atoms of every model.
    n_test
        Samples that are left out of training.
    precision
        Of the description length, in the unit of the samples.
    """

    COMPARED: ClassVar = "models"

    models: dict[str, ModelSpec]
    cells: list[CellGroup]
    n_atoms: int
    n_test: int
    precision: float
    measures: str = "neighbours"

    def expand(self, group: CellGroup) -> Iterator[Cell]:
        """Cells of a group, the last seed last."""
        for model, active, start, share, variation, seed in itertools.product(
            group.models, group.n_active, group.starts, group.shares, group.variations, range(group.n_seeds)
        ):
            yield Cell(model, active, start, share, variation, self.seed + seed)

    def merged(self, known: Cell, cell: Cell) -> Cell:
        """The cell: its name says all of it."""
        return cell


@dataclass(frozen=True)
class Cell:
    """One training of a study. Its name is that of its coordinates."""

    model: str
    n_active: int
    start: str
    share: str
    variation: str
    seed: int

    @property
    def condition(self) -> str:
        """All of the name but the seed."""
        return f"{self.model}-k{self.n_active}-{self.start}-{self.share}-{self.variation}"

    @property
    def name(self) -> str:
        """Coordinates in a word, such as ``top_k-k15-data-all-none-s0``."""
        return f"{self.condition}-s{self.seed}"


@dataclass(frozen=True)
class Measurement:
    """What is known of a cell.

    Attributes
    ----------
    cell
        The cell.
    summary
        "weight" (λ, or the first sharpness of SpaDE; None where the number of active atoms is set), "reached" (whether
        the activity is the one that was asked for, within 5 %), "n_parameters", "seconds" (of training, without the
        search for a weight), "n_dead" (atoms that no training sample uses); of the samples left out: "activity" (mean
        number of active atoms), "nmse", "bits" ("support", "values", "residual" and their "total"), "purity" and
        "pixel_purity" (share of the 5 nearest neighbours of the same class, by codes and by samples; None without
        classes), "recovery" ("mcc", "precision", "recall", "f1" of atoms against those that planted samples are made
        of, as directions if those are sums and as points if they lie in simplices; None for other data), "probes"
        (balanced accuracy by number of atoms, mean over classes), "clusters" ("accuracy", "nmi", "ari" of the clusters
        of the codes' graph; None for codes of both signs or where a code is empty), "gaps" (share by which the model's
        own loss lies above that of exact codes: of the "encoder", or of networks by depth); and "cost" of the whole
        cell when it was measured.
    start, end
        Dictionary before and after training, shape (n_atoms, n_features); k-means, whose starts are its own, has no
        atoms before.
    dead
        Atoms that no training sample uses, int64.
    """

    cell: Cell
    summary: dict[str, Any]
    start: np.ndarray
    end: np.ndarray
    dead: np.ndarray


def read_study(path: Path) -> Study:
    """Read a study from a TOML file with the tables of `Study`, groups as ``[[cells]]``.

    Raises
    ------
    ValueError
        If the file is missing, is no TOML, or has an unknown, missing or wrong entry.
    """
    study = read_cells(Study, path, "neighbours")
    check_choice(f"{path}: data.kind", study.data.kind, tuple(DATA_KINDS))
    check_count(f"{path}: n_atoms", study.n_atoms)
    check_count(f"{path}: n_test", study.n_test, minimum=_N_PURITY + 1)
    check_positive(f"{path}: precision", study.precision)
    for name, spec in study.models.items():
        check_choice(f"{path}: models.{name}.kind", spec.kind, tuple(_WAYS))
    for group in study.cells:
        check_count(f"{path}: n_seeds of cells", group.n_seeds)
        for what, given, known in (("starts", group.starts, STARTS), ("shares", group.shares, SHARES)):
            for name in given:
                check_choice(f"{path}: {what} of cells", name, known)
        for active in group.n_active:
            if check_count(f"{path}: n_active of cells", active) > study.n_atoms:
                raise ValueError(f"{path}: n_active of cells must be at most n_atoms = {study.n_atoms}, got {active}")
        if "gaussian" in group.starts and any(study.models[name].kind == "archetypal" for name in group.models):
            raise ValueError(
                f"{path}: starts of archetypal models must be samples, of which anchors are, got 'gaussian'"
            )
    return study


def load_study(name: str, profile: str, folder: Path = Path("studies")) -> Study:
    """Read the study ``folder/profile/name.toml``; a notebook's folder holds ``studies``."""
    return read_study(folder / profile / f"{name}.toml")


def measure(study: Study, cell: Cell, show_progress: bool = False) -> Measurement:
    """Train a model and put all questions to it, or find the measurement.

    Two processes that ask for one cell at one time compute it once.
    """
    began = time.perf_counter()

    def write(path: Path) -> None:
        found = _measured(study, cell, show_progress)
        arrays = {"start": found.start, "end": found.end, "dead": found.dead}
        save_measurement(path, found.summary, arrays, began)

    address = _conditions(study, cell) | {"cell": dataclasses.asdict(cell), "precision": study.precision}
    path = write_once(Path("cells", f"{cell.name}.npz"), address, __name__, write)
    summary, arrays = load_measurement(path)
    return Measurement(cell, summary, **arrays)


def measure_all(study: Study) -> list[Measurement]:
    """Measure all cells of a study, or find what was measured, with a bar of its progress."""
    return measure_each(study, measure)


def stabilities(
    study: Study, measurements: Sequence[Measurement], *, centred: bool = False, with_dead: bool = False
) -> dict[str, Stability]:
    """Agreement of the seeds of every condition that has several, at the start and at the end.

    Parameters
    ----------
    study
        Of the measurements; says of each model whether an atom's sign counts.
    measurements
        Of `measure`, in any order.
    centred
        See `wlsc.analysis.stability.match_atoms`.
    with_dead
        Count the atoms that no sample uses, too.

    Returns
    -------
    dict of Stability
        By `Cell.condition`; of k-means the start is NaN.
    """
    found: dict[str, list[Measurement]] = {}
    for measurement in measurements:
        found.setdefault(measurement.cell.condition, []).append(measurement)
    return {
        condition: stability(
            [run.end for run in runs],
            [run.start for run in runs],
            signed=_WAYS[study.models[runs[0].cell.model].kind].signed,
            centred=centred,
            dead=None if with_dead else [run.dead for run in runs],
        )
        for condition, runs in found.items()
        if len(runs) > 1
    }


def _conditions(study: Study, cell: Cell) -> dict[str, Any]:
    """What the numbers of a cell depend on and its name does not say."""
    return {
        "model": dataclasses.asdict(study.models[cell.model]),
        "variation": study.variations[cell.variation],
        "training": dataclasses.asdict(study.training),
        "sizes": [study.n_atoms, study.n_test],
        "first_seed": study.seed,
        "options": study.data.options,
        "device": study.device,
        **surroundings(study.data),
    }


class _Samples(NamedTuple):
    train: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray | None
    truth: np.ndarray | None


@cache
def _loaded(kind: str, source: str, options: str) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Samples; their classes and the atoms that they are made of, where they have any."""
    loaded = DATA_KINDS[kind].load()(source, **json.loads(options))
    if kind == "planted":
        return loaded.samples, None, loaded.dictionary
    return (*loaded, None) if kind == "digits" else (loaded, None, None)


def _samples(study: Study, cell: Cell) -> _Samples:
    data: DataConfig = study.data
    options = data.options | study.variations[cell.variation]
    samples, labels, truth = _loaded(data.kind, data.source, json.dumps(options, sort_keys=True))
    if len(samples) <= study.n_test:
        raise ValueError(f"n_test must be below the number of samples ({len(samples)}), got {study.n_test}")
    order = np.random.default_rng(study.seed).permutation(len(samples))
    test, rest = order[: study.n_test], order[study.n_test :]
    halves = np.array_split(rest, 2)
    seen = {"all": rest, "first": halves[0], "second": halves[1]}[cell.share]
    return _Samples(samples[seen], samples[test], None if labels is None else labels[test], truth)


def _first_atoms(study: Study, cell: Cell, samples: np.ndarray) -> torch.Tensor:
    seed = study.seed if cell.start == "shared_k_means" else cell.seed
    generator = torch.Generator().manual_seed(seed)
    if cell.start == "gaussian":
        length = np.sqrt(np.mean(np.sum(samples**2, axis=1)))
        atoms = torch.randn(study.n_atoms, samples.shape[1], generator=generator)
        return torch.nn.functional.normalize(atoms, dim=1) * float(length)
    if cell.start == "data":
        return initialize_dictionary(samples, study.n_atoms, generator)
    clusters = KMeansAutoencoder(samples.shape[1], study.n_atoms, n_init=1)
    clusters.fit(samples, generator)
    return clusters.dictionary.clone()


def _trained(
    study: Study, cell: Cell, samples: np.ndarray, level: float, show_progress: bool = False
) -> tuple[_Model, np.ndarray]:
    """A trained model, and the atoms it began with."""
    spec, first = study.models[cell.model], _first_atoms(study, cell, samples)
    generator = torch.Generator().manual_seed(cell.seed)
    model = _WAYS[spec.kind].make(samples.shape[1], study.n_atoms, level, first, generator, **spec.options)
    if isinstance(model, FittedAutoencoder):
        model.fit(samples, generator)
        return model, np.zeros((0, samples.shape[1]), dtype=np.float32)
    if isinstance(model, UnrolledAutoencoder):
        model.set_dictionary(first)
    else:
        assert isinstance(model, GradientAutoencoder)
        model.initialize(samples, None if spec.kind == "archetypal" else first)
    began = model.dictionary.detach().clone().numpy()
    device = "cuda" if study.device != "cpu" and torch.cuda.is_available() else "cpu"
    n_epochs, batch_size = study.training.n_epochs, study.training.batch_size
    model.to(device)
    if isinstance(model, UnrolledAutoencoder):
        trainer: Any = ClosedFormTrainer(model, **study.training.options)
    else:
        n_steps = n_epochs * -(-len(samples) // batch_size)
        trainer = GradientTrainer(model, spec.learning_rate or None, n_steps=n_steps)
    tol = study.training.tol if isinstance(model, UnrolledAutoencoder) else 0.0
    train(trainer, samples, n_epochs, batch_size, cell.seed, tol, show_progress=show_progress)
    return model.cpu(), began


def _codes(model: _Model, samples: np.ndarray) -> Any:
    """Codes as a SciPy CSR array: the optimal ones of unrolled models, and those of the encoder of all others."""
    with torch.no_grad():
        return encode_in_blocks(model.infer if isinstance(model, UnrolledAutoencoder) else model.encode, samples)


def _level(study: Study, cell: Cell) -> tuple[float, float | None, bool]:
    """What sets a cell's sparsity: the level for the model, the weight among it, and whether a search reached it."""
    start = _WAYS[study.models[cell.model].kind].weight
    if start is None:
        return cell.n_active, None, True
    leading = dataclasses.replace(cell, seed=study.seed, share="all")
    path = Path("matches", f"{leading.condition}.json")
    match = match_once(path, _conditions(study, leading), __name__, lambda: _search(study, leading, start))
    return match.lam, match.lam, match.reached


def _search(study: Study, cell: Cell, start: float) -> Match:
    samples = _samples(study, cell)

    def activity_of(weight: float) -> float:
        return float(activity(_codes(_trained(study, cell, samples.train, weight)[0], samples.test)).mean())

    return match_activity(activity_of, cell.n_active, start)


def _measured(study: Study, cell: Cell, show_progress: bool) -> Measurement:
    samples = _samples(study, cell)
    level, weight, reached = _level(study, cell)
    began = time.perf_counter()
    model, start = _trained(study, cell, samples.train, level, show_progress)
    seconds = time.perf_counter() - began
    codes, dead = _codes(model, samples.test), unused_atoms(_codes(model, samples.train))
    atoms = model.dictionary.detach().numpy()
    bias = getattr(model, "bias", torch.zeros(atoms.shape[1])).detach().numpy()
    mean_activity = float(activity(codes).mean())
    bits = description_length(samples.test, codes, atoms, study.precision, bias)
    summary = {
        "weight": weight,
        "reached": reached and abs(mean_activity / cell.n_active - 1) <= 0.05,
        "n_parameters": sum(parameter.numel() for parameter in model.parameters()) or atoms.size,
        "seconds": seconds,
        "n_dead": len(dead),
        "activity": mean_activity,
        "nmse": normalised_error(samples.test, (codes @ atoms + bias).astype(np.float32)),
        "bits": bits._asdict() | {"total": bits.total},
        "gaps": _gaps(model, samples.test),
        "recovery": _recovery(study, cell, atoms, samples.truth),
        **_of_classes(codes, samples, model, cell.seed),
    }
    return Measurement(cell, summary, start, atoms, dead)


def _gaps(model: _Model, samples: np.ndarray) -> dict[str, float]:
    """Share by which the loss of codes of few layers lies above that of exact codes, for the same decoder."""
    given = torch.as_tensor(samples)
    if not isinstance(model, (SpaDEAutoencoder, WLSCAutoencoder)):
        return {}
    with torch.no_grad():
        exact = model.objective(given, model.infer(given))
        if isinstance(model, SpaDEAutoencoder):
            return {"encoder": amortisation_gap(model.objective(given, model.encode(given)), exact).relative}
        found = {}
        n_atoms, n_features = model.dictionary.shape
        for depth in _DEPTHS:
            network = WLSCAutoencoder(n_features, n_atoms, model.lam, depth)
            network.set_dictionary(model.dictionary)
            found[str(depth)] = amortisation_gap(model.objective(given, network.encode(given)), exact).relative
    return found


def _recovery(study: Study, cell: Cell, atoms: np.ndarray, truth: np.ndarray | None) -> dict[str, float] | None:
    if truth is None:
        return None
    metric = "points" if study.data.source == "simplices" else "cosine"
    signed = _WAYS[study.models[cell.model].kind].signed
    return recovery(atoms, truth, metric=metric, signed=signed)._asdict()


def _of_classes(codes: Any, samples: _Samples, model: _Model, seed: int) -> dict[str, Any]:
    """What is asked about classes, where there are any."""
    if samples.test_labels is None:
        return {"purity": None, "pixel_purity": None, "probes": {}, "clusters": None}
    labels, half = samples.test_labels, len(samples.test_labels) // 2
    probes = {
        str(n_probed): float(sparse_probing(codes[:half], labels[:half], codes[half:], labels[half:], n_probed).mean())
        for n_probed in _N_PROBED
    }
    clusters = None
    if codes.data.min(initial=0) >= 0 and activity(codes).min() > 0:
        found = cluster_codes(codes, len(np.unique(labels)), seed)
        clusters = clustering_scores(labels, found.sample_labels)._asdict()
    return {
        "purity": float(class_purity(codes, labels, _N_PURITY).mean()),
        "pixel_purity": float(class_purity(samples.test, labels, _N_PURITY).mean()),
        "probes": probes,
        "clusters": clusters,
    }
