"""Archetypal analysis: atoms are convex combinations of samples, samples of atoms."""

from __future__ import annotations

import torch

from wlsc._validation import Array, check_count, check_positive
from wlsc.dictionary import initialize_dictionary
from wlsc.inference.exact import infer_codes
from wlsc.models.autoencoder import FittedAutoencoder


class ArchetypalAnalysis(FittedAutoencoder):
    """Minimise Σ‖y − Ax‖² over codes x on the simplex and atoms A = B Y whose weights B on samples are, too [1]_.

    The published algorithm, exactly: in turn the codes of all samples, and each atom for the codes and the others. Both
    are projections onto a convex hull, `wlsc.infer_codes` with λ = 0, so that no sweep raises the error. The minimum
    is a local one, which depends on the first atoms: those drawn by k-means++.

    It is the limit of weighted-ℓ1 sparse coding without penalty whose atoms may not leave the data. One library's
    version [2]_ descends by Adam with a softmax after each step, which draws all weights together: its archetypes
    collapse to one point. Another [3]_ agrees with this one.

    Parameters
    ----------
    n_features, n_atoms
        Shape of the dictionary.
    n_sweeps
        Largest number of sweeps.
    tol
        Share of the error by which a sweep has to lower it for another to follow.
    n_candidates
        Largest number of samples that atoms are combinations of, drawn at random if there are more; bounds the cost of
        a sweep. All samples count in the error.

    Attributes
    ----------
    errors
        Mean squared error after each sweep of the last `fit`.

    References
    ----------
    .. [1] A. Cutler, L. Breiman, Archetypal analysis, Technometrics 36 (1994) 338–347.
    .. [2] https://github.com/KempnerInstitute/overcomplete, version 0.3.0
    .. [3] https://github.com/aleixalcacer/archetypes, version 0.12
    """

    def __init__(
        self, n_features: int, n_atoms: int, *, n_sweeps: int = 100, tol: float = 1e-3, n_candidates: int = 2000
    ) -> None:
        super().__init__(n_features, n_atoms)
        self.n_sweeps = check_count("n_sweeps", n_sweeps)
        self.tol = check_positive("tol", tol)
        self.n_candidates = check_count("n_candidates", n_candidates, minimum=n_atoms)
        self.errors: list[float] = []

    def fit(self, samples: Array, generator: torch.Generator) -> None:
        """Learn from ``samples`` (n_samples ≥ n_atoms, n_features); ``generator`` draws candidates and first atoms."""
        n_atoms = len(self.dictionary)
        values = self._checked(samples, n_atoms)
        candidates = values[torch.randperm(len(values), generator=generator)[: self.n_candidates].to(values.device)]
        atoms = initialize_dictionary(candidates, n_atoms, generator, "k-means++").double()
        targets, hull = values.double(), candidates.double()
        self.errors = []
        for _ in range(self.n_sweeps):
            codes = _hull_codes(targets, atoms)
            for atom in torch.nonzero((codes > 0).any(0)).flatten().tolist():
                weight = codes[:, atom]
                residual = targets - codes @ atoms
                best = atoms[atom] + weight @ residual / weight.square().sum()
                atoms[atom] = _nearest(best, hull, atoms[atom])
            self.errors.append(float((targets - codes @ atoms).square().sum(1).mean()))
            if len(self.errors) > 1 and self.errors[-2] - self.errors[-1] <= self.tol * self.errors[-2]:
                break
        self.dictionary.copy_(atoms)

    def encode(self, samples: torch.Tensor) -> torch.Tensor:
        """Codes on the simplex that project ``samples`` onto the hull of the atoms, shape (n_samples, n_atoms)."""
        return _hull_codes(samples, self.dictionary)


def _hull_codes(samples: torch.Tensor, atoms: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(infer_codes(samples, atoms, 0.0))


def _nearest(point: torch.Tensor, hull: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """The point of a convex hull that is nearest to ``point``; ``before``, if rounding makes that one the nearer."""
    projected = (_hull_codes(point.unsqueeze(0), hull) @ hull)[0]
    return projected if bool((projected - point).norm() <= (before - point).norm()) else before
