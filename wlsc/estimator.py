"""The scikit-learn face of weighted-ℓ1 sparse coding."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from wlsc._validation import check_choice, check_count, check_penalty, to_torch
from wlsc.dictionary import initialize_dictionary
from wlsc.inference.exact import infer_codes
from wlsc.models.wlsc import WLSCAutoencoder
from wlsc.training import ClosedFormTrainer, Trainer, UnrolledTrainer, train


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

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn a dictionary.

        Parameters
        ----------
        X : array-like
            Samples, shape (n_samples, n_features), float32 or float64; memory-mapped arrays are read batch by batch.
            Beside one batch, memory holds the sparse codes of all samples, from which the next epoch starts; with
            ``n_epochs=1``, as in `fit_batches`, it holds none.
        y : None
            Ignored.

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
        return self._finish()

    def fit_batches(self, batches: Iterable[Any]) -> Self:
        """Learn a dictionary from one pass over any iterable of batches, each of shape (n_samples, n_features)."""
        started = False
        for batch in batches:
            samples = self._validated(batch, reset=not started)
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
        samples = self._validated(X, reset=first)
        if first:
            self._start(samples)
        self._step(samples)
        return self._finish()

    def transform(self, X: Any) -> np.ndarray:
        """Codes of samples: exact ones, or the network's own after unrolled training.

        Parameters
        ----------
        X : array-like
            Samples, shape (n_samples, n_features).

        Returns
        -------
        numpy.ndarray
            Codes on the simplex, shape (n_samples, n_atoms), of the dtype of the dictionary.
        """
        check_is_fitted(self, "components_")
        samples = self._validated(X, reset=False).astype(self.components_.dtype, copy=False)
        device = self._device()
        how = (
            {"method": "exact"} if self.trainer == "closed_form" else {"method": "unrolled", "n_layers": self.n_layers}
        )
        codes = infer_codes(
            to_torch("X", samples).to(device), torch.as_tensor(self.components_, device=device), self.lam, **how
        )
        return codes.cpu().numpy()

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

    def _validated(self, X: Any, reset: bool) -> np.ndarray:
        samples = validate_data(self, X, dtype=[np.float64, np.float32], reset=reset)
        return X if isinstance(X, np.memmap) and X.dtype == samples.dtype else samples

    def _device(self) -> torch.device:
        name = ("cuda" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device
        try:
            return torch.empty(0, device=name).device
        except (RuntimeError, AssertionError):
            raise ValueError(f"device must be 'auto' or a torch device of this machine, got {self.device!r}") from None

    def _start(self, samples: np.ndarray) -> int:
        """Check the parameters, choose the first atoms, and return the seed of the batches."""
        n_atoms, device = check_count("n_atoms", self.n_atoms), self._device()
        check_penalty(self.lam)
        check_choice("trainer", self.trainer, ("closed_form", "unrolled"))
        seeds = check_random_state(self.random_state).randint(np.iinfo(np.int32).max, size=2)
        generator = torch.Generator().manual_seed(int(seeds[0]))
        atoms = initialize_dictionary(samples, n_atoms, generator, self.initialization)
        model = WLSCAutoencoder(samples.shape[1], n_atoms, self.lam, self.n_layers, generator=generator)
        model.to(device=device, dtype=atoms.dtype).set_dictionary(atoms)
        self._trainer: Trainer = (
            ClosedFormTrainer(model) if self.trainer == "closed_form" else UnrolledTrainer(model, self.learning_rate)
        )
        return int(seeds[1])

    def _step(self, samples: np.ndarray) -> None:
        atoms = self._trainer.model.dictionary
        self._trainer.step(torch.as_tensor(np.array(samples)).to(atoms))

    def _finish(self) -> Self:
        self.components_ = self._trainer.model.dictionary.detach().cpu().numpy().copy()
        return self
