"""Pictures, tables and words of the chapter *Figure 1A*, made of the measured trainings of its study and its claims."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import ks_2samp

from wlsc import plots
from wlsc.analysis.gabor import gabor
from wlsc.analysis.statistics import Estimate, Verdict
from wlsc.companion import explorers
from wlsc.companion.results import SavedFigure, SavedTable, save_figure, save_table
from wlsc.companion.verdicts import Kept, gives_verdicts, read_kept, say_interval, say_number, say_verdict, tabulate
from wlsc.datasets.physiology import RINGACH_2002, BinnedCells, RingachCells, load_ringach_cells
from wlsc.datasets.registry import DataError
from wlsc.experiments.claims.base import Claim, Measured, Part, write_claims
from wlsc.experiments.claims.receptive_fields import (
    LLD,
    difference_in_distance,
    distance_to_table,
    gap_of_tuning,
    noise_of,
    share_fitted,
)
from wlsc.experiments.studies.receptive_fields import Measurement, Study, map_fields
from wlsc.experiments.units import (
    ODD_DEG,
    PRIMARY,
    circular_variances,
    fits_of,
    is_broad,
    is_fitted,
    is_phase_known,
    known_phases,
    matched_cosines,
    odd_if_short,
    pair,
    pooled,
    run_means,
    select,
)

#: The chapter's claims in words.
CLAIMED = {
    "C1a": "phases are those of V1",
    "C1b": "an even and an odd class",
    "C1c": "well-tuned units tend to be odd",
    "C2": "comparable to LLD",
    "C2, stand-in": "comparable to an LLD-style model",
    "C3": "more broadly tuned than sparse coding",
}

#: Numbers of recorded cells outside the table that are tried, since how many there are is not known.
UNSEEN = (0, 7, 14)

MEAN_REMOVED = PRIMARY._replace(variation="mean_removed")
LOWER_CUTOFF = PRIMARY._replace(variation="lower_cutoff")

#: Fields that cells are compared in, as pages call them.
FIELD_TITLES = {
    "filter": "atoms, whitened pixels",
    "mapped": "mapped, whitened pixels",
    "filter_in_image": "atoms, pixels of the image",
    "mapped_in_image": "mapped, pixels of the image",
}


def titles_of(study: Study) -> dict[str, str]:
    """Return what pages call the models of a study, by name."""
    return {name: model.title for name, model in study.models.items()}


def draw_phases(name: str, profile: str, phases: Mapping[str, np.ndarray]) -> SavedFigure:
    """Draw and save histograms of folded phases (degrees), by title."""
    columns = {f"phase of {title} (degrees)": values for title, values in phases.items()}
    return save_figure(plots.phase_histogram(phases), name, profile, columns)


def explore_phases(study: Study, measured: Sequence[Measurement], profile: str) -> explorers.Explorer:
    """Make the explorer of phases under several treatments of the patches."""
    treatments = {"mean kept": PRIMARY, "lower cut-off": LOWER_CUTOFF, "mean removed": MEAN_REMOVED}
    titles = titles_of(study)
    phases = {
        treatment: {
            titles[model]: pooled(known_phases(select(measured, model, setting))) for model in ("wlsc", "sparse_coding")
        }
        for treatment, setting in treatments.items()
        if select(measured, "wlsc", setting)
    }
    text = "Histogram of spatial phase with the patch mean kept and removed."
    return explorers.phase_slider("phase-treatments", profile, phases, explorers.Still("phase-and-mean.svg", text))


def draw_filters(study: Study, measured: Sequence[Measurement], profile: str, n_filters: int = 196) -> SavedFigure:
    """Draw and save filters of the first training of WLSC and of sparse coding, the best Gabor fit first."""
    titles, side = titles_of(study), study.data.options["patch_size"]
    panels, columns = {}, {}
    for name in ("wlsc", "sparse_coding"):
        one = select(measured, name)[0]
        r2 = one.fits["filter"].r2
        panels[titles[name]] = one.filters[np.argsort(-r2)][:n_filters]
        columns[f"r2 of {titles[name]}"] = np.sort(r2)[::-1]
    return save_figure(plots.filter_grids(panels, (side, side)), "dictionaries-by-fit", profile, columns, ".png")


def tabulate_models(study: Study, measured: Sequence[Measurement], profile: str) -> SavedTable:
    """Save the table of all models: how they were matched, how many units are fitted, how broadly they are tuned."""
    header = (
        "model, trainings, units, λ, active atoms, fitted, phase known, circular variance, of the filters alone, "
        "broadly tuned"
    )
    rows = [_model_row(title, select(measured, name)) for name, title in titles_of(study).items()]
    return save_table("bench", profile, header.split(", "), filter(None, rows))


def _model_row(title: str, trainings: Sequence[Measurement]) -> list[Any]:
    if not trainings:
        return []
    fits, first = fits_of(trainings), trainings[0].summary
    broad = np.mean([is_broad(fit).mean() for fit in fits])
    rejected = np.mean([(~is_fitted(fit)).mean() for fit in fits])
    reached = all(one.summary["reached"] for one in trainings)
    return [
        title,
        len(trainings),
        first["n_units"],
        f"{first['lam']:.3g}" if first["lam"] else "–",
        say_spread([one.summary["activity"] for one in trainings], 1) + ("" if reached else " (target not reached)"),
        say_spread([is_fitted(fit).mean() for fit in fits]),
        say_spread([is_phase_known(fit).mean() for fit in fits]),
        say_spread(run_means(circular_variances(trainings))),
        say_spread(run_means(circular_variances(trainings, "filter_circular_variance"))),
        f"{broad:.2f} … {broad + rejected:.2f}",
    ]


def say_spread(values: Iterable[float], digits: int = 2) -> str:
    """Write the mean of trainings ± their standard deviation, NaN left out; a dash if there is nothing else."""
    known = np.array([value for value in values if not np.isnan(value)])
    if not len(known):
        return "–"
    mean = f"{known.mean():.{digits}f}"
    return mean if len(known) == 1 else f"{mean} ± {known.std(ddof=1):.{digits}f}"


def draw_differences(name: str, profile: str, parts: Mapping[str, Part], x_label: str) -> SavedFigure:
    """Draw and save the estimates of claims' parts, by title, with the intervals of all their settings."""
    panels = {
        title: (part.threshold, _intervals_of(part)) for title, part in parts.items() if part.estimate is not None
    }
    columns = {
        f"{title}: {setting}" if title else setting: np.array([value for value in row if np.isfinite(value)])
        for title, (_, rows) in panels.items()
        for setting, row in rows.items()
    }
    return save_figure(plots.interval_panels(panels, x_label), name, profile, columns)


