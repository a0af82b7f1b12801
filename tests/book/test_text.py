"""The text notebooks as they lie in book/: complete, well-formed, and unchanged by a round trip through Jupyter."""

from __future__ import annotations

import re

import jupytext
import pytest
from jupytext.config import load_jupytext_config

from tests.book.test_execution import write_notebook
from tests.conftest import NOTEBOOKS, PAGES, REPOSITORY
from wlsc.companion.notebooks import (
    find_configurations,
    find_data,
    find_needs,
    find_studies,
    is_notebook,
    list_pages,
    parse_parameters,
    read_code,
    read_notebook,
    read_parameters,
)
from wlsc.datasets.registry import load_registry

BOOK = REPOSITORY / "book"


def test_every_page_is_in_the_table_of_contents_once():
    assert sorted(PAGES) == sorted(path.stem for path in BOOK.glob("*.md"))
    assert len(NOTEBOOKS) >= 6


@pytest.mark.parametrize("chapter", NOTEBOOKS)
def test_the_round_trip_is_exact(chapter):
    path = BOOK / f"{chapter}.md"
    config = load_jupytext_config(str(path))
    notebook = jupytext.reads(jupytext.writes(jupytext.read(path, config=config), "ipynb"), "ipynb")
    assert jupytext.writes(notebook, "md:myst", config=config) == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("chapter", NOTEBOOKS)
def test_every_notebook_can_be_set_in_the_same_way(chapter):
    notebook = read_notebook(BOOK / f"{chapter}.md")
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in notebook.cells) == 1
    parameters = read_parameters(notebook)
    assert list(parameters)[:3] == ["profile", "device", "seed"]
    assert parameters["profile"] == "quick"
    assert [type(parameters[name]) for name in ("device", "seed")] == [str, int]


@pytest.mark.parametrize("chapter", NOTEBOOKS)
def test_what_a_notebook_needs_is_there(chapter):
    notebook = read_notebook(BOOK / f"{chapter}.md")
    assert set(find_needs(notebook)) <= set(NOTEBOOKS)
    for name in find_configurations(notebook):
        for profile in ("quick", "full"):
            assert (BOOK / "experiments" / profile / f"{name}.toml").exists(), (chapter, profile, name)


@pytest.mark.parametrize("chapter", NOTEBOOKS)
def test_a_notebook_names_the_data_that_it_loads(chapter):
    notebook = read_notebook(BOOK / f"{chapter}.md")
    code = read_code(notebook)
    loads = re.findall(r"\b(load_digits|load_images|load_patches|load_\w+_counts|load_\w+_cells|fetch)\(", code)
    named = find_data(notebook)
    assert set(named) <= set(load_registry())
    assert bool(loads) <= bool([*named, *find_configurations(notebook), *find_studies(notebook)])
    assert loads or not named


@pytest.mark.parametrize("chapter", NOTEBOOKS)
def test_every_figure_is_captioned_and_has_a_text_for_those_who_cannot_see_it(chapter):
    text = (BOOK / f"{chapter}.md").read_text(encoding="utf-8")
    for figure in re.findall(r"```\{figure\} (.*?)```", text, flags=re.DOTALL):
        path, *_ = figure.splitlines()
        caption = [line for line in figure.splitlines()[1:] if line and not line.startswith(":")]
        assert re.search(r"^:alt: .{30,}", figure, flags=re.MULTILINE), path
        assert re.search(r"^:name: \S+", figure, flags=re.MULTILINE), path
        assert caption, path


PARTS = (
    "{measured}",
    "**What this chapter asks.**",
    "**What it needs:**",
    "## What was found",
    "**To try:**",
    "{margin}",
)


@pytest.mark.parametrize("chapter", [name for name in NOTEBOOKS if name != "start"])
def test_every_chapter_has_its_parts_in_order(chapter):
    text = (BOOK / f"{chapter}.md").read_text(encoding="utf-8")
    assert [part for part in PARTS if part not in text] == []
    assert text.index(PARTS[1]) < text.index("\n## ") < text.index("## What was found")
    exercises = len(re.findall(r"\{admonition\} Exercise \d", text))
    assert exercises >= 2
    assert text.count("hide-cell") >= exercises, "a solution each, that runs"


@pytest.mark.parametrize("chapter", NOTEBOOKS)
def test_every_chapter_leads_to_the_glossary(chapter):
    assert "{term}`" in (BOOK / f"{chapter}.md").read_text(encoding="utf-8")


