"""What all tests share: where the repository lies, and the quick book that some of them read."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

from tests.tally import NOT_TESTED, Tally, note_kinds
from wlsc.companion.notebooks import is_notebook, list_pages

REPOSITORY = Path(__file__).parents[1]
PAGES = list_pages(REPOSITORY / "book" / "_toc.yml")
NOTEBOOKS = [page for page in PAGES if is_notebook(REPOSITORY / "book" / f"{page}.md")]
#: Runs a command in a process that sees mounts of its own, root or not.
MOUNT_NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")

UNDER_CI = bool(os.environ.get("CI"))


def pytest_configure(config: pytest.Config) -> None:
    """Count what is tried if a file for it is named; of several processes the one that hears of all tests counts."""
    path = os.environ.get("WLSC_TALLY")
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Tally(Path(path)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Note what each test tries."""
    note_kinds(items)


def give_up(reason: str) -> NoReturn:
    """Skip a test that this machine cannot run; under continuous integration, which must be able to, fail it."""
    message = NOT_TESTED + reason
    pytest.fail(message) if UNDER_CI else pytest.skip(message)


def check_mount_namespaces() -> None:
    """Give up where users cannot mount file systems for their own processes."""
    if not shutil.which("unshare") or subprocess.run([*MOUNT_NAMESPACE, "true"], capture_output=True).returncode != 0:
        give_up("this machine gives users no mount namespaces")


@pytest.fixture(scope="session")
def quick_book() -> Path:
    """Folder of the quick book, which `make test` builds first."""
    return find_book("quick", "`make book` first, or `make test`, which does both")


def find_book(profile: str, commands: str) -> Path:
    """Folder of the book of a profile; fails if the ``commands`` that build it have not been run."""
    folder = REPOSITORY / "_build" / profile
    if not (folder / "html" / "index.html").exists():
        pytest.fail(f"the {profile} book has not been built: run {commands}")
    return folder
