"""`wlsc execute` on small notebooks, as a reader runs it: in a process of its own."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest

from tests.conftest import REPOSITORY

HEADER = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
    format_version: 0.13
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# A page

```{code-cell} ipython3
:tags: [parameters]

profile = "quick"
device = "cpu"
seed = 0
```
"""


def write_notebook(folder: Path, *cells: str, tags: str = "") -> Path:
    path = folder / "page.md"
    path.write_text(HEADER + "".join(f"\n```{{code-cell}} ipython3\n{tags}{cell}\n```\n" for cell in cells))
    return path


def run_execute(path: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [
        str(Path(sys.executable).with_name("wlsc")),
        "execute",
        str(path),
        "-o",
        str(path.parent / "out"),
        *arguments,
    ]
    return subprocess.run(command, capture_output=True, text=True)


def read_outputs(path: Path) -> list[str]:
    cells = nbformat.read(path, as_version=4).cells
    return ["".join(output.get("text", "") for output in cell.get("outputs", ())) for cell in cells]


def test_a_notebook_leaves_itself_and_a_report(tmp_path):
    source = write_notebook(tmp_path, "print(seed, type(seed).__name__, profile)")
    done = run_execute(source, "-p", "seed", "007", "--parameter", "profile", "full")
    executed = tmp_path / "out" / "notebooks" / "page.ipynb"
    assert (done.returncode, done.stdout.strip()) == (0, str(executed))
    assert read_outputs(executed)[-1] == "7 int full\n"
    report = json.loads((tmp_path / "out" / "reports" / "page.json").read_text())
    assert report["parameters"] == {"profile": "full", "device": "cpu", "seed": 7}
    assert (report["profile"], report["device"], report["seed"]) == ("full", "cpu", 7)
    assert 0 < report["duration_s"] < 600
    assert 2**24 < report["peak_memory_bytes"] < 2**34
    assert not list((tmp_path / "out" / "logs").iterdir())


def test_a_report_names_the_trainings_that_the_notebook_reads(tmp_path):
    (tmp_path / "out" / "trained").mkdir(parents=True)
    (tmp_path / "out" / "trained" / "natural.json").write_text('{"duration_s": 7.5}')
    (tmp_path / "out" / "studied" / "many").mkdir(parents=True)
    (tmp_path / "out" / "studied" / "many" / "cell-s0.json").write_text('{"duration_s": 2.5}')
    source = write_notebook(
        tmp_path,
        "if False:\n    load_config('natural', profile), x.load_config('other', profile), load_study('many', profile)",
    )
    assert run_execute(source).returncode == 0
    report = json.loads((tmp_path / "out" / "reports" / "page.json").read_text())
    assert report["training_s"] == {"natural": 7.5, "cell-s0": 2.5}


def test_a_report_names_the_data_that_the_notebook_loads(tmp_path):
    source = write_notebook(tmp_path, "1")
    source.write_text(source.read_text().replace("---\n\n#", "wlsc:\n  data: [physiology]\n---\n\n#", 1))
    assert run_execute(source).returncode == 0
    report = json.loads((tmp_path / "out" / "reports" / "page.json").read_text())
    tables = (REPOSITORY / "data" / "physiology").glob("*.csv")
    shipped = {table.name: hashlib.sha256(table.read_bytes()).hexdigest() for table in tables}
    assert len(shipped) == 3
    assert shipped.items() <= report["data"].items()
    registered = tomllib.loads((REPOSITORY / "data" / "registry.toml").read_text(encoding="utf-8"))
    assert set(report["data"]) == set(registered["physiology"]["files"])


def test_two_runs_are_equal_byte_for_byte(tmp_path):
    cell = "import sys, time\nprint(time.time(), file=sys.stderr)\nprint(hash('text'))\n{'a', 'b', 'c'}"
    results = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        source = write_notebook(tmp_path / name, cell)
        assert run_execute(source, "-p", "seed", "1").returncode == 0
        results.append((tmp_path / name / "out" / "notebooks" / "page.ipynb").read_bytes())
    assert results[0] == results[1]
    assert str(tmp_path).encode() not in results[0]


def test_what_a_cell_prints_in_pieces_is_one_output(tmp_path):
    loop = "for piece in 'abc':\n    print(piece, flush=True)\n    print('progress', file=sys.stderr, flush=True)"
    source = write_notebook(tmp_path, f"import sys\n{loop}\ndisplay(1)\nprint('d')")
    assert run_execute(source).returncode == 0
    (*_, cell) = nbformat.read(tmp_path / "out" / "notebooks" / "page.ipynb", as_version=4).cells
    shown = [output.get("text") or output.data["text/plain"] for output in cell.outputs]
    assert shown == ["a\nb\nc\n", "1", "d\n"]


def test_figures_and_claims_go_beside_the_notebook(tmp_path):
    cell = "from wlsc.companion.results import save_claims\nsave_claims('found', profile, {'answer': 42})"
    assert run_execute(write_notebook(tmp_path, cell)).returncode == 0
    assert json.loads((tmp_path / "out" / "claims" / "found.json").read_text()) == {"answer": 42}


@pytest.mark.parametrize(
    ("cell", "tags", "arguments", "reason"),
    [
        ("value = 1\nraise ValueError('no such thing')", "", (), "ValueError: no such thing"),
        ("value = 1\n1 / 0", ":tags: [raises-exception]\n\n", (), "ZeroDivisionError: division by zero"),
        ("value = 1\nimport sys; sys.exit()", "", (), "its output is an error"),
        ("value = 1\nimport os; os._exit(1)", "", (), "its kernel died"),
        ("value = 1\nimport time; time.sleep(60)", "", ("--timeout", "5"), "it took longer than 5 s"),
    ],
    ids=["exception", "tolerated exception", "exit", "dead kernel", "too slow"],
)
@pytest.mark.tried("faults")
def test_a_failure_names_cell_reason_and_partial_notebook(tmp_path, cell, tags, arguments, reason):
    source = write_notebook(tmp_path, "print('before')", cell, "print('after')", tags=tags)
    (tmp_path / "out" / "notebooks").mkdir(parents=True)
    done = run_execute(source, *arguments)
    partial = tmp_path / "out" / "logs" / "page.ipynb"
    assert done.returncode == 1
    assert f"{source} failed in code cell 3 of 4 (value = 1): {reason}" in done.stderr
    assert f"The notebook as far as it got: {partial}" in done.stderr
    assert "Traceback" not in done.stderr.partition("wlsc: ")[2]
    assert "before\n" in read_outputs(partial)
    assert not list((tmp_path / "out" / "notebooks").iterdir())
    assert not list((tmp_path / "out" / "reports").iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-p", "sed", "3"), "parameter must be one of profile, device, seed, got sed (did you mean seed?)"),
        (("-p", "seed", "three"), "parameter seed must be of type int, got 'three'"),
        (("-p", "seed"), "parameter must be given as NAME VALUE, got 'seed' alone"),
    ],
)
@pytest.mark.tried("inputs")
def test_a_wrong_parameter_is_refused_before_anything_runs(tmp_path, arguments, message):
    source = write_notebook(tmp_path, "open('ran', 'w')")
    done = run_execute(source, *arguments)
    assert (done.returncode, done.stderr) == (1, f"wlsc: {message}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["page.md"]


def test_a_missing_notebook_is_named(tmp_path):
    done = run_execute(tmp_path / "absent.md")
    assert done.returncode == 1
    assert "absent.md" in done.stderr
    assert "Traceback" not in done.stderr
