"""Nothing dangerous comes in: no code hidden in data, no file that brings a reader down, no stray path, no script."""

from __future__ import annotations

import ast
import dataclasses
import gzip
import inspect
import io
import pickle
import re
import resource
import struct
import tempfile
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import joblib
import numpy as np
import pytest
import scipy.io
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.conftest import NOTEBOOKS, REPOSITORY
from tests.datasets.image_writers import matlab73, png16, tiff
from tests.faults.tiny_book import make_book, plant, said, write_page
from wlsc import experiments, plots
from wlsc.companion.notebooks import is_notebook, list_pages, read_code, read_notebook
from wlsc.companion.results import save_figure
from wlsc.datasets import load_images, load_matrix
from wlsc.datasets.idx import read_idx
from wlsc.datasets.physiology import load_phases
from wlsc.experiments import Config, DataConfig, ModelConfig, TrainingConfig
from wlsc.experiments.studies.receptive_fields import read_study

#: Modules that unpickle, and those that put members of an archive on disk under the names it gives them.
FORBIDDEN_MODULES = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "tarfile", "zipfile"}

#: Calls that run what they read, or start a shell with it.
FORBIDDEN_CALLS = {
    "eval", "exec", "os.system", "os.popen", "torch.load", "shutil.unpack_archive", "yaml.load", "yaml.full_load",
    "yaml.unsafe_load", "pandas.read_pickle",
}  # fmt: skip


def shipped_code() -> Iterator[tuple[str, str]]:
    """Name and text of all Python that the project ships, notebooks and the extension of the book included."""
    for folder in ("wlsc", "book", "benchmarks"):
        for path in (REPOSITORY / folder).rglob("*.py"):
            yield path.relative_to(REPOSITORY).as_posix(), path.read_text(encoding="utf-8")
    for name in NOTEBOOKS:
        yield f"book/{name}.md", read_code(read_notebook(REPOSITORY / "book" / f"{name}.md"))


def dangers(code: str) -> Iterator[str]:
    """What in ``code`` could run code that it reads."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from ({alias.name.split(".")[0] for alias in node.names} & FORBIDDEN_MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ({node.module.split(".")[0]} & FORBIDDEN_MODULES)
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if name in FORBIDDEN_CALLS or name.endswith(".extractall") or options.get("shell") == "True":
                yield name
            reads = name in ("np.load", "numpy.load", "np.savez", "np.lib.format.read_array")
            if options.get("allow_pickle") == "True" or (reads and options.get("allow_pickle") != "False"):
                yield f"{name} without allow_pickle=False"


class TestTheSources:
    def test_nothing_unpickles_evaluates_or_unpacks(self):
        found = {name: list(dangers(code)) for name, code in shipped_code()}
        assert len(found) > 30
        assert {name: what for name, what in found.items() if what} == {}

    @pytest.mark.parametrize(
        "code",
        [
            "import pickle",
            "def f():\n    from joblib import load",
            "torch.load(path)",
            "np.load(path)",
            "np.load(path, allow_pickle=True)",
            "np.savez(path, x=x)",
            "eval(text)",
            "archive.extractall(folder)",
            "subprocess.run(command, shell=True)",
        ],
    )
    def test_what_is_looked_for_would_be_found(self, code):
        assert list(dangers(code))
        assert not list(dangers("model.eval()\nnp.load(path, allow_pickle=False)\nimport numpy"))

    def test_scripts_of_the_book_put_text_on_pages_and_no_code(self):
        scripts = list((REPOSITORY / "book" / "_static").rglob("*.js"))
        assert len(scripts) > 5
        forbidden = (
            r"\b(?:innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|Function|srcdoc|setTimeout\(['\"])"
        )
        found = {path.name: re.findall(forbidden, path.read_text(encoding="utf-8")) for path in scripts}
        assert {name: what for name, what in found.items() if what} == {}

    def test_only_a_registered_file_is_read_by_the_reader_that_a_crafted_one_can_bring_down(self):
        users = [name for name, code in shipped_code() if "loadmat(" in code]
        assert users == ["wlsc/datasets/physiology.py"]
        assert 'loadmat(fetch("physiology", name)[name])' in (REPOSITORY / users[0]).read_text(encoding="utf-8")


class Canary:
    """Unpickling it leaves a file: the place where an attacker's command would stand."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple:
        return open, (self.path, "w")


