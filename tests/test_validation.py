"""Samples of no features are refused in one sentence, wherever they come in."""

import numpy as np
import pytest
import torch

import wlsc
from wlsc import datasets, models
from wlsc.analysis import clustering, embedding
from wlsc.models.mixmate import MixMate

NOTHING, CODES = np.zeros((5, 0)), np.full((5, 3), 1 / 3)
GENERATOR = torch.Generator()

ENTRIES = {
    "infer_codes": lambda: wlsc.infer_codes(NOTHING, NOTHING[:3], 0.1),
    "infer_codes, unrolled": lambda: wlsc.infer_codes(NOTHING, NOTHING[:3], 0.1, "unrolled", n_layers=3),
    "infer_codes, tensors": lambda: wlsc.infer_codes(*map(torch.as_tensor, (NOTHING, NOTHING[:3])), 0.1),
    "objective": lambda: wlsc.objective(NOTHING, NOTHING[:3], CODES, 0.1),
    "weighted_l1": lambda: wlsc.weighted_l1(NOTHING, NOTHING[:3], CODES),
    "laplacian_quadratic_form": lambda: wlsc.laplacian_quadratic_form(NOTHING, NOTHING[:3], CODES),
    "frank_wolfe_gap": lambda: wlsc.frank_wolfe_gap(NOTHING, NOTHING[:3], CODES, 0.1),
    "kkt_residual": lambda: wlsc.kkt_residual(NOTHING, NOTHING[:3], CODES, 0.1),
    "WLSC.fit": lambda: wlsc.WLSC(3).fit(NOTHING),
    "WLSC.partial_fit": lambda: wlsc.WLSC(3).partial_fit(NOTHING),
    "WLSCAutoencoder": lambda: models.WLSCAutoencoder(0, 3, 0.1),
    "WLSCAutoencoder.infer": lambda: models.WLSCAutoencoder(2, 3, 0.1).double().infer(torch.as_tensor(NOTHING)),
    "SparseCodingAutoencoder": lambda: models.SparseCodingAutoencoder(0, 3, 0.1),
    "SparseCodingAutoencoder.infer": lambda: (
        models.SparseCodingAutoencoder(2, 3, 0.1).double().infer(torch.as_tensor(NOTHING))
    ),
    "HardThresholdAutoencoder.infer": lambda: (
        models.HardThresholdAutoencoder(2, 3, 0.1).double().infer(torch.as_tensor(NOTHING))
    ),
    "KMeansFilters": lambda: models.KMeansFilters(0, 3),
    "KMeansFilters.fit": lambda: models.KMeansFilters(2, 3).fit(NOTHING, GENERATOR),
    "IndependentComponents.fit": lambda: models.IndependentComponents(2, 2).fit(NOTHING, GENERATOR),
    "LLDFilters.fit": lambda: models.LLDFilters(4, 2).fit(NOTHING, GENERATOR),
    "MixMate": lambda: MixMate(0),
    "MixMate.fit": lambda: MixMate(2).fit(NOTHING),
    "MixMate.initialize": lambda: MixMate(2).initialize(NOTHING, GENERATOR),
    "MixMate.predict": lambda: MixMate(2).predict(torch.as_tensor(NOTHING)),
    "gaussian_match": lambda: datasets.gaussian_match(NOTHING),
    "effective_dimension": lambda: datasets.effective_dimension(NOTHING),
    "embed_tsne": lambda: embedding.embed_tsne(NOTHING, 1.2),
    "nearest_neighbours": lambda: clustering.nearest_neighbours(NOTHING, 2),
    "class_purity": lambda: clustering.class_purity(NOTHING, np.arange(5) % 2, 2),
    "cluster_codes": lambda: clustering.cluster_codes(NOTHING, 2),
    "fit_gabors": lambda: wlsc.fit_gabors(NOTHING, (0, 0)),
    "project_simplex": lambda: wlsc.project_simplex(NOTHING),
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_no_features(entry):
    with pytest.raises(ValueError, match=r"at least (one|1)|minimum of 1|must have shape|square number") as refusal:
        ENTRIES[entry]()
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 200
