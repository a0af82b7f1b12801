"""The built book, and what a change would run again: Snakemake is asked in a copy, and runs nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.conftest import NOTEBOOKS, REPOSITORY
from wlsc.companion.reports import MOST_MEMORY, read_jobs

#: Folders of a build that rules write to and read from.
BUILT = ("notebooks", "reports", "trained", "studied")


@pytest.mark.parametrize("chapter", NOTEBOOKS)
def test_a_notebook_was_executed_to_its_end_without_an_error(quick_book, chapter):
    cells = nbformat.read(quick_book / "notebooks" / f"{chapter}.ipynb", as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    outputs = [output for cell in code for output in cell.outputs]
    assert all(cell.execution_count for cell in code if cell.source.strip())
    assert outputs
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]


@pytest.mark.parametrize("chapter", NOTEBOOKS)
def test_an_executed_notebook_holds_no_path_of_this_machine(quick_book, chapter):
    text = (quick_book / "notebooks" / f"{chapter}.ipynb").read_text(encoding="utf-8")
    assert str(REPOSITORY) not in text
    assert str(Path.home()) + os.sep not in text


@pytest.fixture
def copy(quick_book: Path, tmp_path: Path) -> Path:
    """What Snakemake looks at, its times kept, in a place where it can be changed."""
    folders = (
        "book",
        "data",
        "findings",
        "results",
        "tests",
        "wlsc",
        ".snakemake/metadata",
        *(f"_build/quick/{name}" for name in BUILT),
    )
    for name in folders:
        shutil.copytree(REPOSITORY / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "_build/quick/html").mkdir()
    for name in ("Snakefile", "_config.yml", "constraints.txt", "_build/quick/html/index.html"):
        shutil.copy2(REPOSITORY / name, tmp_path / name)
    return tmp_path


def plan(folder: Path, *options: str) -> dict[str, str]:
    """What Snakemake would do: names of rules, with the notebook or training they are for, and what is said of each."""
    command = [
        str(Path(sys.executable).with_name("snakemake")),
        "--cores",
        "1",
        "--dry-run",
        *options,
        "--config",
        "profile=quick",
    ]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    said = done.stdout + done.stderr
    assert ("Nothing to be done" in said) != ("\nrule " in said)
    jobs = re.findall(r"^rule (\w+):(.*?)(?=^\S|\Z)", said, flags=re.MULTILINE | re.DOTALL)
    names = (re.search(r"wildcards: name=(\w+)", details) for _, details in jobs)
    return {
        f"{rule} {name[1]}" if name else rule: details
        for (rule, details), name in zip(jobs, names, strict=True)
        if rule != "book"
    }


def planned(folder: Path) -> set[str]:
    return set(plan(folder))


def test_an_unknown_setting_is_refused():
    command = [str(Path(sys.executable).with_name("snakemake")), "--dry-run", "--nolock", "--config", "sede=1"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode != 0
    assert "SETTINGS must be among profile, device, seed, pdf, threads, out, got sede" in done.stdout


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def test_nothing_is_done_again_without_a_change(copy):
    assert planned(copy) == set()


def test_no_job_takes_more_memory_than_it_declares_and_two_fit_into_that_of_a_build(copy):
    rules = {"training": "train", "study": "study", "notebook": "execute"}
    taken = {f"{rules[job.kind]} {job.name}": job.memory / 1e6 for job in read_jobs(copy / "_build" / "quick")}
    declared = {
        job: int(found[1])
        for job, details in plan(copy, "--forceall").items()
        if (found := re.search(r"resources: .*\bmem_mb=(\d+)", details))
    }
    assert taken.keys() == declared.keys()
    assert [job for job in taken if taken[job] > declared[job]] == []
    (memory,) = re.findall(r"^book: MEMORY = (\d+)$", (REPOSITORY / "Makefile").read_text(), flags=re.MULTILINE)
    assert sum(sorted(declared.values())[-2:]) <= int(memory) < MOST_MEMORY["quick"] / 1e6


def test_an_edited_notebook_runs_again_with_those_that_need_it(copy):
    append(copy / "book" / "unrolling.md", "\nOne more sentence.\n")
    assert planned(copy) == {"execute unrolling", "build"}
    append(copy / "book" / "figure_1a.md", "\nOne more sentence.\n")
    assert planned(copy) == {"execute unrolling", "execute figure_1a", "execute start", "build"}


def test_an_edited_plot_trains_nothing_and_an_edited_page_runs_nothing(copy):
    append(copy / "book" / "glossary.md", "\nOne more sentence.\n")
    append(copy / "wlsc" / "cli.py", "\n# Commands decide no number.\n")
    assert planned(copy) == {"build"}
    append(copy / "wlsc" / "plots.py", "\n# A comment.\n")
    assert planned(copy) == {f"execute {page}" for page in NOTEBOOKS} | {"build"}


def test_an_edited_model_trains_what_uses_it(copy):
    append(copy / "wlsc" / "models" / "sparse_coding.py", "\n# A comment.\n")
    assert {job for job in planned(copy) if job.startswith("train")} == {"train natural_sparse_coding"}


def test_an_edited_configuration_trains_and_runs_what_reads_it(copy):
    append(copy / "book" / "experiments" / "quick" / "natural_wlsc.toml", "\n# A comment.\n")
    assert planned(copy) == {"train natural_wlsc", "execute natural_images", "build"}


def test_an_edited_study_is_done_again_with_its_chapter(copy):
    append(copy / "book" / "studies" / "quick" / "figure_1a.toml", "\n# A comment.\n")
    assert planned(copy) == {"study figure_1a", "execute figure_1a", "execute start", "build"}
    append(copy / "results" / "benchmarks" / "training.json", "\n")
    readers = {f"execute {page}" for page in ("figure_1a", "start", "speed", "scale")}
    assert planned(copy) == {"study figure_1a", "build"} | readers
    append(copy / "wlsc" / "analysis" / "gabor.py", "\n# A comment.\n")
    fitting = {"study figure_1a", "study topography"}
    assert {job for job in planned(copy) if job.startswith(("train", "study"))} == fitting