def _intervals_of(part: Part) -> dict[str, tuple[float, float, float]]:
    """Estimate and ends of the interval, NaN if there is none, by setting, the primary one first."""
    rows = {}
    for setting, found in {str(PRIMARY): part, **part.sensitivity}.items():
        if found.estimate is not None:
            ends = found.interval if isinstance(found.interval, tuple) else (np.nan, np.nan)
            rows[setting] = (found.estimate, *ends)
    return rows


def load_recorded_tuning(profile: str) -> RingachCells | None:
    """Load the cells of Ringach, Shapley and Hawken (2002) in the full profile, if they can be had.

    Their file states no licence: a build must do without it.
    """
    if profile != "full":
        return None
    try:
        return load_ringach_cells()
    except DataError as error:
        print(error)
        return None


def tuning_of(
    study: Study, measured: Sequence[Measurement], models: Sequence[str], cells: RingachCells | None
) -> dict[str, np.ndarray]:
    """Return the circular variances of models in the primary setting and of recorded cells, by title."""
    values = {titles_of(study)[name]: pooled(circular_variances(select(measured, name))) for name in models}
    if cells is None:
        return values
    simple = cells.circular_variance[cells.is_simple]
    return {**values, "macaque V1": cells.circular_variance, "macaque V1, simple cells": simple}


