"""What was tried is counted from tests that really passed, by several processes too, and told as a table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.test_cli import call
from wlsc.companion.trials import KINDS, list_trials

__all__ = ["call"]

CONFTEST = "from tests.conftest import pytest_collection_modifyitems, pytest_configure\n"
TESTS = """
import pytest

@pytest.mark.tried("inputs")
@pytest.mark.parametrize("text", ["a", "b", "c"])
def test_refused(text):
    if text == "c":
        pytest.skip("NOT TESTED: not here,\\n nor there")

@pytest.mark.skipif(True, reason="needs a CUDA device")
@pytest.mark.parametrize("size", [1, 2])
def test_devices(size):
    assert size

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
    assert [record[outcome] for outcome in ("passed", "failed", "skipped")] == [4, 1, 3]
    assert record["failures"] == ["test_some.py::test_a_failure_counts_nothing"]
    assert record["skips"] == {"needs a CUDA device": 2, "not here, nor there": 1}
    assert record["tried"] == {
        "inputs": {"count": 2, "passed": 2, "failed": 0, "skipped": 1},
        "faults": {"count": 7, "passed": 1, "failed": 0, "skipped": 0},
        "kills": {"count": 4, "passed": 1, "failed": 1, "skipped": 0},
    }
    assert record["measured"] == {"bytes": 17}
    assert record["commit"] and record["finished"].startswith("20")


def test_a_file_that_cannot_be_read_is_one_that_failed(tmp_path):
    assert run_tests(tmp_path, "import no_such_module\n").returncode != 0
    record = json.loads((tmp_path / "counts" / "test.json").read_text())
    assert (record["passed"], record["failed"], record["failures"]) == (0, 1, ["test_some.py"])


def test_an_unknown_kind_is_refused(tmp_path):
    done = run_tests(tmp_path, 'import pytest\n\n@pytest.mark.tried("luck")\ndef test_it():\n    pass\n')
    assert done.returncode != 0
    assert f"tried must name one of {', '.join(KINDS)}, got luck" in done.stdout + done.stderr


def test_what_is_expected_to_fail_is_counted_with_its_reason(tmp_path):
    expected = """
import pytest

@pytest.mark.xfail(reason="the first atoms are drawn among samples")
def test_weights():
    assert False
"""
    assert run_tests(tmp_path, expected).returncode == 0
    counted = json.loads((tmp_path / "counts" / "test.json").read_text())
    assert counted["skips"] == {"expected to fail: the first atoms are drawn among samples": 1}
    assert (counted["passed"], counted["failed"], counted["skipped"]) == (0, 0, 1)


RUN = {
    "finished": "2026-01-02T03:04:05+00:00",
    "commit": "0123456789abcdef",
    "capability": {"torch": "AVX9"},
    "passed": 1200,
    "failed": 0,
    "skipped": 2,
    "tried": {
        "kills": {"count": 1000, "passed": 1, "failed": 0, "skipped": 0},
        "faults": {"count": 7, "passed": 3, "failed": 1, "skipped": 2},
    },
}


def test_the_table_names_what_failed_and_why_others_were_skipped():
    named = {"failed": 1, "failures": ["test_some.py::test_it"], "skips": {"needs a CUDA device": 1, "no SLURM": 1}}
    _, rows = list_trials({"make test": RUN | named})
    cells = dict(rows)
    assert cells["all tests"] == (
        "1,200 passed, 1 failed: `test_some.py::test_it`, 2 skipped: needs a CUDA device (1), no SLURM (1)"
    )


def test_the_table_names_the_arithmetic_of_the_reference():
    measured = {"bytes": 17, "arithmetic of the reference": "torch AVX8"}
    _, rows = list_trials({"make test": RUN | {"measured": measured}, "make stress": RUN})
    assert rows[-1] == ["arithmetic", "torch AVX9; the reference: torch AVX8", "torch AVX9"]


def test_the_report_of_the_last_run_is_printed_as_a_table(call, tmp_path):
    (tmp_path / "test.json").write_text(json.dumps(RUN | {"skips": {"needs a CUDA device": 2}}))
    code, said, _ = call("report", tmp_path)
    assert code == 0
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert lines[0] == "tried make test make stress"
    row = lines.index("all tests 1,200 passed, 0 failed, 2 skipped: not run")
    assert lines[row + 1] == "needs a CUDA device (2)"


def test_the_table_says_what_was_tried_and_what_was_not_run():
    header, rows = list_trials({"make test": RUN, "make stress": None})
    assert header == ["tried", "make test", "make stress"]
    assert all(row[2] == "not run" for row in rows)
    assert {title: cell for title, cell, _ in rows} == {
        **dict.fromkeys(KINDS.values(), "not run"),
        KINDS["kills"]: "1,000 in 1 test",
        KINDS["faults"]: "7 in 3 tests, 1 failed, 2 skipped",
        "all tests": "1,200 passed, 0 failed, 2 skipped",
        "when": "2026-01-02",
        "commit": "0123456789ab",
        "arithmetic": "torch AVX9",
    }
