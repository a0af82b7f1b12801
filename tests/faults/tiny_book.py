"""A copy of the repository with a book of a few pages, which a test can build, break and kill."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat

from tests.book.test_execution import HEADER
from tests.conftest import REPOSITORY

TRAINING = """
[data]
kind = "digits"
source = "embedded"
options = { unit_norm = true }
[model]
kind = "wlsc"
n_atoms = 12
lam = 0.5
[training]
n_epochs = 12
batch_size = 300
tol = 0.0
"""

#: Trains, saves a figure, and passes on what it found.
FIRST = (
    "from wlsc import plots\n"
    "from wlsc.experiments import load_config, run\n"
    "from wlsc.companion.results import save_claims, save_figure",
    "history = run(load_config('tiny', profile)).history\n"
    "save_claims('first', profile, {'objective': history['objective'][-1]})\n"
    "figure = plots.curves({'': {'WLSC': (list(range(12)), history['objective'])}}, 'epoch', 'objective')\n"
    "save_figure(figure, 'descent', profile, history)",
)

#: Reads what the first page found.
SECOND = ("from wlsc.companion.results import load_claims", "print(load_claims('first', profile)['objective'])")


def write_page(folder: Path, name: str, cells: tuple[str, ...], needs: str = "", text: str = "") -> Path:
    """Write the text notebook ``name`` with these cells of code."""
    header = HEADER.replace("  name: python3\n", f"  name: python3\nwlsc:\n  needs: [{needs}]\n").replace(
        "# A page", f"# The {name} page"
    )
    path = folder / f"{name}.md"
    path.write_text(header + text + "".join(f"\n```{{code-cell}} ipython3\n{cell}\n```\n" for cell in cells))
    return path


def plant(folder: Path) -> Path:
    """Copy what a build needs into ``folder``, with pages "first", "second" (which needs it) and "alone"."""
    passing = shutil.ignore_patterns("*.pyc*", "*.tmp.*")  # may vanish while they are copied; compiled code is kept
    for name in ("wlsc", "data", "book/_static", "book/_ext"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=passing)
    for name in ("Makefile", "Snakefile", "_config.yml", "constraints.txt", "pyproject.toml", "book/references.bib"):
        shutil.copy2(REPOSITORY / name, folder / name)
    book = folder / "book"
    (book / "_toc.yml").write_text("format: jb-book\nroot: first\nchapters:\n- file: second\n- file: alone\n")
    (book / "experiments" / "quick").mkdir(parents=True)
    (book / "experiments" / "quick" / "tiny.toml").write_text(TRAINING)
    write_page(book, "first", FIRST)
    write_page(book, "second", SECOND, needs="first")
    write_page(book, "alone", ("print(profile)",))
    return folder


def make_book(folder: Path) -> subprocess.Popen[bytes]:
    """Start `make book` there, with the programs of this environment and nothing to install; see `said`."""
    command = ["make", "--old-file=.venv/book", f"BIN={Path(sys.executable).parent}", "CORES=2", "book"]
    folders = {"PYTHONPATH": str(folder), "WLSC_RUNS_DIR": str(folder / "runs")}
    environment = (
        os.environ | folders | {"MAKEFLAGS": ""}
    )  # settings of a `make` that runs the tests are not for this one
    with (folder / "said.txt").open("ab") as stream:
        return subprocess.Popen(
            command, cwd=folder, env=environment, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
        )


def said(folder: Path) -> str:
    """All that builds in ``folder`` have printed so far."""
    return (folder / "said.txt").read_text(encoding="utf-8", errors="replace")


def read_build(folder: Path) -> dict[str, bytes]:
    """Executed notebooks and pages of the book built there, by path."""
    built = folder / "_build" / "quick"
    paths = [*built.glob("notebooks/[!.]*"), *built.glob("html/*.html"), *built.glob("figures/[!.]*")]
    return {path.relative_to(built).as_posix(): path.read_bytes() for path in paths}


def assert_no_page_is_half(folder: Path) -> None:
    """Whatever has a final name in the build is whole."""
    built = folder / "_build" / "quick"
    for path in built.glob("notebooks/[!.]*.ipynb"):
        code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        assert all(cell.execution_count for cell in code), path
        assert not [output for cell in code for output in cell.outputs if output.output_type == "error"], path
    for path in [*built.glob("reports/[!.]*.json"), *built.glob("claims/[!.]*.json"), *built.glob("trained/[!.]*")]:
        json.loads(path.read_text())
    if (built / "html" / "index.html").exists():
        for name in ("first", "second", "alone"):
            assert (built / "html" / f"{name}.html").read_text().rstrip().endswith("</html>"), name