def draw_tuning(profile: str, values: Mapping[str, np.ndarray]) -> SavedFigure:
    """Draw and save cumulative distributions of circular variance, by title."""
    figure = plots.cumulative(values, "circular variance (0 one orientation … 1 untuned)", "share of units")
    columns = {f"circular variance of {title}": sample for title, sample in values.items()}
    return save_figure(figure, "circular-variance", profile, columns)


def tabulate_tuning(profile: str, values: Mapping[str, np.ndarray]) -> SavedTable:
    """Save the table of quartiles of circular variance, published ones first."""
    published = {
        "macaque V1, published": (RINGACH_2002.n_cells, RINGACH_2002.circular_variance_quartiles),
        "macaque V1, simple cells, published": (RINGACH_2002.n_simple, RINGACH_2002.simple_circular_variance_quartiles),
    }
    computed = {title: (len(sample), np.quantile(sample, [0.25, 0.5, 0.75])) for title, sample in values.items()}
    rows = [
        [title, n_units, *(f"{value:.2f}" for value in quartiles)]
        for title, (n_units, quartiles) in {**published, **computed}.items()
    ]
    header = ["population", "units", "first quartile", "median", "third quartile"]
    return save_table("tuning-quartiles", profile, header, rows)


def draw_tuning_by_activity(study: Study, measured: Sequence[Measurement], profile: str) -> SavedFigure:
    """Draw and save the mean circular variance and the share of broadly tuned units over the activity."""
    titles = titles_of(study)
    quantities: dict[str, Callable[[list[Measurement]], float]] = {
        "circular variance of responses": lambda some: float(run_means(circular_variances(some)).mean()),
        "share broadly tuned": lambda some: float(np.mean([is_broad(fit).mean() for fit in fits_of(some)])),
    }
    groups = {name: _by_activity(measured, name) for name in ("wlsc", "sparse_coding")}
    panels = {
        panel: {
            titles[name]: (
                np.array([np.mean([one.summary["activity"] for one in some]) for some in groups[name]]),
                np.array([summarise(some) for some in groups[name]]),
            )
            for name in groups
        }
        for panel, summarise in quantities.items()
    }
    columns = {
        f"{axis}, {panel}, {title}": values[index]
        for panel, series in panels.items()
        for title, values in series.items()
        for index, axis in enumerate(("active atoms", "value"))
    }
    return save_figure(plots.curves(panels, "active atoms", "mean over units"), "tuning-by-activity", profile, columns)


def _by_activity(measured: Sequence[Measurement], model: str) -> list[list[Measurement]]:
    activities = sorted({one.cell.activity for one in measured if one.cell.model == model and one.cell.activity})
    groups = (select(measured, model, PRIMARY._replace(activity=activity)) for activity in activities)
    return [group for group in groups if group]


def draw_plane(
    study: Study, measured: Sequence[Measurement], table: BinnedCells, seed: int, profile: str
) -> SavedFigure:
    """Draw and save as many units of WLSC and of sparse coding as there are cells, over the counts of the cells."""
    rng, titles = np.random.default_rng(seed), titles_of(study)
    units = {}
    for name in ("wlsc", "sparse_coding"):
        fits = [fit[is_fitted(fit)] for fit in fits_of(select(measured, name))]
        nx, ny = pooled(fit.nx for fit in fits), pooled(fit.ny for fit in fits)
        chosen = rng.choice(len(nx), min(int(table.counts.sum()), len(nx)), replace=False)
        units[titles[name]] = (nx[chosen], ny[chosen])
    columns = {
        f"{axis} of {title}": values[index]
        for title, values in units.items()
        for index, axis in enumerate(("nx", "ny"))
    }
    figure = plots.receptive_field_plane(units, (table.edges[0], table.edges[1]), table.counts)
    return save_figure(figure, "nx-ny", profile, columns)


def explore_units(
    study: Study, measured: Sequence[Measurement], table: BinnedCells, seed: int, profile: str
) -> explorers.Explorer:
    """Make the explorer of units in the plane of nx and ny: of every model as many as there are cells."""
    shown = {
        title: _units(study, select(measured, name)[0], int(table.counts.sum()), seed)
        for name, title in titles_of(study).items()
        if select(measured, name) and is_fitted(select(measured, name)[0].fits["filter"]).any()
    }
    text = "Units of two models as dots over grey squares of cell counts, axes nx and ny."
    still = explorers.Still("nx-ny.svg", text)
    return explorers.electrode("electrode", profile, shown, table.edges, table.counts, still)