def hidden(kind: str, canary: Canary) -> bytes:
    """Bytes of a file in which ``canary`` is hidden."""
    stream = io.BytesIO()
    objects = np.array([[canary]], dtype=object)
    match kind:
        case "pickle":
            stream.write(pickle.dumps(canary))
        case "torch":
            torch.save({"weights": canary}, stream)
        case "joblib":
            joblib.dump([canary], stream)
        case "npy":
            np.save(stream, objects, allow_pickle=True)
        case "npz":
            np.savez(stream, allow_pickle=True, IMAGES=objects)
    return stream.getvalue()


def unpickle(kind: str, content: bytes) -> None:
    """Load a file as one must not."""
    stream = io.BytesIO(content)
    match kind:
        case "pickle":
            pickle.load(stream)
        case "torch":
            torch.load(stream, weights_only=False)
        case "joblib":
            joblib.load(stream)
        case "npy":
            np.load(stream, allow_pickle=True)
        case "npz":
            np.load(stream, allow_pickle=True)["IMAGES"]


KINDS = ["pickle", "torch", "joblib", "npy", "npz"]
TINY = Config(
    "tiny",
    DataConfig("digits", "embedded"),
    ModelConfig("wlsc", 5, 0.5),
    TrainingConfig(n_epochs=1, batch_size=600),
)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", KINDS)
class TestHiddenCode:
    def test_would_run_if_it_were_unpickled(self, tmp_path, kind):
        unpickle(kind, hidden(kind, Canary(tmp_path / "ran")))
        assert (tmp_path / "ran").exists()

    @pytest.mark.parametrize("suffix", [".npy", ".mat", ".png", ".tif", ".idx", ".csv"])
    @pytest.mark.tried("inputs")
    def test_does_not_run_whatever_the_file_calls_itself(self, tmp_path, kind, suffix):
        path = tmp_path / f"harmless{suffix}"
        path.write_bytes(hidden(kind, Canary(tmp_path / "ran")))
        with pytest.raises(ValueError) as caught:
            read(path)
        assert_one_sentence(caught.value, path)
        assert not (tmp_path / "ran").exists()

    @pytest.mark.tried("inputs")
    def test_does_not_run_as_weights_or_as_a_checkpoint(self, tmp_path, monkeypatch, kind):
        monkeypatch.setenv("WLSC_RUNS_DIR", str(tmp_path / "runs"))
        folder = experiments.run(TINY).path
        content = hidden(kind, Canary(tmp_path / "ran"))
        (folder / "weights.safetensors").write_bytes(content)
        with pytest.raises(ValueError) as caught:
            experiments.load_run(folder)
        assert_one_sentence(caught.value, folder / "weights.safetensors")
        (folder / "provenance.json").unlink()
        (folder / "checkpoint.safetensors").write_bytes(content)
        with pytest.raises(ValueError) as caught:
            experiments.run(TINY)
        assert_one_sentence(caught.value, folder / "checkpoint.safetensors")
        assert not (tmp_path / "ran").exists()


def read(path: Path) -> object:
    """Read a file of a reader's own with what is made for its kind."""
    if path.suffix == ".idx":
        return read_idx(path)
    if path.suffix == ".csv":
        return load_phases(path).nx
    if path.suffix == ".npz":
        return load_matrix(path)[0]
    stacks = path.suffix in (".npy", ".mat")
    return load_images(path, "IMAGES" if path.suffix == ".mat" else None, image_axis=2 if stacks else None)


def assert_one_sentence(error: ValueError, path: Path) -> None:
    message = str(error)
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < 1000
    assert "MemoryError" not in message, "more memory was asked for than the file can fill"


