"""What codes cost and what they are worth: activity, errors, probes, description length, and the price of amortisation.

Codes are arrays (n_samples, n_atoms), dense or SciPy's sparse ones; nothing here knows which model they are from.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from wlsc._lazy import same_random_numbers
from wlsc._validation import Array, check_count, check_positive, to_torch

#: Iterations of logistic regression; a handful of features needs far fewer.
_PROBE_ITERATIONS = 1000


class DescriptionLength(NamedTuple):
    """Bits that a sample takes on average, in three parts.

    Attributes
    ----------
    support
        To say which atoms are active.
    values
        To say how much.
    residual
        To say what they leave.
    """

    support: float
    values: float
    residual: float

    @property
    def total(self) -> float:
        """Sum of the three."""
        return self.support + self.values + self.residual


class AmortisationGap(NamedTuple):
    """What codes of one pass lose against the best codes for the same decoder.

    Attributes
    ----------
    mean
        Mean over samples of the loss less the exact loss.
    relative
        That, over the mean exact loss.
    worst
        The largest difference.
    """

    mean: float
    relative: float
    worst: float


def activity(codes: Any) -> np.ndarray:
    """Number of active atoms of each sample, its L0, int64, shape (n_samples,).

    Parameters
    ----------
    codes
        Shape (n_samples, n_atoms), dense or sparse.
    """
    return _rows(codes).count_nonzero(axis=1)


def unused_atoms(codes: Any, share: float = 0.0) -> np.ndarray:
    """Atoms that at most a ``share`` of the samples use: the dead ones, int64.

    Parameters
    ----------
    codes
        Shape (n_samples, n_atoms), dense or sparse.
    share
        0 … 1; by default atoms are dead that no sample uses.

    Raises
    ------
    ValueError
        If the codes are not finite or the share is out of range.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in 0 … 1, got {share!r}")
    rows = _rows(codes)
    return np.flatnonzero(rows.count_nonzero(axis=0) <= share * rows.shape[0])


def normalised_error(samples: Array, reconstructions: Array) -> float:
    """Squared error over the samples' variance: Σ‖y − ŷ‖² / Σ‖y − ȳ‖² with the samples' mean ȳ.

    Parameters
    ----------
    samples, reconstructions
        Shape (n_samples, n_features).

    Raises
    ------
    ValueError
        If the shapes differ, a value is not finite, or the samples are all the same.
    """
    given, made = _dense("samples", samples), _dense("reconstructions", reconstructions)
    if given.shape != made.shape:
        raise ValueError(f"reconstructions must have the shape of samples, {given.shape}, got {made.shape}")
    variance = ((given - given.mean(axis=0)) ** 2).sum()
    if not variance > 0:
        raise ValueError("samples must not all be the same, got samples of variance 0")
    return float(((given - made) ** 2).sum() / variance)


def sparse_probing(
    codes: Any, labels: Any, test_codes: Any, test_labels: Any, n_probed: int, seed: int = 0
) -> np.ndarray:
    """Balanced accuracy with which few atoms tell each class from the others [1]_.

    For every class, the ``n_probed`` atoms whose mean code differs most between the class and the rest, on the first
    codes and scaled by the code's standard deviation, are given to a logistic regression with classes weighted
    equally; its balanced accuracy on the test codes is reported.

    Parameters
    ----------
    codes, test_codes
        Shapes (n_samples, n_atoms) and (n_test, n_atoms), dense or sparse.
    labels, test_labels
        Class of each sample; the classes are those of ``labels``.
    n_probed
        Number of atoms, 1 to n_atoms.
    seed
        Of the logistic regression.

    Returns
    -------
    numpy.ndarray
        0.5 (chance) … 1, by class in sorted order.

    Raises
    ------
    ValueError
        If the labels are missing or of another length, there are fewer than two classes, a class is not tested, or a
        number is out of range.

    References
    ----------
    .. [1] W. Gurnee et al., Finding neurons in a haystack: case studies with sparse probing, TMLR (2023).
    """
    with same_random_numbers():
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import balanced_accuracy_score

    train, test = _rows(codes).toarray(), _rows(test_codes).toarray()
    if train.shape[1] != test.shape[1]:
        raise ValueError(f"test_codes must have {train.shape[1]} atoms as codes have, got {test.shape[1]}")
    classes, tested = _labels("labels", labels, len(train)), _labels("test_labels", test_labels, len(test))
    if check_count("n_probed", n_probed) > train.shape[1]:
        raise ValueError(f"n_probed must be at most the number of atoms ({train.shape[1]}), got {n_probed}")
    names = np.unique(classes)
    if len(names) < 2 or not np.isin(names, tested).all():
        raise ValueError(
            f"labels must hold at least two classes, all of them in test_labels, got {names} and {np.unique(tested)}"
        )
    spread = train.std(axis=0)
    if not spread.any():  # no atom tells anything
        return np.full(len(names), 0.5)
    train, test = (values[:, spread > 0] / spread[spread > 0] for values in (train, test))
    found = []
    for name in names:
        own, own_tested = classes == name, tested == name
        difference = np.abs(train[own].mean(axis=0) - train[~own].mean(axis=0))
        chosen = np.argsort(-difference, kind="stable")[:n_probed]
        probe = LogisticRegression(class_weight="balanced", max_iter=_PROBE_ITERATIONS, random_state=seed)
        probe.fit(train[:, chosen], own)
        found.append(balanced_accuracy_score(own_tested, probe.predict(test[:, chosen])))
    return np.array(found)


