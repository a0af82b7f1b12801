"""What the chapter on Figure 1B shows of measurements that a test makes up."""

import csv

import numpy as np
import pytest

from tests.conftest import REPOSITORY
from tests.experiments.cluster_runs import clusters, compared, results, run, study
from wlsc.analysis.statistics import Verdict
from wlsc.companion import figure_1b, figure_1b_words
from wlsc.companion.results import load_result
from wlsc.experiments.claims.clusters import judge_clusters
from wlsc.experiments.cluster_results import Confusions, SharedAtoms
from wlsc.experiments.toys import SolvedToy

RNG = np.random.default_rng(0)
PLANE, CLASSES = RNG.normal(size=(30, 2)), np.arange(30) % 10
BENCHMARK = load_result("benchmarks/clustering", REPOSITORY / "results")
SHARED = {"WLSC": SharedAtoms(0.84, 0.012, 0.8), "WLSC on Gaussian digits": SharedAtoms(0.78, 0.011, 0.7)}
GAPS = {"none": 0.03, "raw": 0.02}
PROFILES = ("quick", "full")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("WLSC_FIGURES_DIR", str(tmp_path))
    return tmp_path


def everything(profile="quick"):
    """Runs of every method, and three of those that are compared."""
    methods = study(profile).methods
    runs = [run(name, seed, purity=0.9 + 0.01 * seed) for name in methods for seed in range(3)]
    runs += [run(name, 0, "raw", purity=0.85) for name in methods]
    runs += [run(name, 0, trial=trial) for name, spec in methods.items() for trial in range(1, 1 + len(spec.trials))]
    drawn = [run(name, 3, v, embedding=PLANE) for name, v in figure_1b.PICTURES.values()]
    return results(*runs, *drawn, profile=profile)


def table(shown):
    """Rows as mappings, by the entry of their first column."""
    return {row[0]: dict(zip(shown.header, row, strict=True)) for row in shown.rows}


def toys(accuracy, by_means=0.8):
    points, codes = RNG.normal(size=(6, 2)).astype(np.float32), np.eye(6, 4)
    return [SolvedToy(points, points[:4], codes, reached, by_means, 0.01) for reached in accuracy]


@pytest.mark.parametrize(
    ("numbers", "digits", "text"),
    [
        ([1, 2, 4], 1, "2.0 [1.0, 4.0]"),
        ([0.5, 0.5], 2, "0.50"),
        ([], 3, "—"),
        ([np.nan], 3, "—"),
        (iter([3, 1]), 0, "2 [1, 3]"),
    ],
)
def test_several_numbers_are_a_median_and_a_range(numbers, digits, text):
    assert figure_1b.spans(numbers, digits) == text


def test_toys_are_counted():
    solved = {"two moons": toys([1.0, 0.6, 0.995, 0.8]), "two circles": toys([1.0])}
    figure_1b.draw_toys(solved, "quick")
    rows = table(figure_1b.tabulate_toys(solved, "quick"))
    assert list(rows["two moons"].values())[1:] == ["0.897", "0.600", "0.50", "0.800"]
    said = figure_1b_words.describe_toys(solved)
    assert "The two moons are told apart (accuracy above 0.99) in a share of 0.50 of the seeds by their codes" in said
    assert said.endswith(
        "the two circles are told apart (accuracy above 0.99) in a share of 1.00 of the seeds by their "
        "codes, and of 0.00 by k-means."
    )


def test_pictures_are_drawn_and_judged():
    found = everything()
    figure_1b.draw_pictures(found, CLASSES, "quick")
    rows = table(figure_1b.tabulate_pictures(found, "quick"))
    assert list(rows["pixels"].values())[1:] == ["1", "0.970", "0.880", "0.900"]
    assert list(rows["WLSC on Gaussian digits"].values())[1:] == ["1", "0.970", "—", "—"]  # which have no classes
    np.testing.assert_array_equal(figure_1b.plane_of(found, "pixels"), PLANE)
    with pytest.raises(ValueError, match="results must hold an embedding of wlsc in the variation none, got none"):
        figure_1b.plane_of(results(run("wlsc")), "WLSC")


def test_shared_atoms_are_written():
    rows = table(figure_1b.tabulate_islands(SHARED, "quick"))
    assert list(rows["WLSC"].values())[1:] == ["0.84", "0.012", "0.80"]


