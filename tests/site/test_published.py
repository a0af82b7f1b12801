"""The built book as readers get it: from any folder, as files, small enough, with its downloads and its PDF."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Browser

from tests.conftest import NOTEBOOKS, PAGES, REPOSITORY
from tests.site.conftest import visit
from wlsc import __version__

#: Most that a page may add to the theme and MathJax, in bytes that travel.
LANDING_BYTES, PAGE_BYTES = 300_000, 1_500_000

#: Parts of the site that come with the theme, by folder or name, and are the same for every book.
OF_THE_THEME = ("_static/",)
OURS = ("_static/explorers/", "_static/wlsc.css")


def test_explorers_are_where_the_chapters_say(browser: Browser, site: str):
    page = browser.new_page()
    found = {}
    for chapter in NOTEBOOKS:
        visit(page, f"{site}{chapter}.html")
        found[chapter] = page.locator(".wlsc-explorer[data-ready]").count()
    page.close()
    expected = {"equations": 1, "natural_images": 1, "figure_1a": 2, "figure_1b": 2, "topography": 1}
    assert {chapter: count for chapter, count in found.items() if count} == expected


@pytest.mark.parametrize("name", PAGES)
def test_a_page_can_be_read_from_files(browser: Browser, html: Path, name: str):
    faults: list[str] = []
    page = browser.new_page()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("requestfailed", lambda request: faults.append(request.url))
    visit(page, (html / f"{name}.html").as_uri())
    assert page.locator("h1:visible").count() == 1
    page.close()
    assert not faults


def test_the_site_works_below_any_folder(browser: Browser, site: str, html: Path, tmp_path: Path):
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "folder").symlink_to(html)
    faults: list[str] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(tmp_path))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page()
        page.on("response", lambda answer: faults.append(f"{answer.status} {answer.url}") if not answer.ok else None)
        visit(page, f"http://127.0.0.1:{server.server_port}/some/folder/index.html")
        page.wait_for_url("**/some/folder/start.html")
        page.locator("a", has_text="Figure 1A").first.click()
        page.wait_for_url("**/some/folder/figure_1a.html")
        page.close()
        server.shutdown()
    assert not faults


def test_pages_are_light(browser: Browser, site: str):
    sizes = {name: measure_page(browser, site, name) for name in PAGES}
    assert 0 < sizes["start"] <= LANDING_BYTES
    assert max(sizes.values()) <= PAGE_BYTES


def test_the_dictionary_for_drawing_is_small(html: Path):
    assert 1_000 < (html / "explorers" / "draw-a-digit.js").stat().st_size <= 500_000


def measure_page(browser: Browser, site: str, name: str) -> int:
    """Bytes, compressed, that a page fetches beyond what comes with the theme."""
    received: dict[str, int] = {}
    page = browser.new_page()
    page.on("response", lambda answer: received.update({answer.url: len(gzip.compress(answer.body()))}))
    visit(page, f"{site}{name}.html")
    page.close()
    paths = {url.removeprefix(site): size for url, size in received.items()}
    return sum(size for path, size in paths.items() if path.startswith(OURS) or not path.startswith(OF_THE_THEME))


def test_nothing_of_plotly_is_in_the_site(html: Path):
    assert not [path for path in html.rglob("*") if "plotly" in path.name.lower()]
    assert not [path for path in html.glob("*.html") if "plotly" in path.read_text(encoding="utf-8").lower()]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_can_be_downloaded_as_text_and_cited(html: Path, name: str):
    text = (html / f"{name}.html").read_text(encoding="utf-8")
    assert (html / "_sources" / f"{name}.md").read_bytes() == (REPOSITORY / "book" / f"{name}.md").read_bytes()
    assert f'href="_sources/{name}.md"' in text
    assert "Cite this page" in text
    assert f"@misc{{wlsc-{name}," in text
    assert f"version = {{{__version__}}}," in text
    if name in NOTEBOOKS:
        assert f'href="_sources/{name}.ipynb"' in text


def test_every_figure_and_table_leads_to_its_numbers(html: Path):
    texts = [(REPOSITORY / "book" / f"{name}.md").read_text(encoding="utf-8") for name in NOTEBOOKS]
    shown = {
        f"{figure or table}.csv"
        for text in texts
        for figure, table in re.findall(r"```\{(?:figure\} figures/([\w-]+)\.\w+|saved-table\} ([\w-]+))\n", text)
    }
    assert {path.name for path in (html / "_downloads").rglob("*.csv")} == shown
    assert len(shown) > 30


def test_every_equation_has_a_function_and_a_test(html: Path):
    soup = BeautifulSoup((html / "equation_index.html").read_text(encoding="utf-8"), "html.parser")
    equations = soup.select("article section section > ul > li")
    labels = sum(
        (REPOSITORY / "book" / f"{page}.md").read_text(encoding="utf-8").count(":label: eq-") for page in PAGES
    )
    assert len(equations) == labels > 10
    for equation in equations:
        tests = [test.text for test in equation.find("ul").select("code")]
        assert tests, equation.text
        assert len(equation.find("p").select("a.reference")) >= 2, "the equation and a function"
        for test in tests:
            path, name = test.split("::", 1)
            assert f"def {name.split('::')[-1]}(" in (REPOSITORY / path).read_text(encoding="utf-8")


def test_the_index_of_figures_has_all_of_them(html: Path, built_book: Path):
    html_text = (html / "figure_index.html").read_text(encoding="utf-8")
    text = BeautifulSoup(html_text, "html.parser").text
    for chapter in NOTEBOOKS:
        page = (REPOSITORY / "book" / f"{chapter}.md").read_text(encoding="utf-8")
        report = json.loads((built_book / "reports" / f"{chapter}.json").read_text(encoding="utf-8"))
        if "{figure} figures/" in page or "{saved-table}" in page:
            assert report["configuration"] in text
            assert report["command"] in text
            assert f"seed {report['seed']}, {report['device']}" in text
            assert report["finished"][:16] in text
            assert all(sha256[:12] in text for sha256 in report["data"].values())
        for line in page.splitlines():
            if line.startswith("```{saved-table} "):
                assert f'{chapter}.html#tab-{line.split()[1]}"' in html_text
            if line.startswith(":name: fig-"):
                assert f'{chapter}.html#{line.split()[1]}"' in html_text


@pytest.mark.usefixtures("browser")
def test_the_book_is_printed_as_one_pdf_and_gathered_for_a_release(built_book: Path, profile: str, tmp_path: Path):
    from pypdf import PdfReader

    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--nolock", "--allowed-rules", "pdf"]
    target = str((built_book / "book.pdf").relative_to(REPOSITORY))
    done = subprocess.run(
        [*command, "--config", f"profile={profile}", "--", target], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    reader = PdfReader(built_book / "book.pdf")
    text = "\n".join(page.extract_text() for page in reader.pages)
    titles = [(REPOSITORY / "book" / f"{name}.md").read_text(encoding="utf-8").split("\n# ")[1] for name in NOTEBOOKS]
    assert len(reader.pages) > 20
    assert not [title for title in titles if title.splitlines()[0] not in text]
    assert reader.outline

    for name in ("html", "claims", "reports", "notebooks"):
        shutil.copytree(built_book / name, tmp_path / profile / name)
    shutil.copyfile(built_book / "book.pdf", tmp_path / profile / "book.pdf")
    from wlsc.companion.release import gather_release

    gather_release(tmp_path / profile, tmp_path / "release", "https://example.org/book.git")
    checked = subprocess.run(
        ["sha256sum", "--check", "SHA256SUMS"], cwd=tmp_path / "release", capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout
    manifest = json.loads((tmp_path / "release" / "manifest.json").read_text(encoding="utf-8"))
    assert {file["name"] for file in manifest["files"]} == {"book-html.tar.gz", "book.pdf", "results.json"}
    for name in NOTEBOOKS:
        notebook = json.loads((tmp_path / "release" / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
        assert "https://example.org/book.git" in notebook["cells"][0]["source"]


def test_a_release_needs_a_whole_build(tmp_path: Path):
    from wlsc.companion.release import gather_release

    with pytest.raises(ValueError, match=r"folder must be a build with html/index\.html, got"):
        gather_release(tmp_path, tmp_path / "release", "")
    assert not (tmp_path / "release").exists()