def description_length(
    samples: Array, codes: Any, dictionary: Array, precision: float, bias: Array | None = None
) -> DescriptionLength:
    """Bits per sample of a two-part code: first the codes, then what they leave, to a fixed precision [1]_.

    - support: Σⱼ H(pⱼ), the entropy of atoms that are active independently of one another, each as often as it is;
    - values: active codes are rounded to multiples of precision/‖aⱼ‖, so that each changes the reconstruction by at
      most half the precision, and cost the entropy of all those multiples together;
    - residual: what the rounded codes leave is rounded to the precision, and costs the entropy of all its values.

    Entropies are those of the frequencies found, which the receiver is taken to know, as it is the dictionary. Both
    would cost more for more atoms: compare at equal numbers of them.

    Parameters
    ----------
    samples
        Shape (n_samples, n_features).
    codes
        Shape (n_samples, n_atoms), dense or sparse.
    dictionary
        Shape (n_atoms, n_features).
    precision
        Above 0, in the unit of the samples: for 8-bit images scaled to 0 … 1, for example, 1/255.
    bias
        Shape (n_features,), which the decoder adds; 0 by default.

    Raises
    ------
    ValueError
        If shapes do not fit together, a value is not finite, or the precision is not above 0.

    References
    ----------
    .. [1] K. Ayonrinde, M. T. Pearce, L. Sharkey, Interpretability as compression: reconsidering SAE explanations of
       neural activations with MDL-SAEs, arXiv 2410.11179 (2024), for the idea; the code above is our choice.
    """
    check_positive("precision", precision)
    given, rows, atoms = _dense("samples", samples), _rows(codes), _dense("dictionary", dictionary)
    shift = np.zeros(given.shape[1]) if bias is None else to_torch("bias", bias, ndim=1).detach().cpu().double().numpy()
    if rows.shape != (len(given), len(atoms)) or atoms.shape[1] != given.shape[1] or shift.shape != atoms.shape[1:]:
        raise ValueError(
            f"samples, codes, dictionary and bias must fit together, got shapes {given.shape}, {rows.shape}, "
            f"{atoms.shape} and {shift.shape}"
        )
    shares = rows.count_nonzero(axis=0) / len(given)
    norms = np.linalg.norm(atoms, axis=1)
    steps = precision / np.where(norms > 0, norms, 1)
    used = rows.tocoo()
    multiples = np.rint(used.data / steps[used.col]).astype(np.int64)
    rounded = rows.copy()
    rounded.data = multiples * steps[used.col]
    residual = np.rint((given - rounded @ atoms - shift) / precision).astype(np.int64)
    return DescriptionLength(
        float(_binary_entropy(shares).sum()),
        _entropy(multiples) * multiples.size / len(given),
        _entropy(residual) * given.shape[1],
    )


def amortisation_gap(losses: Array, exact_losses: Array) -> AmortisationGap:
    """Compare the losses of a model's own codes with those of the best codes for the same decoder.

    Parameters
    ----------
    losses, exact_losses
        Of each sample, shape (n_samples,).

    Raises
    ------
    ValueError
        If the shapes differ, there is no sample, or a value is not finite.
    """
    own, best = (
        to_torch(name, values, ndim=1).detach().cpu().double().numpy()
        for name, values in (("losses", losses), ("exact_losses", exact_losses))
    )
    if own.shape != best.shape or not own.size:
        raise ValueError(f"exact_losses must have one entry for each of losses, got {best.shape} for {own.shape}")
    gap = own - best
    exact = best.mean()
    return AmortisationGap(
        float(gap.mean()), float(gap.mean() / exact) if exact > 0 else float("nan"), float(gap.max())
    )


def _dense(name: str, values: Array) -> np.ndarray:
    return to_torch(name, values, ndim=2).detach().cpu().double().numpy()


def _rows(codes: Any) -> Any:
    """Codes as a float64 CSR array without stored zeros."""
    from scipy.sparse import csr_array, issparse

    if issparse(codes):
        rows = csr_array(codes, dtype=np.float64, copy=True)
        rows.sum_duplicates()
        to_torch("codes", rows.data)
    else:
        rows = csr_array(_dense("codes", codes.to_dense() if isinstance(codes, torch.Tensor) else codes))
    rows.eliminate_zeros()
    return rows


def _labels(name: str, labels: Any, n_samples: int) -> np.ndarray:
    if labels is None:
        raise ValueError(
            f"{name} must give the class of each of {n_samples} samples, got None: the data have no labels"
        )
    values = np.asarray(labels)
    if values.shape != (n_samples,):
        raise ValueError(f"{name} must give the class of each of {n_samples} samples, got shape {values.shape}")
    return values


def _entropy(symbols: np.ndarray) -> float:
    """Entropy of the symbols' frequencies, in bits."""
    counts = np.unique(symbols, return_counts=True)[1]
    shares = counts / max(counts.sum(), 1)
    return float(-(shares * np.log2(shares)).sum())


def _binary_entropy(shares: np.ndarray) -> np.ndarray:
    inside = shares[(shares > 0) & (shares < 1)]
    return -(inside * np.log2(inside) + (1 - inside) * np.log2(1 - inside))
