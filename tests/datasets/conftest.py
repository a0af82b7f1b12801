"""The local server, throw-away registries and caches, and the reader's mirror."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.datasets.local_server import CONTENT, Server
from wlsc.datasets.registry import status


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = Server()
    yield running
    running.close()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no mirror."""
    monkeypatch.delenv("WLSC_DATA_DIR", raising=False)
    monkeypatch.setenv("WLSC_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def make_registry(tmp_path: Path) -> Callable[..., Path]:
    """Write a registry with one data set ``toy``."""

    def make(*urls: str, content: bytes = CONTENT, names: tuple[str, ...] = ("data.bin",)) -> Path:
        facts = f'{{ sha256 = "{hashlib.sha256(content).hexdigest()}", size = {len(content)} }}'
        files = "\n".join(f'"{name}" = {facts}' for name in names)
        path = tmp_path / "registry.toml"
        path.write_text(
            '[toy]\ntitle = "t"\nkind = "tables"\nlicence = "l"\ncitation = "c"\nhomepage = "h"\n'
            f"urls = {[f'{url}/{{file}}' for url in urls]}\n[toy.files]\n{files}\n"
        )
        return path

    return make


@pytest.fixture
def refused_url() -> str:
    """An address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def mirror() -> Path:
    """All registered files, in the reader's mirror or cache; a machine that sets CI must have them."""
    missing = [f"{item.data_set}/{item.file}" for item in status() if item.fault == "is missing"]
    if missing and (os.environ.get("CI") or os.environ.get("WLSC_DATA_DIR")):
        pytest.fail(f"set WLSC_DATA_DIR to a mirror of all data sets; missing: {', '.join(missing)}")
    if missing:
        pytest.skip("the real data sets are not at hand: set WLSC_DATA_DIR, or fetch them")
    return status("mnist")[0].path.parents[1]
