from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from tests.conftest import MOUNT_NAMESPACE, check_mount_namespaces
from tests.datasets.local_server import CONTENT, IMPATIENT, QUICK, body, drip, held, silence, without_length
from tests.waiting import is_waiting
from wlsc.datasets import registry as registry_module
from wlsc.datasets.registry import (
    REGISTRY,
    DataError,
    Retry,
    describe,
    fetch,
    load_registry,
    source_hashes,
    status,
    verify,
)

ROOT = Path(registry_module.__file__).parents[2]
FLIPPED = bytes([CONTENT[0] ^ 1]) + CONTENT[1:]
PAGE = b"<!DOCTYPE html>\n<title>Please sign in</title>"


def files_in(folder: Path) -> list[str]:
    """Everything that a reader of the cache could take for data."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.name != ".lock")


class TestTheProjectsRegistry:
    def test_every_downloaded_file_has_hash_size_and_addresses(self):
        for data_set in load_registry().values():
            assert data_set.kind in ("images", "digits", "tables")
            assert data_set.title and data_set.licence and data_set.citation and data_set.homepage
            assert all(url.startswith("https://") and "{file}" in url for url in data_set.urls)
            for entry in data_set.files.values():
                if entry.package:
                    assert entry.credit and entry.path
                else:
                    assert re.fullmatch("[0-9a-f]{64}", entry.sha256) and entry.size > 0
                    assert entry.shipped or data_set.urls

    def test_the_sets_of_the_project_are_there(self):
        counts = {name: len(data_set.files) for name, data_set in load_registry().items()}
        assert counts == {
            "embedded": 6,
            "embedded-digits": 1,
            "mnist": 4,
            "photographs": 4,
            "bsd68": 68,
            "physiology": 4,
        }
        assert len(describe("mnist").urls) == 2

    def test_every_set_has_a_card(self):
        cards = {path.stem for path in (REGISTRY.parent / "cards").glob("*.md")}
        brought = {"kyoto", "olshausen", "upenn", "van-hateren"}  # by the reader: the project never fetches them
        assert cards == set(load_registry()) | brought

    @pytest.mark.parametrize("name", ["embedded", "embedded-digits"])
    def test_files_inside_packages_need_no_network(self, name, cache):
        paths = fetch(name)
        assert list(paths) == list(describe(name).files)
        assert all(path.stat().st_size > 1000 for path in paths.values())
        assert not cache.exists()

    def test_shipped_tables_have_the_registered_content(self, cache):
        shipped = [entry for entry in describe("physiology").files.values() if entry.shipped]
        assert len(shipped) == 3
        for entry in shipped:
            path = fetch("physiology", entry.name)[entry.name]
            assert hashlib.sha256(path.read_bytes()).hexdigest() == entry.sha256
        assert not cache.exists()

    def test_every_registered_file_of_the_mirror_is_what_the_registry_says(self, mirror):
        for data_set in load_registry().values():
            for entry in data_set.files.values():
                if entry.package is None and not entry.shipped:
                    content = (mirror / data_set.name / entry.name).read_bytes()
                    assert (len(content), hashlib.sha256(content).hexdigest()) == (entry.size, entry.sha256)
        assert [item for item in verify() if item.fault] == []

    def test_a_wheel_carries_its_own(self, tmp_path):
        shutil.copytree(ROOT / "wlsc", tmp_path / "wlsc", ignore=shutil.ignore_patterns("_data", "__pycache__"))
        shutil.copytree(REGISTRY.parent, tmp_path / "wlsc" / "_data")
        code = (
            "from wlsc.datasets.registry import fetch, status\n"
            "print(*fetch('physiology', 'devalois1982_orientation_counts.csv').values())\n"
            "print({item.fault for item in status() if item.origin in ('shipped', 'package')})"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
        table = tmp_path / "wlsc" / "_data" / "physiology" / "devalois1982_orientation_counts.csv"
        assert done.stdout.splitlines() == [str(table), "{None}"], done.stderr


class TestNames:
    @pytest.mark.tried("inputs")
    def test_unknown_names_come_with_the_nearest_known_one(self, cache):
        with pytest.raises(ValueError, match=r"one of embedded, .* got 'bsd86' \(did you mean bsd68\?\)"):
            fetch("bsd86")
        with pytest.raises(ValueError, match=r"file of mnist must be one of .* got '\.\./secret'"):
            fetch("mnist", "../secret")
        assert not cache.exists()

    @pytest.mark.parametrize(
        "text",
        [
            "not toml [",
            '[toy]\ntitle = "no files"',
            'toy = "no table"',
            '[toy]\ntitle="t"\nkind="k"\nlicence="l"\ncitation="c"\nhomepage="h"\nurls=[]\ncolour="x"\nfiles={}',
            '[toy]\ntitle="t"\nkind="k"\nlicence="l"\ncitation="c"\nhomepage="h"\nurls=[]\n[toy.files]\n"../x"={}',
        ],
    )
    @pytest.mark.tried("inputs")
    def test_a_registry_that_is_none_is_refused_by_name(self, tmp_path, text):
        path = tmp_path / "broken.toml"
        path.write_text(text)
        with pytest.raises(ValueError, match=r"broken\.toml"):
            load_registry(path)

    @pytest.mark.parametrize(
        ("old", "new", "reason"),
        [
            ("licence", "license", r"toy must have keys among name, .*, got license \(did you mean licence\?\)"),
            ("sha256", "sha265", r"toy: files\.a must have keys among .*, got sha265 \(did you mean sha256\?\)"),
            ('"u"', "1", "toy: urls must be of type str, got 1"),
            ('"0a"', "7", r"toy: files\.a: sha256 must be of type str, got 7"),
            ('kind = "digits"\n', "", "toy must have the key kind"),
            ("[toy.files]", "[toy.folder]", "toy must have keys among .*, got folder"),
            (
                "[toy]\n",
                '[toy]\nname = "../x"\n',
                r"toy must be called by its title alone, got the key name = '\.\./x'",
            ),
            ("{ sha", '{ name = "../x", sha', r"toy: a must be called by its title alone, got the key name"),
            ('{ sha256 = "0a", size = 3 }', "3", "toy: a must be a table, got 3"),
            ('[toy.files]\na = { sha256 = "0a", size = 3 }', "files = 3", "toy: files must be a table, got 3"),
        ],
    )
    @pytest.mark.tried("inputs")
    def test_a_wrong_entry_is_named_with_what_was_meant(self, tmp_path, old, new, reason):
        text = (
            '[toy]\ntitle = "t"\nkind = "digits"\nlicence = "l"\ncitation = "c"\nhomepage = "h"\nurls = ["u"]\n'
            '[toy.files]\na = { sha256 = "0a", size = 3 }\n'
        )
        path = tmp_path / "registry.toml"
        path.write_text(text)
        assert load_registry(path)["toy"].files["a"].sha256 == "0a"
        changed = tmp_path / "changed.toml"
        changed.write_text(text.replace(old, new))
        with pytest.raises(ValueError, match=rf"registry must be .* got {changed} \({reason}"):
            load_registry(changed)


class TestDownload:
    def test_lands_in_the_cache_and_is_not_fetched_again(self, server, cache, make_registry):
        server.answers["/data.bin"] = [body(CONTENT)]
        registry = make_registry(server.url)
        for _ in range(2):
            paths = fetch("toy", registry=registry, retry=QUICK)
            assert paths == {"data.bin": cache / "toy" / "data.bin"}
            assert paths["data.bin"].read_bytes() == CONTENT
        assert server.count("/data.bin") == 1
        assert files_in(cache) == ["toy", "toy/data.bin"]
        assert server.encodings == {"identity"}  # nobody may unpack a .gz on the way

    def test_one_file_of_a_set(self, server, cache, make_registry):
        server.answers["/b"] = [body(CONTENT)]
        fetch("toy", "b", registry=make_registry(server.url, names=("a", "b")), retry=QUICK)
        assert files_in(cache) == ["toy", "toy/b"]
        assert server.count("/a") == 0

    @pytest.mark.tried("faults")
    def test_a_404_leads_to_the_next_address_and_is_not_repeated(self, server, cache, make_registry):
        server.answers["/good/data.bin"] = [body(b"", 500), body(CONTENT)]
        fetch("toy", registry=make_registry(f"{server.url}/gone", f"{server.url}/good"), retry=QUICK)
        assert [path for path, _ in server.requests] == ["/gone/data.bin", "/good/data.bin", "/good/data.bin"]

    def test_pauses_double(self, server, cache, make_registry):
        server.answers["/data.bin"] = [body(b"", 500), body(b"", 503), body(CONTENT)]
        fetch("toy", registry=make_registry(server.url), retry=Retry(rounds=3, wait=0.1))
        first, second, third = (moment for _, moment in server.requests)
        assert second - first >= 0.1
        assert third - second >= 0.2

    @pytest.mark.parametrize(
        ("bad", "reason"),
        [
            (body(b"", 404), "HTTP 404"),
            (body(b"", 500), "HTTP 500"),
            (body(CONTENT[:-1]), "only 102,399 of 102,400 bytes came"),
            (without_length(CONTENT[:-1]), "only 102,399 of 102,400 bytes came"),
            (body(CONTENT[:5000], claimed=len(CONTENT)), "only 5,000 of 102,400|no connection"),
            (body(CONTENT + b"x"), "more than the expected 102,400 bytes"),
            (body(FLIPPED), "another sha256"),
            (body(PAGE), "an HTML page"),
            (silence, "no answer in time"),
            (drip(CONTENT, 100, 0.01), "too slow"),
        ],
        ids=["404", "500", "cut", "cut2", "broken off", "long", "flipped", "page", "silent", "drip"],
    )
    @pytest.mark.tried("faults")
    def test_what_goes_wrong_is_named_and_leaves_nothing(self, server, cache, make_registry, bad, reason):
        server.answers["/data.bin"] = [bad]
        with pytest.raises(DataError) as caught:
            fetch("toy", registry=make_registry(server.url), retry=IMPATIENT)
        message = str(caught.value)
        assert re.search(reason, message)
        for part in ("data.bin of the data set toy", f"{server.url}/data.bin", "WLSC_DATA_DIR"):
            assert part in message
        assert str(cache / "toy" / "data.bin") in message
        assert "\n" not in message
        assert files_in(cache) == ["toy"]

        server.answers["/data.bin"] = [bad, body(CONTENT)]
        if reason == "HTTP 404":  # which is final
            server.answers["/data.bin"] = [body(CONTENT)]
        assert fetch("toy", registry=make_registry(server.url), retry=IMPATIENT)["data.bin"].exists()

    @pytest.mark.tried("faults")
    def test_offline_names_every_address(self, refused_url, cache, make_registry):
        registry = make_registry(f"{refused_url}/one", f"{refused_url}/two")
        with pytest.raises(DataError) as caught:
            fetch("toy", registry=registry, retry=QUICK)
        for part in (f"{refused_url}/one/data.bin", f"{refused_url}/two/data.bin", "no connection"):
            assert part in str(caught.value)

    def test_a_file_put_by_hand_is_taken(self, refused_url, cache, make_registry):
        path = cache / "toy" / "data.bin"
        path.parent.mkdir(parents=True)
        path.write_bytes(CONTENT)
        assert fetch("toy", registry=make_registry(refused_url), retry=QUICK) == {"data.bin": path}
        assert list(path.parent.iterdir()) == [path]  # and no lock: the folder may be read-only


class TestDamagedCache:
    @pytest.mark.parametrize("damaged", [CONTENT[:-7], FLIPPED, PAGE, b""], ids=["cut", "flip", "page", "empty"])
    @pytest.mark.tried("faults")
    def test_is_named_thrown_away_and_fetched_again(self, server, cache, make_registry, damaged):
        path = cache / "toy" / "data.bin"
        path.parent.mkdir(parents=True)
        path.write_bytes(damaged)
        server.answers["/data.bin"] = [body(CONTENT)]
        with pytest.warns(UserWarning, match=r"data\.bin (holds|has the sha256) .* fetched again"):
            fetch("toy", registry=make_registry(server.url), retry=QUICK)
        assert path.read_bytes() == CONTENT

    @pytest.mark.tried("faults")
    def test_is_refused_offline(self, refused_url, cache, make_registry):
        path = cache / "toy" / "data.bin"
        path.parent.mkdir(parents=True)
        path.write_bytes(FLIPPED)
        with pytest.warns(UserWarning, match="thrown away"), pytest.raises(DataError, match="could not be"):
            fetch("toy", registry=make_registry(refused_url), retry=QUICK)
        assert not path.exists()

    def test_status_sees_sizes_and_verify_sees_bits(self, server, cache, make_registry):
        registry = make_registry(server.url, names=("cut", "flipped", "good", "missing"))
        folder = cache / "toy"
        folder.mkdir(parents=True)
        for name, content in (("cut", CONTENT[:9]), ("flipped", FLIPPED), ("good", CONTENT)):
            (folder / name).write_bytes(content)
        sizes = {item.file: item.fault for item in status("toy", registry)}
        bits = {item.file: item.fault for item in verify("toy", registry)}
        assert sizes["flipped"] is None and "sha256" in bits["flipped"]
        for found in (sizes, bits):
            assert found["good"] is None
            assert found["missing"] == "is missing"
            assert found["cut"] == "holds 9 bytes instead of 102,400"
        assert {item.origin for item in status("toy", registry)} == {"cache"}
        assert server.requests == []


class TestMirror:
    @pytest.fixture
    def toy_mirror(self, tmp_path, monkeypatch, cache):
        folder = tmp_path / "mirror"
        (folder / "toy").mkdir(parents=True)
        (folder / "toy" / "data.bin").write_bytes(CONTENT)
        monkeypatch.setenv("WLSC_DATA_DIR", str(folder))
        return folder

    def test_replaces_every_download_and_is_not_written_to(self, server, cache, make_registry, toy_mirror):
        before = files_in(toy_mirror), (toy_mirror / "toy").stat().st_mtime_ns
        paths = fetch("toy", registry=make_registry(server.url), retry=QUICK)
        assert paths == {"data.bin": toy_mirror / "toy" / "data.bin"}
        assert (files_in(toy_mirror), (toy_mirror / "toy").stat().st_mtime_ns) == before
        assert list((toy_mirror / "toy").iterdir()) == [toy_mirror / "toy" / "data.bin"]
        assert server.requests == [] and not cache.exists()

    @pytest.mark.parametrize(
        ("content", "fault"),
        [
            (FLIPPED, "has the sha256 .* instead of"),
            (CONTENT[:-1], "holds 102,399 bytes instead of 102,400"),
            (PAGE, "looks like an HTML page"),
            (None, "is missing"),
        ],
        ids=["flip", "cut", "page", "missing"],
    )
    @pytest.mark.tried("faults")
    def test_wrong_content_is_refused_and_left_alone(self, server, make_registry, toy_mirror, content, fault):
        path = toy_mirror / "toy" / "data.bin"
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(DataError, match=fault) as caught:
            fetch("toy", registry=make_registry(server.url), retry=QUICK)
        assert str(path) in str(caught.value) and "WLSC_DATA_DIR" in str(caught.value)
        assert server.requests == []
        assert path.exists() == (content is not None)


FETCH = """
import sys
from pathlib import Path
from wlsc.datasets.registry import DataError, Retry, fetch
try:
    fetch("toy", registry=Path(sys.argv[1]), retry=Retry(rounds=2, wait=0.01))
