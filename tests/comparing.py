"""Two builds side by side: all that readers get is the same, byte for byte, apart from the fields listed here."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path

from wlsc.companion.printed import MEASURED, measured_keys

#: All that may differ between two builds of one profile: in which files, and how it is found.
FIELDS = {
    "run time and memory of a chapter": ("*.html", re.compile(r'<p class="measured">.*?</p>')),
    "table of what each chapter took": ("*.html", re.compile(r'<table class="table measured">.*?</table>')),
    "commit at the foot of a page": ("*.html", re.compile(r"(?<=· commit )\w+(?:-dirty)?(?= ·)")),
    "values marked as measured, on a page": (
        "*.html",
        re.compile(r'<span class="measured">(?:<span[^>]*>[^<]*</span>|[^<])*</span>'),
    ),
    "values marked as measured, in a notebook": ("*.ipynb", MEASURED),
    "values marked as measured, in the file of a table": ("*.csv", MEASURED),
    "numbers and dates in the index of the search, and the units of times": (
        "searchindex.js",
        re.compile(r'(?<=[{ ])"(?:\d+(?:t\d+)?|s|min)": (?:\d+|\[[\d, ]*\])(?:, )?'),
    ),
}

#: A glued value in an executed notebook. Those that the notebook's text marks as measured may differ too.
GLUED = (
    r'(?<="application/papermill.record/text/plain": )"(?:[^"\\]|\\.)*"(?=\s*\}},\s*"metadata": \{{\s*"scrapbook": \{{'
    r'\s*"mime_prefix": "[^"]*",\s*"name": "{key}")'
)


def read_comparable(build: Path) -> dict[str, bytes]:
    """Every file of the site, executed notebook and figure of a build, by path, without the fields that may differ."""
    paths = [path for name in ("html", "notebooks", "figures") for path in (build / name).rglob("*") if path.is_file()]
    visible = [path for path in paths if not path.name.startswith(".")]
    return {path.relative_to(build).as_posix(): _without_fields(path) for path in visible}


def _without_fields(path: Path) -> bytes:
    patterns = [pattern for files, pattern in FIELDS.values() if fnmatchcase(path.name, files)]
    if not patterns:
        return path.read_bytes()
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        source = "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
        patterns += [re.compile(GLUED.format(key=re.escape(key))) for key in measured_keys(source)]
    for pattern in patterns:
        text = pattern.sub("", text)
    return text.encode()


def list_differences(one: Path, other: Path) -> list[str]:
    """Paths that only one of two builds has, or that differ there, with the first line that does."""
    first, second = read_comparable(one), read_comparable(other)
    assert first and second
    differing = sorted(path for path in first.keys() & second.keys() if first[path] != second[path])
    return [
        *(f"{path} is in one of them only" for path in sorted(first.keys() ^ second.keys())),
        *(f"{path}: {_first_difference(first[path], second[path])}" for path in differing),
    ]


def _first_difference(first: bytes, second: bytes) -> str:
    pairs = zip(first.split(b"\n"), second.split(b"\n"), strict=False)
    return next((f"{a[:300]!r} and {b[:300]!r}" for a, b in pairs if a != b), "one is longer than the other")
