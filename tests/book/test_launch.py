"""Buttons for Binder and Colab: none without an address of the repository, and with one they lead to its notebooks."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest
import yaml

from tests.conftest import REPOSITORY
from wlsc.companion.release import gather_release

PAGE = "---\nkernelspec:\n  name: python3\n  display_name: Python 3\n---\n\n# A page\n\n```{code-cell}\n1 + 1\n```\n"


def build(folder: Path, url: str) -> str:
    """Build a book of one notebook whose repository has that address; return the page's HTML."""
    config = yaml.safe_load((REPOSITORY / "_config.yml").read_text(encoding="utf-8"))
    config["repository"]["url"] = url
    config["sphinx"]["local_extensions"] = {"wlsc_book": str(REPOSITORY / "book" / "_ext")}
    source = folder / "src"
    source.mkdir()
    (folder / "_config.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    (source / "_toc.yml").write_text("format: jb-book\nroot: page\n", encoding="utf-8")
    (source / "references.bib").write_text("", encoding="utf-8")
    (source / "_static").mkdir()
    nbformat.write(jupytext.reads(PAGE, "md:myst"), source / "page.ipynb")
    command = [Path(sys.executable).with_name("jupyter-book"), "build", source, "--config", folder / "_config.yml"]
    done = subprocess.run(
        [*map(str, command), "--path-output", str(folder / "out")], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return (folder / "out" / "_build" / "html" / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("url", ["", "https://github.com/someone/something"])
def test_buttons_lead_to_notebooks_that_a_release_publishes(tmp_path: Path, url: str):
    html = build(tmp_path, url)
    linked = set(re.findall(r'https://(?:mybinder\.org|colab\.research\.google\.com)/[^"]*', html))
    release = tmp_path / "build"
    for name in ("html", "claims", "reports", "notebooks"):
        (release / name).mkdir(parents=True)
    (release / "html" / "index.html").touch()
    (release / "book.pdf").touch()
    (release / "notebooks" / "page.ipynb").write_bytes((tmp_path / "src" / "page.ipynb").read_bytes())
    gather_release(release, tmp_path / "release", url)
    published = {f"book/{path.name}" for path in (tmp_path / "release").glob("notebooks/*.ipynb")}
    assert published == ({"book/page.ipynb"} if url else set())
    assert linked == (
        {
            "https://mybinder.org/v2/gh/someone/something/notebooks?urlpath=lab/tree/book/page.ipynb",
            "https://colab.research.google.com/github/someone/something/blob/notebooks/book/page.ipynb",
        }
        if url
        else set()
    )
