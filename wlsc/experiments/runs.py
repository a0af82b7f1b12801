"""From a configuration to a finished run: found again by its address, resumed where it was interrupted.

A run lies in a folder whose name holds a hash of all that its numbers depend on: the configuration, the data files,
the versions of the numerical libraries, the kind of device, and the source files that its training really imports.
Editing a plot therefore retrains nothing, and editing a solver retrains what uses it.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import json
import os
import platform
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed

from wlsc._io.files import load_tensors, lock_of, locked, remove_unfinished, runs_folder, save_tensors, write_text
from wlsc._io.machine import cost_since, source_commit
from wlsc._io.tables import from_table, read_toml, suggestion
from wlsc._validation import check_choice, check_count, check_file_name
from wlsc.datasets import registry
from wlsc.dictionary import initialize_dictionary
from wlsc.experiments.kinds import DATA_KINDS, MODEL_KINDS
from wlsc.experiments.sources import source_hashes
from wlsc.inference.exact import ConvergenceError
from wlsc.models._filter_bank import FilterBank
from wlsc.models._unrolled import UnrolledAutoencoder
from wlsc.training import ClosedFormTrainer, Progress, Trainer, UnrolledTrainer, process_rank, train

#: Libraries whose version can change a number.
_LIBRARIES = ("torch", "numpy", "numba", "scipy", "scikit-image", "scikit-learn")

#: Sets of samples that stay in memory: a training's own and the held-out ones, of three seeds.
_N_KEPT = 6

#: Epochs of the relaxation that prepares the first atoms of a model whose own objective has many minima.
_RELAXED_EPOCHS = 2

#: How long a process waits for the others before it takes them for dead.
_GROUP_TIMEOUT = timedelta(minutes=10)


class TrainingInterrupted(RuntimeError):
    """One of several processes that trained together stopped."""


@dataclass(frozen=True)
class DataConfig:
    """What to train on.

    Attributes
    ----------
    kind
        One of the kinds of `wlsc.experiments.kinds.DATA_KINDS`, such as "natural_images".
    source
        Source of that kind; see `wlsc.load_patches`, `wlsc.load_digits`, `wlsc.load_matrix` and
        `wlsc.datasets.planted.load_planted`.
    options
        Further arguments of the loader, a table in TOML.
    """

    kind: str
    source: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class ModelConfig:
    """What to train.

    Attributes
    ----------
    kind
        "wlsc", "sparse_coding", "hard_threshold"; or a bank of filters, which has a way of training of its own: "ica",
        "k_means", "lld".
    n_atoms, lam
        Size of the dictionary and weight of the penalty; 0 for banks of filters.
    options
        Further arguments of the model's class, a table in TOML. For a bank also "n_features", if its filters are
        smaller than the samples.
    """

    kind: str
    n_atoms: int
    lam: float = 0.0
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class TrainingConfig:
    """How to train.

    Attributes
    ----------
    trainer
        "closed_form" or "unrolled".
    n_epochs, batch_size, tol
        See `wlsc.training.train`.
    initialization
        "data" or "k-means++"; for a model that has a convex relaxation also "relaxed": its atoms after two epochs of
        closed-form training from data.
    options
        Further arguments of the trainer's class, a table in TOML.
    """

    trainer: str = "closed_form"
    n_epochs: int = 10
    batch_size: int = 1024
    tol: float = 1e-3
    initialization: str = "data"
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Config:
    """A training, complete: with the code at one commit it determines every number.

    Attributes
    ----------
    name
        For people; the address does not depend on it.
    data, model, training
        What to train on, what, and how.
    seed
        Of the first atoms, the batches and their order. The draw of data has a seed of its own in ``data.options``.
    device
        "cpu", "cuda", or "auto" for CUDA where it is present.
    """

    name: str
    data: DataConfig
    model: ModelConfig
    training: TrainingConfig = TrainingConfig()
    seed: int = 0
    device: str = "cpu"


@dataclass(frozen=True)
class Run:
    """A finished training.

    Attributes
    ----------
    config
        What was asked.
    path
        Folder that holds the run.
    dictionary
        Atoms or filters, shape (n_atoms, n_features), float32.
    history
        Objective and activity after every epoch.
    provenance
        Versions, commit, device, data and source hashes, date, duration and memory.
    """

    config: Config
    path: Path
    dictionary: np.ndarray
    history: dict[str, list[float]]
    provenance: dict[str, Any]

    @property
    def cost(self) -> dict[str, Any]:
        """What the training took, interrupted attempts included: "duration_s", "peak_memory_bytes" of the last one."""
        return {key: self.provenance[key] for key in ("duration_s", "peak_memory_bytes")}

    def model(self) -> UnrolledAutoencoder | FilterBank:
        """Load the trained model, on the CPU."""
        model = _build_model(self.config, self.dictionary.shape[1], torch.Generator())
        model.load_state_dict(load_tensors(self.path / "weights.safetensors")[0])
        return model

    def codes(self, patches: np.ndarray) -> np.ndarray:
        """Optimal codes of ``patches`` (n_samples, n_features), shape (n_samples, n_atoms).

        Raises
        ------
        ValueError
            If the model is a bank of filters, which has no codes.
        """
        model = self.model()
        if isinstance(model, FilterBank):
            raise ValueError(f"model must be an autoencoder to give codes, got {self.config.model.kind!r}")
        return model.infer(torch.as_tensor(patches)).numpy()


def read_config(path: Path) -> Config:
    """Read a configuration from a TOML file.

    Parameters
    ----------
    path
        A file with the keys of `Config` and the tables ``data``, ``model`` and ``training``.

    Raises
    ------
    ValueError
        If the file is missing, is no TOML, lacks a key, has an unknown one, or a value is of the wrong kind.
    """
    values = read_toml(path, "configuration")
    config = from_table(Config, {"name": path.stem, **values}, str(path))
    check_choice("model.kind", config.model.kind, tuple(MODEL_KINDS))
    check_choice("data.kind", config.data.kind, tuple(DATA_KINDS))
    check_choice("training.trainer", config.training.trainer, ("closed_form", "unrolled"))
    return config


def load_config(name: str, profile: str, folder: Path = Path("experiments")) -> Config:
    """Read the configuration ``folder/profile/name.toml``; a notebook's folder holds ``experiments``."""
    return read_config(folder / profile / f"{name}.toml")


