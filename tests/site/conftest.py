"""A browser, and a server for the built site that listens on this machine only."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.conftest import find_book, give_up

#: A browser in a container or a virtual machine, which talks to nobody but the server.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


#: The theme's colours, formulas and explorers come after a page has loaded, on a busy machine a good while after.
DRAWN = """document.readyState == "complete" && ["light", "dark"].includes(document.documentElement.dataset.theme)
    && (!document.querySelector("script[src*='mathjax' i]") || window.MathJax?.startup?.promise)
    && [...document.querySelectorAll(".wlsc-explorer")].every(explorer => "ready" in explorer.dataset)"""


def visit(page: Page, address: str) -> None:
    """Go to a page of the book and wait until it is drawn as its reader sees it."""
    page.goto(address, wait_until="networkidle")
    page.wait_for_function(DRAWN)
    page.evaluate("Promise.all([window.MathJax?.startup.promise, document.fonts.ready])")


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Keep the test's output clean; failed requests are seen by the browser."""


@pytest.fixture(scope="session")
def built_book(profile: str) -> Path:
    """Folder of the book whose site is tested."""
    return find_book(profile, "`make book` first, or `make full` for that profile")


@pytest.fixture(scope="session")
def profile() -> str:
    """The quick book is tested, or that of the profile in ``WLSC_PROFILE``, as `make verify` does."""
    return os.environ.get("WLSC_PROFILE", "quick")


@pytest.fixture(scope="session")
def html(built_book: Path) -> Path:
    return built_book / "html"


@pytest.fixture(scope="session")
def site(html: Path) -> Iterator[str]:
    """Address of the built site."""
    handler = functools.partial(QuietHandler, directory=str(html))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, object]:
    """The system's Chromium, or one that playwright fetches."""
    system = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if system:
        return {"executable_path": system, "args": FLAGS}
    command = [sys.executable, "-m", "playwright", "install", "chromium"]
    fetched = subprocess.run(command, capture_output=True, text=True)
    if fetched.returncode != 0:
        reason = fetched.stderr.strip().splitlines()[0]
        give_up(f"there is no Chromium, and playwright could not fetch one ({reason})")
    return {"args": FLAGS}
