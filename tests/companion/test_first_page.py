"""What the first page says was found: kept results in quick, those of the build in full."""

import json

import pytest

from tests.conftest import REPOSITORY
from wlsc.analysis.statistics import run_mean
from wlsc.companion import first_page
from wlsc.experiments.claims.base import Difference, Equivalence, answer, write_claims

KEPT = {"1a": {"C3": {"verdict": "supported", "difference": {"estimate": 0.08, "interval": [0.07, 0.09]}}}, "1b": None}
REFERENCE = {"accepted": {"commit": "0123456789abcdef"}}


def built():
    near = Difference(primary=run_mean([0.11, 0.12, 0.13]), n_runs=3, allowance=0.2)
    none = Equivalence(primary=None, n_runs=0, margin=None)
    claims = answer({"C1a": {"distance": none}, "C3": {"difference": near}})
    return {"1a": json.loads(json.dumps(write_claims(claims, verdicts=True))), "1b": {"n_samples": 10}}


def test_a_quick_build_shows_what_is_kept_and_says_of_which_commit():
    shown, source = first_page.choose(KEPT, built(), REFERENCE, "quick")
    assert shown == KEPT
    assert "commit 01234567," in source
    assert "commit unknown" in first_page.choose(KEPT, built(), None, "quick")[1]


def test_a_full_build_shows_its_own_results():
    shown, source = first_page.choose(KEPT, built(), REFERENCE, "full")
    assert shown == built()
    assert source == "These results are of this build."


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        (KEPT, {"C3": "**supported**, circular variance +0.080 [+0.070, +0.090]", "C1a": "not measured"}),
        (
            built(),
            {
                "C3": "**supported**, *not firm*, circular variance +0.120 [+0.095, +0.145]",
                "C1a": "**cannot be tested**",
                "C4a": "not measured",
            },
        ),
    ],
)
def test_every_claim_has_a_row(claims, expected):
    header, rows = first_page.tabulate_found({"Is it so?": ("yes", "there")}, claims)
    assert header == ["question", "on all data", "see"]
    assert rows[0] == ["Is it so?", "yes", "there"]
    said = {claim: row[1] for (_, claim, _, _), row in zip(first_page.QUESTIONS.values(), rows[1:], strict=True)}
    assert {claim: said[claim] for claim in expected} == expected


def test_the_results_that_are_kept_answer_every_question():
    kept = {
        name: json.loads((REPOSITORY / "results/claims" / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("1a", "1b")
    }
    _, rows = first_page.tabulate_found({}, kept)
    assert "not measured" not in [row[1] for row in rows]