def run(config: Config, show_progress: bool = False) -> Run:
    """Train what ``config`` says, or find the finished run, or resume the interrupted one.

    Two processes that ask for one run at one time train it once: the second waits for the first. Processes started by
    ``torchrun`` train it together, each on its share of every batch.

    Parameters
    ----------
    config
        The configuration.
    show_progress
        Show a bar with objective and rate.

    Returns
    -------
    Run
        The finished run.

    Raises
    ------
    ValueError
        If an option of the data, the model or the trainer is unknown or out of its range, or the name is a path.
    TrainingInterrupted
        If one of several processes died; the same command resumes from the last checkpoint.
    """
    check_file_name("name", config.name)
    address = run_address(config)
    folder = runs_folder() / f"{config.name}-{digest(address)[:16]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _process_group(config) as (rank, _), locked(folder) if rank == 0 else nullcontext():
            finished = _agreed((folder / "provenance.json").exists(), _device(config))
            if not finished:
                _train(config, address, folder, show_progress)
            # Nobody leaves, and nobody reads, before the first process has written everything.
            _agreed(True, _device(config))
    except ValueError:  # whoever waits for the same training is refused as well
        if not folder.exists():
            lock_of(folder).unlink(missing_ok=True)
        raise
    return load_run(folder)


@contextmanager
def _process_group(config: Config) -> Iterator[tuple[int, int]]:
    """Join the processes that ``torchrun`` started, if it did."""
    n_processes = int(os.environ.get("WORLD_SIZE", "1"))
    if n_processes == 1 or torch.distributed.is_initialized():
        yield process_rank()
        return
    if config.training.trainer != "closed_form":
        raise ValueError(
            f"training.trainer must be 'closed_form' under torchrun, where only sufficient statistics are summed, "
            f"got {config.training.trainer!r}"
        )
    backend = "gloo"
    if _device(config).type == "cuda":
        backend = "nccl"
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))  # of the machine's GPUs, each process takes its own
    torch.distributed.init_process_group(backend, timeout=_GROUP_TIMEOUT)
    try:
        yield process_rank()
    except RuntimeError as error:
        if isinstance(error, (ConvergenceError, torch.OutOfMemoryError)):
            raise
        raise TrainingInterrupted(
            f"one of {n_processes} processes stopped answering; the same command resumes from the last checkpoint "
            f"({str(error).splitlines()[0]})"
        ) from error
    finally:
        torch.distributed.destroy_process_group()


def _agreed(value: bool, device: torch.device) -> bool:
    """What the first process says, once all have come here."""
    if process_rank()[1] == 1:
        return value
    said = torch.tensor(value, dtype=torch.uint8, device=device)
    torch.distributed.broadcast(said, src=0)
    return bool(said)