except DataError as error:
    sys.exit(f"DataError: {error}")
"""


def fetch_in_process(registry: Path, *prefix: str, code: str = FETCH) -> subprocess.Popen:
    return subprocess.Popen(
        [*prefix, sys.executable, "-c", code, str(registry)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def assert_one_message(process: subprocess.Popen, *parts: str) -> None:
    _, errors = process.communicate(timeout=60)
    message = errors.splitlines()[-1]
    assert process.returncode == 1
    assert message.startswith("DataError: ") and "Traceback" not in errors
    for part in parts:
        assert part in message, message


def has_begun(cache):
    """Whether a download has written something; its temporary file may go while it is looked at."""
    with contextlib.suppress(FileNotFoundError):
        return any(path.stat().st_size for path in cache.rglob("tmp*"))
    return False


class TestSeveralProcesses:
    def test_one_fetches_and_the_other_waits(self, server, cache, make_registry, tmp_path):
        log, processes = tmp_path / "attempts", []
        server.answers["/data.bin"] = [held(CONTENT, lambda: any(is_waiting(each.pid, log) for each in processes))]
        registry = make_registry(server.url)
        noting = (
            f"from pathlib import Path\nfrom tests.waiting import note_attempts\nnote_attempts(Path({str(log)!r}))\n"
        )
        processes += [fetch_in_process(registry, code=noting + FETCH) for _ in range(2)]
        for process in processes:
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors
        assert server.count("/data.bin") == 1
        assert (cache / "toy" / "data.bin").read_bytes() == CONTENT

    @pytest.mark.tried("kills")
    def test_a_killed_download_is_never_taken_for_a_file(self, server, cache, make_registry):
        server.answers["/data.bin"] = [drip(CONTENT, 20_000, 0.5), body(CONTENT)]
        registry = make_registry(server.url)
        process = fetch_in_process(registry)
        while not has_begun(cache):
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not (cache / "toy" / "data.bin").exists()
        assert fetch("toy", registry=registry, retry=QUICK)["data.bin"].read_bytes() == CONTENT


class TestNoRoom:
    @pytest.mark.tried("faults")
    def test_a_cache_that_cannot_be_made(self, server, cache, make_registry):
        server.answers["/data.bin"] = [body(CONTENT)]
        cache.write_text("a file where the folder should be")
        with pytest.raises(DataError, match=r"cannot be read or written \(Not a directory\).*WLSC_CACHE_DIR"):
            fetch("toy", registry=make_registry(server.url), retry=QUICK)

    @pytest.mark.tried("faults")
    def test_a_quota_that_ends_in_the_middle(self, server, cache, make_registry):
        server.answers["/data.bin"] = [body(CONTENT)]
        limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n" + FETCH
        process = fetch_in_process(make_registry(server.url), code=limited)
        assert_one_message(process, str(cache / "toy" / "data.bin"), "File too large", "WLSC_CACHE_DIR")
        assert files_in(cache) == ["toy"]

    @pytest.mark.tried("faults")
    def test_a_full_disk_and_a_read_only_one(self, server, cache, make_registry):
        check_mount_namespaces()
        server.answers["/data.bin"] = [body(CONTENT)]
        registry = make_registry(server.url)
        cache.mkdir()
        for options, reason in (("size=32k", "No space left on device"), ("ro", "Read-only file system")):
            mount = f'mount -t tmpfs -o {options} tmpfs "{cache}" && exec "$@"'
            process = fetch_in_process(registry, *MOUNT_NAMESPACE, "sh", "-c", mount, "sh")
            assert_one_message(process, str(cache / "toy" / "data.bin"), reason, "WLSC_CACHE_DIR")


class TestHashes:
    def test_are_those_of_the_registry_or_of_the_files(self, cache, tmp_path):
        text = tomllib.loads(REGISTRY.read_text(encoding="utf-8"))["mnist"]["files"]
        assert source_hashes("mnist") == {name: facts["sha256"] for name, facts in text.items()}
        embedded = source_hashes("embedded")
        assert embedded == {
            name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in fetch("embedded").items()
        }
        for name in ("b.png", "a.JPG", "notes.txt"):
            (tmp_path / name).write_bytes(name.encode())
        expected = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("a.JPG", "b.png")}
        assert source_hashes(tmp_path) == expected
        assert source_hashes(tmp_path / "b.png") == {"b.png": expected["b.png"]}
        assert not cache.exists()

    def test_follow_a_file_that_changes(self, tmp_path):
        path = tmp_path / "image.png"
        path.write_bytes(b"one")
        first = source_hashes(path)
        path.write_bytes(b"two, longer")
        assert source_hashes(path) != first

    def test_an_unchanged_file_is_read_once_a_process(self, refused_url, cache, make_registry):
        (cache / "toy").mkdir(parents=True)
        (cache / "toy" / "data.bin").write_bytes(CONTENT)
        counting = (
            "opened = []\n"
            "import sys\n"
            "sys.addaudithook(lambda event, args: event == 'open' and opened.append(str(args[0])))\n"
            + FETCH
            + FETCH
            + "\nprint(sum(name.endswith('data.bin') for name in opened))"
        )
        process = fetch_in_process(make_registry(refused_url), code=counting)
        output, errors = process.communicate(timeout=60)
        assert output.split() == ["1"], errors

    @pytest.mark.parametrize("source", ["photgraphs", "/no/such/folder", 3, ["a"], os.devnull])
    def test_a_source_that_is_none_is_refused(self, source):
        with pytest.raises(ValueError, match="source must"):
            source_hashes(source)

    def test_a_folder_without_images_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match="source must hold images"):
            source_hashes(tmp_path)
