"""C4a and C4b on measurements whose verdict is known, in every direction."""

import numpy as np
import pytest
from scipy import stats

from tests.experiments.cluster_runs import NOISE, compared, results, run
from wlsc.analysis.statistics import Verdict
from wlsc.experiments.claims.clusters import MARGIN, judge_clusters, purity_difference

#: Name → (WLSC less pixels, WLSC less sparse coding) by variation, and what has to be said of C4a and of C4b.
CASES = {
    "better than both": (
        {"none": 0.02, "raw": 0.01},
        {"none": 0.03, "raw": 0.02},
        Verdict.SUPPORTED,
        Verdict.SUPPORTED,
    ),
    "less than a point behind the pixels": (
        {"none": -0.004, "raw": -0.005},
        {"none": 0.01, "raw": 0.01},
        Verdict.SUPPORTED,
        Verdict.SUPPORTED,
    ),
    "worse than both": (
        {"none": -0.03, "raw": -0.02},
        {"none": -0.02, "raw": -0.03},
        Verdict.CONTRADICTED,
        Verdict.CONTRADICTED,
    ),
    "on the thresholds": (
        {"none": -MARGIN, "raw": 0.02},
        {"none": 0.0, "raw": 0.02},
        Verdict.INCONCLUSIVE,
        Verdict.INCONCLUSIVE,
    ),
    "raw pixels disagree": (
        {"none": 0.02, "raw": -0.03},
        {"none": -0.02, "raw": 0.02},
        Verdict.INCONCLUSIVE,
        Verdict.INCONCLUSIVE,
    ),
    "raw pixels are missing": ({"none": 0.02}, {"none": -0.02}, Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE),
    "sparse coding is missing": (
        {"none": 0.02, "raw": 0.02},
        {},
        Verdict.SUPPORTED,
        Verdict.CANNOT_BE_TESTED,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_claim_has_the_verdict_that_is_known(name):
    over_pixels, over_sparse_coding, c4a, c4b = CASES[name]
    claims = judge_clusters(compared(over_pixels, over_sparse_coding))
    assert (claims["C4a"].verdict, claims["C4b"].verdict) == (c4a, c4b)


def test_two_runs_are_too_few():
    claims = judge_clusters(compared({"none": 0.02, "raw": 0.02}, {"none": 0.02, "raw": 0.02}, n_runs=2))
    assert {claim.verdict for claim in claims.values()} == {Verdict.TOO_FEW_RUNS}


def test_all_variations_that_have_classes_have_to_agree():
    gaps = {"none": 0.02, "raw": 0.02}
    claims = judge_clusters(compared(gaps, gaps, profile="full"))
    (part,) = claims["C4a"].parts.values()
    assert set(part.sensitivity) == {"raw", "five_classes"}  # and not Gaussian digits
    assert claims["C4a"].verdict is Verdict.INCONCLUSIVE  # five classes were not run
    gaps |= {"five_classes": 0.02}
    assert judge_clusters(compared(gaps, gaps, profile="full"))["C4a"].verdict is Verdict.SUPPORTED


def test_the_numbers_are_student_s_of_paired_differences():
    claims = judge_clusters(compared({"none": -0.004, "raw": 0.02}, {"none": 0.003, "raw": 0.02}))
    tests = {
        "C4a": stats.ttest_1samp(-0.004 + NOISE, -MARGIN),
        "C4b": stats.ttest_1samp(0.003 + NOISE, 0),
    }
    for name, test in tests.items():
        (part,) = claims[name].parts.values()
        assert part.interval == pytest.approx(test.confidence_interval(0.95))
        assert part.p == pytest.approx(test.pvalue)
        assert part.n_runs == 5
    smaller, larger = sorted(test.pvalue for test in tests.values())
    adjusted = sorted(claims[name].parts["difference"].p_holm for name in tests)
    assert adjusted == pytest.approx(sorted([2 * smaller, max(larger, 2 * smaller)]))


def test_runs_are_paired_by_their_seed():
    found = results(
        *(run("wlsc", seed, purity=purity) for seed, purity in ((2, 0.7), (0, 0.9), (1, 0.8), (5, 0.1))),
        *(run("pixels", seed, purity=purity) for seed, purity in ((0, 0.85), (1, 0.76), (2, 0.67), (7, 0.2))),
    )
    estimate = purity_difference(found, "pixels")
    assert estimate.estimate == pytest.approx(np.mean([0.05, 0.04, 0.03]))
    assert estimate.interval() == pytest.approx(stats.ttest_1samp([0.05, 0.04, 0.03], 0).confidence_interval(0.95))
    assert purity_difference(found, "sparse_coding") is None


def test_codes_that_are_not_as_active_as_asked_are_not_compared():
    gaps = {"none": 0.02, "raw": 0.02}
    found = compared(gaps, gaps)
    for measurement in found.of("sparse_coding"):
        measurement.summary["reached"] = False
    claims = judge_clusters(found)
    assert claims["C4b"].verdict is Verdict.CANNOT_BE_TESTED
    assert claims["C4a"].verdict is Verdict.SUPPORTED


def test_a_verdict_whose_interval_ends_near_the_threshold_is_not_firm():
    gaps = {"none": 0.003, "raw": 0.02}  # the low end of the interval is 0.001
    firm, open_ = (judge_clusters(compared(gaps, gaps), allowance) for allowance in (0.0005, 0.002))
    assert firm["C4b"].firm and not open_["C4b"].firm
    assert firm["C4a"].firm and open_["C4a"].firm  # its threshold is a point away
    with pytest.raises(ValueError, match="allowance must be at least 0"):
        judge_clusters(compared(gaps, gaps), -1.0)
