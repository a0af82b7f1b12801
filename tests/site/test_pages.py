"""Every page of the built site in a browser: nothing fails, nothing comes from elsewhere, nothing leaves the screen."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.conftest import NOTEBOOKS, PAGES, REPOSITORY
from tests.site.conftest import visit

WIDTHS = {"desktop": 1280, "phone": 390}


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=WIDTHS)
def width(request: pytest.FixtureRequest) -> int:
    return WIDTHS[request.param]


@pytest.fixture
def faults() -> list[str]:
    return []


@pytest.fixture
def reader(browser: Browser, site: str, scheme: str, width: int, faults: list[str]) -> Page:
    """A page that takes down whatever goes wrong in it."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("requestfailed", lambda request: faults.append(f"failed: {request.url}"))
    page.on(
        "response", lambda response: faults.append(f"{response.status}: {response.url}") if not response.ok else None
    )
    page.on(
        "request", lambda request: faults.append(f"outside: {request.url}") if is_outside(request.url, site) else None
    )
    yield page
    context.close()


def is_outside(url: str, site: str) -> bool:
    return not url.startswith((site, "data:", "blob:"))


def background(page: Page) -> float:
    """Brightness of the page's background, 0 to 255."""
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    red, green, blue = (float(part) for part in colour.strip("rgba()").split(",")[:3])
    return (red + green + blue) / 3


@pytest.mark.parametrize("name", [*PAGES, "index", "search", "genindex"])
def test_a_page_is_whole(
    reader: Page, site: str, scheme: str, width: int, faults: list[str], built_book: Path, name: str
):
    visit(reader, f"{site}{name}.html")
    assert not faults
    assert reader.evaluate("document.documentElement.dataset.theme") == scheme
    assert (background(reader) > 127) == (scheme == "light")
    assert reader.evaluate("document.documentElement.scrollWidth") <= width
    assert reader.evaluate("[...document.images].filter(image => !image.naturalWidth).map(image => image.src)") == []
    assert reader.locator("h1:visible").count() == 1
    assert reader.locator("mjx-merror, .problematic, .system-message").count() == 0
    folder = built_book / "screenshots"
    folder.mkdir(exist_ok=True)
    reader.screenshot(path=folder / f"{name}-{width}-{scheme}.png", full_page=True, animations="disabled")


def test_the_first_page_answers_in_one_screen(browser: Browser, site: str):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    visit(page, f"{site}start.html")
    rows = page.locator("#tab-found tbody tr")
    assert rows.count() == 8
    box = rows.last.bounding_box()
    assert box and box["y"] + box["height"] <= 900
    page.close()


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_words_in_drawings_are_large_enough_for_a_phone(browser: Browser, site: str, name: str):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    visit(page, f"{site}{name}.html")
    drawn = (REPOSITORY / "book" / f"{name}.md").read_text(encoding="utf-8").count("```{figure} figures/")
    for kind, per_inch in (("svg", 96), ("png", 160)):
        shares = page.locator(f"figure img[src$='.{kind}']").evaluate_all(
            "images => images.map((image) => image.getBoundingClientRect().width / image.naturalWidth)"
        )
        drawn -= len(shares)
        assert all(share * 9 * per_inch / 72 >= 9 for share in shares), "the smallest words have 9 points"
    page.close()
    assert drawn == 0


def test_mathematics_is_typeset(browser: Browser, site: str):
    page = browser.new_page()
    visit(page, f"{site}equations.html")
    assert page.locator("mjx-container").count() > 10
    page.close()


def test_the_reader_can_choose_the_colours(browser: Browser, site: str):
    page = browser.new_page(color_scheme="light")
    visit(page, f"{site}start.html")
    button = page.locator("button.theme-switch-button:visible").first
    seen = set()
    for _ in range(3):
        button.click()
        seen.add(background(page) > 127)
    assert seen == {True, False}
    page.close()


def test_search_finds_a_page(browser: Browser, site: str):
    page = browser.new_page()
    visit(page, f"{site}search.html?q=simplex")
    page.wait_for_selector("#search-results li a[href*='glossary.html']")
    page.close()


@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_caption_is_no_wider_than_what_its_table_scrolls_in(browser: Browser, site: str, name: str, width: int):
    page = browser.new_page(viewport={"width": width, "height": 900})
    visit(page, f"{site}{name}.html")
    hidden = page.evaluate(
        """[...document.querySelectorAll(".pst-scrollable-table-container:has(caption)")]
            .filter(box => box.querySelector("caption").getBoundingClientRect().width > box.clientWidth + 1)
            .map(box => box.querySelector("table").id)"""
    )
    page.close()
    assert hidden == []
