"""Downloads in one bad day: every mirror is broken in another way, and processes are killed on the way."""

from __future__ import annotations

import re
import time

import pytest

from tests.datasets.local_server import CONTENT, IMPATIENT, body, drip, silence
from tests.datasets.test_registry import FLIPPED, PAGE, fetch_in_process, files_in
from wlsc.datasets.registry import DataError, fetch

BROKEN = {
    "gone": body(b"", 404),
    "failing": body(b"", 500),
    "page": body(PAGE),
    "half": body(CONTENT[: len(CONTENT) // 2]),
    "flipped": body(FLIPPED),
    "silent": silence,
    "slow": drip(CONTENT, 100, 0.01),
}


def test_every_broken_mirror_is_passed_over_and_the_last_one_serves(server, cache, make_registry, record_property):
    server.answers |= {f"/{name}/data.bin": [answer] for name, answer in BROKEN.items()}
    server.answers["/good/data.bin"] = [body(CONTENT)]
    registry = make_registry(*(f"{server.url}/{name}" for name in (*BROKEN, "good")))
    assert fetch("toy", registry=registry, retry=IMPATIENT)["data.bin"].read_bytes() == CONTENT
    assert [path.split("/")[1] for path, _ in server.requests] == [*BROKEN, "good"]
    assert files_in(cache) == ["toy", "toy/data.bin"]
    record_property("faults", len(BROKEN))


def test_if_no_mirror_is_left_the_message_says_what_each_did_and_where_to_put_the_file(server, cache, make_registry):
    server.answers |= {f"/{name}/data.bin": [answer] for name, answer in BROKEN.items()}
    registry = make_registry(*(f"{server.url}/{name}" for name in BROKEN))
    with pytest.raises(DataError, match=f"put the file by hand at {re.escape(str(cache))}/toy/data.bin") as caught:
        fetch("toy", registry=registry, retry=IMPATIENT)
    reasons = ["404", "500", "an HTML page", "only 51,200 of", "another sha256", "no answer in time", "too slow"]
    for name, reason in zip(BROKEN, reasons, strict=True):
        assert re.search(f"/{name}/data.bin: [^;]*{reason}", str(caught.value))
    counts = [server.count(f"/{name}/data.bin") for name in BROKEN]
    assert counts == [1, 2, 2, 2, 2, 2, 2]  # what is gone is not asked for again


def test_what_a_killed_download_left_is_cleared_away_by_the_next(server, cache, make_registry, record_property):
    server.answers["/data.bin"] = [drip(CONTENT, 20_000, 0.5), drip(CONTENT, 20_000, 0.5), body(CONTENT)]
    registry = make_registry(server.url)
    for n_killed in (1, 2):
        process = fetch_in_process(registry)
        while server.count("/data.bin") < n_killed or not any(path.stat().st_size for path in cache.rglob("tmp*")):
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.kill()
        process.communicate()
        assert len(list(cache.rglob("tmp*"))) == 1  # the second process has cleared away what the first left
    fetch("toy", registry=registry, retry=IMPATIENT)
    assert files_in(cache) == ["toy", "toy/data.bin"]
    record_property("kills", n_killed)
