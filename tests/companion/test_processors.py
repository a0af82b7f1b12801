"""What another arithmetic changes is found number by number, and told as a table."""

from __future__ import annotations

import json

import pytest

from wlsc.companion.printed import Printed
from wlsc.companion.processors import (
    count,
    find_movements,
    find_words,
    list_machines,
    read_processors,
    write_processors,
)
from wlsc.companion.reference import Rule

RULES = [
    Rule(page="*", names=["free *"], within="anything", why=""),
    Rule(page="*", names=["*"], within="measured", why=""),
]


def book(**texts: str) -> dict[str, list[Printed]]:
    return {"page": [Printed(name.replace("_", " "), text, "") for name, text in texts.items()]}


BOOKS = {
    "one thread": book(still="1,200 of 3", pair="0.50 ± 0.10", took="(measured)", free_choice="WLSC", sign="−0.5"),
    "two threads": book(still="1,200 of 3", pair="0.52 ± 0.10", took="(measured)", free_choice="PCA", sign="0.5"),
    "no vectors": book(still="1,200 of 3", pair="0.49 ± 0.14", took="(measured)", free_choice="WLSC", sign="−0.5"),
}


def test_movements_are_the_largest_of_each_number():
    assert find_movements(BOOKS) == {"page": {"pair": [0.02, 0.04], "sign": [1.0]}}


def test_numbers_are_counted_that_stay_in_the_same_digits():
    assert [count(BOOKS, name) for name in BOOKS] == [
        {"numbers": 5, "identical": 5},
        {"numbers": 5, "identical": 3},
        {"numbers": 5, "identical": 3},
    ]


@pytest.mark.parametrize("other", [book(still="1,200 or 3"), book(still="1,200"), {}])
def test_words_that_change_are_named_unless_they_may(other):
    first = book(still="1,200 of 3", free_choice="WLSC")
    (named,) = find_words({"first": first, "second": other}, RULES)
    assert named.startswith("page: still is '1,200 of 3' and ")


def test_what_was_measured_is_read_as_it_was_written(tmp_path):
    known = {"capability": {"torch": "AVX9"}, "versions": {"torch": "2"}, "commit": "abc"}
    counts = {"numbers": 1200, "identical": 1100, "within": 99, "drifted": 1}
    found = {
        "format": 1,
        "versions": {"torch": "2", "numpy": "3"},
        "settings": [
            {"name": "one thread", "capability": {"torch": "AVX9", "threads": "1"}, "numbers": 5, "identical": 3}
        ],
        "moved": find_movements(BOOKS),
        "records": [known | counts],
    }
    path = tmp_path / "results" / "processors.json"
    write_processors(path, found)
    assert json.loads(path.read_text(encoding="utf-8")) == found == read_processors(path)
    header, rows = list_machines(found)
    assert rows == [
        ["one thread", "torch AVX9, threads 1", "2, 3", "5", "3", "–", "–"],
        ["a finished build", "torch AVX9", "2, –", "1,200", "1,100", "99", "1"],
    ]
    assert [row[0] for row in list_machines(None)[1]] == ["not measured"]
    assert all(len(row) == len(header) for row in [*rows, *list_machines(None)[1]])