def test_every_term_of_the_glossary_that_chapters_use_is_linked_in_one():
    terms = re.findall(r"^([^\s:`#(].*)\n  +\S", (BOOK / "glossary.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(terms) > 25
    chapters = [(BOOK / f"{name}.md").read_text(encoding="utf-8") for name in NOTEBOOKS]
    prose = "\n".join(
        re.sub(r"^```\{code-cell\}.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL) for text in chapters
    )
    linked = {name.lower() for name in re.findall(r"\{term\}`(?:[^`<]*<)?([^`<>]+)>?`", prose)}
    used = {term.lower() for term in terms if re.search(rf"\b{re.escape(term)}s?\b", prose, flags=re.IGNORECASE)}
    assert len(used) > 20
    assert used - linked == set()


def test_every_citation_leads_to_what_is_cited():
    entries = (BOOK / "references.bib").read_text(encoding="utf-8").split("\n@")[1:]
    assert len(entries) > 50
    for entry in entries:
        assert re.search(r"^\s*(doi|url|eprint)\s*=\s*\{\S+\}", entry, flags=re.MULTILINE), entry


def test_a_table_of_contents_is_read_in_order(tmp_path):
    toc = tmp_path / "_toc.yml"
    toc.write_text(
        "root: a\nparts:\n- chapters:\n  - file: b\n    sections:\n    - file: c\n- chapters:\n  - file: d\n"
    )
    assert list_pages(toc) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("---\nkernelspec:\n  name: python3\n---\ntext", True),
        ("# Title\n---\n", False),
        ("---\nmyst: {}\n---\n", False),
    ],
)
def test_a_notebook_names_a_kernel_in_its_header(tmp_path, text, expected):
    path = tmp_path / "page.md"
    path.write_text(text)
    assert is_notebook(path) is expected


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("need: [start]", r"page\.md: wlsc must have keys among needs, data, got need \(did you mean needs\?\)"),
        ("needs: start", r"page\.md: wlsc: needs must be a list, got 'start'"),
        ("data: [1]", r"page\.md: wlsc: data must be of type str, got 1"),
        ("- needs", r"page\.md: wlsc must be a table, got \['needs'\]"),
        ("start", r"page\.md: wlsc must be a table, got 'start'"),
    ],
)
@pytest.mark.tried("inputs")
def test_what_a_header_cannot_say_is_refused(tmp_path, header, message):
    path = write_notebook(tmp_path, "1")
    path.write_text(path.read_text().replace("---\n\n#", f"wlsc:\n  {header}\n---\n\n#", 1))
    with pytest.raises(ValueError, match=message):
        read_notebook(path)


KNOWN = {"profile": "quick", "seed": 0, "lam": 0.1, "fast": True, "sizes": [1, 2]}


def test_parameters_take_the_type_of_their_default():
    given = {"profile": "007", "seed": "-3", "lam": "2", "fast": "false", "sizes": "[3]"}
    values = parse_parameters(KNOWN, given)
    assert values == {"profile": "007", "seed": -3, "lam": 2.0, "fast": False, "sizes": [3]}
    assert {name: type(value) for name, value in values.items()} == {name: type(value) for name, value in KNOWN.items()}


@pytest.mark.parametrize(
    ("name", "text"), [("seed", "1.5"), ("seed", "x"), ("lam", "nul"), ("fast", "2"), ("sizes", "3")]
)
def test_a_parameter_of_another_type_is_refused(name, text):
    with pytest.raises(
        ValueError, match=f"parameter {name} must be of type {type(KNOWN[name]).__name__}, got '{text}'"
    ):
        parse_parameters(KNOWN, {name: text})


def test_an_unknown_parameter_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match=r"one of profile, seed, .*, got sed \(did you mean seed\?\)"):
        parse_parameters(KNOWN, {"sed": "1"})


#: Chapters that show what a reader would type, and no more.
FOR_READERS = ("figure_1a", "figure_1b")
HIDING = {"hide-input", "hide-cell", "remove-input", "remove-cell"}


@pytest.mark.parametrize("chapter", FOR_READERS)
def test_a_chapter_shows_little_code_and_hides_less(chapter):
    path = BOOK / f"{chapter}.md"
    cells = [cell for cell in read_notebook(path).cells if cell.cell_type == "code"]
    hidden = [cell for cell in cells if HIDING & set(cell.metadata.get("tags", []))]
    assert len(hidden) <= len(cells) / 5
    assert max(len(cell.source.splitlines()) for cell in cells if cell not in hidden) <= 15
    n_code = sum(len(cell.source.splitlines()) for cell in cells)
    assert n_code <= len(path.read_text(encoding="utf-8").splitlines()) / 3
