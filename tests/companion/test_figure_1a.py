"""Tables, pictures and words of the chapter Figure 1A, of synthetic trainings whose numbers are known."""

import csv

import numpy as np
import pytest

from tests.conftest import REPOSITORY
from tests.experiments.trainings import training
from wlsc.analysis.statistics import Estimate, Verdict
from wlsc.companion import figure_1a as page
from wlsc.companion.verdicts import Kept
from wlsc.datasets.physiology import load_nx_ny_counts
from wlsc.experiments.claims.base import Measured, answer
from wlsc.experiments.claims.receptive_fields import ask
from wlsc.experiments.studies import load_study
from wlsc.experiments.units import PRIMARY, Setting

TABLE = load_nx_ny_counts()
STUDY = load_study("figure_1a", "quick", REPOSITORY / "book" / "studies")
OWN = PRIMARY._replace(activity=None)
LADDER = {"sparse_coding": 0.1, "nonnegative": 0.2, "simplex": 0.6, "wlsc": 0.3, "wlsc_unrolled": 0.35, "lld": 0.5}


def one_training(model, seed, setting=PRIMARY, **columns):
    own = setting._replace(activity=None) if model in ("simplex", "lld") else setting
    rng = np.random.default_rng([seed, *model.encode()])
    shift = 0.01 * (seed if model != "wlsc" else (0, 2, 1)[seed])  # the same mean, and not the same gap in every pair
    usual = {
        "circular_variance": LADDER[model] + shift + rng.permutation(np.linspace(-0.05, 0.05, 40)),
        "phase_deg": rng.uniform(0, 90, 40),
        "nx": rng.uniform(0.1, 1.0, 40),
        "ny": rng.uniform(0.1, 1.0, 40),
    }
    return training(model, seed, 40, own, n_pixels=144, fields=("filter", "mapped"), **usual | columns)


@pytest.fixture(scope="module")
def measured():
    return [
        *(one_training(model, seed) for model in LADDER for seed in range(3)),
        *(one_training(model, 0, page.MEAN_REMOVED) for model in ("wlsc", "sparse_coding")),
        *(one_training(model, seed, Setting(5.0, 2.0)) for model in ("wlsc", "sparse_coding") for seed in range(3)),
    ]


@pytest.fixture(scope="module")
def claims(measured):
    return answer(ask(measured, TABLE))


@pytest.fixture(autouse=True)
def figures(tmp_path, monkeypatch):
    for kind in ("FIGURES", "EXPLORERS"):
        monkeypatch.setenv(f"WLSC_{kind}_DIR", str(tmp_path))
    return tmp_path