def _units(study: Study, one: Measurement, n_units: int, seed: int) -> explorers.Units:
    """Fitted units of a training, drawn at random."""
    fitted = np.flatnonzero(is_fitted(one.fits["filter"]))
    chosen = np.sort(np.random.default_rng(seed).choice(fitted, min(n_units, len(fitted)), replace=False))
    filters, fit, units = one.filters[chosen], one.fits["filter"][chosen], one.units[chosen]
    side = int(np.sqrt(filters.shape[1]))
    pictures = {
        "atom": filters,
        "Gabor fit": gabor(fit, (side, side)),
        "mapped field": map_fields(study, one.cell)[chosen],
    }
    facts = {
        "r²": fit.r2,
        "phase (degrees)": fit.phase_deg,
        "circular variance": units.circular_variance,
        "of the filter alone": units.filter_circular_variance,
        "F1/F0": units.modulation_ratio,
    }
    return explorers.Units(fit.nx, fit.ny, pictures, facts, units.rates)


def tabulate_distances(
    study: Study, measured: Sequence[Measurement], table: BinnedCells, seed: int, profile: str
) -> SavedTable:
    """Save the table of distances to the recorded cells, the nearest model first, below the noise of the table."""
    noise = [noise_of(table, unseen, seed) for unseen in UNSEEN]
    titles = titles_of(study)
    found = {
        name: [distance_to_table(measured, name, table, noise[i], UNSEEN[i]) for i in range(len(UNSEEN))]
        for name in titles
    }
    known = {name: [one for one in distances if one is not None] for name, distances in found.items()}
    rows = [
        [
            f"*{int(table.counts.sum())} cells drawn from the table itself*",
            *(f"{np.median(draws):.2f} {_say_ends(np.quantile(draws, (0.025, 0.975)))}" for draws in noise),
        ],
        *(
            [titles[name], *(_say_distance(distance) for distance in distances)]
            for name, distances in sorted(known.items(), key=lambda item: [one.estimate for one in item[1]])
            if distances
        ),
    ]
    return save_table("distances", profile, ["model", *(f"{unseen} cells unseen" for unseen in UNSEEN)], rows)


def _say_distance(distance: Estimate) -> str:
    interval = distance.interval()
    return f"{distance.estimate:.2f}" + ("" if interval is Verdict.TOO_FEW_RUNS else f" {_say_ends(interval)}")


def _say_ends(ends: Sequence[float] | np.ndarray) -> str:
    return say_interval((float(ends[0]), float(ends[1])), sign="")


def tabulate_fields(study: Study, measured: Sequence[Measurement], profile: str) -> SavedTable:
    """Save the table of both ways of training and of all kinds of receptive field."""
    header = "model, receptive field, fitted, median nx, median ny, broadly tuned, odd"
    rows = [
        [titles_of(study)[name], title, *_describe_field(select(measured, name), field)]
        for name in ("wlsc", "wlsc_unrolled", "sparse_coding")
        for field, title in FIELD_TITLES.items()
        if fits_of(select(measured, name), field)
    ]
    return save_table("fields", profile, header.split(", "), rows)


def _describe_field(trainings: Sequence[Measurement], field: str) -> list[str]:
    fits = fits_of(trainings, field)
    fitted = [fit[is_fitted(fit)] for fit in fits if is_fitted(fit).any()]
    return [
        say_spread([is_fitted(fit).mean() for fit in fits]),
        say_spread([np.median(fit.nx) for fit in fitted]),
        say_spread([np.median(fit.ny) for fit in fitted]),
        say_spread([is_broad(fit).mean() for fit in fitted]),
        say_spread(run_means(phases >= ODD_DEG for phases in known_phases(trainings, field))),
    ]


def tabulate_claims(claims: Mapping[str, Claim], profile: str) -> SavedTable:
    """Save the table of the chapter's claims, with verdicts where the profile gives them."""
    return save_table("verdicts-1a", profile, *tabulate(claims, CLAIMED, profile))