def load_run(folder: Path) -> Run:
    """Load a finished run from its folder.

    Raises
    ------
    ValueError
        If the folder holds no finished run.
    """
    if not (folder / "provenance.json").exists():
        raise ValueError(f"folder must hold a finished run, got {folder}, which has no provenance.json")
    provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    history = json.loads((folder / "history.json").read_text(encoding="utf-8"))
    weights, _ = load_tensors(folder / "weights.safetensors")
    config = from_table(Config, provenance["address"]["config"] | {"name": provenance["name"]}, str(folder))
    filters = weights["dictionary" if "dictionary" in weights else "filters"]
    return Run(config, folder, filters.numpy(), history, provenance)


def list_runs() -> list[Path]:
    """Folders of all runs, finished and interrupted, by name."""
    return sorted(path for path in runs_folder().glob("*-*") if path.is_dir())


def run_address(config: Config) -> dict[str, Any]:
    """Say all that the numbers of a run depend on."""
    values = dataclasses.asdict(config)
    del values["name"]
    return {
        "config": values | {"device": _device(config).type},
        "sources": _source_hashes(config),
        **surroundings(config.data),
    }


def surroundings(data: DataConfig) -> dict[str, Any]:
    """Say what the numbers of anything computed of ``data`` depend on beside its code: files, libraries, machine."""
    return {
        "data": _files_of(data),
        "versions": {name: metadata.version(name) for name in _LIBRARIES},
        "machine": platform.machine(),
    }


def _registered_source(data: DataConfig) -> str:
    digits = data.kind in ("digits", "gaussian_digits")
    return "embedded-digits" if digits and data.source == "embedded" else data.source


def _source_hashes(config: Config) -> dict[str, str]:
    modules = (MODEL_KINDS[config.model.kind].module, DATA_KINDS[config.data.kind].module, __name__)
    return source_hashes("\n".join(f"import {module}" for module in modules))


def digest(address: Mapping[str, Any]) -> str:
    """Hash an address: the same values give the same name."""
    return hashlib.sha256(json.dumps(address, sort_keys=True).encode()).hexdigest()


def _device(config: Config) -> torch.device:
    check_choice("device", config.device, ("auto", "cpu", "cuda"))
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device must be 'auto' or 'cpu' on a machine without CUDA, got 'cuda'")
    return torch.device("cuda" if config.device != "cpu" and torch.cuda.is_available() else "cpu")


@contextmanager
def _options_of(what: str, options: Mapping[str, Any], kind: Any) -> Iterator[None]:
    """Say in one sentence that an option is unknown, or has a place of its own in the configuration."""
    try:
        yield
    except TypeError as error:
        if missing := re.search(r"missing \d+ required (?:positional|keyword-only) arguments?: (.*)", str(error)):
            raise ValueError(f"{what} must name {missing[1]}, got {', '.join(options) or 'none'}") from None
        wrong = next((name for name in options if f" argument '{name}'" in str(error)), None)
        if wrong is None:
            raise
        hint = suggestion(wrong, _argument_names(kind))
        raise ValueError(f"{what} must be options of its kind, got {wrong}{hint}") from None


def _argument_names(kind: Any) -> set[str]:
    """Names that a function takes, or the ``__init__`` of a class and of those it passes the rest on to."""
    takers = [vars(base).get("__init__") for base in kind.__mro__] if isinstance(kind, type) else [kind]
    return {name for taker in filter(None, takers) for name in inspect.signature(taker).parameters}


def load_data(data: DataConfig) -> np.ndarray:
    """Samples that a configuration names, shape (n_samples, n_features), float32.

    The trainings of a study ask for the same samples again and again: what was asked for last is kept, as long as its
    files hold the same.
    """
    return _loaded(json.dumps({**dataclasses.asdict(data), "files": _files_of(data)}, sort_keys=True)).copy()


def _files_of(data: DataConfig) -> dict[str, str]:
    """Hashes of the files behind samples; none where they are drawn."""
    return {} if data.kind == "planted" else registry.source_hashes(_registered_source(data))


@functools.lru_cache(maxsize=_N_KEPT)
def _loaded(asked: str) -> np.ndarray:
    data = json.loads(asked)
    load = DATA_KINDS[data["kind"]].load()
    with _options_of("data.options", data["options"], load):
        loaded = load(data["source"], **data["options"])
    return loaded[0] if isinstance(loaded, tuple) else loaded  # without labels


def _build_model(config: Config, n_features: int, generator: torch.Generator) -> UnrolledAutoencoder | FilterBank:
    model, kind = config.model, MODEL_KINDS[config.model.kind].load()
    with _options_of("model.options", model.options, kind):
        if not issubclass(kind, FilterBank):
            return kind(n_features, model.n_atoms, model.lam, generator=generator, **model.options)
        if model.lam != 0:
            raise ValueError(f"model.lam must be 0 for a bank of filters ({model.kind!r}), got {model.lam}")
        return kind(**{"n_features": n_features, **model.options}, n_units=model.n_atoms, generator=generator)


