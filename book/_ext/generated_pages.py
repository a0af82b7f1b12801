"""Pages, and parts of pages, that nobody types: the API reference, and the indices of equations, figures and tables."""

from __future__ import annotations

import ast
import functools
import inspect
import json
import pkgutil
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import wlsc
from wlsc.companion.notebooks import list_pages

#: A directive of a page that shows what its notebook has saved: figure and its label, or table; and the caption.
_SAVED = re.compile(
    r"^`{3,}\{(?:figure\} figures/([\w-]+)\.\w+\n:name: ([\w-]+)(?:\n:[^\n]*)*\n|saved-table\} ([\w-]+))\n(.*?)^`{3,}$",
    re.MULTILINE | re.DOTALL,
)
_LABEL = re.compile(r"^:label: (eq-[\w-]+)$", re.MULTILINE)

_REPOSITORY = Path(wlsc.__file__).resolve().parents[1]


#: Pages of the reference in the order of reading, and how the names of their modules begin; the longest beginning that
#: fits a module decides.
REFERENCE = {
    "api_model": ("wlsc",),
    "api_models": ("wlsc.models",),
    "api_neighbours": (),
    "api_inference": ("wlsc.inference", "wlsc.simplex"),
    "api_analysis": ("wlsc.analysis",),
    "api_statistics": ("wlsc.analysis.statistics", "wlsc.analysis.stability", "wlsc.analysis.coding"),
    "api_plots": ("wlsc.plots",),
    "api_data": ("wlsc.datasets",),
    "api_experiments": ("wlsc.experiments", "wlsc.experiments.studies.base"),
    "api_claims": ("wlsc.experiments.claims",),
    "api_studies": ("wlsc.experiments.studies",),
    "api_companion": ("wlsc.companion",),
    "api_chapters": (
        *("wlsc.companion.figure_1a", "wlsc.companion.figure_1b", "wlsc.companion.figure_1b_words"),
        *("wlsc.companion.first_page", "wlsc.companion.topography", "wlsc.companion.verdicts"),
    ),
}


#: Classes that a package offers, and that are described on another page than the package.
ELSEWHERE = {
    "api_neighbours": {
        "wlsc.models": (
            *("ArchetypalAnalysis", "ArchetypalAutoencoder", "BatchTopKAutoencoder", "CompleteDictionary"),
            *("GraphRegularizedNMF", "JumpReLUAutoencoder", "KMeansAutoencoder", "LinearGroupAutoencoder"),
            *("MaskedSparseCoding", "MatryoshkaAutoencoder", "PamAutoencoder", "RotationTiedSparseCoding"),
            *("SpaDEAutoencoder", "TopKAutoencoder"),
        )
    }
}


def reference(page: str) -> str:
    """The docstrings of one page of the reference: every public function and class, each under its shortest path."""
    text = ""
    for module, names in documented()[page].items():
        text += f"\n## `{module}`\n\n```{{eval-rst}}\n"
        if page in ELSEWHERE:
            text += "".join(f".. autoclass:: {module}.{name}\n   :members:\n\n" for name in names) + "```\n"
        else:
            text += f".. automodule:: {module}\n   :members: {', '.join(names)}\n```\n"
    return text


def contents(srcdir: Path) -> str:
    """What each page of the reference describes."""
    text = ""
    for page, modules in documented().items():
        title = _title((srcdir / f"{page}.md").read_text(encoding="utf-8"))
        text += f"\n## [{title}]({page}.md)\n\n"
        for module, names in modules.items():
            links = (f"{{py:obj}}`{name} <{module}.{name}>`" for name in names)
            text += f"`{module}`\n: {', '.join(links)}\n\n"
    return text


@functools.cache
def documented() -> dict[str, dict[str, list[str]]]:
    """Names that each module documents, by page: a name that several modules offer belongs to the first."""
    seen: set[int] = set()
    pages: dict[str, dict[str, list[str]]] = {page: {} for page in REFERENCE}
    for module in public_modules():
        names = [name for name, member in public_members(module) if id(member) not in seen]
        seen |= {id(member) for _, member in public_members(module)}
        for page, chosen in ELSEWHERE.items():
            if moved := [name for name in names if name in chosen.get(module.__name__, ())]:
                pages[page][module.__name__] = moved
                names = [name for name in names if name not in moved]
        if names:
            pages[_page_of(module.__name__)][module.__name__] = names
    return pages


def _page_of(module: str) -> str:
    fitting = {
        beginning: page
        for page, beginnings in REFERENCE.items()
        for beginning in beginnings
        if f"{module}.".startswith(f"{beginning}.")
    }
    return fitting[max(fitting, key=len)]


def public_modules() -> list[ModuleType]:
    """Return the package and its modules without a leading underscore, the command line aside, packages first."""
    found = (module.name for module in pkgutil.walk_packages(wlsc.__path__, "wlsc."))
    names = [name for name in found if "._" not in name and name != "wlsc.cli"]
    return [import_module(name) for name in sorted(["wlsc", *names], key=lambda name: (name.count("."), name))]


