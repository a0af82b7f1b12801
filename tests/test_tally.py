"""What was tried is counted from tests that really passed, by several processes too, and told as a table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from wlsc.trust import KINDS, list_trials

CONFTEST = "from tests.conftest import pytest_collection_modifyitems, pytest_configure\n"
TESTS = """
import pytest

@pytest.mark.tried("inputs")
@pytest.mark.parametrize("text", ["a", "b", "c"])
def test_refused(text):
    if text == "c":
        pytest.skip("not here")

@pytest.mark.tried("faults")
def test_faults(record_property):
    record_property("faults", 5)
    record_property("faults", 2)
    record_property("kills", 4)
    record_property("measured", ["bytes", 17])

def test_a_failure_counts_nothing(record_property):
    record_property("kills", 100)
    record_property("measured", ["seconds", 3])
    assert False

def test_other(record_property):
    record_property("seconds", 3)
"""


def run_tests(folder: Path, tests: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_some.py").write_text(tests)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = tried(kind): what is tried\n")
    environment = os.environ | {"WLSC_TALLY": str(folder / "counts" / "test.json"), "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["one process", "several processes"])
def test_trials_of_tests_that_passed_are_counted(tmp_path, arguments):
    done = run_tests(tmp_path, TESTS, *arguments)
    assert done.returncode == 1, done.stdout
    record = json.loads((tmp_path / "counts" / "test.json").read_text())
    assert [record[outcome] for outcome in ("passed", "failed", "skipped")] == [4, 1, 1]
    assert record["tried"] == {
        "inputs": {"count": 2, "passed": 2, "failed": 0, "skipped": 1},
        "faults": {"count": 7, "passed": 1, "failed": 0, "skipped": 0},
        "kills": {"count": 4, "passed": 1, "failed": 1, "skipped": 0},
    }
    assert record["measured"] == {"bytes": 17}
    assert record["commit"] and record["finished"].startswith("20")


def test_an_unknown_kind_is_refused(tmp_path):
    done = run_tests(tmp_path, 'import pytest\n\n@pytest.mark.tried("luck")\ndef test_it():\n    pass\n')
    assert done.returncode != 0
    assert f"tried must name one of {', '.join(KINDS)}, got luck" in done.stdout + done.stderr


def test_the_table_says_what_was_tried_and_what_was_not_run():
    run = {
        "finished": "2026-01-02T03:04:05+00:00",
        "commit": "0123456789abcdef",
        "processor": "Abacus 3",
        "passed": 1200,
        "failed": 0,
        "skipped": 2,
        "tried": {
            "kills": {"count": 1000, "passed": 1, "failed": 0, "skipped": 0},
            "faults": {"count": 7, "passed": 3, "failed": 1, "skipped": 2},
        },
    }
    header, rows = list_trials({"make test": run, "make stress": None})
    assert header == ["tried", "make test", "make stress"]
    assert all(row[2] == "not run" for row in rows)
    assert {title: cell for title, cell, _ in rows} == {
        **dict.fromkeys(KINDS.values(), "not run"),
        KINDS["kills"]: "1,000 in 1 test",
        KINDS["faults"]: "7 in 3 tests, 1 failed, 2 skipped",
        "all tests": "1,200 passed, 0 failed, 2 skipped",
        "when": "2026-01-02",
        "commit": "0123456789ab",
        "processor": "Abacus 3",
    }
