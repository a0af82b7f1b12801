"""LLD-style filters (MMCR objective): views of a patch lie close together, different patches far apart."""

from __future__ import annotations

import math

import torch

from wlsc._validation import Array, check_count, check_penalty, check_positive
from wlsc.models._filter_bank import FilterBank, random_filters


class LLDFilters(FilterBank):
    """Rectified filters that minimise the objective of maximum manifold capacity representations (MMCR) [1]_.

    Stands in for the LLD model of the paper's Figure 1, whose recipe is not public: views of a patch are small
    translations of it, responses are max(Fy, 0) scaled to norm 1, the loss is `mmcr_loss`, and Adam minimises it over
    filters of norm 1.

    Without the rectification the filters would be undefined: with linear filters F and any rotation Q, the response
    matrices Z = YFᵀ and YFᵀQᵀ have the same singular values and row norms, so that every rotated set of filters has
    the same loss.

    Parameters
    ----------
    n_features
        side² for filters of side × side pixels.
    n_units, generator
        Those of `FilterBank`.
    shift
        Largest translation of a view in each direction, in pixels.
    n_views
        Views of each patch.
    n_epochs, batch_size, learning_rate
        Of Adam; samples that do not fill a batch are left out of that epoch.
    lam
        Weight λ ≥ 0 of the views' closeness in `mmcr_loss`.

    References
    ----------
    .. [1] T. Yerxa, Y. Kuang, E. Simoncelli, S. Chung, Learning efficient coding of natural images with maximum
       manifold capacity representations, NeurIPS (2023).
    """

    def __init__(
        self,
        n_features: int,
        n_units: int,
        generator: torch.Generator | None = None,
        *,
        shift: int = 1,
        n_views: int = 4,
        n_epochs: int = 10,
        batch_size: int = 512,
        learning_rate: float = 1e-2,
        lam: float = 1.0,
    ) -> None:
        super().__init__(n_features, n_units, generator)
        self.side = math.isqrt(n_features)
        if self.side**2 != n_features:
            raise ValueError(f"n_features must be a square number, the pixels of a square patch, got {n_features}")
        self.shift = check_count("shift", shift)
        self.n_views = check_count("n_views", n_views, minimum=2)
        self.n_epochs = check_count("n_epochs", n_epochs)
        self.batch_size = check_count("batch_size", batch_size, minimum=2)
        self.learning_rate = check_positive("learning_rate", learning_rate)
        self.lam = check_penalty(lam)

    def respond(self, patches: torch.Tensor) -> torch.Tensor:
        """Responses max(Fy, 0) to ``patches`` (n_samples, n_features), shape (n_samples, n_units).

        The division by the norm over units belongs to the objective and is left out here.
        """
        return super().respond(patches).clamp(min=0)

    def fit(self, patches: Array, generator: torch.Generator) -> None:
        """Learn filters from ``patches``, which are larger than the filters so that views can be cut from them.

        Parameters
        ----------
        patches
            Shape (n_samples, (side + 2 · shift)²) with at least ``batch_size`` samples.
        generator
            Source of the first filters, the batches and the views, on the CPU.
        """
        values = self._training_patches(patches, (self.side + 2 * self.shift) ** 2, self.batch_size)
        n_units, n_features = self.filters.shape
        filters = random_filters(n_units, n_features, generator).to(self.filters).requires_grad_()
        optimizer = torch.optim.Adam([filters], lr=self.learning_rate)
        for _ in range(self.n_epochs):
            order = torch.randperm(len(values), generator=generator)
            for rows in order[: len(values) // self.batch_size * self.batch_size].split(self.batch_size):
                views = random_crops(values[rows.to(values.device)], self.side, self.n_views, generator)
                optimizer.zero_grad()
                mmcr_loss((views @ filters.T).clamp(min=0), self.lam).backward()
                optimizer.step()
                with torch.no_grad():
                    filters.copy_(torch.nn.functional.normalize(filters, dim=1))
        self.filters.copy_(filters.detach())


def mmcr_loss(responses: torch.Tensor, lam: float) -> torch.Tensor:
    """Loss λ · mean_i ‖Z_i‖_* − ‖C‖_* of responses to views, a scalar.

    Z_i (n_views, n_units) are the responses to the views of patch i, each scaled to norm 1; row i of C
    (n_samples, n_units) is their mean; ‖·‖_* is the nuclear norm, the sum of the singular values. The first term is
    small where the views of a patch are coded alike, the second large where patches are coded differently.

    Parameters
    ----------
    responses
        Shape (n_samples, n_views, n_units). A view without any response stays at zero.
    lam
        Weight λ.
    """
    on_sphere = torch.nn.functional.normalize(responses, dim=2)
    # a few views span little: squared singular values, from small Gram matrices, are cheaper than thousands of SVDs
    squares = torch.linalg.eigvalsh(on_sphere @ on_sphere.mT)
    local = squares[squares > torch.finfo(squares.dtype).eps].sqrt().sum() / len(responses)
    return lam * local - torch.linalg.svdvals(on_sphere.mean(1)).sum()


def random_crops(patches: torch.Tensor, side: int, n_views: int, generator: torch.Generator) -> torch.Tensor:
    """Cut views at random offsets, all of them equally likely.

    Parameters
    ----------
    patches
        Square patches as rows, shape (n_samples, larger side²).
    side
        Side of a view in pixels, at most that of the patches.
    n_views
        Views of each patch, drawn with replacement.
    generator
        Source of the offsets, on the CPU.

    Returns
    -------
    torch.Tensor
        Shape (n_samples, n_views, side²).
    """
    larger = math.isqrt(patches.shape[1])
    offsets = torch.randint(larger - side + 1, (2, len(patches), n_views, 1, 1), generator=generator)
    steps = torch.arange(side)
    pixels = (offsets[0] + steps[:, None]) * larger + offsets[1] + steps
    return patches.gather(1, pixels.flatten(1).to(patches.device)).unflatten(1, (n_views, side**2))
