"""Synthetic measurements of the study of Figure 1B, whose numbers are what a test says they are."""

from functools import cache

import numpy as np

from tests.conftest import REPOSITORY
from wlsc.experiments.cluster_results import ClusterResults
from wlsc.experiments.studies.clusters import Cell, Measurement, Study, read_study

WAYS = ("k_means", "textbook", "bipartite", "eigengap")


@cache
def study(profile="quick") -> Study:
    """The study that the chapter reads."""
    return read_study(REPOSITORY / "book" / "studies" / profile / "figure_1b.toml")


def scores(accuracy):
    return {"accuracy": accuracy, "nmi": accuracy - 0.1, "ari": accuracy - 0.2}


def clusters(accuracy, chosen_on=None):
    halves = {"chosen_on": scores(accuracy if chosen_on is None else chosen_on), "scored_on": scores(accuracy)}
    return scores(accuracy) | halves | {"n_clusters": 10, "seconds": 0.25}


def run(method, seed=0, variation="none", trial=0, purity=0.9, embedding=None, ways=WAYS, **summary):
    """One run; what is not given has one usual value."""
    usual = {
        "lam": 0.5,
        "reached": True,
        "activity": 2.0,
        "n_empty": 0,
        "n_parameters": 6400,
        "n_components": 1,
        "seconds": 0.5,
        "memory_bytes": 2**22,
        "vote": 0.95,
        "probe": 0.96,
        "clusters": {way: clusters(0.8) for way in ways},
    }
    if embedding is not None:
        usual["embedding"] = {"seconds": 1.0, "purity": purity - 0.02, "trustworthiness": 0.97}
    cell = Cell(method, trial, variation, seed, embedding is not None)
    return Measurement(cell, usual | {"purity": purity} | summary, {}, embedding)


def results(*runs, profile="quick"):
    return ClusterResults(study(profile), list(runs))


#: Deviations of five runs from their mean, which is 0.
NOISE = np.array([-0.002, -0.001, 0.0, 0.001, 0.002])


def compared(over_pixels, over_sparse_coding, n_runs=5, profile="quick"):
    """Runs of the methods that C4 compares.

    Both arguments map a variation of the data to the mean purity of WLSC less that of the other method.
    """
    runs = []
    for variation in over_pixels.keys() | over_sparse_coding.keys():
        for seed, noise in enumerate(NOISE[:n_runs]):
            drawn = 0.9 + 0.01 * seed  # of the digits whose neighbours are looked for, the same for all methods
            runs.append(run("wlsc", seed, variation, purity=drawn + noise))
            for method, gaps in (("pixels", over_pixels), ("sparse_coding", over_sparse_coding)):
                if variation in gaps:
                    runs.append(run(method, seed, variation, purity=drawn - gaps[variation]))
    return results(*runs, profile=profile)
