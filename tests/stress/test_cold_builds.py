"""The whole quick book, built twice from nothing in two folders."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.comparing import list_differences
from tests.conftest import REPOSITORY
from tests.faults.tiny_book import make_book, said
from wlsc.companion.reports import MOST_MEMORY, most_memory, read_jobs


def copy_sources(folder: Path) -> Path:
    """Copy all that is, or could be, under version control."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / name, folder / name)
    return folder


@pytest.mark.timeout(7200)
def test_two_cold_builds_of_the_book_are_alike(tmp_path, record_property):
    trees = [copy_sources(tmp_path / name) for name in ("one", "another")]
    for tree in trees:  # one after the other, each in a folder of runs of its own
        assert make_book(tree).wait(3000) == 0, said(tree)
    one, other = (tree / "_build" / "quick" for tree in trees)
    assert list_differences(one, other) == []
    for build in (one, other):
        assert all(job.memory for job in read_jobs(build))
        assert most_memory(read_jobs(build)) < MOST_MEMORY["quick"]
    record_property("builds", 2)
