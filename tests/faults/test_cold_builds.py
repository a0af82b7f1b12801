"""Two builds from nothing in two folders end alike; what is measured anew is marked, and nothing else may differ."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.comparing import list_differences, read_comparable
from tests.faults.tiny_book import make_book, plant, said, write_page

#: The words before the measured value are more than what search engines are told of a page.
TEXT = f"""
```{{measured}}
```

{"The first words of a page describe it. " * 10}It took [{{glue:text}}`took`]{{.measured}} s on one day.

```{{costs}}
```
"""
CELL = """import time
from IPython.display import Markdown
from myst_nb import glue
from wlsc.companion.results import measured
glue("took", f"{time.time():.6f}", display=False)
Markdown(f"| at | what |\\n|---|---|\\n| {measured(time.time_ns())} | a time |")"""


@pytest.mark.timeout(1800)
def test_two_cold_builds_are_alike_apart_from_what_is_measured(tmp_path, record_property):
    trees = [plant(tmp_path / name) for name in ("one", "another")]
    for tree in trees:
        write_page(tree / "book", "alone", (CELL,), text=TEXT)
    processes = [make_book(tree) for tree in trees]
    for process, tree in zip(processes, trees, strict=True):
        assert process.wait(1500) == 0, said(tree)
    one, other = (tree / "_build" / "quick" for tree in trees)
    assert list_differences(one, other) == []
    for path in ("notebooks/alone.ipynb", "html/alone.html", "html/_sources/alone.ipynb"):
        assert (one / path).read_bytes() != (other / path).read_bytes(), "what is measured does differ"
    assert len(read_comparable(one)) > 50
    record_property("builds", 2)


def write_build(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


BUILD = {
    "html/page.html": '<p class="measured"><strong>Run time</strong> 3 s</p><td>0.25</td> · commit 01ab-dirty · quick'
    '<table class="table measured"><tr><td>0.7</td></tr></table>',
    "html/searchindex.js": 'Search.setIndex({"terms": {"12": [0, 1], "22t01": 6, "atom": [1, 2], "s": 3}})',
    "html/_static/a.js": "let a = 1;",
    "notebooks/page.ipynb": '{"cells": [{"source": "[1]{.measured} 0.25"}]}',
    "figures/fig.csv": "x\n0.25\n",
}


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("html/page.html", " 3 s<", " 4 min<"),
        ("html/page.html", "01ab-dirty", "23cd"),
        ("html/page.html", "<td>0.7<", "<td>1.1<"),
        ("html/searchindex.js", '"12": [0, 1]', '"13": 1'),
        ("html/searchindex.js", '"22t01"', '"23t23"'),
        ("notebooks/page.ipynb", "[1]", "[2 [1, 3]]"),
    ],
)
def test_a_listed_field_may_differ(tmp_path, path, old, new):
    assert old in BUILD[path]
    changed = BUILD | {path: BUILD[path].replace(old, new)}
    assert list_differences(write_build(tmp_path / "one", BUILD), write_build(tmp_path / "other", changed)) == []


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("html/page.html", "0.25", "0.26"),
        ("html/searchindex.js", '"atom": [1, 2]', '"atom": 1'),
        ("html/_static/a.js", "1", "2"),
        ("notebooks/page.ipynb", "0.25", "0.26"),
        ("figures/fig.csv", "0.25", "0.26"),
    ],
)
def test_anything_else_is_named(tmp_path, path, old, new):
    assert old in BUILD[path]
    changed = BUILD | {path: BUILD[path].replace(old, new)}
    (found,) = list_differences(write_build(tmp_path / "one", BUILD), write_build(tmp_path / "other", changed))
    assert found.startswith(f"{path}: ")


def test_a_missing_file_is_named(tmp_path):
    fewer = {path: text for path, text in BUILD.items() if not path.startswith("figures")}
    found = list_differences(write_build(tmp_path / "one", BUILD), write_build(tmp_path / "other", fewer))
    assert found == ["figures/fig.csv is in one of them only"]
