"""Which of this package's source files a piece of code really imports, found without running it."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import wlsc

_PACKAGE = Path(wlsc.__file__).resolve().parent


def source_closure(code: str) -> list[Path]:
    """Files of this package that ``code`` imports, directly or through one another, inside functions too.

    Public names of ``wlsc`` count as imports of the modules that define them. The package's own ``__init__.py`` only
    says which module that is, and is left out: a new public name changes no result.

    Parameters
    ----------
    code
        Python source text.
    """
    found: set[Path] = set()
    waiting = list(_imports(ast.parse(code), package="wlsc"))
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting.extend(_imports_of_file(path))
    return sorted(found)


def source_hashes(code: str) -> dict[str, str]:
    """Sha256 of each file of `source_closure`, by its path in the package."""
    return {
        path.relative_to(_PACKAGE).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in source_closure(code)
    }


@cache
def _imports_of_file(path: Path) -> tuple[Path, ...]:
    package = path.parent.relative_to(_PACKAGE.parent).as_posix().replace("/", ".")
    return tuple(_imports(ast.parse(path.read_text(encoding="utf-8")), package))


def _imports(tree: ast.AST, package: str) -> Iterator[Path]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Attribute):
            names = [ast.unparse(node)]
        else:
            continue
        for name in names:
            yield from _files(name)


def _files(name: str) -> Iterator[Path]:
    """Files that importing ``name`` (a dotted module, or a public name of the package) runs, the top package aside."""
    parts = name.split(".")
    if parts[0] != "wlsc":
        return
    package = wlsc
    for length in range(2, len(parts) + 1):
        public = getattr(package, "_PUBLIC", {})
        if parts[length - 1] in public:
            yield from _files(public[parts[length - 1]])
            return
        stem = _PACKAGE.joinpath(*parts[1:length])
        if stem.with_suffix(".py").is_file():
            yield stem.with_suffix(".py")
            return
        if not (stem / "__init__.py").is_file():
            return
        yield stem / "__init__.py"
        package = import_module(".".join(parts[:length]))