def _build_trainer(config: Config, model: UnrolledAutoencoder) -> Trainer:
    kind = ClosedFormTrainer if config.training.trainer == "closed_form" else UnrolledTrainer
    with _options_of("training.options", config.training.options, kind):
        return kind(model, **config.training.options)


def _train(config: Config, address: Mapping[str, Any], folder: Path, show_progress: bool) -> None:
    check_count("seed", config.seed, minimum=0)
    began = time.perf_counter()
    if process_rank()[0] == 0:
        remove_unfinished(folder)
    patches = load_data(config.data)
    generator = torch.Generator().manual_seed(config.seed)
    model = _build_model(config, patches.shape[1], generator)
    history: dict[str, list[float]]
    if isinstance(model, FilterBank):
        folder.mkdir(exist_ok=True)
        model.to(_device(config)).fit(patches, generator)
        history, seconds_before = {}, 0.0
    else:
        history, seconds_before = _train_autoencoder(config, model, patches, generator, folder, show_progress, began)
    if process_rank()[0] > 0:
        return
    save_tensors(folder / "weights.safetensors", model.state_dict())
    write_text(folder / "history.json", json.dumps(history, indent=1))
    provenance = {
        "name": config.name,
        "address": address,
        "commit": source_commit(Path(__file__).parent),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        **cost_since(began - seconds_before),
        "device": str(_device(config)),
    }
    write_text(folder / "provenance.json", json.dumps(provenance, indent=1))
    (folder / "checkpoint.safetensors").unlink(missing_ok=True)


def _train_autoencoder(
    config: Config,
    model: UnrolledAutoencoder,
    patches: np.ndarray,
    generator: torch.Generator,
    folder: Path,
    show_progress: bool,
    began: float,
) -> tuple[dict[str, list[float]], float]:
    """Train with checkpoints; return the history and the seconds that interrupted attempts took before."""
    n_atoms = config.model.n_atoms
    relaxes = config.training.initialization == "relaxed"
    method = "data" if relaxes else config.training.initialization
    model.set_dictionary(initialize_dictionary(patches, n_atoms, generator, method))
    trainer = _build_trainer(config, model.to(_device(config)))
    relaxed = model.relaxed() if relaxes else None
    if relaxes and relaxed is None:
        raise ValueError(
            f"training.initialization must be 'data' or 'k-means++' for a model that has no relaxation, got 'relaxed' "
            f"for {config.model.kind!r}"
        )
    folder.mkdir(exist_ok=True)
    rank, n_processes = process_rank()
    checkpoint = folder / "checkpoint.safetensors"
    if relaxed is not None and not checkpoint.exists():
        train(ClosedFormTrainer(relaxed), patches, _RELAXED_EPOCHS, config.training.batch_size, config.seed, tol=0)
        model.set_dictionary(relaxed.dictionary)
    start = _resume(trainer, checkpoint) if checkpoint.exists() else None
    seconds_before = start.seconds if start else 0.0

    def save(progress: Progress) -> None:
        if rank > 0:
            return
        if n_processes > 1:  # each process knows the codes of its own share only
            progress = dataclasses.replace(progress, warm_codes={})
        seconds = seconds_before + time.perf_counter() - began
        _save_checkpoint(trainer, dataclasses.replace(progress, seconds=seconds), checkpoint)

    history = train(
        trainer,
        patches,
        config.training.n_epochs,
        config.training.batch_size,
        config.seed,
        config.training.tol,
        start=start,
        after_epoch=save,
        show_progress=show_progress,
    )
    return history, seconds_before


def _save_checkpoint(trainer: Trainer, progress: Progress, path: Path) -> None:
    tensors = dict(trainer.state())
    for index, codes in progress.warm_codes.items():
        tensors[f"warm.{index}.indices"] = codes.indices()
        tensors[f"warm.{index}.values"] = codes.values()
        tensors[f"warm.{index}.shape"] = torch.tensor(codes.shape)
    note = {"epoch": progress.epoch, "history": progress.history, "seconds": progress.seconds}
    save_tensors(path, tensors, {"progress": json.dumps(note)})


def _resume(trainer: Trainer, path: Path) -> Progress:
    state, notes = load_tensors(path)
    note = json.loads(notes["progress"])
    trainer.load_state(state)
    warm = {
        int(name.split(".")[1]): torch.sparse_coo_tensor(
            state[name.replace("shape", "indices")],
            state[name.replace("shape", "values")],
            state[name].tolist(),
            is_coalesced=True,
            check_invariants=True,
        )
        for name in state
        if name.startswith("warm.") and name.endswith(".shape")
    }
    return Progress(note["epoch"], note["history"], warm, note["seconds"])
