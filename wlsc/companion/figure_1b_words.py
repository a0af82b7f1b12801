"""Sentences of the chapter on Figure 1B, computed from what its study found.

Verdicts, and words that hang on which of two numbers is the larger one, are written in the profile `full` alone. What
is said of the benchmark follows from numbers that are kept with the sources.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from inspect import signature
from typing import Any

import numpy as np

from wlsc.analysis.statistics import Verdict
from wlsc.companion.figure_1b import (
    N_UMAP,
    WAYS,
    by_setting,
    describe_setting,
    dictionaries_side_by_side,
    say_purity_difference,
    spans,
    ways_of,
)
from wlsc.companion.verdicts import gives_verdicts, say_number
from wlsc.experiments.claims.base import Claim
from wlsc.experiments.cluster_results import ClusterResults, SharedAtoms
from wlsc.experiments.representations import BASELINES
from wlsc.experiments.toys import SolvedToy

#: What is said of codes if a claim is supported, and if it is contradicted.
_SUPPORTED = {
    "C4a": "keep the classes together as the pixels do, to within a point of purity",
    "C4b": "keep the classes together better than those of sparse coding",
}
_CONTRADICTED = {
    "C4a": "keep the classes together less well than the pixels, by more than a point of purity",
    "C4b": "keep the classes together less well than those of sparse coding",
}
_OTHER = {"C4a": "the pixels", "C4b": "sparse coding's codes"}


def quote(
    results: ClusterResults, solved: Mapping[str, Sequence[SolvedToy]], kept: Mapping[str, Any], n_samples: int
) -> dict[str, str]:
    """Return what the text quotes, by key."""
    training, n_atoms = results.study.training, results.study.methods["wlsc"].options["n_atoms"]
    two_sided = results.encode("sparse_coding")[1]
    two_sided.eliminate_zeros()
    eigengaps = results.values("wlsc", "clusters", "eigengap", "n_clusters")
    crossing = [f"{np.median([toy.crossing for toy in toys]):.1%} of {name}" for name, toys in solved.items()]
    return {
        "setting": describe_setting(results),
        "trained-on": f"{n_atoms:,} atoms, λ = {results.study.methods['wlsc'].options['lam']:g}, "
        f"{training.n_epochs} passes over {n_samples:,} digits in batches of {training.batch_size:,}",
        "n-digits": f"{n_samples:,}",
        "n-umap": f"{min(N_UMAP, n_samples):,}",
        "n-toys": str(len(next(iter(solved.values())))),
        "crossing": " and ".join(crossing),
        "toys-told-apart": describe_toys(solved),
        "negative": f"{np.mean(two_sided.data < 0):.2%}",
        "n-mixmate": str(signature(BASELINES["mixmate"]).parameters["n_epochs"].default),
        "eigengap": f"{eigengaps.min():.0f} to {eigengaps.max():.0f}",
        "n-classes": str(results.values("wlsc", "clusters", "textbook", "n_clusters").max().astype(int)),
        "ablations": describe_ablations(kept),
        "cost": describe_cost(kept),
    }


def describe_ablations(kept: Mapping[str, Any]) -> str:
    """Say which change to the clustering costs most, which cost nothing, and what more dictionaries bring.

    These numbers are kept with the sources, so that they are the same whichever machine builds the book.
    """
    reached = {name: found["accuracy"]["median"] for name, found in kept["ablations"].items()}
    whole, *changed = reached
    costliest = min(changed, key=lambda name: reached[name])
    higher = [f"{name} ({reached[name]:.3f})" for name in changed if reached[name] > reached[whole]]
    dictionaries = dictionaries_side_by_side(kept)
    most = max(dictionaries)
    return (
        f"The change that costs most is “{costliest}”: it has a median accuracy of {reached[costliest]:.3f}, "
        f"and {whole} together have {reached[whole]:.3f}. A higher median than with all parts: "
        f"{', '.join(higher) or 'none'}. Differences within the ranges of the seeds show nothing. With {most} "
        f"dictionaries side by side the median accuracy is {dictionaries[most]['accuracy']['median']:.3f}."
    )


def describe_toys(solved: Mapping[str, Sequence[SolvedToy]]) -> str:
    """Say in which share of the seeds each toy is told apart, by codes and by k-means."""

    def share(reached: Sequence[float]) -> str:
        return f"{np.mean(np.array(reached) > 0.99):.2f}"

    parts = [
        f"the {name} are told apart (accuracy above 0.99) in a share of {share([toy.accuracy for toy in toys])} of the "
        f"seeds by their codes, and of {share([toy.accuracy_of_k_means for toy in toys])} by k-means"
        for name, toys in solved.items()
    ]
    return f"{'; '.join(parts)}.".capitalize()


def describe_cost(kept: Mapping[str, Any]) -> str:
    """Say how long training and clustering on all of MNIST take, by the benchmark."""
    alone = dictionaries_side_by_side(kept)[1]
    return (
        f"training and clustering take {alone['seconds']['median']:.1f} s with {kept['machine']['threads']} threads, "
        f"{alone['seconds_of_clustering']['median']:.1f} s of them for the clustering, and reach an accuracy of "
        f"{alone['accuracy']['median']:.3f}"
    )


def quote_answers(
    results: ClusterResults, claims: Mapping[str, Claim], shared: Mapping[str, SharedAtoms], profile: str
) -> dict[str, str]:
    """Return the three sentences that open the chapter and the paragraph that ends it, by key."""
    answers = answer_in_short(results, claims, shared, profile)
    keys = ("answer-first", "answer-second", "answer-third")
    return dict(zip(keys, answers, strict=True)) | {"conclusion": conclude(results, claims, profile)}


def answer_in_short(
    results: ClusterResults, claims: Mapping[str, Claim], shared: Mapping[str, SharedAtoms], profile: str
) -> list[str]:
    """Return the answer of the chapter in three sentences: verdicts in `full`, and in `quick` what is checked."""
    null, own = shared["WLSC on Gaussian digits"], shared["WLSC"]
    islands = (
        f"In the picture of Gaussian noise, which has the digits' covariance and no classes, {null.neighbours:.0%} of "
        f"a point's neighbours share its heaviest atom; in that of the digits it is {own.neighbours:.0%}, and of any "
        f"two digits {own.by_chance:.1%}."
    )
    if gives_verdicts(profile):
        return [*(describe_verdict(name, claim) for name, claim in claims.items()), islands]
    purities = [spans(results.values(name, "purity")) for name in ("wlsc", "sparse_coding", "pixels")]
    return [
        "This build checks the code on small digits and gives no verdicts, which only the full profile does.",
        "The class purity, median [least, most] of its runs, is {} for WLSC's codes, {} for those of sparse coding and "
        "{} for the pixels.".format(*purities),
        islands,
    ]


def describe_verdict(name: str, claim: Claim) -> str:
    """Say in a sentence what the numbers say of C4a or C4b, with the numbers of all settings."""
    says = {
        Verdict.SUPPORTED: f"codes {_SUPPORTED[name]}",
        Verdict.CONTRADICTED: f"codes {_CONTRADICTED[name]}",
    }.get(claim.verdict, f"it is open whether codes {_SUPPORTED[name]}")
    firm = "" if claim.firm else ", though not firm"
    return f"{name} is {claim.verdict}{firm}: {says}; the purity less that of {_OTHER[name]} is {say_settings(claim)}."


def say_settings(claim: Claim) -> str:
    """Write the numbers of a claim in all settings."""
    return ", ".join(f"{say_number(found, 3)} ({setting})" for setting, found in by_setting(claim).items())


def conclude(results: ClusterResults, claims: Mapping[str, Claim], profile: str) -> str:
    """Return what was found in a paragraph: in `full` with verdicts and with what does best, in `quick` in numbers."""
    layers = [name for name in results.sweeps()["layers"] if name != "wlsc"]
    deepest = layers[-1]
    depth = results.study.methods[deepest].options["n_layers"]
    unrolled = (
        f"For codes of {depth} layers the purity less that of the pixels is "
        f"{say_purity_difference(results, 'pixels', deepest)}."
    )
    if not gives_verdicts(profile):
        gaps = [say_settings(claims[name]) for name in ("C4a", "C4b")]
        return (
            f"In this build the purity of WLSC's exact codes less that of the pixels is {gaps[0]}; less that of "
            f"sparse coding's codes it is {gaps[1]}. {unrolled} Verdicts are given in the full profile alone."
        )
    return " ".join(
        [
            *(describe_verdict(name, claim) for name, claim in claims.items()),
            "Both are said of exact codes.",
            unrolled,
            *_best(results),
        ]
    )


def _best(results: ClusterResults) -> Iterator[str]:
    """Say which methods have the purest neighbourhoods and the highest accuracies."""

    def median(name: str, *path: str) -> float:
        return float(np.median(results.values(name, *path)))

    purities = {name: median(name, "purity") for name in results.compared if name != "pixels"}
    purest = max(purities, key=lambda name: purities[name])
    yield (
        f"Of all methods but the pixels, {results.title(purest)} has the purest neighbourhoods "
        f"({purities[purest]:.3f}, WLSC {purities['wlsc']:.3f})."
    )
    scores = {name: median(name, "clusters", "bipartite", "accuracy") for name in results.compared}
    best = max(scores, key=lambda name: scores[name])
    yield (
        f"With this package's clustering {results.title(best)} has the highest accuracy ({scores[best]:.3f}, "
        f"WLSC {scores['wlsc']:.3f}, sparse coding {scores['sparse_coding']:.3f})."
    )
    free = {
        (name, way): median(name, "clusters", way, "accuracy")
        for name in results.compared
        for way in ("k_means", "textbook", "labels")
        if way in ways_of(results, name)
    }
    name, way = max(free, key=lambda pair: free[pair])
    yield (
        f"Label-free, {results.title(name)} with {WAYS[way]} reaches the highest accuracy ({free[name, way]:.3f}). "
        f"Textbook spectral clustering of WLSC's codes has {free['wlsc', 'textbook']:.3f}, and of sparse coding's "
        f"{free['sparse_coding', 'textbook']:.3f}."
    )