def public_members(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Name and value of the functions and classes that a module offers: its ``__all__``, or what it defines."""
    offered = getattr(module, "__all__", None)
    for name in dir(module) if offered is None else offered:
        member = getattr(module, name)
        if not inspect.isroutine(member) and not inspect.isclass(member):
            continue
        if offered is not None or (member.__module__ == module.__name__ and not name.startswith("_")):
            yield name, member


class Holding(NamedTuple):
    """What a test holds: it is marked with an equation's label and the functions that implement the equation."""

    equation: str
    functions: tuple[str, ...]
    test: str


def find_holdings(folder: Path) -> list[Holding]:
    """Find the tests below ``folder`` that are marked ``@pytest.mark.equation(label, function, …)``."""
    found = []
    for path in sorted(folder.rglob("test_*.py")):
        for name, test in _tests(ast.parse(path.read_text(encoding="utf-8"))):
            place = f"{path.relative_to(folder.parent).as_posix()}::{name}"
            found += [Holding(label, tuple(functions), place) for label, *functions in _equations(test)]
    return found


def _tests(scope: ast.Module | ast.ClassDef) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in scope.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}::{name}", test) for name, test in _tests(node))


def _equations(function: ast.FunctionDef) -> Iterator[tuple[str, ...]]:
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.equation":
            yield tuple(str(ast.literal_eval(argument)) for argument in decorator.args)


def read_pages(srcdir: Path) -> dict[str, str]:
    """Text of every page of the book, its notebooks' Markdown among them, in the order of reading."""
    pages = {}
    for page in list_pages(srcdir / "_toc.yml"):
        notebook = srcdir / f"{page}.ipynb"
        if notebook.exists():
            cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
            pages[page] = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        else:
            pages[page] = (srcdir / f"{page}.md").read_text(encoding="utf-8")
    return pages


def equations(srcdir: Path) -> str:
    """Every numbered equation with its functions and tests, by chapter.

    Raises
    ------
    ValueError
        If a test is marked with an equation that no page has.
    """
    pages = read_pages(srcdir)
    labels = {label: page for page, text in pages.items() for label in _LABEL.findall(text)}
    holdings = find_holdings(_REPOSITORY / "tests")
    for holding in holdings:
        if holding.equation not in labels:
            raise ValueError(f"{holding.test} must be marked with an equation of the book, got {holding.equation}")
    parts = []
    for page, text in pages.items():
        mine = [label for label in labels if labels[label] == page]
        if mine:
            parts.append(f"## {_title(text)}\n\n" + "\n".join(_held(label, holdings) for label in mine))
    return "\n\n".join(parts) + "\n"


def _held(label: str, holdings: list[Holding]) -> str:
    mine = [holding for holding in holdings if holding.equation == label]
    functions = dict.fromkeys(f"{{py:obj}}`{name}`" for holding in mine for name in holding.functions)
    tests = "".join(f"\n  - `{holding.test}`" for holding in mine)
    return f"- {{eq}}`{label}`: {', '.join(functions)}{tests}"


def _title(text: str) -> str:
    return next(line.removeprefix("# ") for line in text.splitlines() if line.startswith("# "))


def figures(srcdir: Path) -> str:
    """For every chapter: what made its figures and tables, and which they are."""
    parts = []
    for page, text in read_pages(srcdir).items():
        report = read_report(srcdir, page)
        saved = list(_saved(text))
        if report and saved:
            parts.append(f"## {_title(text)}\n\n{_describe(report)}\n\n" + "\n".join(saved))
    return "\n\n".join(parts) + "\n"


def _describe(report: Mapping[str, Any]) -> str:
    data = ", ".join(f"{name} {digest[:12]}" for name, digest in sorted(report["data"].items())) or "none"
    training = sum(report["training_s"].values())
    lines = [
        f"Command: `{report['command']}`",
        f"Configuration {report['configuration']}, seed {report['seed']}, {report['device']}; data: {data}",
        measured(
            f"{report['duration_s']:.0f} s, after {training:.0f} s of trainings and studies; "
            f"last run {report['finished']}, commit {report['commit'][:12]}"
        ),
    ]
    return "\\\n".join(lines)


def _saved(text: str) -> Iterator[str]:
    """What a page shows of what its notebook has saved, in its order, with the first words of the captions."""
    for figure, name, table, body in _SAVED.findall(text):
        target, caption = (name, body) if figure else (f"tab-{table}", body)
        words = re.split(r"(?<=\?) |[.:;] |[.:;]?$", caption.strip().replace("\n", " "), maxsplit=1)[0]
        words = re.sub(r"\{glue:text\}`[^`]*`", "…", words)  # numbers are known on their own page only
        yield f"- {{numref}}`{target}`, `{figure or table}`: {words}"


def measured(text: str) -> str:
    """Text that differs from run to run, marked so that comparisons of two builds can leave it out."""
    return f"[{text}]{{.measured}}"


def read_report(srcdir: str | Path, page: str) -> dict[str, Any] | None:
    """Return the report of the notebook behind ``page``, or None if the page is plain text."""
    path = Path(srcdir).parent / "reports" / f"{page}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
