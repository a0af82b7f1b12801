"""What a release publishes: an archive of the site, the PDF, results, checksums, a manifest, notebooks to run."""

from __future__ import annotations

import hashlib
import json
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

from wlsc._io.files import write_text

#: First cell of a published notebook: on Colab, where nothing of this repository is, it fetches and installs it.
_SETUP = """\
import sys

if "google.colab" in sys.modules:
    !git clone --quiet --depth 1 --branch notebooks {repository} wlsc-book
    %cd wlsc-book/book
    %pip install --quiet -e "..[book]"
"""


def gather_release(folder: Path, output: Path, repository: str) -> list[Path]:
    """Gather what a release consists of.

    Parameters
    ----------
    folder
        Folder of a build, such as ``_build/full``, with its PDF.
    output
        Where ``book-html.tar.gz``, ``book.pdf``, ``results.json``, ``manifest.json``, ``SHA256SUMS`` and ``notebooks/``
        are written.
    repository
        Address from which a published notebook fetches the repository; without one there are no such notebooks.

    Returns
    -------
    list of Path
        The files, notebooks aside.

    Raises
    ------
    ValueError
        If the build lacks the site, its PDF or its claims.
    """
    for needed in ("html/index.html", "book.pdf", "claims"):
        if not (folder / needed).exists():
            raise ValueError(f"folder must be a build with {needed}, got {folder}, which has none")
    output.mkdir(parents=True, exist_ok=True)
    shutil.make_archive(str(output / "book-html"), "gztar", folder, "html")
    shutil.copyfile(folder / "book.pdf", output / "book.pdf")
    reports = {path.stem: _read(path) for path in sorted((folder / "reports").glob("[!.]*.json"))}
    claims = {path.stem: _read(path) for path in sorted((folder / "claims").glob("[!.]*.json"))}
    write_text(output / "results.json", json.dumps({"claims": claims, "reports": reports}, indent=1) + "\n")
    if repository:
        (output / "notebooks").mkdir(exist_ok=True)
        for path in sorted((folder / "notebooks").glob("[!.]*.ipynb")):
            write_text(output / "notebooks" / path.name, _with_setup(_read(path), repository))
    files = [output / name for name in ("book-html.tar.gz", "book.pdf", "results.json")]
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    manifest = {
        "wlsc": version("wlsc"),
        "commits": sorted({report["commit"] for report in reports.values()}),
        "profile": folder.name,
        "files": [{"name": path.name, "bytes": path.stat().st_size, "sha256": sums[path.name]} for path in files],
    }
    write_text(output / "manifest.json", json.dumps(manifest, indent=1) + "\n")
    write_text(output / "SHA256SUMS", "".join(f"{digest}  {name}\n" for name, digest in sums.items()))
    return [*files, output / "manifest.json", output / "SHA256SUMS"]


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _with_setup(notebook: dict[str, Any], repository: str) -> str:
    setup: dict[str, Any] = {
        "cell_type": "code",
        "execution_count": None,
        "id": "setup",
        "metadata": {"tags": ["remove-cell"]},
        "outputs": [],
        "source": _SETUP.format(repository=repository),
    }
    return json.dumps(notebook | {"cells": [setup, *notebook["cells"]]}, indent=1, ensure_ascii=False) + "\n"
