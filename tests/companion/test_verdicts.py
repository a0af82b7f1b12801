"""What pages say of claims, in a profile that gives verdicts and in one that does not, and of kept results."""

import json

import numpy as np
import pytest

from tests.conftest import REPOSITORY
from wlsc.analysis.statistics import Verdict, run_mean
from wlsc.companion import verdicts
from wlsc.experiments.claims.base import Difference, Equivalence, Measured, answer, write_claims

VALUES = np.linspace(-0.01, 0.01, 5)
CLAIMS = answer(
    {
        "C1": {
            name: Difference(primary=run_mean(0.1 * sign + VALUES), n_runs=5)
            for name, sign in (("even", 1), ("odd", -1))
        },
        "C2": {"difference": Equivalence(primary=None, n_runs=0, margin=None)},
        "C3": {"difference": Difference(primary=run_mean(0.018 + VALUES), n_runs=5, allowance=0.01)},
        "C4": {"difference": Difference(primary=run_mean([0.1, 0.2]), n_runs=2)},
    }
)
CLAIMED = {"C1": "two classes", "C2": "like LLD", "C3": "broader", "C4": "too little"}
ESTIMATES = ["even +0.10 [+0.09, +0.11], odd -0.10 [-0.11, -0.09]", "–", "+0.02 [+0.01, +0.03]", "+0.15 (too few runs)"]


def test_only_full_gives_verdicts():
    assert [verdicts.gives_verdicts(profile) for profile in ("quick", "full")] == [False, True]
    header, rows = verdicts.tabulate(CLAIMS, CLAIMED, "quick")
    assert header == ["claim", "estimate [95 % interval]", "p, Holm", "runs"]
    assert [row[1] for row in rows] == ESTIMATES
    assert not any(str(verdict) in str(row) for row in rows[:3] for verdict in Verdict)
    header, rows = verdicts.tabulate(CLAIMS, CLAIMED, "full")
    assert header[1] == "verdict"
    assert [row[1] for row in rows] == [
        "**contradicted**",
        "**cannot be tested**",
        "**supported**, *not firm*",
        "**too few runs**",
    ]
    assert [row[4] for row in rows] == ["5", "–", "5", "2"]
    assert [row[3] for row in rows][1::2] == ["–", "–"]


def test_claims_are_read_as_they_were_written():
    kept = verdicts.read_kept(json.loads(json.dumps(write_claims(CLAIMS, verdicts=True) | {"n_seeds": 5})))
    assert {name: (one.verdict, one.firm) for name, one in kept.items()} == {
        name: (claim.verdict, claim.firm) for name, claim in CLAIMS.items()
    }
    assert [verdicts.say_numbers(one.numbers) for one in kept.values()] == ESTIMATES


def test_results_kept_before_verdicts_were_derived_keep_their_words():
    saved = {
        "n_seeds": 10,
        "C1b": {
            "verdict": "inconclusive",
            "p_holm": 0.6,
            "even": {"estimate": 0.01, "interval": [-0.05, 0.07]},
            "odd": {"estimate": -0.01, "interval": [-0.06, 0.04]},
        },
        "C3": {
            "verdict": "supported",
            "difference": {"estimate": 0.08, "interval": [0.07, 0.09]},
            "sensitivity": {"5 active": {"estimate": 0.06, "interval": [0.04, 0.08]}},
        },
        "C1a": {"verdict": "cannot be tested"},
        "purity": {"wlsc": 0.9},
    }
    kept = verdicts.read_kept(saved)
    assert {name: str(one.verdict) for name, one in kept.items()} == {
        "C1b": "inconclusive",
        "C3": "supported",
        "C1a": "cannot be tested",
    }
    assert verdicts.say_numbers(kept["C1b"].numbers) == "even +0.01 [-0.05, +0.07], odd -0.01 [-0.06, +0.04]"
    assert verdicts.say_numbers(kept["C3"].numbers, 3) == "+0.080 [+0.070, +0.090]"
    assert verdicts.say_numbers(kept["C1a"].numbers) == "–"
    assert verdicts.say_verdict(kept["C3"]) == "**supported**"  # nobody said that it is not firm


@pytest.mark.parametrize("name", ["1a", "1b"])
def test_the_results_that_are_kept_can_be_read(name):
    kept = verdicts.read_kept(json.loads((REPOSITORY / "results/claims" / f"{name}.json").read_text(encoding="utf-8")))
    assert set(kept) >= {"1a": {"C1a", "C1b", "C1c", "C2", "C3"}, "1b": {"C4a", "C4b"}}[name]


@pytest.mark.parametrize(
    ("interval", "text"),
    [((-0.04, 0.1), "[-0.04, +0.10]"), (Verdict.TOO_FEW_RUNS, "(too few runs)"), (None, "")],
)
def test_an_interval_is_written_or_why_there_is_none(interval, text):
    assert verdicts.say_interval(interval) == text
    assert verdicts.say_number(Measured(estimate=1.0, interval=interval)) == f"+1.00 {text}".strip()
