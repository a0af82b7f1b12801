"""What all tests share: where the repository lies, and the quick book that some of them read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wlsc._notebooks import is_notebook, list_pages

REPOSITORY = Path(__file__).parents[1]
PAGES = list_pages(REPOSITORY / "book" / "_toc.yml")
NOTEBOOKS = [page for page in PAGES if is_notebook(REPOSITORY / "book" / f"{page}.md")]
UNDER_CI = bool(os.environ.get("CI"))


@pytest.fixture(scope="session")
def quick_book() -> Path:
    """Folder of the quick book, which `make test` builds first."""
    folder = REPOSITORY / "_build" / "quick"
    if not (folder / "html" / "index.html").exists():
        pytest.fail("the quick book has not been built: run `make book` first, or `make test`, which does both")
    return folder
