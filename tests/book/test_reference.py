"""The quick book prints the numbers of its reference, and takes no more memory than it may."""

from __future__ import annotations

import pytest

from tests.conftest import REPOSITORY
from wlsc.companion.printed import Printed, read_book
from wlsc.companion.reference import REASONS, Entries, compare, list_changes, make_entries, read_reference, read_rules
from wlsc.companion.reports import MOST_MEMORY, most_memory, read_jobs

REFERENCES = REPOSITORY / "results" / "reference"


@pytest.fixture(scope="module")
def reference():
    return read_reference(REFERENCES / "quick.json")


def test_every_number_is_that_of_the_reference(quick_book, reference, record_property):
    found = compare(read_book(quick_book), reference["pages"])
    assert not found.drifts, "\n" + "\n".join([*found.drifts, "If this is right: make accept WHY='...'"])
    assert sum(found.n_numbers.values()) > 1000
    record_property("numbers", sum(found.n_numbers.values()))
    record_property("measured", ["processor of the reference", reference["accepted"]["processor"]])


def column_of(name: str) -> str:
    """Column that the printed thing of this name stands in: of a table or of claims, others have none."""
    if name.startswith("claims/"):
        return name.rpartition(": ")[0]
    row, bar, column = name.rpartition(" | ")
    return f"{row.partition(': ')[0]} | {column}" if bar else ""


def test_names_tell_the_column(quick_book):
    printed = [one for prints in read_book(quick_book).values() for one in prints]
    assert [column_of(one.name) for one in printed] == [one.column for one in printed]


def wrong_allowances(entries: Entries) -> list[str]:
    """Entries that the rules would not make of the texts that were accepted."""
    texts = {
        page: [Printed(name, entry["text"], column_of(name)) for name, entry in known.items()]
        for page, known in entries.items()
    }
    return list_changes(entries, make_entries(texts, read_rules(REFERENCES / "tolerances.json")))


@pytest.mark.parametrize("profile", ["quick", "full"])
def test_allowances_are_those_that_the_rules_give(profile):
    assert wrong_allowances(read_reference(REFERENCES / f"{profile}.json")["pages"]) == []


@pytest.mark.parametrize("reason", REASONS)
def test_an_allowance_that_was_typed_by_hand_is_found(reference, reason):
    pages = reference["pages"]
    page, name = next((page, name) for page in pages for name in pages[page] if pages[page][name]["reason"] == reason)
    typed = pages | {page: pages[page] | {name: pages[page][name] | {"within": 600.0}}}
    (found,) = wrong_allowances(typed)
    assert found.startswith(f"{page}: {name}: ") and "within 600.0) → " in found


def places(entries: Entries) -> set[tuple[str, str]]:
    """Page and name of each table, figure, explorer and set of claims."""
    return {(page, name.partition(": ")[0]) for page, known in entries.items() for name in known if ": " in name}


def test_every_table_figure_and_explorer_is_in_both_references(reference):
    full = read_reference(REFERENCES / "full.json")["pages"]
    assert sorted(places(reference["pages"]) ^ places(full)) == []


def test_every_reason_is_in_use(reference):
    reasons = {entry["reason"] for known in reference["pages"].values() for entry in known.values()}
    assert reasons == set(REASONS)


def test_a_build_on_two_cores_stays_below_its_memory(quick_book):
    jobs = read_jobs(quick_book)
    assert all(job.memory for job in jobs)
    assert most_memory(jobs) < MOST_MEMORY["quick"]
