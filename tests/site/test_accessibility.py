"""Every page judged by axe-core, a vendored copy of it, as a reader of screens would meet the page."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.conftest import PAGES
from tests.site.conftest import visit

AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
@pytest.mark.parametrize("name", [*PAGES, "search", "genindex"])
def test_a_page_has_no_violation(browser: Browser, site: str, name: str, scheme: str, width: int):
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    visit(page, f"{site}{name}.html")
    page.evaluate(AXE)
    judged = page.evaluate("axe.run({ resultTypes: ['violations'] })")
    context.close()
    assert judged["passes"]
    found = {
        (violation["id"], " ".join(map(str, node["target"])))
        for violation in judged["violations"]
        for node in violation["nodes"]
    }
    assert not found
