"""Counts, over a whole run of the tests, what was tried; `wlsc report` and the book tell it."""

from __future__ import annotations

import json
import platform
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from wlsc._io.files import write_text
from wlsc._io.machine import capability, source_commit
from wlsc.companion.trials import KINDS

#: Begins the reason of a test that was given up, where a machine lacks something.
NOT_TESTED = "NOT TESTED: "


def note_kinds(items: list[pytest.Item]) -> None:
    """Send the kinds that the marker ``tried`` names along with the reports of the tests."""
    for item in items:
        for mark in item.iter_markers("tried"):
            if mark.args[0] not in KINDS:
                raise pytest.UsageError(f"{item.nodeid}: tried must name one of {', '.join(KINDS)}, got {mark.args[0]}")
            item.user_properties.append(("tried", mark.args[0]))


class Tally:
    """Adds up the tests that passed, failed and were skipped, in all and by what they tried.

    A test tries a kind if it is marked with it, which counts as one trial, or if it records how many there were, all at
    once or one after the other (``record_property("kills", 20)``). Only trials of tests that passed are counted. What
    such tests measured is kept too: ``record_property("measured", ["bytes of something", 17])``. Those that failed are
    named, and those that were skipped counted by their reason.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.outcomes: Counter[str] = Counter()
        self.failures: list[str] = []
        self.skips: Counter[str] = Counter()
        self.tried: dict[str, Counter[str]] = {}
        self.measured: dict[str, object] = {}

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Count a file of tests that cannot be read as one that failed."""
        if report.failed:
            self.outcomes["failed"] += 1
            self.failures.append(report.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count one test, when it has been called or could not be."""
        if report.when != "call" and report.passed:
            return
        self.outcomes[report.outcome] += 1
        if report.failed:
            self.failures.append(report.nodeid)
        if report.skipped:
            self.skips[_reason(report)] += 1
        if report.passed:
            self.measured |= dict(value for name, value in report.user_properties if name == "measured")
        numbers = Counter({str(kind): 0 for name, kind in report.user_properties if name == "tried"})
        for name, number in report.user_properties:
            if name in KINDS:
                numbers[name] += int(str(number))
        for kind, number in numbers.items():
            counts = self.tried.setdefault(kind, Counter())
            counts[report.outcome] += 1
            counts["count"] += (number or 1) * report.passed

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write what was counted."""
        outcomes = ("passed", "failed", "skipped")
        record = {
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": source_commit(session.config.rootpath),
            "capability": capability(),
            "python": platform.python_version(),
            **{outcome: self.outcomes[outcome] for outcome in outcomes},
            "failures": sorted(self.failures),
            "skips": dict(sorted(self.skips.items())),
            "tried": {
                kind: {name: counts[name] for name in ("count", *outcomes)} for kind, counts in self.tried.items()
            },
            "measured": self.measured,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.path, json.dumps(record, indent=1) + "\n")


def _reason(report: pytest.TestReport) -> str:
    """Why a test was skipped, or why it is expected to fail, in a line."""
    if hasattr(report, "wasxfail"):
        return " ".join(f"expected to fail: {report.wasxfail.removeprefix('reason: ')}".split())
    assert isinstance(report.longrepr, tuple)  # place and message
    message = report.longrepr[2].removeprefix("Skipped: ").removeprefix(NOT_TESTED)
    return " ".join(message.split())