def test_umap_is_not_measured_in_quick():
    shown = figure_1b.tabulate_umap(results(), RNG.normal(size=(20, 4)), CLASSES[:20], 0, "quick")
    assert {text for row in shown.rows for text in row[1:]} == {"not measured"}


def words_for_verdicts(text):
    """Verdicts in a text; "too few runs" also stands where an interval would."""
    judging = set(Verdict) - {Verdict.TOO_FEW_RUNS}
    return [word for word in (*map(str, judging), "highest", "purest") if word in text]


@pytest.mark.parametrize("gap", [0.03, -0.03, 0.0])
def test_quick_gives_numbers_and_full_gives_verdicts(gap, folder):
    found = compared({"none": gap, "raw": gap}, {"none": gap, "raw": gap})
    found = results(*found.measurements, run("wlsc_15_layers"))
    claims = judge_clusters(found)
    shown = {}
    for profile in PROFILES:
        tabulated = figure_1b.tabulate_claims(claims, profile)
        words = figure_1b_words.quote_answers(found, claims, SHARED, profile)
        shown[profile] = str(tabulated) + " ".join(words.values())
        assert f"{gap:+.3f} [" in words["conclusion"]
    assert words_for_verdicts(shown["quick"]) == []
    for claim in claims.values():
        assert str(claim.verdict) in shown["full"]


@pytest.mark.parametrize(
    ("gap", "allowance", "says"),
    [
        (0.03, 0.0, "C4b is supported: codes keep the classes together better than those of sparse coding;"),
        (-0.03, 0.0, "C4b is contradicted: codes keep the classes together less well than those of sparse coding;"),
        (
            0.0,
            0.0,
            "C4b is inconclusive: it is open whether codes keep the classes together better than those of",
        ),
        (0.003, 0.002, "C4b is supported, though not firm: codes"),
    ],
)
def test_a_sentence_says_the_verdict_and_the_numbers_of_all_settings(gap, allowance, says):
    claims = judge_clusters(compared({"none": gap, "raw": 0.03}, {"none": gap, "raw": gap + 0.03 * np.sign(gap)}))
    if allowance:
        claims = judge_clusters(compared({"none": gap}, {"none": gap, "raw": gap + 0.03}), allowance)
    said = figure_1b_words.describe_verdict("C4b", claims["C4b"])
    assert said.startswith(says)
    assert f"{gap:+.3f} [" in said and "(unit norm)" in said and "(raw)" in said


def test_what_is_not_measured_is_not_drawn(folder):
    claims = judge_clusters(compared({"none": 0.02, "raw": 0.02}, {}))
    figure_1b.draw_claims(claims, "quick")
    assert [row["comparison"] for row in read(folder, "purity")] == [
        "C4a: WLSC − pixels, unit norm",
        "C4a: WLSC − pixels, raw",
    ]
    few = judge_clusters(compared(GAPS, GAPS, n_runs=2))
    figure_1b.draw_claims(few, "quick")
    assert {row["low"] for row in read(folder, "purity")} == {"nan"}
    assert "too few runs" in figure_1b_words.say_settings(few["C4a"])


def read(folder, name):
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("profile", PROFILES)
def test_methods_are_compared(profile):
    found = everything(profile)
    figure_1b.draw_read_off(found, profile)
    rows = table(figure_1b.tabulate_read_off(found, profile))
    assert ("MiB" in rows["WLSC"]) is (profile == "full")  # in quick one process measures all
    assert rows["WLSC"]["class purity"] == "0.905 [0.900, 0.920]"
    assert rows["WLSC"]["seconds"] == "[0.5]{.measured}"
    assert rows["WLSC"]["numbers learned"] == "6,400"
    assert "WLSC, 1 layer" not in rows
    free = table(figure_1b.tabulate_label_free(found, profile))
    assert free["WLSC, eigengap"]["NMI"] == "0.700"
    assert "pixels, k-means" in free and "pixels, eigengap" not in free
    one = table(figure_1b.tabulate_one_pipeline(found, profile))
    assert one["NMF"]["accuracy"] == "0.800" and one["NMF"]["seconds"] == "[0.2]{.measured}"


def test_raw_pixels_have_a_row_for_their_own_clusters_too():
    both = results(
        run("wlsc", 0, "raw", purity=0.8),
        run("pixels", 0, "raw", purity=0.7, ways=("bipartite", "labels")),
    )
    figure_1b.draw_raw(both, "quick")
    rows = table(figure_1b.tabulate_raw(both, "quick"))
    assert list(rows) == ["WLSC", "pixels", "pixels, its own clusters"]
    assert rows["WLSC"]["class purity"] == "0.800" and rows["pixels"]["accuracy"] == "0.800"


