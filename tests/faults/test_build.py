"""A build in which one notebook fails: it says which, where and why, and what does not need that notebook is done."""

from __future__ import annotations

import pytest

from tests.book.test_execution import read_outputs
from tests.faults.tiny_book import make_book, plant, said, write_page


@pytest.mark.tried("faults")
def test_a_notebook_that_raises_stops_what_needs_it_and_nothing_else(tmp_path):
    tree = plant(tmp_path)
    write_page(tree / "book", "first", ("print('so far')", "raise ValueError('no such atom')"))
    assert make_book(tree).wait(600) != 0
    message = said(tree)
    assert (
        "book/first.md failed in code cell 3 of 3 (raise ValueError('no such atom')): ValueError: no such atom"
        in message
    )
    built = tree / "_build" / "quick"
    assert "so far\n" in read_outputs(built / "logs" / "first.ipynb")
    assert [path.name for path in built.glob("notebooks/[!.]*")] == ["alone.ipynb"]
    assert not (built / "html").exists()
