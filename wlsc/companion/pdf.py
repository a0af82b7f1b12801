"""The whole book as one PDF: a page that holds everything, printed by a browser without a screen."""

from __future__ import annotations

import shutil
from pathlib import Path

from wlsc._io.files import replaced

#: Systems name the same browser differently; playwright brings one where there is none.
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

_STYLE = """
.bd-header, .bd-sidebar-primary, .bd-sidebar-secondary, .bd-header-article, .header-article, .bd-footer,
.prev-next-footer, .toggle-button, .copybtn { display: none !important; }
details:not(.sd-dropdown) { display: none; }
.margin { float: none !important; margin: 0 !important; width: auto !important; }
h1 { break-before: page; }
figure, table, .admonition { break-inside: avoid; }
"""


def print_book(page: Path, output: Path) -> None:
    """Print one HTML page to a PDF with an outline; pictures stand in for what can be played with.

    Parameters
    ----------
    page
        HTML file with all chapters.
    output
        PDF to write.

    Raises
    ------
    ValueError
        If there is no such page.
    OSError
        If there is no browser.
    """
    from playwright.sync_api import Error, sync_playwright

    if not page.is_file():
        raise ValueError(f"page must be an HTML file, got {page}, which does not exist")
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        except Error as error:
            raise OSError(
                "printing needs Chromium: install it, or run `playwright install chromium` "
                f"({str(error).splitlines()[0]})"
            ) from error
        sheet = browser.new_page(color_scheme="light")
        sheet.route("**/explorers/**", lambda route: route.abort())
        sheet.goto(page.resolve().as_uri(), wait_until="networkidle", timeout=300_000)
        sheet.evaluate("MathJax.startup.promise")
        sheet.add_style_tag(content=_STYLE)
        sheet.evaluate("document.querySelectorAll('details.sd-dropdown').forEach(fold => { fold.open = true; })")
        with replaced(output) as temporary:
            sheet.pdf(path=temporary, format="A4", outline=True, tagged=True, print_background=True)
        browser.close()


def find_browser() -> str | None:
    """Path of the system's Chromium; None if there is none, where playwright takes its own."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)
