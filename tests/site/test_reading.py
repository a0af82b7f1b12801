"""What helps a reader: formulas that are whole, figures that open large, terms that explain themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from bs4 import BeautifulSoup
from fontTools.ttLib import TTFont
from PIL import Image
from playwright.sync_api import Browser, Page

from tests.conftest import PAGES
from tests.site.conftest import visit

#: Most that a first visit may weigh, in bytes before they are compressed; half of it is MathJax.
FIRST_VISIT = 2_400_000

#: Most pixels that a page of the reference may be high: about forty screens.
REFERENCE_HEIGHT = 45_000


@pytest.fixture
def read(browser: Browser, site: str) -> Iterator[Callable[..., Page]]:
    """Open a page of the book as a reader with such a screen does."""
    opened = []

    def open_page(name: str, width: int = 1280, **options: object) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, reduced_motion="reduce", **options)
        opened.append(context)
        page = context.new_page()
        visit(page, f"{site}{name}.html")
        return page

    yield open_page
    for context in opened:
        context.close()


def soup(html: Path, name: str) -> BeautifulSoup:
    return BeautifulSoup((html / f"{name}.html").read_text(encoding="utf-8"), "html.parser")


@pytest.mark.parametrize("name", PAGES)
def test_no_formula_is_cut(read, name):
    cut = read(name).evaluate(
        """[...document.querySelectorAll(".math")].filter((box) => {
            const formula = box.querySelector("mjx-math");
            const container = box.querySelector("mjx-container");
            const text = box.matches("span") && box.closest("p, li, td, dd, figcaption, caption");
            const room = text || container;
            return formula && formula.getBoundingClientRect().width > room.getBoundingClientRect().width + 1;
        }).map((box) => box.id || box.textContent)"""
    )
    assert cut == []


def test_notes_leave_a_phone_its_width(read):
    page = read("unrolling", 390)
    notes = page.locator(".bd-article aside.margin")
    assert notes.count() >= 1
    for width in notes.evaluate_all("notes => notes.map((note) => note.getBoundingClientRect().width)"):
        assert width > 340
    above = page.locator(".bd-article aside.margin").first.evaluate("note => note.previousElementSibling.className")
    assert "math" in above, "below the formula that it is about"


def test_a_figure_opens_large_and_closes_by_keyboard(read):
    page = read("unrolling")
    button = page.locator(".wlsc-enlarge").first
    assert page.locator("figure img").count() == page.locator("figure .wlsc-enlarge img").count() > 0
    before = button.locator("img").bounding_box()["width"]
    button.focus()
    page.keyboard.press("Enter")
    large = page.get_by_role("dialog").locator("img")
    assert large.bounding_box()["width"] > before
    assert large.get_attribute("alt") == button.locator("img").get_attribute("alt")
    page.keyboard.press("Escape")
    assert not large.is_visible()
    assert button.evaluate("button => button === document.activeElement")


def test_a_figure_opens_at_a_tap_and_is_closed_by_another(read):
    page = read("figure_1a", 390, has_touch=True)
    page.locator(".wlsc-enlarge").first.tap()
    large = page.get_by_role("dialog").locator("img")
    assert large.bounding_box()["width"] > 390
    page.get_by_role("button", name="Close").tap()
    assert not large.is_visible()


@pytest.mark.parametrize("name", ["equations", "figure_1a", "figure_1b", "natural_images"])
def test_a_figure_that_a_phone_cuts_says_how_to_see_the_rest(read, name):
    page = read(name, 390)
    figures = page.locator(".wlsc-scroller").evaluate_all(
        """boxes => boxes.map((box) => [box.scrollWidth > box.clientWidth + 1, !box.nextElementSibling.hidden])"""
    )
    assert figures
    assert all(is_cut == is_told for is_cut, is_told in figures)


def test_a_term_explains_itself_to_keyboard_and_mouse(read):
    page = read("natural_images")
    term = page.locator("a[data-definition]").first
    note = page.get_by_role("tooltip")
    assert note.count() == 0
    term.focus()
    assert note.inner_text() == term.get_attribute("data-definition")
    assert term.get_attribute("aria-describedby") == note.get_attribute("id")
    page.keyboard.press("Escape")
    assert not note.is_visible()
    term.hover()
    assert note.is_visible()
    note.hover()
    page.wait_for_timeout(400)
    assert note.is_visible(), "one may point at the note itself"
    page.mouse.move(0, 0)
    note.wait_for(state="hidden")


def test_a_term_explains_itself_at_a_tap_and_leads_on_at_the_next(read):
    page = read("natural_images", 390, has_touch=True)
    term = page.locator("a[data-definition]").first
    term.tap()
    note = page.get_by_role("tooltip")
    box = note.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    assert "natural_images" in page.url
    term.tap()
    page.wait_for_url("**/glossary.html#term-*")


def test_every_link_to_a_term_explains_it(html: Path):
    links = [link for name in PAGES for link in soup(html, name).select("a[href*='#term-']:has(.std-term)")]
    assert len(links) > 10
    assert not [link for link in links if len(link.get("data-definition", "")) < 20]


def test_a_first_visit_is_light(browser: Browser, site: str):
    received: dict[str, int] = {}
    page = browser.new_page()
    page.on("response", lambda answer: received.update({answer.url: len(answer.body())}))
    visit(page, f"{site}start.html")
    page.close()
    assert 0 < sum(received.values()) < FIRST_VISIT
    assert not [url for url in received if "fontawesome.js" in url]


def test_every_icon_is_in_the_font(read, html: Path):
    page = read("figure_1a")
    letters = page.locator("i[class*='fa-']").evaluate_all(
        """icons => icons.map((icon) => getComputedStyle(icon, "::before").content)"""
    )
    fonts = html / "_static" / "vendor" / "fontawesome" / "webfonts"
    known = TTFont(fonts / "fa-solid-900.ttf").getBestCmap()
    assert len(letters) > 8
    assert {ord(letter.strip('"')) for letter in letters} <= known.keys()
    assert sum(path.stat().st_size for path in fonts.iterdir()) < 20_000


@pytest.mark.parametrize("name", PAGES)
def test_a_link_to_a_page_has_a_picture_and_a_description(html: Path, name: str):
    page = soup(html, name)
    tags = {tag["property"]: tag["content"] for tag in page.select("meta[property^='og:']")}
    assert len(tags["og:description"]) > 40
    assert "[" not in tags["og:description"]
    with Image.open(html / urlsplit(tags["og:image"]).path) as poster:
        assert poster.size == (int(tags["og:image:width"]), int(tags["og:image:height"])) == (1200, 630)
    assert page.select('a[href="https://arxiv.org/abs/2402.10213"]')


def test_no_mark_becomes_a_bullet_in_a_table(html: Path):
    assert not [cell for name in PAGES for cell in soup(html, name).select("table.saved-table td ul")]


def test_every_figure_of_the_index_has_a_title(html: Path):
    entries = [entry.text for entry in soup(html, "figure_index").select("article li")]
    assert len(entries) > 40
    assert not [entry for entry in entries if not entry.partition(": ")[2].strip()]


def test_references_hold_no_source_of_formulas(html: Path):
    text = soup(html, "references").select_one("article").text
    assert "ℓ1" in text
    assert "$" not in text and "\\ell" not in text


def test_the_reference_comes_in_pages_that_one_can_read(read, html: Path):
    pages = [name for name in PAGES if name.startswith("api")]
    assert len(pages) == 14
    for name in pages:
        assert read(name).evaluate("document.documentElement.scrollHeight") < REFERENCE_HEIGHT, name
    names = {place["id"] for place in soup(html, "api").select("a[id]")}
    described = {place["id"] for name in pages[1:] for place in soup(html, name).select("dt.sig[id]")}
    assert "wlsc.infer_codes" in names
    assert names <= described


def test_every_surprise_leads_to_its_script(html: Path):
    cards = soup(html, "surprises").select(".sd-card")
    assert len(cards) > 5
    for card in cards:
        (link,) = card.select("a[download]")
        script = (html / link["href"]).read_text(encoding="utf-8")
        assert script.startswith("#!/bin/sh\n")
        assert "wlsc" not in script, "without this project"
