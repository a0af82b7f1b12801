"""The problem with weights and with missing values: the objective over what was observed.

For a sample y with the observed features O and the weight w the objective is
w · (½‖(y − Ax)_O‖² + λ Σⱼ xⱼ‖(y − aⱼ)_O‖²), and its weighted mean over samples is minimised. Nothing is filled in.
Missing values are NaN.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from wlsc.dictionary import SufficientStatistics, closed_form_update
from wlsc.inference.exact import infer_codes
from wlsc.problem import objective_terms
from wlsc.training import stands_still

History = dict[str, list[float]]


def infer_observed_codes(samples: torch.Tensor, dictionary: torch.Tensor, lam: float) -> torch.Tensor:
    """Optimal codes on the simplex, each over the features observed of its sample.

    Samples that miss the same features are solved together.

    Parameters
    ----------
    samples
        Shape (n_samples, n_features), NaN where nothing was observed.
    dictionary
        Atoms, shape (n_atoms, n_features), of the dtype and device of ``samples``.
    lam
        Weight λ ≥ 0 of the penalty.

    Returns
    -------
    torch.Tensor
        Shape (n_samples, n_atoms).

    Raises
    ------
    ValueError
        If nothing was observed of a sample.
    """
    codes = samples.new_zeros(len(samples), len(dictionary))
    for rows, features in _groups(~samples.isnan()):
        if not bool(features.any()):
            raise ValueError(f"X must hold an observed feature of every sample, got none of sample {int(rows[0])}")
        codes[rows] = infer_codes(samples[rows][:, features], dictionary[:, features].contiguous(), lam)
    return codes


def observed_terms(samples: torch.Tensor, dictionary: torch.Tensor, codes: torch.Tensor, lam: float) -> torch.Tensor:
    """Objective of each sample over its observed features, shape (n_samples,)."""
    terms = samples.new_zeros(len(samples))
    for rows, features in _groups(~samples.isnan()):
        terms[rows] = objective_terms(samples[rows][:, features], dictionary[:, features], codes[rows], lam)
    return terms


def observed_update(
    samples: torch.Tensor, weights: torch.Tensor, codes: torch.Tensor, dictionary: torch.Tensor, lam: float
) -> torch.Tensor:
    """Dictionary that minimises the weighted objective over observed values for fixed codes.

    Every feature has normal equations of its own, over the samples in which it was observed; features that were
    observed in the same samples share them.

    Parameters
    ----------
    samples, weights, codes
        Shapes (n_samples, n_features), (n_samples,) and (n_samples, n_atoms).
    dictionary
        The dictionary so far, shape (n_atoms, n_features): values that no sample determines stay.
    lam
        Weight λ ≥ 0 of the penalty.
    """
    updated = dictionary.clone()
    for features, seen in _groups(~samples.isnan().T):
        y, x, w = samples[seen][:, features].double(), codes[seen].double(), weights[seen].double()
        weighted = x * w[:, None]
        statistics = SufficientStatistics(weighted.T @ x, weighted.T @ y, weighted.sum(0), w.sum())
        updated[:, features] = closed_form_update(statistics, dictionary[:, features], lam)
    return updated


def alternate(
    samples: torch.Tensor, weights: torch.Tensor, dictionary: torch.Tensor, lam: float, n_epochs: int, tol: float
) -> tuple[torch.Tensor, History]:
    """Minimise the weighted objective over observed values, by codes and dictionary in turn.

    Both steps are exact and see all samples, so that the objective never grows.

    Parameters
    ----------
    samples, weights
        Shapes (n_samples, n_features) and (n_samples,); weights are not negative and not all zero.
    dictionary
        First atoms, shape (n_atoms, n_features), without missing values.
    lam
        Weight λ ≥ 0 of the penalty.
    n_epochs
        Largest number of turns.
    tol
        Stop when a turn improves the objective by less than this fraction.

    Returns
    -------
    dictionary : torch.Tensor
        Shape (n_atoms, n_features).
    history : dict of list of float
        "objective", the weighted mean at the codes of every turn before its dictionary moved, and "activity", the mean
        number of non-zero codes.
    """
    history: History = {"objective": [], "activity": []}
    weights = weights.double()
    for _ in range(n_epochs):
        codes = infer_observed_codes(samples, dictionary, lam)
        terms = observed_terms(samples, dictionary, codes, lam).double()
        history["objective"].append(float((weights * terms).sum() / weights.sum()))
        history["activity"].append(float((codes > 0).double().sum(1).mean()))
        dictionary = observed_update(samples, weights, codes, dictionary, lam)
        if stands_still(history["objective"], tol):
            break
    return dictionary, history


def fill_with_means(samples: torch.Tensor) -> torch.Tensor:
    """Samples with the mean of the observed values in the place of missing ones: where the first atoms are drawn.

    Raises
    ------
    ValueError
        If a feature was never observed.
    """
    means = samples.nanmean(dim=0)
    if bool(means.isnan().any()):
        feature = int(means.isnan().nonzero()[0])
        raise ValueError(f"X must hold an observed value of every feature, got none of feature {feature}")
    return torch.where(samples.isnan(), means, samples)


def _groups(mask: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Numbers of the rows that have the same mask, and that mask."""
    if bool(mask.all()):
        yield torch.arange(len(mask), device=mask.device), mask[0]
        return
    patterns, owners = mask.unique(dim=0, return_inverse=True)
    for index, pattern in enumerate(patterns):
        yield (owners == index).nonzero().flatten(), pattern
