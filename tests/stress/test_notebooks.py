"""Notebooks that fail in every way there is: each stops its own branch, and the build says where and why."""

from __future__ import annotations

import pytest

from tests.book.test_execution import read_outputs, run_execute, write_notebook
from tests.faults.tiny_book import make_book, plant, said, write_page
from wlsc.companion.execution import MOST_PRINTED

MEGABYTES = "line = 'x' * 99 + '\\n'\nfor _ in range({n}):\n    print(line * 10_000, end=''{where})"


@pytest.mark.tried("faults")
@pytest.mark.parametrize("where", ["", ", file=sys.stderr"])
def test_a_notebook_that_prints_100_megabytes_stops_with_its_cell(tmp_path, where):
    flood = MEGABYTES.format(n=100, where=where)
    source = write_notebook(tmp_path, "import sys; print('before')", flood, "open('after', 'w')")
    done = run_execute(source)
    partial = tmp_path / "out" / "logs" / "page.ipynb"
    assert done.returncode == 1
    reason = f"it printed more than {MOST_PRINTED:,} characters"
    assert f"{source} failed in code cell 3 of 4 (line = 'x' * 99 + '\\n'): {reason}" in done.stderr
    assert f"The notebook as far as it got: {partial}" in done.stderr
    before, flood, after = read_outputs(partial)[-3:]
    assert before == "before\n" and flood.startswith("xxx") and after == ""
    assert not (tmp_path / "after").exists()
    assert not list((tmp_path / "out" / "notebooks").iterdir())


@pytest.mark.tried("faults")
def test_a_notebook_that_displays_100_megabytes_is_none(tmp_path):
    source = write_notebook(tmp_path, "print('before')", "'x' * 100_000_000", "print('after')")
    done = run_execute(source)
    assert done.returncode == 1
    reason = f"it printed more than {MOST_PRINTED:,} characters"
    assert f"{source} failed in code cell 3 of 4 ('x' * 100_000_000): {reason}" in done.stderr
    assert not list((tmp_path / "out" / "notebooks").iterdir())


def test_what_a_page_can_show_is_shown(tmp_path):
    source = write_notebook(tmp_path, MEGABYTES.format(n=5, where=""))
    assert run_execute(source).returncode == 0
    assert (tmp_path / "out" / "notebooks" / "page.ipynb").stat().st_size > 5_000_000


@pytest.mark.timeout(3600)
def test_each_way_of_failing_stops_its_own_branch_until_it_is_mended(tmp_path, record_property):
    tree = plant(tmp_path)
    book, built = tree / "book", tree / "_build" / "quick"
    failing = {
        "raises": ("1 / 0", "ZeroDivisionError: division by zero"),
        "hangs": ("import time; time.sleep(600)", "it took longer than 30 s"),
        "floods": ("print('x' * 100_000_000)", "it printed more than"),
        "dies": ("import os; os._exit(1)", "its kernel died"),
    }
    for name, (cell, _) in failing.items():
        write_page(book, name, ("print('so far')", cell))
    write_page(book, "second", ("print('never')",), needs=", ".join(failing))
    (book / "_toc.yml").write_text((book / "_toc.yml").read_text() + "".join(f"- file: {name}\n" for name in failing))
    rules = (tree / "Snakefile").read_text()
    assert "wlsc execute " in rules
    (tree / "Snakefile").write_text(rules.replace("wlsc execute ", "wlsc execute --timeout 30 "))
    assert make_book(tree).wait(600) != 0
    for name, (cell, reason) in failing.items():
        assert f"book/{name}.md failed in code cell 3 of 3 ({cell}): {reason}" in said(tree)
        assert "so far\n" in read_outputs(built / "logs" / f"{name}.ipynb")
    finished = {path: path.stat().st_mtime_ns for path in built.glob("notebooks/[!.]*")}
    assert sorted(path.stem for path in finished) == ["alone", "first"]
    assert not (built / "html").exists()

    for name in failing:
        write_page(book, name, ("print('so far')", "print('well')"))
    assert make_book(tree).wait(600) == 0, said(tree)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished, "what was done is not done again"
    assert all("well\n" in read_outputs(built / "notebooks" / f"{name}.ipynb") for name in failing)
    assert not list((built / "logs").glob("*.ipynb"))
    assert (built / "html" / "index.html").exists()
    record_property("faults", len(failing))
