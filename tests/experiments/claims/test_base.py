"""Answers to questions whose verdict is known, and verdicts that are derived again from what was written."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from wlsc.analysis.statistics import Verdict, run_mean
from wlsc.experiments.claims.base import Difference, Equivalence, answer, misstated, read_claims, write_claims

#: Run-level values of 6 runs around 0, with standard deviation 1.
VALUES = np.array([-1.2, -0.7, -0.1, 0.1, 0.6, 1.3]) / np.std([-1.2, -0.7, -0.1, 0.1, 0.6, 1.3], ddof=1)


def around(mean, n_runs=6):
    return run_mean(mean + VALUES[:n_runs])


def difference(primary, *sensitivity, **given):
    settings = {f"setting {i}": estimate for i, estimate in enumerate(sensitivity)}
    return Difference(primary=primary, n_runs=6, sensitivity=settings, **given)


QUESTIONS = {
    "supported": (difference(around(3.0), around(2.0)), Verdict.SUPPORTED),
    "contradicted": (difference(around(-3.0), around(-2.0)), Verdict.CONTRADICTED),
    "the other way round": (difference(around(-3.0), direction=-1), Verdict.SUPPORTED),
    "beyond a threshold": (difference(around(-2.0), threshold=-5.0), Verdict.SUPPORTED),
    "inconclusive": (difference(around(0.2)), Verdict.INCONCLUSIVE),
    "settings disagree": (difference(around(3.0), around(3.0), around(0.0)), Verdict.INCONCLUSIVE),
    "a setting is missing": (difference(around(3.0), None), Verdict.INCONCLUSIVE),
    "too few runs": (difference(around(3.0, n_runs=2)), Verdict.TOO_FEW_RUNS),
    "no data": (difference(None), Verdict.CANNOT_BE_TESTED),
    "comparable": (Equivalence(primary=around(0.1), n_runs=6, margin=1.5), Verdict.COMPARABLE),
    "not comparable": (Equivalence(primary=around(0.1), n_runs=6, margin=0.5), Verdict.INCONCLUSIVE),
    "too few runs to compare": (
        Equivalence(primary=around(0.1, n_runs=2), n_runs=2, margin=1.5),
        Verdict.TOO_FEW_RUNS,
    ),
    "nothing to compare": (Equivalence(primary=None, n_runs=0, margin=None), Verdict.CANNOT_BE_TESTED),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_has_the_answer_that_is_known(name):
    question, expected = QUESTIONS[name]
    claim = answer({"C": {"part": question}})["C"]
    assert claim.verdict is expected
    assert claim.firm


def test_the_numbers_are_student_s():
    part = answer({"C": {"part": difference(around(1.0), around(2.0))}})["C"].parts["part"]
    test = stats.ttest_1samp(1.0 + VALUES, 0)
    assert part.estimate == pytest.approx(1.0)
    assert part.interval == pytest.approx(test.confidence_interval(0.95))
    assert part.p == part.p_holm == pytest.approx(test.pvalue)
    assert part.sensitivity["setting 0"].interval == pytest.approx(
        stats.ttest_1samp(2.0 + VALUES, 0).confidence_interval(0.95)
    )
    equivalence = answer({"C": {"part": Equivalence(primary=around(1.0), n_runs=6, margin=2.0)}})["C"].parts["part"]
    assert equivalence.interval == pytest.approx(test.confidence_interval(0.90))
    assert equivalence.p is None


def test_all_differences_of_a_page_are_one_family():
    mean = stats.t.isf(0.015, 5) / math.sqrt(6)  # p = 0.03: enough alone, not as one of two
    alone = answer({"C": {"part": difference(around(mean))}})["C"]
    assert alone.verdict is Verdict.SUPPORTED
    assert alone.parts["part"].p_holm == pytest.approx(0.03)
    parts = answer({"C": {"a": difference(around(mean)), "b": difference(around(mean))}})["C"]
    assert parts.parts["a"].p_holm == pytest.approx(0.06)
    assert parts.verdict is Verdict.INCONCLUSIVE
    beside = answer({"C": {"a": difference(around(mean))}, "D": {"b": QUESTIONS["comparable"][0]}})["C"]
    assert beside.verdict is Verdict.SUPPORTED  # an equivalence is no test of a difference


def test_a_claim_is_as_good_as_its_weakest_part():
    supported, contradicted = difference(around(3.0)), difference(around(-3.0))
    assert answer({"C": {"a": supported, "b": supported}})["C"].verdict is Verdict.SUPPORTED
    assert answer({"C": {"a": supported, "b": contradicted}})["C"].verdict is Verdict.CONTRADICTED


@pytest.mark.parametrize(
    "question",
    [
        difference(around(1.2), allowance=0.2),  # the low end is 0.15
        difference(around(0.9), allowance=0.2),  # it is −0.15
        Equivalence(primary=around(0.0), n_runs=6, margin=0.9, allowance=0.1),  # ends at ±0.82
    ],
)
def test_a_verdict_whose_interval_ends_within_the_allowance_is_not_firm(question):
    claim = answer({"C": {"part": question, "other": difference(around(9.0))}})["C"]
    assert not claim.parts["part"].firm
    assert claim.parts["other"].firm
    assert not claim.firm


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("verdicts", [False, True])
def test_claims_come_back_from_json(name, verdicts):
    claims = answer({"C": {"part": QUESTIONS[name][0]}, "D": {"part": QUESTIONS["supported"][0]}})
    saved = json.loads(json.dumps(write_claims(claims, verdicts) | {"n_seeds": 3, "distance": {"WLSC": 1.0}}))
    assert read_claims(saved) == claims
    assert misstated(saved) == []
    assert [entry.get("verdict") for entry in (saved["C"], saved["D"])] == (
        [QUESTIONS[name][1], "supported"] if verdicts else [None, None]
    )
    assert ("firm" in json.dumps(saved)) is verdicts


def test_a_word_that_does_not_follow_from_its_numbers_is_told():
    saved = write_claims(answer({"C": {"part": QUESTIONS["supported"][0]}}), verdicts=True)
    saved["C"]["parts"]["part"]["interval"] = [-0.1, 6.1]
    assert misstated(saved) == ["C is said to be supported, and its numbers say inconclusive"]


@pytest.mark.tried("inputs")
@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "verdicts must hold at least one verdict"),
        ({"a": Equivalence(primary=around(0.0), n_runs=6, margin=None)}, "margin must be given for an estimate"),
        ({"a": Equivalence(primary=None, n_runs=0, margin=1.0)}, "margin must be given for an estimate"),
        ({"a": Equivalence(primary=around(0.0), n_runs=6, margin=-1.0)}, "margin must be above 0"),
        ({"a": difference(around(0.0), direction=2)}, "direction must be 1 or -1"),
        ({"a": difference(around(0.0), allowance=-1.0)}, r"comparisons\['C, a'\].allowance must be at least 0"),
    ],
)
def test_questions_that_make_no_sense_are_refused(parts, message):
    with pytest.raises(ValueError, match=message):
        answer({"C": parts})


@pytest.mark.tried("inputs")
@pytest.mark.parametrize("part", [{"estimate": 1.0}, {"estimate": 1.0, "interval": None, "n_runs": 3, "colour": 1}])
def test_json_that_holds_no_claim_is_refused(part):
    with pytest.raises(ValueError, match="C, a must hold the numbers of a Part, got"):
        read_claims({"C": {"parts": {"a": part}}})