def list_found(
    study: Study,
    measured: Sequence[Measurement],
    claims: Mapping[str, Claim],
    table: BinnedCells,
    seed: int,
    profile: str,
) -> dict[str, Any]:
    """Return what the chapter keeps for other pages and for readers, for `wlsc.companion.results.save_claims`."""
    noise = noise_of(table, seed=seed)
    distances = {title: distance_to_table(measured, name, table, noise) for name, title in titles_of(study).items()}
    return {
        "n_seeds": len(select(measured, "wlsc")),
        **write_claims(claims, gives_verdicts(profile)),
        "stand_in_fitted": share_fitted(select(measured, LLD)),
        "distance_to_table": {
            title: {"estimate": found.estimate, "interval": found.interval()}
            for title, found in distances.items()
            if found is not None
        },
    }


def facts(
    study: Study, measured: Sequence[Measurement], claims: Mapping[str, Claim], table: BinnedCells, seed: int
) -> dict[str, str]:
    """Return the numbers that the chapter's sentences quote, by the name that they are quoted by."""
    options, training = study.data.options, study.training
    wlsc = select(measured, "wlsc")
    known = np.mean([is_phase_known(fit).mean() for fit in fits_of(wlsc)])
    stand_in = claims["C2, stand-in"].parts["difference"]
    nearer = difference_in_distance(measured, "sparse_coding", table, noise_of(table, seed=seed))
    return {
        "share-known": f"{known:.0%}",
        "primary-size": f"{PRIMARY.overcompleteness:g}",
        "primary-activity": f"{PRIMARY.activity:g}",
        "n-cells": str(int(table.counts.sum())),
        "n-trainings": str(len(wlsc)),
        "trained-on": (
            f"{options['n_patches']:,} whitened patches of {options['patch_size']} × {options['patch_size']} pixels, "
            f"drawn from a bootstrap sample of the images ({study.data.source.replace('+', ', ')}), "
            f"{training.n_epochs} times, in batches of {training.batch_size:,}"
        ),
        "odd-kept": _say_share(*odd_if_short(wlsc)),
        "odd-removed": _say_share(*odd_if_short(select(measured, "wlsc", MEAN_REMOVED))),
        "drawn-fits": _say_how_drawn_fits_agree(wlsc),
        "nearer": "–" if nearer is None else _say_estimate(nearer),
        "stand-in-fitted": f"{share_fitted(select(measured, LLD)):.0%}",
        "stand-in": say_number(stand_in),
        "stand-in-margin": "–" if stand_in.margin is None else f"{stand_in.margin:.2f}",
        **_facts_of_tuning(measured),
        **_facts_of_training(measured),
    }


def _say_how_drawn_fits_agree(trainings: Sequence[Measurement]) -> str:
    """Median share of the power of the fitted filters for which their Gabor functions, drawn again, account."""
    filters = np.concatenate([one.filters[is_fitted(one.fits["filter"])] for one in trainings])
    fits = np.concatenate([one.fits["filter"][is_fitted(one.fits["filter"])] for one in trainings])
    side = int(np.sqrt(filters.shape[1]))
    left = ((filters - gabor(fits, (side, side))) ** 2).sum(axis=1)
    return f"{np.median(1 - left / (filters**2).sum(axis=1)):.3f}"


def _say_share(n_odd: int, n_all: int) -> str:
    return f"{n_odd} of {n_all}" + (f" ({n_odd / n_all:.0%})" if n_all else "")


def _say_estimate(found: Estimate) -> str:
    return say_number(Measured(estimate=found.estimate, interval=found.interval()))


