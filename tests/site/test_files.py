"""The files of the built site, read without a browser: links, descriptions, what is loaded, what is told."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

from tests.conftest import NOTEBOOKS, PAGES
from wlsc import __version__

#: Attributes that make a browser fetch something by itself, by tag.
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "link": "href"}


@dataclass
class Document(HTMLParser):
    """What one HTML file names, loads and links to."""

    path: Path
    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        self.ids |= {value for name in ("id", "name") if (value := given.get(name))}
        if tag == "a" and given.get("href"):
            self.links.append(str(given["href"]))
        if tag in LOADED and given.get(LOADED[tag]):
            self.loaded.append(str(given[LOADED[tag]]))

    def find(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        return [given for name, given in self.tags if name == tag and attributes.items() <= given.items()]


@cache
def read_document(path: Path) -> Document:
    return Document(path)


def is_broken(link: str, document: Document) -> bool:
    """Tell whether a link within the site leads to no file or to no place in it."""
    address, anchor = urldefrag(link)
    if urlsplit(address).scheme or address.startswith("//"):
        return False
    target = document.path.parent / unquote(urlsplit(address).path) if address else document.path
    if not target.is_file():
        return True
    return bool(anchor) and target.suffix == ".html" and unquote(anchor) not in read_document(target.resolve()).ids


def test_every_link_within_the_site_leads_somewhere(html):
    documents = [read_document(path.resolve()) for path in sorted(html.rglob("*.html")) if "_static" not in path.parts]
    broken = [
        (document.path.name, link) for document in documents for link in document.links if is_broken(link, document)
    ]
    assert len(documents) > len(PAGES)
    assert sum(len(document.links) for document in documents) > 500
    assert not broken


def test_no_page_loads_anything_from_elsewhere(html):
    for path in html.rglob("*.html"):
        outside = [url for url in read_document(path.resolve()).loaded if urlsplit(url).scheme or url.startswith("//")]
        assert not [url for url in outside if not url.startswith("data:")], path


def test_whatever_a_page_loads_is_there(html):
    n_found = 0
    for path in html.rglob("*.html"):
        if "_static" in path.parts:
            continue
        for url in read_document(path.resolve()).loaded:
            if not urlsplit(url).scheme and (local := unquote(urlsplit(url).path)):
                assert (path.parent / local).exists(), (path.name, url)
                n_found += 1
    assert n_found > 100


@pytest.mark.parametrize("chapter", PAGES)
def test_a_page_describes_itself(html, chapter):
    document = read_document((html / f"{chapter}.html").resolve())
    assert document.find("html", lang="en")
    assert document.find("title")
    assert document.find("meta", name="viewport")
    description = document.find("meta", name="description")
    assert description and len(description[0]["content"] or "") > 40
    assert document.find("link", rel="icon") or document.find("link", rel="shortcut icon")


@pytest.mark.parametrize("chapter", PAGES)
def test_every_picture_has_a_text_for_those_who_cannot_see_it(html, chapter):
    pictures = read_document((html / f"{chapter}.html").resolve()).find("img")
    assert not [picture["src"] for picture in pictures if len(picture.get("alt") or "") < 20]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_tells_what_it_was_made_with(html, built_book, profile, page):
    chapter = page if page in NOTEBOOKS else PAGES[0]
    report = json.loads((built_book / "reports" / f"{chapter}.json").read_text())
    text = (html / f"{page}.html").read_text(encoding="utf-8")
    settings = f"{profile} profile, {report['device']}, seed {report['seed']}"
    assert f"wlsc {__version__} · commit {report['commit'][:12]} · {settings}" in text
    assert ("<strong>Run time</strong>" in text) == (page in NOTEBOOKS)


@pytest.mark.parametrize("chapter", NOTEBOOKS)
def test_a_chapter_can_be_downloaded_as_executed_notebook(html, chapter):
    notebook = json.loads((html / "_sources" / f"{chapter}.ipynb").read_text(encoding="utf-8"))
    assert any(cell.get("execution_count") for cell in notebook["cells"])
