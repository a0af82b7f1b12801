"""The scikit-learn face of weighted-ℓ1 sparse coding."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from wlsc._io.files import load_tensors, save_tensors
from wlsc._validation import check_choice, check_count, check_penalty, to_torch
from wlsc.dictionary import initialize_dictionary
from wlsc.inference.exact import infer_codes
from wlsc.models.wlsc import WLSCAutoencoder
from wlsc.observed import alternate, fill_with_means, infer_observed_codes, observed_terms
from wlsc.problem import objective_terms
from wlsc.training import ClosedFormTrainer, UnrolledTrainer, train

_LEARNED = ("history_", "n_features_in_", "n_iter_")


def _plain(value: Any) -> Any:
    """Numbers and arrays of NumPy as JSON knows them."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError


def _part(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


class WLSC(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Weighted-ℓ1 sparse coding: a dictionary, and codes on the simplex that prefer atoms close to the data.

    Minimises ½‖y − Ax‖² + λ Σⱼ xⱼ‖y − aⱼ‖² over the dictionary A and, for every sample y, over codes x ≥ 0 with Σx = 1.

    Parameters
    ----------
    n_atoms : int
        Number of atoms; at most the number of samples of the first batch.
    lam : float
        Weight λ ≥ 0 of the penalty: 0 is the convex hull of the atoms, large values are k-means.
    trainer : {"closed_form", "unrolled"}
        Exact codes and closed-form dictionaries, or the paper's back-propagation through ``n_layers`` layers.
    n_epochs : int
        Largest number of passes over the data.
    batch_size : int
        Samples per update of the dictionary.
    tol : float
        Stop when a pass improves the objective by less than this fraction.
    shuffle : bool
        Draw batches at random; otherwise they follow the order of the samples.
    initialization : {"data", "k-means++"}
        How the first atoms are chosen from the first batch.
    n_layers : int
        Layers of the unrolled network; also the depth of ``transform`` after unrolled training.
    learning_rate : float
        Of Adam, for unrolled training.
    device : str
        "auto" takes CUDA where it is present; or the name of a torch device.
    random_state : int, numpy.random.RandomState or None
        Source of randomness; an int gives the same dictionary on every call.
    verbose : bool
        Show a progress bar.
    missing : {"error", "observed"}
        What NaN in the data means: an error, or a value that was not observed. In the second case the objective is
        taken over the observed features alone, exactly and with nothing filled in; ``fit`` then alternates between the
        codes and the dictionary of all samples, in memory, and ``batch_size`` and ``shuffle`` play no part.
    sparse_output : bool
        Give codes as a SciPy CSR array, computed ``batch_size`` samples at a time.
    n_clusters : int, "auto" or None
        Cluster the codes of ``fit`` by `wlsc.analysis.clustering.cluster_codes`, so that ``predict`` says to which
        cluster a sample belongs; "auto" takes as many as the largest gap between eigenvalues says, None none.

    Attributes
    ----------
    components_ : numpy.ndarray
        Atoms, shape (n_atoms, n_features).
    history_ : dict of list of float
        "objective" and "activity" (mean number of non-zero codes) after every pass of ``fit``.
    n_features_in_ : int
        Number of features seen by ``fit``.
    n_iter_ : int
        Passes over the data that ``fit`` made.
    labels_ : numpy.ndarray
        With ``n_clusters``: cluster of every sample of ``fit``, int64, shape (n_samples,).
    clusters_ : wlsc.analysis.clustering.CodeClusters
        With ``n_clusters``: the clusters of samples and of atoms.

    Notes
    -----
    Data are array-likes as everywhere in scikit-learn: arrays, lists of lists, pandas and polars tables. float32 stays
    float32; integers, booleans and float16 are computed in float64. ``set_output(transform="pandas")`` or "polars"
    gives codes as a table.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> digits = load_digits().data
    >>> codes = WLSC(n_atoms=50, lam=0.5, random_state=0).fit_transform(digits)
    >>> codes.shape
    (1797, 50)
    """

    def __init__(
        self,
        n_atoms: int = 8,
        lam: float = 0.1,
        *,
        trainer: str = "closed_form",
        n_epochs: int = 10,
        batch_size: int = 1024,
        tol: float = 1e-3,
        shuffle: bool = True,
        initialization: str = "data",
        n_layers: int = 100,
        learning_rate: float = 1e-3,
        device: str = "auto",
        random_state: Any = None,
        verbose: bool = False,
        missing: str = "error",
        sparse_output: bool = False,
        n_clusters: Any = None,
    ) -> None:
        self.n_atoms = n_atoms
        self.lam = lam
        self.trainer = trainer
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.tol = tol
        self.shuffle = shuffle
        self.initialization = initialization
        self.n_layers = n_layers
        self.learning_rate = learning_rate
        self.device = device
        self.random_state = random_state
        self.verbose = verbose
        self.missing = missing
        self.sparse_output = sparse_output
        self.n_clusters = n_clusters

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn a dictionary.

        Parameters
        ----------
        X : array-like
            Samples, shape (n_samples, n_features), float32 or float64; memory-mapped arrays are read batch by batch.
            Beside one batch, memory holds the sparse codes of all samples, from which the next epoch starts; with
            ``n_epochs=1``, as in `fit_batches`, it holds none.
        y : None
            Ignored.
        sample_weight : array-like or None
            Weight of each sample's objective, shape (n_samples,), not negative and not all zero. With weights ``fit``
            alternates between the codes and the dictionary of all samples, as with missing values; a `partial_fit`
            that follows remembers the dictionary alone.

        Returns
        -------
        WLSC
            Itself.

        Raises
        ------
        ValueError
            If a parameter or the data are not what is described above.
        """
        samples = self._validated(X, reset=True)
        if sample_weight is not None or self.missing == "observed":
            return self._fit_observed(samples, sample_weight)._cluster(samples)
        seed = self._start(samples if self.shuffle else samples[: self.batch_size])
        self.history_ = train(
            self._trainer,
            samples,
            self.n_epochs,
            self.batch_size,
            seed,
            self.tol,
            self.shuffle,
            show_progress=self.verbose,
        )
        self.n_iter_ = len(self.history_["objective"])
        return self._finish()._cluster(samples)

    def fit_batches(self, batches: Iterable[Any]) -> Self:
        """Learn a dictionary from one pass over any iterable of batches, each of shape (n_samples, n_features)."""
        started = False
        for batch in batches:
            samples = self._complete(batch, reset=not started)
            if not started:
                self._start(samples)
                started = True
            self._step(samples)
        if not started:
            raise ValueError("batches must hold at least one batch, got none")
        return self._finish()

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Learn from one batch, shape (n_samples, n_features); the first call chooses the first atoms from it."""
        first = not hasattr(self, "_trainer")
        samples = self._complete(X, reset=first)
        if first:
            self._start(samples)
        self._step(samples)
        return self._finish()

    def transform(self, X: Any) -> Any:
        """Codes of samples: exact ones, or the network's own after unrolled training.

        Parameters
        ----------
        X : array-like
            Samples, shape (n_samples, n_features).

        Returns
        -------
        numpy.ndarray or scipy.sparse.csr_array
            Codes on the simplex, shape (n_samples, n_atoms), of the dtype of the dictionary; sparse with
            ``sparse_output``.
        """
        check_is_fitted(self, "components_")
        return self._codes(self._validated(X, reset=False), self.sparse_output)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Minus the mean objective of samples at their codes: the larger the better.

        Parameters
        ----------
        X : array-like
            Samples, shape (n_samples, n_features).
        y : None
            Ignored.
        sample_weight : array-like or None
            Weights of the mean, shape (n_samples,).
        """
        check_is_fitted(self, "components_")
        samples = self._validated(X, reset=False).astype(self.components_.dtype, copy=False)
        atoms = torch.as_tensor(self.components_)
        terms = observed_terms if self.missing == "observed" else objective_terms
        total = 0.0
        weights = _check_sample_weight(sample_weight, samples, dtype=np.float64)
        for first in range(0, len(samples), self.batch_size):
            rows = slice(first, first + self.batch_size)
            codes = torch.as_tensor(self._codes(samples[rows], False))
            found = terms(torch.as_tensor(np.array(samples[rows])), atoms, codes, self.lam)
            total += float(weights[rows] @ found.numpy().astype(np.float64))
        return -total / float(weights.sum())

    @available_if(lambda self: self.n_clusters is not None)
    def predict(self, X: Any) -> np.ndarray:
        """Cluster of each sample: the one whose atoms hold most of its code; int64, shape (n_samples,).

        -1 where a code lies on atoms without a cluster alone. There is no such method without ``n_clusters``, and no
        clusters after `partial_fit`.
        """
        check_is_fitted(self, "clusters_")
        return np.asarray(self.clusters_.predict(self._codes(self._validated(X, reset=False), True)))

    @available_if(lambda self: self.n_clusters is not None)
    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> np.ndarray:
        """Learn a dictionary, cluster, and return the cluster of each sample; int64, shape (n_samples,)."""
        return self.fit(X, sample_weight=sample_weight).labels_

    def save(self, path: str | Path) -> None:
        """Write parameters and everything learned to one safetensors file, whose only note is a JSON text.

        Equal models give equal bytes. What `partial_fit` needs to go on is kept.

        Parameters
        ----------
        path : str or pathlib.Path
            File to write, in one step.

        Raises
        ------
        ValueError
            If ``random_state`` is a generator, which JSON cannot hold.
        """
        check_is_fitted(self, "components_")
        learned = {name: getattr(self, name) for name in _LEARNED if hasattr(self, name)}
        names = getattr(self, "feature_names_in_", None)
        note = {"parameters": self.get_params(), "learned": learned, "features": None if names is None else list(names)}
        try:
            text = json.dumps(note, sort_keys=True, default=_plain)
        except TypeError:
            raise ValueError(
                f"random_state must be an integer or None to be saved, got {self.random_state!r}"
            ) from None
        clusters = self.clusters_._asdict() if hasattr(self, "clusters_") else {}
        arrays = {f"clusters.{name}": torch.as_tensor(value) for name, value in clusters.items()}
        state = {f"trainer.{name}": value for name, value in self._trainer.state().items()}
        tensors = {**arrays, **state, "components_": torch.as_tensor(self.components_)}
        save_tensors(Path(path), tensors, {"wlsc": text})  # several notes would be written in any order

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            If the file is broken, holds something else, or its numbers are not finite.
        """
        from wlsc.analysis.clustering import CodeClusters

        tensors, notes = load_tensors(Path(path))
        try:
            note = json.loads(notes["wlsc"])
            model = cls(**note["parameters"])
            model.components_ = tensors["components_"].numpy()
            if clusters := _part(tensors, "clusters."):
                arrays: dict[str, Any] = {name: value.numpy() for name, value in clusters.items()}
                model.clusters_ = CodeClusters(**arrays | {"n_components": int(clusters["n_components"])})
                model.labels_ = np.asarray(model.clusters_.sample_labels)
            for name, value in note["learned"].items():
                if name not in _LEARNED:
                    raise KeyError(name)
                setattr(model, name, value)
            if note["features"] is not None:
                model.feature_names_in_ = np.array(note["features"], dtype=object)
            if model.components_.shape != (model.n_atoms, model.n_features_in_):
                raise ValueError(f"its atoms have the shape {model.components_.shape}")
            if not np.isfinite(model.components_).all():
                raise ValueError("its atoms are not finite")
            model._restart(tensors["components_"])
            model._trainer.load_state(_part(tensors, "trainer."))
        except (KeyError, TypeError, AttributeError, RuntimeError, ValueError) as error:
            raise ValueError(f"{path} is not a model that was saved ({type(error).__name__}: {error})") from None
        return model

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Reconstructions (n_samples, n_features) from codes ``X`` (n_samples, n_atoms)."""
        check_is_fitted(self, "components_")
        codes = np.asarray(X)
        if codes.ndim != 2 or codes.shape[1] != len(self.components_):
            raise ValueError(f"X must have shape (n_samples, {len(self.components_)}), got {codes.shape}")
        return codes @ self.components_

    @property
    def _n_features_out(self) -> int:
        return len(self.components_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing == "observed"
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _repr_mimebundle_(self, **options: Any) -> dict[str, str]:
        """What notebooks show: the parameters and, of a fitted model, a picture of its atoms."""
        shown = super()._repr_mimebundle_(**options)
        if hasattr(self, "components_"):
            from wlsc import plots

            buffer = io.BytesIO()
            plots.atoms(self).savefig(buffer, format="png")
            picture = base64.b64encode(buffer.getvalue()).decode()
            alternative = f"{len(self.components_)} atoms of {self.n_features_in_} features"
            shown["text/html"] = (
                f'{shown.get("text/html", "")}<img alt="{alternative}" src="data:image/png;base64,{picture}">'
            )
        return shown

    def _codes(self, samples: np.ndarray, sparse: bool) -> Any:
        """Codes of samples that were checked before."""
        if not sparse:
            return self._dense_codes(samples)
        from scipy.sparse import csr_array, vstack

        firsts = range(0, len(samples), self.batch_size)
        return vstack(
            [csr_array(self._dense_codes(samples[first : first + self.batch_size])) for first in firsts], "csr"
        )

    def _dense_codes(self, samples: np.ndarray) -> np.ndarray:
        device = self._device()
        atoms = torch.as_tensor(self.components_, device=device)
        batch = to_torch("X", samples, finite=False).to(atoms)  # infer_codes looks at every value
        if self.missing == "observed":
            return infer_observed_codes(batch, atoms, self.lam).cpu().numpy()
        how: dict[str, Any] = (
            {"method": "exact"} if self.trainer == "closed_form" else {"method": "unrolled", "n_layers": self.n_layers}
        )
        return infer_codes(batch, atoms, self.lam, **how).cpu().numpy()

    def _fit_observed(self, samples: np.ndarray, sample_weight: Any) -> Self:
        """Fit by turns over all samples, which takes weights and missing values."""
        if self.trainer != "closed_form":
            raise ValueError(
                f"trainer must be 'closed_form' with sample weights or missing values, got {self.trainer!r}"
            )
        weights = _check_sample_weight(sample_weight, samples, dtype=np.float64, ensure_non_negative=True)
        if not weights.any():
            raise ValueError("sample_weight must not be zero for every sample")
        check_count("n_epochs", self.n_epochs)
        values = torch.as_tensor(np.array(samples[weights > 0]))
        self._start(fill_with_means(values).numpy())
        atoms = self._trainer.model.dictionary.detach()
        kept = torch.as_tensor(weights[weights > 0], device=atoms.device)
        atoms, self.history_ = alternate(values.to(atoms), kept, atoms, self.lam, self.n_epochs, self.tol)
        self._trainer.model.set_dictionary(atoms)
        self.n_iter_ = len(self.history_["objective"])
        return self._finish()

    def _cluster(self, samples: np.ndarray) -> Self:
        """Cluster the atoms by the codes of all samples, if that was asked for."""
        if self.n_clusters is None:
            return self
        from wlsc.analysis.clustering import cluster_codes

        n_clusters = None if self.n_clusters == "auto" else check_count("n_clusters", self.n_clusters)
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        self.clusters_ = cluster_codes(self._codes(samples, True), n_clusters, seed)
        self.labels_ = np.asarray(self.clusters_.sample_labels)
        return self

    def _validated(self, X: Any, reset: bool) -> np.ndarray:
        check_choice("missing", self.missing, ("error", "observed"))
        finite: Any = "allow-nan" if self.missing == "observed" else True
        samples = validate_data(self, X, dtype=[np.float64, np.float32], reset=reset, ensure_all_finite=finite)
        return X if isinstance(X, np.memmap) and X.dtype == samples.dtype else samples

    def _complete(self, X: Any, reset: bool) -> np.ndarray:
        samples = self._validated(X, reset)
        if self.missing == "observed" and np.isnan(samples).any():
            raise ValueError("X must have no missing values in partial_fit and fit_batches, got NaN: fit takes them")
        return samples

    def _device(self) -> torch.device:
        name = ("cuda" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device
        try:
            return torch.empty(0, device=name).device
        except (RuntimeError, AssertionError):
            raise ValueError(f"device must be 'auto' or a torch device of this machine, got {self.device!r}") from None

    def _start(self, samples: np.ndarray) -> int:
        """Check the parameters, choose the first atoms, and return the seed of the batches."""
        n_atoms = check_count("n_atoms", self.n_atoms)
        self._device()
        check_penalty(self.lam)
        check_choice("trainer", self.trainer, ("closed_form", "unrolled"))
        seeds = check_random_state(self.random_state).randint(np.iinfo(np.int32).max, size=2)
        generator = torch.Generator().manual_seed(int(seeds[0]))
        self._restart(initialize_dictionary(samples, n_atoms, generator, self.initialization))
        return int(seeds[1])

    def _restart(self, atoms: torch.Tensor) -> None:
        """Make a trainer that begins at ``atoms``."""
        n_atoms, n_features = atoms.shape
        model = WLSCAutoencoder(n_features, n_atoms, self.lam, self.n_layers, generator=torch.Generator())
        model.to(device=self._device(), dtype=atoms.dtype).set_dictionary(atoms)
        self._trainer: ClosedFormTrainer | UnrolledTrainer = (
            ClosedFormTrainer(model) if self.trainer == "closed_form" else UnrolledTrainer(model, self.learning_rate)
        )

    def _step(self, samples: np.ndarray) -> None:
        atoms = self._trainer.model.dictionary
        self._trainer.step(torch.as_tensor(np.array(samples)).to(atoms))

    def _finish(self) -> Self:
        self.components_ = self._trainer.model.dictionary.detach().cpu().numpy().copy()
        for name in ("clusters_", "labels_"):  # of another dictionary
            self.__dict__.pop(name, None)
        return self
