"""The book's text notebooks as the build sees them: which there are, what can be set in each, what each reads.

Everything here is found by reading, without running anything, so that the order of the build follows from the
notebooks themselves and is typed nowhere else.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wlsc._io.tables import from_table, suggestion

if TYPE_CHECKING:
    from nbformat import NotebookNode


def list_pages(toc: Path) -> list[str]:
    """Return the pages that a ``_toc.yml`` names, without suffix, in the order of reading."""
    import yaml

    return list(_files(yaml.safe_load(toc.read_text(encoding="utf-8"))))


def _files(entry: Mapping[str, Any]) -> Iterator[str]:
    for key in ("root", "file"):
        if key in entry:
            yield entry[key]
    for key in ("parts", "chapters", "sections"):
        for child in entry.get(key, ()):
            yield from _files(child)


@dataclass(frozen=True)
class Header:
    """What a notebook says of itself under ``wlsc`` in its YAML header.

    Attributes
    ----------
    needs
        Notebooks whose results it reads.
    data
        Data sets that it loads itself; those of its trainings and studies stand in their configurations.
    """

    needs: list[str] = field(default_factory=list)
    data: list[str] = field(default_factory=list)


def _header(notebook: NotebookNode, where: str = "notebook") -> Header:
    return from_table(Header, notebook.metadata.get("wlsc") or {}, f"{where}: wlsc")


def read_notebook(path: Path) -> NotebookNode:
    """Return the text notebook at ``path``, with cell ids that are the same every time.

    Raises
    ------
    ValueError
        If its header has a key under ``wlsc`` that `Header` does not know.
    """
    import jupytext

    notebook = jupytext.read(path)
    _header(notebook, str(path))
    number_cells(notebook)
    return notebook


def number_cells(notebook: NotebookNode) -> None:
    """Give the cells of ``notebook`` their number as id: the random ids of nbformat would make every run differ."""
    for number, cell in enumerate(notebook.cells, start=1):
        cell["id"] = f"cell-{number}"


def is_notebook(path: Path) -> bool:
    """Tell whether the page at ``path`` is a notebook, which names a kernel in its YAML header, or plain text."""
    import yaml

    before, *rest = path.read_text(encoding="utf-8").split("---\n", 2)
    return before == "" and len(rest) == 2 and "kernelspec" in (yaml.safe_load(rest[0]) or {})


def read_code(notebook: NotebookNode) -> str:
    """Return the Python code of ``notebook``, lines of IPython's own (``%magic``, ``!shell``) left out."""
    lines = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code").splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith(("%", "!")))


def find_configurations(notebook: NotebookNode) -> list[str]:
    """Return the names of the trainings that ``notebook`` reads: the literals it passes to ``load_config``."""
    return _find_names(notebook, "load_config")


def find_studies(notebook: NotebookNode) -> list[str]:
    """Return the names of the studies that ``notebook`` reads: the literals it passes to ``load_study``."""
    return _find_names(notebook, "load_study")


def find_results(notebook: NotebookNode) -> list[str]:
    """Return the names of the kept results that ``notebook`` reads: the literals it passes to ``load_result``."""
    return _find_names(notebook, "load_result")


def find_claims(notebook: NotebookNode) -> list[str]:
    """Return the names of the claims that ``notebook`` saves: the literals it passes to ``save_claims``."""
    return _find_names(notebook, "save_claims")


def _find_names(notebook: NotebookNode, function: str) -> list[str]:
    calls = (node for node in ast.walk(ast.parse(read_code(notebook))) if isinstance(node, ast.Call))
    names = {
        str(call.args[0].value)
        for call in calls
        if getattr(call.func, "attr", getattr(call.func, "id", None)) == function
        and call.args
        and isinstance(call.args[0], ast.Constant)
    }
    return sorted(names)


def find_needs(notebook: NotebookNode) -> list[str]:
    """Return the notebooks whose results ``notebook`` reads: ``wlsc: {needs: [...]}`` in its header."""
    return _header(notebook).needs


def find_data(notebook: NotebookNode) -> list[str]:
    """Return the data sets that ``notebook`` itself loads: ``wlsc: {data: [...]}`` in its header."""
    return _header(notebook).data


def read_parameters(notebook: NotebookNode) -> dict[str, Any]:
    """Return name and default of every parameter in the cell of ``notebook`` tagged ``parameters``.

    Raises
    ------
    ValueError
        If a default is not a plain value.
    """
    from papermill import inspect_notebook

    return {name: _literal(name, entry["default"]) for name, entry in inspect_notebook(notebook).items()}


def _literal(name: str, text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise ValueError(f"default of parameter {name} must be a plain value, got {text}") from None


def parse_parameters(known: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    """Return the ``given`` texts as values of the types that their defaults in ``known`` have.

    Raises
    ------
    ValueError
        If a name is not among the known ones, or if a text is not of its default's type.
    """
    return {name: _parse(name, text, known) for name, text in given.items()}


def _parse(name: str, text: str, known: Mapping[str, Any]) -> Any:
    if name not in known:
        hint = suggestion(name, known)
        raise ValueError(f"parameter must be one of {', '.join(known) or 'none'}, got {name}{hint}")
    default = known[name]
    if isinstance(default, str):
        return text
    try:
        if type(default) in (int, float):
            return type(default)(text)
        value = ast.literal_eval(text.capitalize() if isinstance(default, bool) else text)
    except (ValueError, SyntaxError):
        value = text
    if default is not None and type(value) is not type(default):
        raise ValueError(f"parameter {name} must be of type {type(default).__name__}, got {text!r}")
    return value
