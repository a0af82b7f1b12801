"""What a build prints is found, gets its tolerance by rule, and is told apart from what it was."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tests.test_cli import call
from wlsc.companion.printed import Printed, read_book
from wlsc.companion.reference import Rule, compare, make_entries

__all__ = ["call"]

TEXT = """# Page

```{measured}
```

It took [{glue:text}`took`]{.measured} s and {glue:text}`n` samples.

```{figure} figures/fig.svg
:name: fig
```

```{saved-table} kept
A caption.
```
"""
SAVED = {"text/markdown": "| a | b |\n| --- | --- |\n| x | 7 |", "text/plain": "SavedTable(header=['a', 'b'], rows=[])"}
TABLE = """| model | part | fitted | seconds |
|---|---|---:|---:|
| WLSC | a | 0.94 ± 0.01 | [3.2 [1.0, 4.0]]{.measured} |
| WLSC | b | 0.80 | [1.1]{.measured} |"""


PLAYED = '<div class="wlsc-explorer" data-explorer="slider"><img src="still.svg"></div>'


def packed(values: list, dtype: str, step: float, offset: float) -> dict:
    deflated = base64.b64encode(zlib.compress(np.array(values, dtype).tobytes())).decode()
    return {"dtype": dtype, "shape": [len(values), 1], "step": step, "offset": offset, "deflated": deflated}


SLIDER = {
    "kind": "slider",
    "points": packed([0, 4], "uint8", 0.5, -1.0),
    "models": [{"name": "WLSC", "facts": packed([1, np.nan], "float32", 1.0, 0.0)}],
    "dictionaries": [packed([3], "uint8", 1.0, 0.0)],
}


def glued(name: str, value: object) -> nbformat.NotebookNode:
    data = {"application/papermill.record/text/plain": repr(value)}
    return new_output("display_data", data, metadata={"scrapbook": {"name": name}})


def write_build(
    folder: Path, table: str = TABLE, took: str = "0.1", values: str = "0.25,a\n-1.5,\n", p: float = 0.04
) -> Path:
    """A finished build of one page."""
    cells = [
        new_markdown_cell(TEXT),
        new_code_cell("glue(...)", outputs=[glued("n", 1797), glued("took", took)]),
        new_code_cell(
            "Markdown(...)", outputs=[new_output("execute_result", {"text/markdown": table, "text/plain": ""})]
        ),
        new_code_cell("save_table(...)", outputs=[new_output("execute_result", SAVED)]),
        new_code_cell("a = 1\na + 1", outputs=[new_output("execute_result", {"text/latex": "$2$", "text/plain": "2"})]),
        new_code_cell("explorers.slider()", outputs=[new_output("execute_result", {"text/html": PLAYED})]),
        new_code_cell(
            'save_claims("1a", profile, claims)',
            outputs=[new_output("execute_result", {"text/markdown": "The V1 claim: 3 of 1,000 cells.\n\nOr not."})],
        ),
    ]
    files = {
        "notebooks/page.ipynb": nbformat.writes(new_notebook(cells=cells)),
        "notebooks/gone.ipynb": "of a page that the book no longer has",
        "html/index.html": "",
        "html/page.html": "",
        "figures/fig.csv": f"x,label\n{values}",
        "figures/kept.csv": 'a,b,took\nx,"1,000",[5]{.measured}\n',
        "figures/old.csv": "of a figure that no page shows",
        "explorers/slider.js": f'wlscExplorers.add("slider",{json.dumps(SLIDER)});\n',
        "claims/1a.json": json.dumps({"C3": {"verdict": "supported", "p": p, "interval": [0.1, 1 / 3]}}),
        "reports/page.json": json.dumps(
            {
                "profile": "quick",
                "finished": "2026",
                "duration_s": 1.0,
                "peak_memory_bytes": 2**30,
                "commit": "abc",
                "processor": "Abacus 3",
            }
        ),
        "studied/s.json": json.dumps({"duration_s": 2.0, "peak_memory_bytes": 2**29}),
        "studied/.7.s.json": "{",  # of a process that was killed while it wrote
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_everything_that_a_page_prints_is_found_by_name(tmp_path):
    book = read_book(write_build(tmp_path))
    assert {page: {one.name: one.text for one in printed} for page, printed in book.items()} == {
        "page": {
            "run time and memory": "(measured)",
            "glue n": "1797",
            "glue took": "(measured)",
            "model: WLSC, a | fitted": "0.94 ± 0.01",
            "model: WLSC, a | seconds": "(measured)",
            "model: WLSC, b | fitted": "0.80",
            "model: WLSC, b | seconds": "(measured)",
            "output of a + 1": "2",
            "kept: x | b": "1,000",
            "kept: x | took": "(measured)",
            "text: The V1 claim:": "The V1 claim: 3 of 1,000 cells. Or not.",
            "fig.csv: x, count": "2",
            "fig.csv: x": "mean -0.625, deviation 0.875, least -1.5, most 0.25",
            "fig.csv: label, count": "1",
            "fig.csv: label": "sha256 ca978112ca1bbdca",  # of the letter a
            "slider.js: points, count": "2",
            "slider.js: points": "mean 0, deviation 1, least -1, most 1",
            "slider.js: models WLSC facts, count": "2",
            "slider.js: models WLSC facts": "mean 1, deviation 0, least 1, most 1",
            "slider.js: dictionaries 0, count": "1",
            "slider.js: dictionaries 0": "mean 3, deviation 0, least 3, most 3",
            "claims/1a.json: C3: verdict": "supported",
            "claims/1a.json: C3: p": "0.04",
            "claims/1a.json: C3: interval": "[0.1, 0.333333]",
        }
    }


def test_a_build_that_was_not_finished_has_no_numbers(tmp_path):
    (write_build(tmp_path) / "html" / "index.html").unlink()
    with pytest.raises(ValueError, match="folder must hold a finished build"):
        read_book(tmp_path)


def entry(text: str, within: str, others: tuple[str, ...] = ()) -> dict:
    prints = [Printed("name", text, "column"), *(Printed(f"other {text}", text, "column") for text in others)]
    rules = [Rule(page="pa*", names=["na*", "oth*"], reason="hardware", within=within, why="")]
    return dict(make_entries({"page": prints}, rules)["page"]["name"])


@pytest.mark.parametrize(
    ("text", "within", "others", "allowed"),
    [
        ("0.94", "nothing", (), {}),
        ("0.94", "anything", (), {"compared": False}),
        ("0.94", "2 digits", (), {"digits": 2}),
        ("0.94", "0.3", (), {"within": 0.3}),
        ("13", "count", (), {"within": 11}),
        ("172 of 225", "count", (), {"within": 45}),
        ("-200 to 100", "5 %", (), {"within": 10}),
        ("mean 1, deviation 2, least -3, most 7", "10 %", (), {"within": 1}),
        ("mean 5, deviation 0, least 5, most 5", "10 %", (), {"within": 0.5}),
        ("0.94 ± 0.01", "spread", ("0.5 ± 0.2",), {"within": 0.03}),
        ("0.94 [0.90, 0.95]", "spread", (), {"within": 0.05}),
        ("5 to 22 clusters", "spread", (), {"within": 17}),
        ("0.94", "spread", ("0.5 ± 0.2", "0.1 [0, 0.7]"), {"within": 0.7}),
        ("0.94", "spread", ("0.90",), {"digits": 1}),
    ],
)
def test_a_rule_decides_what_is_allowed(text, within, others, allowed):
    assert entry(text, within, others) == {"text": text, "reason": "hardware"} | allowed


def test_what_is_measured_is_listed_and_not_compared():
    assert entry("(measured)", "nothing") == {"text": "(measured)", "reason": "time", "compared": False}


def test_an_unknown_allowance_is_refused():
    with pytest.raises(ValueError, match=r"within must be nothing, .* got 'a lot'"):
        entry("1", "a lot")


@pytest.mark.parametrize(
    ("old", "within", "new", "said"),
    [
        ("0.94", "nothing", "0.94", ""),
        ("0.94", "nothing", "0.95", "off by 0.01, where 0 is allowed (hardware)"),
        ("0.94", "1 digit", "0.95", ""),
        ("0.94", "1 digit", "0.96", "off by 0.02, where 0.01 is allowed (hardware)"),
        ("4e-04", "1 digit", "6e-04", "off by 0.0002, where 0.0001 is allowed (hardware)"),
        ("1,797 of 0.5", "1 digit", "1,798 of 0.4", ""),
        ("1,797 of 0.5", "1 digit", "1,798 of 0.3", "off by 0.2, where 0.1 is allowed (hardware)"),
        ("-0.5", "0.3", "−0.7", ""),
        ("-0.5", "0.3", "0.5", "off by 1, where 0.3 is allowed (hardware)"),
        ("**supported** 1", "anything", "**contradicted** 9", ""),
        ("**supported** 1", "5", "**contradicted** 1", "other words"),
        ("0.5 [0.4, 0.6]", "5", "0.5", "other words"),
        ("V1", "5", "V2", "other words"),
    ],
)
def test_a_drift_is_told_with_its_deviation(old, within, new, said):
    found = compare({"page": [Printed("name", new, "")]}, {"page": {"name": entry(old, within)}})
    assert found.drifts == ([f"page: name is {new}, and was {old}: {said}"] if said else [])


def test_what_is_new_and_what_is_gone_is_a_drift():
    found = compare({"b": [Printed("x", "1", "")]}, {"a": {"y": entry("2 or 3", "1 digit")}})
    assert found.drifts == ["a: y is no longer printed, and was 2 or 3", "b: x is 1, and was not printed before"]
    assert (found.n_numbers["hardware"], found.n_identical) == (2, 0)


def test_numbers_that_are_identical_are_counted():
    known = {name: entry("0.5 [0.4, 0.6]", "0.1") for name in "xy"}
    found = compare({"a": [Printed("x", "0.5 [0.4, 0.65]", ""), Printed("y", "0.5", "")]}, {"a": known})
    assert (found.n_numbers["hardware"], found.n_identical) == (6, 3)


RULES = {
    "rules": [
        {"page": "page", "names": ["model: *"], "reason": "seed spread", "within": "spread", "why": "w"},
        {"page": "*", "names": ["*"], "reason": "exact", "within": "nothing", "why": "w"},
    ]
}


@pytest.fixture
def references(tmp_path: Path) -> Path:
    folder = tmp_path / "references"
    folder.mkdir()
    (folder / "tolerances.json").write_text(json.dumps(RULES))
    return folder


def test_a_build_is_accepted_and_verified(call, tmp_path, references):
    build = write_build(tmp_path / "build")
    code, said, _ = call("accept", build, "--why", "the first", "--references", references)
    assert code == 0
    assert "page: glue n: nothing → 1797 (exact)\n" in said and said.endswith("quick.json: the first\n")
    accepted = json.loads((references / "quick.json").read_text())["accepted"]
    assert (accepted["why"], accepted["profile"], accepted["commit"]) == ("the first", "quick", "abc")

    code, said, _ = call("verify", build, "--references", references)
    assert code == 0
    assert said.splitlines() == [
        "32 numbers compared (exact 29, float summation 0, hardware 0, seed spread 3), 32 of them identical, "
        "5 places not compared. Drifts: 0.",
        "Accepted on Abacus 3, built on Abacus 3.",
        "Two jobs at a time take at most 1.5 GiB. Allowed are 2 GiB.",
    ]


def test_a_drift_is_named_until_it_is_accepted(call, tmp_path, references):
    call("accept", write_build(tmp_path / "build"), "--why", "the first", "--references", references)
    changed = TABLE.replace("0.80", "0.82").replace("0.94", "0.98").replace("[1.1]", "[7.7]")
    build = write_build(tmp_path / "build", changed, took="9.9", values="0.25,a\n-1.25,\n", p=0.06)
    code, said, _ = call("verify", build, "--references", references)
    assert code == 1
    assert said.splitlines()[:3] == [
        "page: model: WLSC, a | fitted is 0.98 ± 0.01, and was 0.94 ± 0.01: off by 0.04, where 0.03 is allowed "
        "(seed spread)",
        "page: fig.csv: x is mean -0.5, deviation 0.75, least -1.25, most 0.25, and was mean -0.625, deviation 0.875, "
        "least -1.5, most 0.25: off by 0.25, where 0 is allowed (exact)",
        "page: claims/1a.json: C3: p is 0.06, and was 0.04: off by 0.02, where 0 is allowed (exact)",
    ]
    code, said, _ = call("accept", build, "--why", "better fits", "--references", references)
    assert "page: claims/1a.json: C3: p: 0.04 (exact) → 0.06 (exact)" in said.splitlines()
    assert len(said.splitlines()) == 5  # the three, 0.80 which is off by less, and why
    assert call("verify", build, "--references", references)[0] == 0


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("verify",), "reference must have been accepted before (make accept), got no file"),
        (("accept", "--why", " "), "why must say in words why the numbers have changed, got nothing"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(call, tmp_path, references, command, message):
    code, said, error = call(*command, write_build(tmp_path / "build"), "--references", references)
    assert (code, said) == (1, "")
    assert error.startswith(f"wlsc: {message}") and len(error.splitlines()) == 1
    assert not (references / "quick.json").exists()


def test_too_much_memory_fails(call, tmp_path, references):
    build = write_build(tmp_path / "build")
    call("accept", build, "--why", "the first", "--references", references)
    (build / "studied" / "s.json").write_text(json.dumps({"duration_s": 2.0, "peak_memory_bytes": 3 * 2**30}))
    code, said, _ = call("verify", build, "--references", references)
    assert code == 1
    assert said.splitlines()[-1] == "Two jobs at a time take at most 4.0 GiB. Allowed are 2 GiB."
    (build / "studied" / "s.json").write_text(json.dumps({"duration_s": 2.0}))
    code, said, _ = call("verify", build, "--references", references)
    assert code == 1
    assert said.splitlines()[-1].startswith("Two jobs at a time take at most 1.0 GiB (not measured of 1 of 2 jobs).")
