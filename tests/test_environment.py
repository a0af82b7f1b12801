"""One list of dependencies, told three times: pyproject.toml, environment.yml, constraints.txt."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

import wlsc
from tests.conftest import NOTEBOOKS, REPOSITORY
from tests.test_architecture import imported_names
from wlsc.companion.notebooks import read_code, read_notebook

#: conda-forge's name → PyPI's, where they differ.
CONDA_NAMES = {"pytorch": "torch", "python-build": "build"}

#: Come with torch's CUDA build, which pins them itself; the builds of one torch version differ in them.
WITH_CUDA = re.compile(r"triton|nvidia-.*|cuda-.*")

#: What pip builds with; `pip freeze --all` lists them.
BUILD_TOOLS = {"setuptools", "wheel"}

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
REQUIREMENTS = [
    Requirement(text) for text in [*PROJECT["dependencies"], *(text for extra in EXTRAS.values() for text in extra)]
]
CONDA = yaml.safe_load((REPOSITORY / "environment.yml").read_text())
PINS = {
    canonicalize_name(requirement.name): requirement.specifier
    for requirement in map(Requirement, (REPOSITORY / "constraints.txt").read_text().split())
}


def ranges(requirements: list[Requirement]) -> dict[str, SpecifierSet]:
    named = [
        (CONDA_NAMES.get(requirement.name, requirement.name), requirement.specifier) for requirement in requirements
    ]
    return {canonicalize_name(name): specifier for name, specifier in named}


def conda_requirements() -> list[Requirement]:
    pip = next(entry["pip"] for entry in CONDA["dependencies"] if isinstance(entry, dict))
    conda = [entry for entry in CONDA["dependencies"] if isinstance(entry, str) and entry != "pip"]
    return [Requirement(text) for text in [*conda, *pip] if text != "-e ."]


def test_conda_and_pip_ask_for_the_same_packages_in_the_same_ranges():
    conda = ranges(conda_requirements())
    python = conda.pop("python")
    assert conda == ranges(REQUIREMENTS)
    assert python == SpecifierSet(PROJECT["requires-python"])


def test_conda_takes_packages_from_conda_forge_only():
    assert CONDA["channels"] == ["conda-forge", "nodefaults"]


def required_distributions() -> dict[str, metadata.Distribution]:
    """Every installed distribution that the project needs, with those of its extras that are installed."""
    found: dict[str, metadata.Distribution] = {}
    waiting = [(requirement, "") for requirement in REQUIREMENTS]
    seen = set()
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, *requirement.extras) in seen or not (
            requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        ):
            continue
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # of an extra that is not installed
        seen.add((name, *requirement.extras))
        found[name] = distribution
        for text in distribution.requires or ():
            waiting += [(Requirement(text), extra) for extra in ("", *requirement.extras)]
    return found


def test_the_environment_is_the_one_that_the_constraints_pin():
    installed = {name: Version(found.version).public for name, found in required_distributions().items()}
    differing = {
        name: (version, str(PINS.get(name, "no pin")))
        for name, version in installed.items()
        if not WITH_CUDA.fullmatch(name) and not (name in PINS and version in PINS[name])
    }
    assert len(installed) > 100, "the walk over what is installed has found too little to mean anything"
    assert not differing, "installed and pinned versions differ: run `make lock`, or install with -c constraints.txt"


def test_every_pin_is_of_something_that_the_environment_needs():
    needed = required_distributions().keys()
    # Where an extra is not installed, nobody can tell what its packages need: pins of what is not there may be that.
    installed = {canonicalize_name(found.name) for found in metadata.distributions()}
    complete = {canonicalize_name(requirement.name) for requirement in REQUIREMENTS} <= needed
    judged = PINS.keys() if complete else PINS.keys() & installed
    assert judged - needed <= BUILD_TOOLS, "pins of what nothing needs any more: run `make lock`"


def test_constraints_are_exact_public_and_lie_in_the_ranges():
    assert all(re.fullmatch(r"==[^+*,]+", str(pin)) for pin in PINS.values())
    assert not [name for name in PINS if WITH_CUDA.fullmatch(name)]
    for requirement in REQUIREMENTS:
        name = canonicalize_name(requirement.name)
        if not WITH_CUDA.fullmatch(name):
            assert str(PINS[name]).removeprefix("==") in requirement.specifier, name


@pytest.mark.parametrize("extra", sorted(EXTRAS))
def test_no_requirement_is_named_twice(extra):
    names = [Requirement(text).name for text in EXTRAS[extra]]
    core = [Requirement(text).name for text in PROJECT["dependencies"]]
    assert len({*names, *core}) == len(names) + len(core)


#: Where code lies → extras that it may import from, beside the core's dependencies.
MAY_IMPORT = {
    "wlsc": ("book", "pdf", "nwb", "test"),  # what single functions ask for: t-SNE, transport, tables of cells, Triton
    "book": ("book",),
    "tests": ("book", "pdf", "nwb", "test"),
    "benchmarks": ("book", "test", "bench", "peers"),
}

#: Declared without being imported: programs, plugins of other programs, what torch's export asks for, tables by name.
NOT_IMPORTED = {
    *("jupyter-book", "snakemake", "snakemake-executor-plugin-slurm", "ipykernel", "sphinx-mathjax-offline"),
    *("sphinxext-opengraph", "pytest-timeout", "pytest-xdist", "pytest-playwright", "pre-commit", "ruff", "mypy"),
    *("coverage", "build", "onnx", "onnxscript", "polars"),
}


def imported_distributions(folder: str) -> set[str]:
    """Distributions that the Python files and notebooks in a folder import."""
    known = metadata.packages_distributions()
    texts = [path.read_text(encoding="utf-8") for path in (REPOSITORY / folder).rglob("*.py")]
    if folder == "book":
        texts += [read_code(read_notebook(REPOSITORY / "book" / f"{chapter}.md")) for chapter in NOTEBOOKS]
    modules = {name.split(".")[0] for text in texts for name in imported_names(text)}
    return {canonicalize_name(name) for module in modules for name in known.get(module, ())} - {"wlsc"}


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_what_is_imported_is_declared(folder):
    allowed = [*PROJECT["dependencies"], *(text for extra in MAY_IMPORT[folder] for text in EXTRAS[extra])]
    assert imported_distributions(folder) <= {canonicalize_name(Requirement(text).name) for text in allowed}


def test_what_is_declared_is_imported_or_run():
    imported = set().union(*map(imported_distributions, MAY_IMPORT))
    # What belongs to a name that is imported can be told of installed distributions alone; those of the benchmarks need
    # not be.
    absent = {canonicalize_name(Requirement(text).name) for extra in ("bench", "peers") for text in EXTRAS[extra]}
    declared = {canonicalize_name(requirement.name) for requirement in REQUIREMENTS}
    assert declared - imported - absent == NOT_IMPORTED


def test_the_model_and_its_analysis_do_without_the_tools_of_the_book():
    core = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}
    tools = {canonicalize_name(Requirement(text).name) for text in EXTRAS["book"]}
    assert not core & tools
    assert not {"papermill", "jupytext", "ipykernel", "jupyter-book"} & core


def test_the_version_is_told_in_one_place_and_repeated_where_others_read_it():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert metadata.version("wlsc") == wlsc.__version__ == str(citation["version"])


def test_the_example_of_the_readme_prints_what_stands_there(capsys):
    blocks = re.findall(r"```(\w*)\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    index = next(number for number, (language, _) in enumerate(blocks) if language == "python")
    assert len(blocks[index][1].splitlines()) <= 10
    exec(compile(blocks[index][1], "README.md", "exec"), {})
    assert capsys.readouterr().out == blocks[index + 1][1]