def test_a_choice_by_labels_is_spelt_out():
    best = run("wlsc", trial=1, lam=0.25, clusters={w: clusters(0.9, chosen_on=0.95) for w in ("k_means", "textbook")})
    others = [run("wlsc", trial=trial) for trial in (0, 2, 3)]
    rows = figure_1b.tabulate_tuned(results(best, *others), "quick").rows
    assert rows == [["WLSC", "n atoms 100, lam 0.25; k-means", "0.900", "0.800", "0.700"]]


def test_sweeps_are_drawn_with_their_ranges(folder):
    found = everything()
    figure_1b.draw_sweeps(found, "quick")
    rows = read(folder, "purity-along")
    assert [row["unrolled layers, class purity, at"] for row in rows[:3]] == ["1", "15", "100"]
    assert [rows[0][f"penalty λ, class purity, {end}"] for end in ("least", "median", "most")] == [
        "0.9",
        "0.91",
        "0.92",
    ]
    shown = table(figure_1b.tabulate_settings(found, "quick"))
    assert "WLSC, 100 atoms, λ = 0.5, exact" in shown
    assert shown["WLSC, 1 layer"]["less that of the pixels"] == "+0.000 (too few runs)"  # no difference has no spread


def test_atoms_and_confusions_are_drawn(folder):
    dictionary, codes = RNG.random((12, 16)), RNG.dirichlet(np.ones(12), 30)
    figure_1b.draw_atoms(dictionary, codes.sum(axis=0), np.arange(12) % 3, "quick")
    confused = Confusions(0.1, np.array([3, 8]), np.array([4, 9]))
    figure_1b.draw_confused(confused, RNG.random((30, 16)), CLASSES, dictionary, codes, "quick")
    assert [(row["digit"], row["taken for"]) for row in read(folder, "confused")[:2]] == [("3", "4"), ("8", "9")]
    assert len(read(folder, "confused")) == 2 * 6 * 16


def test_the_benchmark_that_is_kept_is_shown(folder):
    figure_1b.draw_benchmark(BENCHMARK, "quick")
    rows = table(figure_1b.tabulate_benchmark(BENCHMARK, "quick"))
    assert len(rows) == 1 + sum(name.startswith("dictionaries_") for name in BENCHMARK["ten_classes"])
    runs = [one["accuracy"] for one in BENCHMARK["ten_classes"]["dictionaries_1"]["runs"]]
    expected = f"{np.median(runs):.3f} [{min(runs):.3f}, {max(runs):.3f}]"
    assert rows["ten classes; 1 × 1,000 atoms"]["accuracy"] == expected
    assert len(figure_1b.tabulate_ablations(BENCHMARK, "quick").rows) == len(BENCHMARK["ablations"])


def test_the_costliest_change_is_the_one_of_the_lowest_accuracy():
    medians = {"all parts": 0.8, "a": 0.7, "b": 0.85, "c": 0.2}
    kept = {
        "ablations": {name: {"accuracy": {"median": value}} for name, value in medians.items()},
        "ten_classes": {f"dictionaries_{n}": {"accuracy": {"median": n / 20}} for n in (1, 10)} | {"n_atoms": 7},
    }
    said = figure_1b_words.describe_ablations(kept)
    assert "“c”: it has a median accuracy of 0.200, and all parts together have 0.800." in said
    assert "A higher median than with all parts: b (0.850)." in said
    assert said.endswith("With 10 dictionaries side by side the median accuracy is 0.500.")


def test_full_says_which_method_does_best():
    found = everything("full")
    for one in found.of("nmf"):
        one.summary["purity"] = 0.99
        one.summary["clusters"]["textbook"] = clusters(0.95)
    for one in found.of("landmarks"):
        one.summary["clusters"]["bipartite"] = clusters(0.93)
    said = figure_1b_words.conclude(found, judge_clusters(found), "full")
    assert "NMF has the purest neighbourhoods (0.990, WLSC 0.905)" in said
    assert "landmarks has the highest accuracy (0.930, WLSC 0.800, sparse coding 0.800)" in said
    assert "NMF with textbook spectral reaches the highest accuracy (0.950)" in said