def _facts_of_tuning(measured: Sequence[Measurement]) -> dict[str, str]:
    """Mean circular variances up the ladder from sparse coding to WLSC, and medians of both ends."""
    variances = {
        name: circular_variances(select(measured, name)) for name in ("sparse_coding", "nonnegative", "simplex", "wlsc")
    }
    means = {name: float(run_means(values).mean()) for name, values in variances.items()}
    gap = means["wlsc"] - means["sparse_coding"]
    return {
        **{f"variance-{name}": f"{mean:.2f}" for name, mean in means.items()},
        "share-of-sign": f"{(means['nonnegative'] - means['sparse_coding']) / gap:.2f}",
        **{f"median-{name}": f"{np.median(pooled(variances[name])):.2f}" for name in ("wlsc", "sparse_coding")},
        "median-cells": f"{RINGACH_2002.circular_variance_quartiles[1]:.2f}",
        "median-simple-cells": f"{RINGACH_2002.simple_circular_variance_quartiles[1]:.2f}",
        "gap-closed": f"{gap:+.3f}",
    }


def _facts_of_training(measured: Sequence[Measurement]) -> dict[str, str]:
    """How alike the dictionaries of the two ways of training are, and their units' tuning."""
    closed, unrolled = select(measured, "wlsc"), select(measured, "wlsc_unrolled")
    both = pair(closed, unrolled)
    same = pooled(matched_cosines(one.filters, other.filters) for one, other in both)
    others = pooled(
        matched_cosines(one.filters, other.filters) for i, one in enumerate(closed) for other in closed[i + 1 :]
    )
    tuning = [pooled(circular_variances(some)) for some in zip(*both, strict=True)]
    estimate, n_pairs = gap_of_tuning(measured, model="wlsc_unrolled")
    return {
        "cosine-same-start": f"{np.median(same):.2f}",
        "cosine-other-seed": f"{np.median(others):.2f}",
        "tuning-of-trainings": f"{ks_2samp(*tuning, method='asymp').statistic:.2f}",
        "gap-unrolled": "–" if estimate is None else f"{estimate.estimate:+.3f}",
        "n-unrolled": str(n_pairs),
    }


#: What follows "the claim that …", and "the claims that …", for every verdict.
_MEANING = {
    Verdict.SUPPORTED: ("is supported", "are supported"),
    Verdict.CONTRADICTED: ("is contradicted", "are contradicted"),
    Verdict.INCONCLUSIVE: ("is left open by the data", "are left open by the data"),
    Verdict.COMPARABLE: ("is supported, within the margin", "are supported, within the margin"),
    Verdict.TOO_FEW_RUNS: ("has too few trainings to be judged", "have too few trainings to be judged"),
    Verdict.CANNOT_BE_TESTED: (
        "cannot be tested with what has been published",
        "cannot be tested with what has been published",
    ),
}

_TUNING = {
    Verdict.SUPPORTED: "WLSC's units are more broadly tuned than those of two-sided sparse coding",
    Verdict.CONTRADICTED: "WLSC's units are more sharply tuned than those of two-sided sparse coding",
}


def answer_in_short(claims: Mapping[str, Kept | Claim]) -> dict[str, str]:
    """Return the chapter's answer in three sentences, by the name that they are quoted by."""
    tuning = claims["C3"]
    found = next(iter(_numbers(tuning).values()))
    open_question = "It is open whether WLSC's units are more broadly tuned than those of two-sided sparse coding"
    said = _TUNING.get(tuning.verdict, open_question)
    firm = " (not firm)" if tuning.firm is False else ""
    return {
        "answer-tuning": (
            f"{said} with as many atoms and as many of them active: the difference of mean circular variance is "
            f"{say_number(found)}{firm}."
        ),
        "answer-phase": _join(
            {
                "that spatial phases form an even and an odd class": claims["C1b"],
                "that well-tuned units tend to be odd": claims["C1c"],
            }
        ),
        "answer-untested": _join(
            {
                "that the phases are those of V1": claims["C1a"],
                "that WLSC is comparable to LLD": claims["C2"],
            }
        ),
    }


def _join(claimed: Mapping[str, Kept | Claim]) -> str:
    """Say of two claims what the data say of each, once if that is the same."""
    (first, one), (second, other) = claimed.items()
    endings = [" (not firm)" if claim.firm is False else "" for claim in (one, other)]
    if one.verdict is other.verdict and endings[0] == endings[1]:
        return f"The claims {first} and {second} {_MEANING[one.verdict][1]}{endings[0]}."
    said = [_MEANING[claim.verdict][0] + ending for claim, ending in zip((one, other), endings, strict=True)]
    return f"The claim {first} {said[0]}, and the claim {second} {said[1]}."