def read(folder, name):
    with (folder / f"{name}.csv").open(encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return header, rows


@pytest.mark.parametrize(
    ("values", "text"),
    [([0.5], "0.50"), ([1.0, 2.0, 3.0], "2.00 ± 1.00"), ([1.0, np.nan], "1.00"), ([np.nan], "–"), ([], "–")],
)
def test_a_spread_is_a_mean_and_a_deviation(values, text):
    assert page.say_spread(values) == text


def test_every_model_that_was_trained_has_a_row(figures, measured):
    page.tabulate_models(STUDY, measured, "quick")
    header, rows = read(figures, "bench")
    assert [row[0] for row in rows] == [title for name, title in page.titles_of(STUDY).items() if name in LADDER]
    row = dict(zip(header, rows[0], strict=True))
    assert row["trainings"] == "3"
    assert row["circular variance"] == "0.31 ± 0.01"
    assert row["fitted"] == row["phase known"] == "1.00 ± 0.00"


def test_numbers_behind_the_pictures_are_saved(figures, measured, claims):
    page.draw_phases("fig-1a", "quick", {"WLSC": np.array([5.0, 85.0])})
    assert read(figures, "fig-1a") == (["phase of WLSC (degrees)"], [["5.0"], ["85.0"]])
    page.draw_filters(STUDY, measured, "quick", n_filters=9)
    assert len(read(figures, "dictionaries-by-fit")[1]) == 40
    page.draw_plane(STUDY, measured, TABLE, 0, "quick")
    assert len(read(figures, "nx-ny")[1]) == TABLE.counts.sum()
    page.draw_tuning_by_activity(STUDY, measured, "quick")
    header, rows = read(figures, "tuning-by-activity")
    assert header[:2] == [
        "active atoms, circular variance of responses, WLSC",
        "value, circular variance of responses, WLSC",
    ]
    assert [float(row[0]) for row in rows] == [5.0, 10.0]
    tuning = page.tuning_of(STUDY, measured, ("wlsc", "sparse_coding"), None)
    page.draw_tuning("quick", tuning)
    page.tabulate_tuning("quick", tuning)
    quartiles = read(figures, "tuning-quartiles")[1]
    assert [row[0] for row in quartiles] == [
        "macaque V1, published",
        "macaque V1, simple cells, published",
        "WLSC",
        "sparse coding",
    ]
    assert quartiles[2][1:] == ["120", *(f"{q:.2f}" for q in np.quantile(tuning["WLSC"], [0.25, 0.5, 0.75]))]


def test_settings_are_drawn_with_their_intervals_or_without_one(figures, claims):
    part = claims["C3"].parts["difference"]
    few = Measured(estimate=0.5, interval=Verdict.TOO_FEW_RUNS)
    none = Measured(estimate=None, interval=None)
    settings = {**part.sensitivity, "few": few, "none": none}
    page.draw_differences("c3", "quick", {"": page.Part(**vars(part) | {"sensitivity": settings})}, "difference")
    header, rows = read(figures, "c3")
    assert header == ["10 active, 2×", "5 active, 2×", "10 active, 2×, filters alone", "few"]
    assert [row[-1] for row in rows] == ["0.5", "", ""]
    assert [float(row[0]) for row in rows] == pytest.approx([part.estimate, *part.interval])


def test_the_nearest_model_comes_first_below_the_noise(figures, measured):
    page.tabulate_distances(STUDY, [one for one in measured if one.cell.model in ("wlsc", "lld")], TABLE, 0, "quick")
    _, rows = read(figures, "distances")
    assert rows[0][0] == f"*{TABLE.counts.sum()} cells drawn from the table itself*"
    assert {row[0] for row in rows[1:]} == {"WLSC", "LLD-style"}
    estimates = [float(row[1].split()[0]) for row in rows[1:]]
    assert estimates == sorted(estimates)


def test_fields_that_were_measured_have_a_row(figures, measured):
    page.tabulate_fields(STUDY, measured, "quick")
    _, rows = read(figures, "fields")
    assert [row[:2] for row in rows[:2]] == [["WLSC", "atoms, whitened pixels"], ["WLSC", "mapped, whitened pixels"]]
    assert len(rows) == 6


def test_what_is_kept_has_verdicts_in_full_alone(measured, claims):
    kept = {profile: page.list_found(STUDY, measured, claims, TABLE, 0, profile) for profile in ("quick", "full")}
    assert ["verdict" in kept[profile]["C3"] for profile in kept] == [False, True]
    assert kept["quick"]["n_seeds"] == 3
    assert set(kept["quick"]["distance_to_table"]) == {STUDY.models[name].title for name in LADDER}


def test_facts_are_those_of_the_trainings(measured, claims):
    facts = page.facts(STUDY, measured, claims, TABLE, 0)
    assert facts["share-known"] == "100%"
    assert facts["n-trainings"] == facts["n-unrolled"] == "3"
    assert facts["variance-wlsc"] == "0.31"
    assert facts["share-of-sign"] == "0.50"  # half of the way from 0.1 to 0.3
    assert facts["gap-closed"] == "+0.200"
    assert facts["gap-unrolled"] == "+0.250"
    assert facts["median-simple-cells"] == "0.48"


def short(n_odd, n_even, setting):
    return one_training(
        "wlsc", 0, setting, nx=0.1, phase_deg=np.repeat([80.0, 10.0, 40.0], [n_odd, n_even, 40 - n_odd - n_even])
    )


@pytest.mark.parametrize(
    ("kept", "removed", "text"),
    [
        (30, 20, "removing the mean did not make more of them odd"),
        (20, 30, "more of them are odd without the mean"),
    ],
)
def test_the_mean_is_judged_by_the_share_of_odd_filters(kept, removed, text):
    trainings = [short(kept, 5, PRIMARY), short(removed, 5, page.MEAN_REMOVED)]
    assert page.conclude_on_the_mean(trainings) == text


@pytest.mark.parametrize(
    ("difference", "text"),
    [
        (None, "there are too few trainings to tell"),
        (Estimate(-1.0, ()), "there are too few trainings to tell"),
        (Estimate(-1.0, ((0.01, 9),)), "WLSC is nearer"),
        (Estimate(1.0, ((0.01, 9),)), "sparse coding is nearer"),
        (Estimate(1.0, ((1.0, 9),)), "neither is shown to be nearer"),
    ],
)
def test_a_model_is_nearer_if_its_interval_says_so(difference, text):
    assert page.conclude_on_distance(difference) == text


def test_a_quick_build_draws_no_conclusion(measured, claims):
    assert set(page.conclusions(measured, claims, TABLE, 0, "quick").values()) == {page.NO_VERDICT}
    found = page.conclusions(measured, claims, TABLE, 0, "full")
    assert found["so-tuning"] == "both models are tuned more sharply than simple cells"
    assert page.NO_VERDICT not in found.values()
    assert not any(str(verdict) in page.list_by_verdict(claims, "quick") for verdict in Verdict)
    assert "**cannot be tested**: C1a (phases are those of V1), C2 (comparable to LLD)" in page.list_by_verdict(
        claims, "full"
    )


def known(tuning, firm=None, **verdicts):
    numbers = {"difference": Measured(estimate=0.08, interval=(0.07, 0.09))}
    others = dict.fromkeys(("C1a", "C1b", "C1c", "C2"), Verdict.CANNOT_BE_TESTED) | verdicts
    return {name: Kept(verdict, None, {}) for name, verdict in others.items()} | {"C3": Kept(tuning, firm, numbers)}


@pytest.mark.parametrize(
    ("tuning", "begins"),
    [
        (Verdict.SUPPORTED, "WLSC's units are more broadly tuned than"),
        (Verdict.CONTRADICTED, "WLSC's units are more sharply tuned than"),
        (Verdict.INCONCLUSIVE, "It is open whether WLSC's units are more broadly tuned than"),
        (Verdict.TOO_FEW_RUNS, "It is open whether"),
        (Verdict.CANNOT_BE_TESTED, "It is open whether"),
    ],
)
def test_the_answer_follows_from_the_verdict(tuning, begins):
    said = page.answer_in_short(known(tuning))
    assert said["answer-tuning"].startswith(begins)
    assert said["answer-tuning"].endswith("is +0.08 [+0.07, +0.09].")


def test_the_answer_says_what_two_claims_share_once():
    said = page.answer_in_short(known(Verdict.SUPPORTED, False, C1b=Verdict.INCONCLUSIVE, C1c=Verdict.CONTRADICTED))
    assert said["answer-tuning"].endswith("(not firm).")
    assert said["answer-phase"] == (
        "The claim that spatial phases form an even and an odd class is left open by the data, and the claim that "
        "well-tuned units tend to be odd is contradicted."
    )
    assert said["answer-untested"] == (
        "The claims that the phases are those of V1 and that WLSC is comparable to LLD cannot be tested with what has "
        "been published."
    )


def test_the_box_shows_kept_results_in_quick_and_those_of_the_build_in_full(claims):
    kept = {
        **{name: {"verdict": "cannot be tested"} for name in ("C1a", "C2")},
        **{name: {"verdict": "inconclusive"} for name in ("C1b", "C1c")},
        "C3": {"verdict": "contradicted", "difference": {"estimate": -0.5, "interval": [-0.6, -0.4]}},
    }
    quick = page.answers(claims, kept, "0123456789ab", "quick")
    assert "-0.50 [-0.60, -0.40]" in quick["answer-tuning"]
    assert "commit 01234567" in quick["answer-from"]
    assert page.answers(claims, kept, "", "full") == page.answer_in_short(claims) | {
        "answer-from": "That is what this build found on all data."
    }
    assert "not measured on all data" in page.answers(claims, None, "", "quick")["answer-tuning"]


def test_phases_of_treatments_that_were_measured_are_explored(figures, measured):
    explorer = page.explore_phases(STUDY, measured, "quick")
    assert explorer.kind == "phases"
    text = (figures / "phase-treatments.js").read_text(encoding="utf-8")
    assert "mean kept" in text
    assert "mean removed" in text
    assert "lower cut-off" not in text
