"""C4, the claim that codes of digits keep their classes together.

Class purity is the share of a sample's ten nearest neighbours that are of its own class. It needs no embedding and no
clustering, so that neither can make or spoil the result. Methods are compared run by run: runs of one seed share the
draw of samples whose neighbours are looked for.
"""

from __future__ import annotations

from wlsc.analysis.statistics import Estimate, run_mean
from wlsc.experiments.claims.base import Claim, Difference, answer
from wlsc.experiments.cluster_results import ClusterResults, paired_differences

MARGIN = 0.01
"""Purity that codes may lose to the pixels and still maintain the classes: one point."""


def judge_clusters(results: ClusterResults, allowance: float = 0.0) -> dict[str, Claim]:
    """Judge C4a and C4b, as one family of tests.

    C4a, *codes maintain the class structure*: the purity of WLSC's codes less that of the pixels is above −`MARGIN`.
    C4b, *they do so better than sparse coding*: less that of ℓ1 codes of the same number of atoms and the same mean
    activity it is above 0. Both have to hold under every variation of the data that has classes.

    Parameters
    ----------
    results
        Measurements of the methods "wlsc", "sparse_coding" and "pixels".
    allowance
        How far an end of an interval may move for no better reason than another processor, at least 0.

    Raises
    ------
    ValueError
        If the allowance is negative.
    """
    return answer(
        {
            "C4a": {"difference": _difference(results, "pixels", -MARGIN, allowance)},
            "C4b": {"difference": _difference(results, "sparse_coding", 0.0, allowance)},
        }
    )


def purity_difference(
    results: ClusterResults, other: str, variation: str = "none", method: str = "wlsc"
) -> Estimate | None:
    """Return the mean over runs of the purity of a method less that of another; None if they have no run in common."""
    gaps = paired_differences(results, method, other, variation)
    return run_mean(gaps) if len(gaps) else None


def _difference(results: ClusterResults, other: str, threshold: float, allowance: float) -> Difference:
    return Difference(
        primary=purity_difference(results, other),
        n_runs=len(paired_differences(results, "wlsc", other)),
        sensitivity={name: purity_difference(results, other, name) for name in results.settings},
        threshold=threshold,
        allowance=allowance,
    )