def _numbers(claim: Kept | Claim) -> Mapping[str, Measured]:
    return claim.numbers if isinstance(claim, Kept) else claim.parts


def answers(claims: Mapping[str, Claim], kept: Mapping[str, Any] | None, commit: str, profile: str) -> dict[str, str]:
    """Return the sentences of the box at the top: this build's in `full`, in `quick` those of the kept results.

    Parameters
    ----------
    claims
        What this build found.
    kept
        Results of all data that are kept with the sources; None if there are none.
    commit
        That they were computed at.
    profile
        Of the build.
    """
    if gives_verdicts(profile):
        return answer_in_short(claims) | {"answer-from": "That is what this build found on all data."}
    if kept is None:
        unknown = dict.fromkeys(
            ("answer-tuning", "answer-phase", "answer-untested"), "This was not measured on all data."
        )
        return unknown | {"answer-from": "This build checks the code and gives no verdicts."}
    return answer_in_short(read_kept(kept)) | {
        "answer-from": (
            f"That is what a run on all data found at commit {commit[:8]}, by the rules of that time. This page was "
            "built with the quick profile, which checks the code on a few small images: its own numbers come without "
            "verdicts."
        )
    }


#: Stands where a build gives no verdict.
NO_VERDICT = "a quick build draws no conclusion"


def conclusions(
    measured: Sequence[Measurement], claims: Mapping[str, Claim], table: BinnedCells, seed: int, profile: str
) -> dict[str, str]:
    """Return what follows from numbers beside the claims, by the name that it is quoted by; nothing does in `quick`."""
    found = {
        "so-mean": conclude_on_the_mean(measured),
        "so-tuning": conclude_on_tuning(measured),
        "so-nearer": conclude_on_distance(
            difference_in_distance(measured, "sparse_coding", table, noise_of(table, seed=seed))
        ),
        "so-stand-in": str(claims["C2, stand-in"].verdict),
    }
    return found if gives_verdicts(profile) else dict.fromkeys(found, NO_VERDICT)


def conclude_on_the_mean(measured: Sequence[Measurement]) -> str:
    """Say whether more of the short filters are odd where the mean was removed."""
    kept, removed = (odd_if_short(select(measured, "wlsc", setting)) for setting in (PRIMARY, MEAN_REMOVED))
    if not (kept[1] and removed[1]):
        return "there are no such filters to compare"
    change = removed[0] / removed[1] - kept[0] / kept[1]
    return "removing the mean did not make more of them odd" if change <= 0 else "more of them are odd without the mean"


def conclude_on_tuning(measured: Sequence[Measurement]) -> str:
    """Say whether both models are tuned more sharply than simple cells, by their medians."""
    medians = [np.median(pooled(circular_variances(select(measured, name)))) for name in ("wlsc", "sparse_coding")]
    sharper = max(medians) < RINGACH_2002.simple_circular_variance_quartiles[1]
    return f"both models are {'' if sharper else 'not '}tuned more sharply than simple cells"


def conclude_on_distance(difference: Estimate | None) -> str:
    """Say which of two models is nearer to the cells, if its interval tells."""
    interval = None if difference is None else difference.interval()
    if interval is None or interval is Verdict.TOO_FEW_RUNS:
        return "there are too few trainings to tell"
    low, high = interval
    return "WLSC is nearer" if high < 0 else "sparse coding is nearer" if low > 0 else "neither is shown to be nearer"


def list_by_verdict(claims: Mapping[str, Claim], profile: str) -> str:
    """Return the claims in Markdown, those with the same verdict together; none in a profile without verdicts."""
    if not gives_verdicts(profile):
        return "This build used the quick profile, which checks the code: it says nothing about the claims."
    by_verdict: dict[str, list[str]] = {}
    for name, text in CLAIMED.items():
        by_verdict.setdefault(say_verdict(claims[name]), []).append(f"{name} ({text})")
    return "; ".join(f"{said}: {', '.join(names)}" for said, names in by_verdict.items()) + "."
