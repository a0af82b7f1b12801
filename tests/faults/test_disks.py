"""A disk that is full and one that cannot be written: one clear message, and earlier results are as they were."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.book.test_execution import read_outputs, write_notebook
from tests.datasets.local_server import CONTENT
from tests.faults.disks import EMPTY, FILL, KEEP, MOUNT_READ_ONLY, MOUNT_SMALL, READ_ONLY, WRITABLE, run_with_mounts
from tests.faults.tiny_book import TRAINING
from wlsc import experiments

pytestmark = pytest.mark.tried("faults")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two trainings, two notebooks, and a place where a disk is mounted."""
    (tmp_path / "disk").mkdir()
    for seed in (0, 1):
        (tmp_path / f"seed{seed}.toml").write_text(f"seed = {seed}\n{TRAINING}")
    for name in ("one", "two"):
        write_notebook(tmp_path, f"print('{name}')").rename(tmp_path / f"{name}.md")
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def load(folder: Path, name: str) -> experiments.Run:
    (path,) = folder.glob(f"runs/{name}-*")
    return experiments.load_run(path)


def assert_one_message(end: int | str, errors: str, *parts: str) -> None:
    assert isinstance(end, str) and end.startswith("wlsc: ")
    assert len(end.splitlines()) == 1
    assert all(part in end for part in parts), end
    assert "Traceback" not in errors


def test_a_training_without_room_keeps_the_finished_ones_and_goes_on_later(folder):
    train = [("train", folder / f"seed{seed}.toml") for seed in (0, 1)]
    (alone, first), full, read_only, (later,), errors = trained_on_a_bad_disk(folder, *train)
    assert [alone, first, later] == [0, 0, 0]
    for (found, refused), reason in ((full, "No space left on device"), (read_only, "Read-only file system")):
        assert found == 0
        assert_one_message(refused, errors, "seed1-", reason)
    earlier = {name: content for name, content in contents(folder / "full").items() if "/seed0-" in name}
    assert len(earlier) == 3 and earlier.items() <= contents(folder / "kept").items()
    assert not list(folder.glob("full/runs/seed1-*/*")), "nothing half-written stays"
    whole = load(folder / "disk", "seed1")  # from before the mount, in the folder below it
    np.testing.assert_array_equal(load(folder / "kept", "seed1").dictionary, whole.dictionary)


def trained_on_a_bad_disk(folder: Path, one: tuple[object, ...], other: tuple[object, ...]):
    """Train both, the one on the disk before it is full, then read-only, then as it was before."""
    before, full, read_only = [other, MOUNT_SMALL, one], [FILL, one, other, "cp -r disk full"], [READ_ONLY, one, other]
    ends, errors = run_with_mounts(folder, *before, *full, EMPTY, *read_only, WRITABLE, other, KEEP)
    return ends[:2], ends[2:4], ends[4:6], ends[6:], errors


def test_a_full_or_read_only_build_folder_is_named_and_keeps_its_notebooks(folder):
    execute = [("execute", folder / f"{name}.md", "-o", "disk/quick") for name in ("one", "two")]
    ends, errors = run_with_mounts(
        folder, MOUNT_SMALL, execute[0], FILL, execute[1], "cp -r disk full", EMPTY, READ_ONLY, execute[1], KEEP
    )
    assert ends[0] == 0
    assert_one_message(ends[1], errors, "two.md", "disk/quick", "No space left on device")
    assert_one_message(ends[2], errors, "two.md", "disk/quick", "Read-only file system")
    for name in ("full", "kept"):
        (executed,) = (folder / name / "quick" / "notebooks").glob("[!.]*")
        assert read_outputs(executed)[-1] == "one\n"
        (report,) = (folder / name / "quick" / "reports").glob("[!.]*")
        assert json.loads(report.read_text())["notebook"] == "one"


FETCH = """
import os, sys
from pathlib import Path
from wlsc.datasets.registry import DataError, Retry, fetch

os.environ.pop("WLSC_DATA_DIR", None)
os.environ["WLSC_CACHE_DIR"] = sys.argv[2]
for name in ("good", "damaged", "missing"):
    try:
        print(fetch("toy", name, registry=Path(sys.argv[1]), retry=Retry(rounds=1))[name])
    except DataError as error:
        print("DataError:", error)
"""


def test_a_cache_that_cannot_be_written_serves_what_is_whole_and_refuses_the_rest(folder, make_registry, refused_url):
    registry = make_registry(refused_url, names=("good", "damaged", "missing"))
    files = folder / "disk" / "toy"
    files.mkdir()
    (files / "good").write_bytes(CONTENT)
    (files / "damaged").write_bytes(CONTENT[:-1] + b"x")
    (folder / "fetch.py").write_text(FETCH)
    run_with_mounts(folder, MOUNT_READ_ONLY, f"'{sys.executable}' fetch.py '{registry}' '{folder}/disk' >said.txt")
    good, damaged, missing = (folder / "said.txt").read_text().splitlines()
    assert good == str(files / "good")
    for line, name in ((damaged, "damaged"), (missing, "missing")):
        assert line.startswith("DataError: ") and "Read-only file system" in line and "WLSC_CACHE_DIR" in line
        assert str(files / name) in line
    assert set(contents(folder / "disk")) == {"toy/good", "toy/damaged"}
