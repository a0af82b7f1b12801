"""MixMate: a mixture of sparse autoencoders, one for each cluster."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch.nn.functional import normalize, softshrink

from wlsc._lazy import same_random_numbers
from wlsc._validation import Array, check_choice, check_count, check_penalty, check_positive, to_torch
from wlsc.inference.unrolled import unroll
from wlsc.models._filter_bank import draw_seed

#: Samples that the first dictionaries are made from.
_N_FIRST = 2000

#: Other samples that represent one of them.
_N_NEIGHBOURS = 5

#: Starts of k-means, of which the best is kept.
_N_STARTS = 20

#: Samples that are encoded at a time: their codes stay in the processor's cache.
_BLOCK = 512


class MixMate(torch.nn.Module):
    """Mixture of unrolled sparse autoencoders: a sample belongs to the one that represents it best [1]_.

    Component k says that a sample is y = A_k x_k plus Gaussian noise of variance 1, with a Laplace prior of rate λ on
    the codes. Its codes x_k come from ``n_layers`` layers of accelerated proximal gradient descent with a two-sided
    soft threshold at λ times the step size. Their energy E_k = ½‖y − A_k x_k‖² + λ‖x_k‖₁ gives the responsibility
    exp(−E_k) / Σ_l exp(−E_l) of the component. Adam minimises −log Σ_k exp(−E_k), the negative log-likelihood up to a
    constant, through all layers; atoms are scaled to norm 1 after every step.

    The noise has variance 1 in the samples' unit. The published λ and step size are those of pixels in [0, 1], where a
    digit of MNIST has a norm of about 9; samples of norm 1 leave all components nearly equally responsible.

    The method is published, and so are ten components, 15 layers, 50 atoms, λ = 0.75, step size 0.04, atoms of norm 1,
    subspace clustering of 2,000 images for the first dictionaries, and, with the authors' code [2]_, orthogonal
    matching pursuit with 5 neighbours, atoms that are random images of a cluster, Adam at 1e-3 and batches of 256.
    Different here, and our choice:

    - Subspaces are found among the samples themselves; the authors' code looks for them among coefficients of a
      scattering transform, which knows that samples are images.
    - Images become atoms as they are; the authors' code subtracts each image's mean.
    - The affinity is |W| + |W|ᵀ with the rows of the weights W scaled to norm 1, and its spectral embedding has as many
      dimensions as there are components, with rows scaled to norm 1 before k-means.
    - Atoms for which a cluster has no more samples stay random.
    - The energy has the factor ½ for which the layers are the proximal gradient method, and training minimises the
      likelihood; the authors' code has no such factor and minimises the mean energy under the responsibilities.
    - Adam is given the gradient along the sphere of atoms of norm 1. The authors' code gives it the whole gradient,
      whose other part, to longer atoms, also decides how far Adam moves each pixel; it ends at a higher loss.
    - Layers extrapolate by t/(t + 3), as everywhere in this package.

    Parameters
    ----------
    n_features, n_components, n_atoms
        Shape of the dictionaries; atoms are counted for each component.
    lam
        Weight λ ≥ 0 of the codes' ℓ1 norm.
    n_layers
        Number T of layers.
    step_size
        Step size η > 0 of the layers, fixed. They diverge where η σ_max(A_k)² is well above 1.
    generator
        Source of the random first dictionaries, on the CPU.

    Attributes
    ----------
    dictionary
        Atoms of norm 1, shape (n_components, n_atoms, n_features), a parameter.

    References
    ----------
    .. [1] A. Lin, A. H. Song, D. Ba, Mixture model auto-encoders: deep clustering through dictionary learning, ICASSP
       (2022); arXiv 2110.04683.
    .. [2] https://github.com/al5250/mixmate
    """

    def __init__(
        self,
        n_features: int,
        n_components: int = 10,
        n_atoms: int = 50,
        lam: float = 0.75,
        n_layers: int = 15,
        step_size: float = 0.04,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        names = {"n_components": n_components, "n_atoms": n_atoms, "n_features": n_features}
        shape = [check_count(name, value) for name, value in names.items()]
        self.lam = check_penalty(lam)
        self.n_layers = check_count("n_layers", n_layers)
        self.step_size = check_positive("step_size", step_size)
        self.dictionary = torch.nn.Parameter(normalize(torch.randn(shape, generator=generator), dim=2))

    def initialize(self, samples: Array, generator: torch.Generator, method: str = "subspaces") -> None:
        """Put random samples of one cluster in place of each component's atoms.

        Parameters
        ----------
        samples
            Shape (n_samples, n_features). 2,000 of them are drawn if there are more; zeros are left out.
        generator
            Source of all randomness, on the CPU.
        method
            "subspaces": sparse subspace clustering, which is the published method. Each sample is represented by 5
            others (orthogonal matching pursuit [1]_), and the graph of who represents whom is cut by its spectrum [2]_.
            "k-means": clusters of samples of norm 1, the simplest alternative. Training changes clusters little, so
            that this choice decides a good part of the result.

        Raises
        ------
        ValueError
            If the samples are not finite, not of that shape, or too few, or if there is no such method.

        References
        ----------
        .. [1] C. You, D. P. Robinson, R. Vidal, Scalable sparse subspace clustering by orthogonal matching pursuit,
           CVPR (2016) 3918–3927.
        .. [2] A. Y. Ng, M. I. Jordan, Y. Weiss, On spectral clustering: analysis and an algorithm, NeurIPS (2001).
        """
        check_choice("method", method, ("subspaces", "k-means"))
        values = self._check_samples(samples)
        chosen = torch.randperm(len(values), generator=generator)[:_N_FIRST]
        directions = normalize(values[chosen.to(values.device)].cpu().double(), dim=1)
        directions = directions[directions.any(1)]
        n_components, n_atoms, _ = self.dictionary.shape
        n_needed = max(n_components, _N_NEIGHBOURS + 1)
        if len(directions) < n_needed:
            raise ValueError(f"samples must hold at least {n_needed} that are not zero, got {len(directions)}")
        points = directions if method == "k-means" else _embedding(_affinity(directions), n_components)
        labels = _k_means(points, n_components, draw_seed(generator))
        with torch.no_grad():
            for component, atoms in enumerate(self.dictionary):
                members = directions[labels == component][:n_atoms]  # samples are in random order
                atoms[: len(members)] = members.to(atoms)

    def fit(
        self,
        samples: Array,
        n_epochs: int = 10,
        batch_size: int = 256,
        learning_rate: float = 1e-3,
        seed: int = 0,
        show_progress: bool = False,
    ) -> list[float]:
        """Train the dictionaries by Adam from where they are; call `initialize` first.

        Parameters
        ----------
        samples
            Shape (n_samples, n_features).
        n_epochs, batch_size
            Passes over the samples, and samples per step; the last batch of a pass may be smaller.
        learning_rate
            Of Adam.
        seed
            Of the batches.
        show_progress
            Show a bar for each pass.

        Returns
        -------
        list of float
            Mean of the loss during each pass.

        Raises
        ------
        ValueError
            If an argument is out of range, or if the layers diverge because ``step_size`` is too large.
        """
        values = self._check_samples(samples)
        if not len(values):
            raise ValueError(f"samples must hold at least one sample, got shape {tuple(values.shape)}")
        check_count("n_epochs", n_epochs)
        check_count("batch_size", batch_size)
        check_count("seed", seed, 0)
        optimizer = torch.optim.Adam([self.dictionary], lr=check_positive("learning_rate", learning_rate))
        generator = torch.Generator().manual_seed(seed)
        history = []
        for epoch in range(n_epochs):
            batches = torch.randperm(len(values), generator=generator).to(values.device).split(batch_size)
            total = 0.0
            for rows in _progress(batches, f"epoch {epoch + 1} of {n_epochs}") if show_progress else batches:
                total += len(rows) * self._step(optimizer, values[rows].to(self.dictionary))
            history.append(total / len(values))
        return history

    def _step(self, optimizer: torch.optim.Optimizer, batch: torch.Tensor) -> float:
        loss = self.loss(batch)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise ValueError(f"step_size must be so small that the layers converge, got {self.step_size:g}")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            self.dictionary.copy_(normalize(self.dictionary, dim=2))
        return value

    def forward(self, samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Codes (n_samples, n_components, n_atoms) and energies (n_samples, n_components), with gradients.

        Parameters
        ----------
        samples
            Shape (n_samples, n_features), of the dtype and on the device of the dictionary.
        """
        # of norm 1 already; normalised here, they get a gradient along the sphere
        atoms = normalize(self.dictionary, dim=2)
        gram = atoms @ atoms.mT
        linear = (samples @ atoms.flatten(0, 1).T).unflatten(1, atoms.shape[:2]).transpose(0, 1).contiguous()
        threshold = partial(softshrink, lambd=self.lam * self.step_size)
        codes = unroll(gram, linear, self.n_layers, self.step_size, prox=threshold)
        # ½‖y − Ax‖² = ½‖y‖² + xᵀ(½Gx − b) needs no reconstruction of every sample by every component
        fit = (codes * (0.5 * (codes @ gram) - linear)).sum(2)
        energies = 0.5 * samples.square().sum(1) + fit + self.lam * codes.abs().sum(2)
        return codes.transpose(0, 1), energies.T

    def loss(self, samples: torch.Tensor) -> torch.Tensor:
        """Mean of −log Σ_k exp(−E_k) over ``samples`` (n_samples, n_features): the training loss, a scalar."""
        return -torch.logsumexp(-self(samples)[1], dim=1).mean()

    def energies(self, samples: torch.Tensor) -> torch.Tensor:
        """Energy of each sample under each component, shape (n_samples, n_components), without gradients.

        This and the methods below work through blocks of ``samples`` (n_samples, n_features) in the dictionary's dtype
        and on its device; results lie on the samples' device. They raise `ValueError` if the samples are not finite or
        have another number of features.
        """
        return self._in_blocks(samples, lambda codes, energies: energies)

    def assign(self, samples: torch.Tensor) -> torch.Tensor:
        """Responsibilities of the components, shape (n_samples, n_components); rows sum to 1."""
        return self._in_blocks(samples, lambda codes, energies: torch.softmax(-energies, dim=1))

    def predict(self, samples: torch.Tensor) -> torch.Tensor:
        """Component of least energy, int64, shape (n_samples,)."""
        return self._in_blocks(samples, lambda codes, energies: energies.argmin(1))

    def codes(self, samples: torch.Tensor) -> torch.Tensor:
        """Codes of all components, each times its responsibility, shape (n_samples, n_components · n_atoms).

        Columns k · n_atoms to (k + 1) · n_atoms − 1 belong to component k.
        """
        return self._in_blocks(
            samples, lambda codes, energies: (codes * torch.softmax(-energies, dim=1).unsqueeze(2)).flatten(1)
        )

    @torch.no_grad()
    def _in_blocks(
        self, samples: torch.Tensor, result: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        values = self._check_samples(samples)
        return torch.cat([result(*self(block.to(self.dictionary))).to(values.device) for block in values.split(_BLOCK)])

    def _check_samples(self, samples: Array) -> torch.Tensor:
        values, n_features = to_torch("samples", samples, ndim=2).detach(), self.dictionary.shape[2]
        if values.shape[1] != n_features:
            raise ValueError(f"samples must have shape (n_samples, {n_features}), got {tuple(values.shape)}")
        return values


def _affinity(directions: torch.Tensor) -> torch.Tensor:
    """Symmetric matrix of how much samples of norm 1 represent one another by orthogonal matching pursuit."""
    chosen = torch.arange(len(directions)).unsqueeze(1)  # the first column, the sample itself, is only left out
    residuals = directions
    for _ in range(_N_NEIGHBOURS):
        correlations = (residuals @ directions.T).abs_().scatter_(1, chosen, -1)
        chosen = torch.cat([chosen, correlations.argmax(1, keepdim=True)], dim=1)
        neighbours = directions[chosen[:, 1:]].mT
        # pivoted, because samples that occur several times make neighbours dependent
        weights = torch.linalg.lstsq(neighbours, directions.unsqueeze(2), driver="gelsy").solution
        residuals = directions - (neighbours @ weights).squeeze(2)
    scaled = normalize(weights.squeeze(2).abs(), dim=1)
    affinity = directions.new_zeros(len(directions), len(directions)).scatter_(1, chosen[:, 1:], scaled)
    return affinity + affinity.T


def _embedding(affinity: torch.Tensor, n_dimensions: int) -> torch.Tensor:
    """Leading eigenvectors of D^(-1/2) W D^(-1/2), shape (n_vertices, n_dimensions), rows scaled to norm 1."""
    from scipy.linalg import eigh

    degrees = affinity.sum(1)
    scale = torch.where(degrees > 0, degrees, 1).rsqrt()
    leading = [len(affinity) - n_dimensions, len(affinity) - 1]
    _, vectors = eigh((scale.unsqueeze(1) * affinity * scale).numpy(), subset_by_index=leading)
    return normalize(torch.from_numpy(vectors), dim=1)


def _k_means(points: torch.Tensor, n_clusters: int, seed: int) -> torch.Tensor:
    from threadpoolctl import threadpool_limits

    with same_random_numbers():
        from sklearn.cluster import KMeans

    kmeans = KMeans(n_clusters, n_init=_N_STARTS, random_state=seed)
    with threadpool_limits(1):  # sums that are split among threads would round differently from run to run
        return torch.from_numpy(kmeans.fit_predict(points.numpy()))


def _progress(batches: Sequence[torch.Tensor], description: str) -> Sequence[torch.Tensor]:
    from tqdm import tqdm

    bar: Sequence[torch.Tensor] = tqdm(batches, desc=description, unit=" batches")
    return bar