def valid_files() -> dict[str, bytes]:
    """One small file of every kind that is read, by name."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (9, 11, 3), dtype=np.uint8)
    stack = rng.random((4, 5, 2))
    files = {}
    for name, options in {
        "colours.bmp": {},
        "colours.jpg": {},
        "colours.png": {},
        "colours.ppm": {},
        "plain.tif": {},
        "lzw.tif": {"compression": "tiff_lzw"},
        "deflated.tif": {"compression": "tiff_adobe_deflate"},
    }.items():
        kind = {"jpg": "JPEG", "tif": "TIFF", "ppm": "PPM", "bmp": "BMP", "png": "PNG"}[name[-3:]]
        Image.fromarray(pixels).save(stream := io.BytesIO(), kind, **options)
        files[name] = stream.getvalue()
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(stream := io.BytesIO(), "PNG")
    files["grey16.png"] = stream.getvalue()
    for name, compressed in (("plain.mat", False), ("zipped.mat", True)):
        scipy.io.savemat(stream := io.BytesIO(), {"IMAGES": stack, "note": {"a": [1]}}, do_compression=compressed)
        files[name] = stream.getvalue()
    np.save(stream := io.BytesIO(), stack)
    files["stack.npy"] = stream.getvalue()
    np.savez_compressed(stream := io.BytesIO(), samples=stack[..., 0])
    files["packed.npz"] = stream.getvalue()
    deep = pixels.astype(np.uint16) * 257
    files |= {"deep.png": png16(deep), "stack.tif": tiff([deep, deep])}
    with tempfile.TemporaryDirectory() as folder:
        matlab73(Path(folder) / "new.mat", IMAGES=stack)
        files["new.mat"] = (Path(folder) / "new.mat").read_bytes()
    idx = b"\0\0\x08\x03" + struct.pack(">III", 2, 3, 4) + bytes(24)
    files |= {"plain.idx": idx, "zipped.idx": gzip.compress(idx, mtime=0)}
    files["phases.csv"] = b"nx,ny,phase_deg\n0.1,0.2,30\n0.3,0.4,60\n"
    return files


VALID = valid_files()

#: What a length becomes in a file that lies about it.
LENGTHS = [0, 1, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]


@st.composite
def broken(draw: st.DrawFn, content: bytes) -> bytes:
    """Cut off, flip, overwrite with a length, repeat or leave out; a compressed part also beneath its compression."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        position = draw(st.integers(0, len(changed)))
        match draw(st.sampled_from(["cut", "flip", "length", "repeat", "leave out"])):
            case "cut":
                del changed[position:]
            case "flip" if position < len(changed):
                changed[position] ^= draw(st.integers(1, 255))
            case "length":
                length = struct.pack(draw(st.sampled_from(["<I", ">I"])), draw(st.sampled_from(LENGTHS)))
                changed[position : position + 4] = length
            case "repeat":
                changed[position:position] = changed[position : position + draw(st.integers(1, 64))]
            case "leave out":
                del changed[position : position + draw(st.integers(1, 64))]
    return bytes(changed)


def broken_within(name: str) -> st.SearchStrategy[bytes]:
    """A broken copy of a valid file; for zipped ones also one whose content was broken before it was zipped."""
    content = VALID[name]
    if name == "zipped.idx":
        return broken(content) | broken(gzip.decompress(content)).map(lambda inner: gzip.compress(inner, mtime=0))
    if name == "zipped.mat":
        return broken(content) | broken(zlib.decompress(content[136:])).map(lambda inner: content[:128] + zipped(inner))
    return broken(content)


def zipped(element: bytes) -> bytes:
    """A compressed element of a .mat file."""
    packed = zlib.compress(element)
    return struct.pack("<II", 15, len(packed)) + packed


