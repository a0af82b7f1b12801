"""The quick book prints the numbers of its reference, and takes no more memory than it may."""

from __future__ import annotations

import pytest

from tests.conftest import REPOSITORY
from wlsc._jobs import MOST_MEMORY, most_memory, read_jobs
from wlsc._printed import MARK, read_book
from wlsc._reference import REASONS, compare, make_entries, read_reference, read_rules

REFERENCES = REPOSITORY / "results" / "reference"


@pytest.fixture(scope="module")
def reference():
    return read_reference(REFERENCES / "quick.json")


def test_every_number_is_that_of_the_reference(quick_book, reference, record_property):
    found = compare(read_book(quick_book), reference["pages"])
    assert not found.drifts, "\n" + "\n".join([*found.drifts, "If this is right: make accept WHY='...'"])
    assert sum(found.n_numbers.values()) > 1000
    record_property("numbers", sum(found.n_numbers.values()))


def test_tolerances_follow_from_the_rules(quick_book, reference):
    entries = make_entries(read_book(quick_book), read_rules(REFERENCES / "tolerances.json"))
    for page, known in reference["pages"].items():
        for name, entry in known.items():
            by_rule = entries[page][name]
            assert (entry["reason"], entry.keys()) == (by_rule["reason"], by_rule.keys()), (page, name)
            if entry["text"] == by_rule["text"] and "spread" not in entry["reason"]:
                assert entry == by_rule, (page, name)


@pytest.mark.parametrize("profile", ["quick", "full"])
def test_reasons_that_were_accepted_are_those_of_the_rules(profile):
    rules = read_rules(REFERENCES / "tolerances.json")
    for page, known in read_reference(REFERENCES / f"{profile}.json")["pages"].items():
        for name, entry in known.items():
            rule = next(rule for rule in rules if rule.applies(page, name))
            assert entry["reason"] == ("time" if entry["text"] == MARK else rule.reason), (page, name)


def test_every_reason_is_in_use(reference):
    reasons = {entry["reason"] for known in reference["pages"].values() for entry in known.values()}
    assert reasons == set(REASONS)


def test_a_build_on_two_cores_stays_below_its_memory(quick_book):
    jobs = read_jobs(quick_book)
    assert all(job.memory for job in jobs if job.kind == "notebook")
    assert most_memory(jobs) < MOST_MEMORY["quick"]
