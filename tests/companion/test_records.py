"""Records of a build: which cells are missing and why, and what everything took."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wlsc.companion.records import CellStatus, Cost, cell_statuses, load_costs


@pytest.fixture
def build(tmp_path) -> Path:
    for name in ("studied/sweep", "logs/sweep", "reports"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("cell:   0%|     | 0/1 [00:00<?, ?cell/s]", ("begun", 0.0, "")),
        ("", ("begun", 0.0, "")),
        ("cell:   0%|     | 0/1\rcell:   0%|\nwlsc: lam must be 1, got 2\n", ("failed", 0.0, "lam must be 1, got 2")),
        ("Traceback (most recent call last):\n  File …\nKeyError: 'x'\n", ("failed", 0.0, "KeyError: 'x'")),
    ],
)
def test_a_missing_cell_says_why(build, said, expected):
    (build / "logs" / "sweep" / "a-s0.txt").write_text(said)
    assert cell_statuses("sweep", ["a-s0", "b-s0"], build) == [
        CellStatus("a-s0", *expected),
        CellStatus("b-s0", "not begun"),
    ]


def test_a_finished_cell_is_finished_whatever_an_attempt_before_has_said(build):
    (build / "logs" / "sweep" / "a-s0.txt").write_text("wlsc: no room\n")
    (build / "studied" / "sweep" / "a-s0.json").write_text('{"duration_s": 12.5, "cells": {}}')
    assert cell_statuses("sweep", ["a-s0"], build) == [CellStatus("a-s0", "finished", 12.5)]


def test_costs_count_every_job_once(build):
    reports = {
        "plain": {"duration_s": 36.0, "training_s": {}},
        "figure": {"duration_s": 100.0, "training_s": {"one": 600.0, "a-s0": 2000.0, "b-s0": 900.0}},
    }
    for name, report in reports.items():
        (build / "reports" / f"{name}.json").write_text(json.dumps({"notebook": name, "device": "cpu"} | report))
    assert load_costs(build) == [Cost("figure", "cpu", 4, 1.0), Cost("plain", "cpu", 1, 0.01)]