@pytest.fixture(scope="module")
def little_memory() -> Iterator[None]:
    """Let this process ask for no more than 1 GiB beyond what it has, where the system can say that."""
    size = Path("/proc/self/statm")
    if not size.exists():
        yield
        return
    pages = int(size.read_text().split()[0])
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**30, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.mark.parametrize("name", VALID)
class TestBrokenFiles:
    def test_are_broken_copies_of_files_that_can_be_read(self, tmp_path, name):
        path = tmp_path / name
        path.write_bytes(VALID[name])
        assert len(read(path)) >= 1

    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_give_values_or_one_sentence_in_little_memory(
        self, tmp_path_factory, little_memory, record_property, name, data
    ):
        record_property("inputs", 1)
        path = tmp_path_factory.getbasetemp() / name
        path.write_bytes(data.draw(broken_within(name)))
        try:
            read(path)
        except ValueError as error:
            assert_one_sentence(error, path)


@pytest.mark.tried("inputs")
def test_an_array_that_claims_more_than_its_file_holds_takes_no_memory(tmp_path, little_memory):
    path = tmp_path / "claims.npy"
    facts = {"descr": "<f8", "fortran_order": False, "shape": (2**20, 2**20)}
    np.lib.format.write_array_header_1_0(header := io.BytesIO(), facts)
    path.write_bytes(header.getvalue() + bytes(800))
    with pytest.raises(ValueError) as caught:
        load_images(path)
    assert_one_sentence(caught.value, path)


def test_actions_of_workflows_are_pinned_by_commit_with_their_version():
    workflows = [path.read_text() for path in (REPOSITORY / ".github" / "workflows").glob("*.y*ml")]
    used = [line for text in workflows for line in re.findall(r"uses: *(.*)", text)]
    assert len(used) >= 5
    assert not [line for line in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v[\d.]+", line)]


class TestConfigurationFiles:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                {"data": DataConfig("digits", "embedded", {"unit_nrom": True})},
                r"data\.options .* got unit_nrom \(did you mean unit_norm\?\)",
            ),
            (
                {"model": ModelConfig("wlsc", 5, 0.5, {"n_layer": 3})},
                r"model\.options .* got n_layer \(did you mean n_layers\?\)",
            ),
            (
                {"model": ModelConfig("sparse_coding", 5, 0.5, {"gradien": "full"})},
                r"got gradien \(did you mean gradient\?\)",
            ),
            (
                {"model": ModelConfig("wlsc", 5, 0.5, {"generator": 3})},
                r"model\.options must be options of its kind, got generator",
            ),
            (
                {"training": TrainingConfig("unrolled", options={"learning_rat": 1})},
                r"training\.options .* got learning_rat \(did you mean learning_rate\?\)",
            ),
        ],
        ids=["data", "model", "a model's base", "not an option", "training"],
    )
    @pytest.mark.tried("inputs")
    def test_an_unknown_option_is_refused_with_the_nearest_known_one(self, tmp_path, monkeypatch, change, message):
        monkeypatch.setenv("WLSC_RUNS_DIR", str(tmp_path))
        with pytest.raises(ValueError, match=message):
            experiments.run(dataclasses.replace(TINY, **change))

    @pytest.mark.parametrize("name", ["../escaped", "/nowhere/escaped", "..", ".hidden", "a/b"])
    @pytest.mark.tried("inputs")
    def test_a_name_cannot_leave_the_folder_of_runs(self, tmp_path, monkeypatch, name):
        monkeypatch.setenv("WLSC_RUNS_DIR", str(tmp_path / "runs"))
        with pytest.raises(ValueError, match="name must be a plain name without a path"):
            experiments.run(dataclasses.replace(TINY, name=name))
        assert not list(tmp_path.iterdir())

    @pytest.mark.tried("inputs")
    def test_nor_can_those_of_a_study(self, tmp_path):
        text = (REPOSITORY / "book" / "studies" / "quick" / "figure_1a.toml").read_text(encoding="utf-8")
        path = tmp_path / "study.toml"
        path.write_text(text + '\n[models."../../escaped"]\ntitle = "x"\nkind = "wlsc"\n', encoding="utf-8")
        with pytest.raises(ValueError, match="must be a plain name without a path"):
            read_study(path)

    @pytest.mark.tried("inputs")
    def test_yaml_builds_no_objects(self, tmp_path):
        command = f"!!python/object/apply:builtins.open [{tmp_path}/ran, w]"
        toc, page = tmp_path / "_toc.yml", tmp_path / "page.md"
        toc.write_text(f"root: {command}\n")
        page.write_text(f"---\nkernelspec: {command}\n---\n# A page\n")
        for reader, path in ((list_pages, toc), (is_notebook, page), (read_notebook, page)):
            with pytest.raises(yaml.YAMLError):
                reader(path)
        assert not (tmp_path / "ran").exists()


