"""What the penalised sparse coders share: atoms of norm 1, so that large atoms cannot evade the penalty."""

from __future__ import annotations

from typing import Any

import torch

from wlsc.dictionary import SufficientStatistics, coordinate_update
from wlsc.models._unrolled import UnrolledAutoencoder


class UnitNormAutoencoder(UnrolledAutoencoder):
    """An unrolled autoencoder of atoms of norm 1 and a penalty λ > 0; parameters are those of its base."""

    def __init__(self, n_features: int, n_atoms: int, lam: float, n_layers: int = 15, **options: Any) -> None:
        super().__init__(n_features, n_atoms, lam, n_layers, **options)
        if self.lam == 0:
            raise ValueError("lam must be greater than 0 for sparse coding with atoms of norm 1, got 0")
        self.constrain()

    def constrain(self) -> None:
        """Scale every atom to norm 1; atoms of zeros stay."""
        with torch.no_grad():
            norms = self.dictionary.norm(dim=1, keepdim=True)
            self.dictionary.div_(torch.where(norms > 0, norms, 1))

    def set_dictionary(self, dictionary: torch.Tensor) -> None:
        """Put ``dictionary`` (n_atoms, n_features), its atoms scaled to norm 1, in place of the atoms."""
        super().set_dictionary(dictionary)
        self.constrain()

    def updated_dictionary(self, statistics: SufficientStatistics) -> torch.Tensor:
        """One sweep of coordinate descent over the atoms; see `wlsc.dictionary.coordinate_update`."""
        return coordinate_update(statistics, self.dictionary.detach())
