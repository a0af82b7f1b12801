"""Sparse coding whose atoms are shared among rotations."""

from __future__ import annotations

import math
from typing import Any

import torch

from wlsc._validation import check_choice, check_count
from wlsc.dictionary import SufficientStatistics
from wlsc.models.sparse_coding import SparseCodingAutoencoder

_GROUPS = {"C4": 4, "C8": 8}

#: Sweeps over the atoms in one update of the dictionary.
_SWEEPS = 5


class RotationTiedSparseCoding(SparseCodingAutoencoder):
    """ℓ1 sparse coding over atoms that are rotations of a few: minimise ½‖y − Σ x_{bg} R_g a_b‖² + λ‖x‖₁.

    The group C4 turns square patches by multiples of 90°, which only moves pixels: it is exact. C8 also turns by 45°,
    which interpolates between pixels and takes 0 for those from outside the patch: R₄₅² is not R₉₀, and R₄₅ a is
    shorter than a. `rotation_error` says by how much; C8 is a control to be read with it.

    Published is the idea, dictionaries shared over cyclic rotations [1]_; how its dictionary is learned is not known
    here. Ours: codes, layers and exact solver are those of `SparseCodingAutoencoder`; after a gradient step the atoms
    are projected onto the tied ones (least squares); the closed form descends on the base atoms themselves, and never
    raises the objective at fixed codes. Base atoms are scaled to norm 1; rows of the dictionary have norm 1 under C4
    and at most about 1 under C8.

    Rows of the dictionary are base atom 0 in all its rotations, then base atom 1, and so on.

    Parameters
    ----------
    n_features
        side² of patches of side × side pixels.
    n_atoms
        Rows of the dictionary, a multiple of the order of the group.
    lam, n_layers, **options
        Those of `SparseCodingAutoencoder`.
    group
        "C4" or "C8".

    Attributes
    ----------
    rotations
        R_g as matrices that act on rows, shape (order, n_features, n_features), a buffer.

    References
    ----------
    .. [1] arXiv 2211.09238 (2022), of which the abstract was read.
    """

    rotations: torch.Tensor

    def __init__(
        self, n_features: int, n_atoms: int, lam: float, n_layers: int = 15, *, group: str = "C4", **options: Any
    ) -> None:
        order = _GROUPS[check_choice("group", group, tuple(_GROUPS))]
        side = math.isqrt(check_count("n_features", n_features))
        if side**2 != n_features:
            raise ValueError(f"n_features must be a square number, the pixels of a square patch, got {n_features}")
        if check_count("n_atoms", n_atoms) % order:
            raise ValueError(f"n_atoms must be a multiple of {order}, the rotations of {group}, got {n_atoms}")
        self.order = order
        super().__init__(n_features, n_atoms, lam, n_layers, **options)
        self.register_buffer("rotations", rotation_matrices(side, order))
        self.constrain()

    @property
    def base(self) -> torch.Tensor:
        """Base atoms, shape (n_atoms / order, n_features): the rows of the dictionary that are not turned."""
        return self.dictionary[:: self.order]

    def rotation_error(self) -> float:
        """How far two turns by 45° are from one by 90°: ‖R₄₅²a − R₉₀a‖² over ‖a‖², mean over base atoms; 0 for C4."""
        if self.order == 4:
            return 0.0
        atoms = self.base.detach()
        eighth, quarter = self.rotations[1], self.rotations[2]
        squares = (atoms @ eighth @ eighth - atoms @ quarter).square().sum(1) / atoms.square().sum(1)
        return float(squares.mean())

    def constrain(self) -> None:
        """Project the dictionary onto those that are tied, and scale base atoms to norm 1; atoms of zeros stay."""
        if not hasattr(self, "rotations"):  # in the middle of the base class's own beginning
            return
        with torch.no_grad():
            orbits = self.dictionary.unflatten(0, (-1, self.order))
            gathered = torch.einsum("bgi,gji->bj", orbits, self.rotations)
            scale = torch.einsum("gij,gkj->ik", self.rotations, self.rotations)
            base = torch.linalg.solve(scale, gathered.T).T
            self.dictionary.copy_(self._orbits(torch.nn.functional.normalize(base, dim=1)))

    def _orbits(self, base: torch.Tensor) -> torch.Tensor:
        return torch.einsum("bi,gij->bgj", base, self.rotations.to(base)).flatten(0, 1)

    def updated_dictionary(self, statistics: SufficientStatistics) -> torch.Tensor:
        """Sweeps of projected gradient descent over the base atoms, each with a step that cannot go too far."""
        gram, target = statistics.codes_codes, statistics.codes_patches
        rotations = self.rotations.double()
        base = self.base.detach().double()
        atoms = self._orbits(base)
        longest = float(torch.linalg.eigvalsh(torch.einsum("gij,gkj->ik", rotations, rotations))[-1])
        for _ in range(_SWEEPS):
            for index in range(len(base)):
                rows = slice(index * self.order, (index + 1) * self.order)
                curvature = longest * float(torch.linalg.eigvalsh(gram[rows, rows])[-1])
                if curvature > 0:
                    missing = target[rows] - gram[rows] @ atoms
                    moved = base[index] + torch.einsum("gi,gji->j", missing, rotations) / curvature
                    base[index] = moved / moved.norm().clamp(min=1)
                    atoms[rows] = self._orbits(base[index : index + 1])
        return atoms.to(self.dictionary)


def rotation_matrices(side: int, order: int) -> torch.Tensor:
    """Rotations of square patches by multiples of 360°/order about their centre, as matrices that act on rows.

    Multiples of 90° move pixels; others interpolate bilinearly between the four pixels around the place a pixel comes
    from, with 0 outside the patch, after the nearest smaller multiple of 90°.

    Parameters
    ----------
    side
        Pixels along each side.
    order
        A multiple of 4.

    Returns
    -------
    torch.Tensor
        Shape (order, side², side²): patch @ matrix is the patch turned counter-clockwise.
    """
    pixels = torch.eye(side**2).view(-1, side, side)
    return torch.stack([_turned(pixels, step, order) for step in range(order)])


def _turned(images: torch.Tensor, step: int, order: int) -> torch.Tensor:
    quarters, rest = divmod(4 * step, order)
    angle = 2 * math.pi * (rest / 4) / order
    if rest:
        cosine, sine = math.cos(angle), math.sin(angle)
        map_back = torch.tensor([[cosine, -sine, 0], [sine, cosine, 0]]).expand(len(images), 2, 3)
        grid = torch.nn.functional.affine_grid(map_back, [len(images), 1, *images.shape[1:]], align_corners=False)
        images = torch.nn.functional.grid_sample(images.unsqueeze(1), grid, align_corners=False).squeeze(1)
    return torch.rot90(images, quarters, dims=(1, 2)).flatten(1)
