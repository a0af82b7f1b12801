"""Graph-regularised sparse NMF: neighbours among the samples have similar codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from wlsc._lazy import same_random_numbers
from wlsc._validation import Array, check_count, check_penalty, check_positive
from wlsc.dictionary import initialize_dictionary
from wlsc.models.autoencoder import FittedAutoencoder
from wlsc.models.sparse_coding import SparseCodingAutoencoder

#: Steps on the codes in every sweep.
_CODE_STEPS = 10


class GraphRegularizedNMF(FittedAutoencoder):
    """Minimise ½‖Y − XA‖² + λ‖X‖₁ + ½μ tr(XᵀLX) over codes X ≥ 0 and atoms A ≥ 0 of norm at most 1.

    L is the Laplacian of the samples' nearest-neighbour graph: tr(XᵀLX) is the sum over its edges of the squared
    differences between the codes at both ends. It is the closest classical relative of weighted-ℓ1 coding, whose
    graph joins samples to atoms and not to one another; in hyperspectral unmixing, atoms are spectra of materials.

    Published [1]_ is the objective without λ, with 5 neighbours, edges of weight 1, μ = 100 in the unit of its data,
    and multiplicative updates, whose codes are never exactly 0. The sparse form for unmixing [2]_ takes the ℓ1/2
    "norm"; here it is ℓ1, for which the codes' problem is convex. Ours are the bound on the atoms, without which they
    grow and evade λ, and the algorithm: proximal gradient steps on the codes and block coordinate descent on the atoms,
    neither of which raises the objective.

    Samples that are not in the graph have no neighbours: `encode` minimises ½‖y − xA‖² + λ‖x‖₁ exactly.

    Parameters
    ----------
    n_features, n_atoms
        Shape of the dictionary.
    lam
        λ > 0.
    graph_weight
        μ ≥ 0.
    n_neighbours
        Neighbours of each sample; an edge joins two samples if either is a neighbour of the other.
    n_sweeps
        Passes over codes and atoms.

    Attributes
    ----------
    objectives
        Objective over the number of samples after each sweep of the last `fit`.

    References
    ----------
    .. [1] D. Cai, X. He, J. Han, T. S. Huang, Graph regularized nonnegative matrix factorization for data
       representation, IEEE Transactions on Pattern Analysis and Machine Intelligence 33 (2011) 1548–1560.
    .. [2] X. Lu, H. Wu, Y. Yuan, P. Yan, X. Li, Manifold regularized sparse NMF for hyperspectral unmixing, IEEE
       Transactions on Geoscience and Remote Sensing 51 (2013) 2815–2826.
    """

    def __init__(
        self,
        n_features: int,
        n_atoms: int,
        lam: float,
        *,
        graph_weight: float = 1.0,
        n_neighbours: int = 5,
        n_sweeps: int = 50,
    ) -> None:
        super().__init__(n_features, n_atoms)
        self.lam = check_positive("lam", lam)
        self.graph_weight = check_penalty(graph_weight)
        self.n_neighbours = check_count("n_neighbours", n_neighbours)
        self.n_sweeps = check_count("n_sweeps", n_sweeps)
        self.objectives: list[float] = []

    def fit(self, samples: Array, generator: torch.Generator) -> None:
        """Learn from ``samples`` ≥ 0 (n_samples, n_features); ``generator`` draws the first atoms among them.

        Raises
        ------
        ValueError
            If a sample is negative, or there are no more samples than atoms or neighbours.
        """
        values = self._checked(samples, max(len(self.dictionary), self.n_neighbours + 1)).double()
        if bool((values < 0).any()):
            raise ValueError(f"samples must be at least 0, got {int((values < 0).sum())} negative values")
        laplacian = _laplacian(values, self.n_neighbours)
        atoms = _unit(initialize_dictionary(values, len(self.dictionary), generator))
        codes = values.new_zeros(len(values), len(atoms))
        self.objectives = []
        for _ in range(self.n_sweeps):
            codes = descend_on_codes(values, atoms, codes, laplacian, self.lam, self.graph_weight, _CODE_STEPS)
            atoms = _improved_atoms(codes.T @ codes, codes.T @ values, atoms)
            self.objectives.append(self._objective(values, atoms, codes, laplacian))
        self.dictionary.copy_(_unit(atoms))

    def _objective(self, samples: torch.Tensor, atoms: torch.Tensor, codes: torch.Tensor, laplacian: Any) -> float:
        error = 0.5 * (samples - codes @ atoms).square().sum() + self.lam * codes.sum()
        return float(error + 0.5 * self.graph_weight * (codes * (laplacian @ codes)).sum()) / len(samples)

    def encode(self, samples: torch.Tensor) -> torch.Tensor:
        """Codes ≥ 0 of samples outside the graph, optimal for λ, shape (n_samples, n_atoms)."""
        n_atoms, n_features = self.dictionary.shape
        coder = SparseCodingAutoencoder(n_features, n_atoms, self.lam, nonnegative=True).to(self.dictionary)
        coder.set_dictionary(self.dictionary)
        return coder.infer(samples)


def descend_on_codes(
    samples: torch.Tensor,
    atoms: torch.Tensor,
    codes: torch.Tensor,
    laplacian: Any,
    lam: float,
    graph_weight: float,
    n_steps: int,
) -> torch.Tensor:
    """Codes after ``n_steps`` of proximal gradient descent on the objective of `GraphRegularizedNMF`, none uphill.

    Parameters
    ----------
    samples, atoms, codes
        Shapes (n_samples, n_features), (n_atoms, n_features) and (n_samples, n_atoms).
    laplacian
        Sparse tensor, shape (n_samples, n_samples).
    lam, graph_weight, n_steps
        λ, μ, and number of steps.
    """
    gram, linear = atoms @ atoms.T, samples @ atoms.T
    # a Laplacian's largest eigenvalue is at most twice its largest entry, the largest degree
    steepest = torch.linalg.eigvalsh(gram)[-1] + 2 * graph_weight * laplacian.values().max()
    for _ in range(n_steps):
        gradient = codes @ gram - linear + graph_weight * (laplacian @ codes) + lam
        codes = (codes - gradient / steepest).clamp(min=0)
    return codes


def _improved_atoms(gram: torch.Tensor, target: torch.Tensor, atoms: torch.Tensor) -> torch.Tensor:
    atoms = atoms.clone()
    for index in torch.nonzero(gram.diagonal() > 0).flatten().tolist():
        moved = (atoms[index] + (target[index] - gram[index] @ atoms) / gram[index, index]).clamp(min=0)
        atoms[index] = moved / moved.norm().clamp(min=1)
    return atoms


def _laplacian(samples: torch.Tensor, n_neighbours: int) -> torch.Tensor:
    from scipy.sparse import csgraph

    with same_random_numbers():
        from sklearn.neighbors import kneighbors_graph

    graph = kneighbors_graph(samples.cpu().numpy(), n_neighbours)
    laplacian = csgraph.laplacian(graph.maximum(graph.T)).tocoo()
    places = torch.from_numpy(np.stack([laplacian.row, laplacian.col]).astype(np.int64))
    weights = torch.from_numpy(laplacian.data)
    return torch.sparse_coo_tensor(places, weights, laplacian.shape, check_invariants=True).coalesce().to(samples)


def _unit(atoms: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(atoms, dim=1)