class Scripts(HTMLParser):
    """Collects what is code on a page: scripts, and attributes that run something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.code: list[str] = []
        self._in_script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_script = tag == "script"
        self.code += [value or "" for name, value in attrs if name.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.code.append(data)


def planted(where: str) -> str:
    return f"<script>planted_{where}()</script><img src=x onerror=planted_{where}()>"


class TestPages:
    @pytest.mark.tried("inputs")
    def test_a_script_in_labels_and_data_of_a_figure_is_text(self, tmp_path, monkeypatch):
        monkeypatch.setenv("WLSC_FIGURES_DIR", str(tmp_path))
        label = planted("label")
        figure = plots.curves({label: {"WLSC": (np.arange(3.0), np.arange(3.0))}}, label, label)
        saved = save_figure(figure, "planted", "quick", {label: [1, 2]})
        svg = saved.path.read_text(encoding="utf-8")
        assert "planted" in svg
        assert Scripts(svg).code == []

    @pytest.mark.tried("inputs")
    def test_a_script_in_captions_text_tables_explorers_and_outputs_is_text(self, tmp_path):
        tree = plant(tmp_path)
        text = f"\nA sentence {planted('sentence')} goes on, {{glue:text}}`said`.\n\n{planted('block')}\n"
        options = f":name: descent\n:alt: {planted('alt')}\n"
        text += f"\n```{{figure}} figures/descent.svg\n{options}\nA {planted('caption')}.\n```\n"
        text += f"\n```{{saved-table}} kept\nA {planted('heading')}.\n```\n"
        cells = (
            "from IPython.display import Markdown\nfrom myst_nb import glue\nfrom wlsc import plots\n"
            "from wlsc.companion import explorers\nfrom wlsc.companion.results import save_figure, save_table",
            inspect.getsource(planted),  # so that the page shows a script only where a cell gives one
            "figure = plots.curves({planted('title'): {'WLSC': ([0, 1], [0, 1])}}, 'x', 'y')\n"
            "save_figure(figure, 'descent', profile, {'x': [0, 1]})",
            "print(planted('printed'))",
            "planted('value')",
            "Markdown('| name | value |\\n|---|---|\\n| ' + planted('table') + ' | 1 |')",
            "glue('said', planted('glued'), display=False)",
            "kept = save_table('kept', profile, ['name', planted('header')], [[planted('cell'), 1]])",
            "still = explorers.Still('descent.svg', planted('still'))\n"
            "explorers.phase_slider('phases', profile, {planted('treatment'): {planted('model'): [45]}}, still)",
        )
        write_page(tree / "book", "first", cells, text=text)
        (tree / "book" / "_toc.yml").write_text("format: jb-book\nroot: first\n")
        assert make_book(tree).wait(600) == 0, said(tree)
        site = tree / "_build" / "quick" / "html"
        pages = {path.name: path.read_text(encoding="utf-8") for path in site.glob("*.html")}
        routes = "sentence block alt caption heading printed value table glued header cell still"
        for where in routes.split():
            assert f"planted_{where}()" in pages["first.html"], where
        assert 'data-explorer="phases"' in pages["first.html"]
        explorer = (site / "explorers" / "phases.js").read_text(encoding="utf-8")
        assert "planted_treatment()" in explorer and "planted_model()" in explorer
        for name, page in pages.items():
            assert not [code for code in Scripts(page).code if "planted" in code], name
