"""The import rules of the package, found by reading its source; and what `import wlsc` itself needs."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import wlsc
from tests.conftest import NOTEBOOKS, REPOSITORY
from wlsc.companion.notebooks import read_code, read_notebook

PACKAGE = Path(wlsc.__file__).parent
MODULES = {
    ".".join(("wlsc", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}


def imported_names(code: str, module: str = "", is_package: bool = False) -> Iterator[str]:
    """Dotted names that ``code`` imports anywhere, relative ones made absolute."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: len(module.split(".")) - node.level + is_package] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


@cache
def imported_modules(module: str) -> set[str]:
    """Modules of wlsc that one of them imports itself."""
    path = MODULES[module]
    names = imported_names(path.read_text(encoding="utf-8"), module, path.name == "__init__.py")
    return {defining_module(name) for name in names if name.startswith("wlsc.")}


def defining_module(name: str) -> str:
    """Module that importing ``name`` runs; for a name that `wlsc` exports lazily the one that defines it."""
    parts = name.split(".")
    prefixes = (".".join(parts[:length]) for length in range(len(parts), 1, -1))
    found = next((prefix for prefix in prefixes if prefix in MODULES), None)
    return found or getattr(getattr(wlsc, parts[1]), "__module__", "wlsc")


def reachable_modules(module: str) -> set[str]:
    found: set[str] = set()
    waiting = [module]
    while waiting:
        for name in imported_modules(waiting.pop()) - found:
            found.add(name)
            waiting.append(name)
    return found


def within(room: str) -> list[str]:
    return [name for name in MODULES if name == f"wlsc.{room}" or name.startswith(f"wlsc.{room}.")]


#: Rooms that stand behind the model, and the hallway that leads to all of them.
BEHIND = ("experiments", "companion", "_io", "cli")


def model_rooms() -> list[str]:
    """Name of every module and package at the top, those of `BEHIND` aside."""
    return sorted({name.split(".")[1] for name in MODULES if name != "wlsc"} - set(BEHIND))


RULES = [
    ("models", "datasets"),
    ("analysis", "models"),
    ("analysis", "datasets"),
    ("analysis", "training"),
    *((room, behind) for room in model_rooms() for behind in ("experiments", "companion")),
    ("experiments", "companion"),
]


@pytest.mark.parametrize(("room", "forbidden"), RULES)
def test_a_room_does_not_reach_another(room, forbidden):
    assert within(room)
    assert within(forbidden)
    for module in within(room):
        assert not reachable_modules(module) & set(within(forbidden)), module


def test_only_the_command_line_imports_the_companion():
    """The book and the Snakefile do too, and are no modules of the package."""
    importing = {module for module in MODULES if imported_modules(module) & set(within("companion"))}
    assert "wlsc.cli" in importing
    assert importing - set(within("companion")) == {"wlsc.cli"}


def test_files_tables_and_machine_import_nothing_of_the_package():
    assert len(within("_io")) > 1
    for module in within("_io"):
        names = imported_names(MODULES[module].read_text(encoding="utf-8"), module)
        assert not [name for name in names if name.split(".")[0] == "wlsc"], module


def test_no_private_module_stands_at_the_top_but_what_the_model_needs():
    private = {name.split(".")[1] for name in MODULES if name.startswith("wlsc._")}
    assert private == {"_io", "_lazy", "_sparse", "_validation"}


def test_nothing_imports_the_command_line():
    assert "wlsc.cli" in MODULES
    assert not [module for module in MODULES if "wlsc.cli" in imported_modules(module)]


def test_plots_import_numpy_and_matplotlib_only():
    names = {name.split(".")[0] for name in imported_names(MODULES["wlsc.plots"].read_text(encoding="utf-8"))}
    assert names - sys.stdlib_module_names == {"numpy", "matplotlib"}


def is_private(name: str) -> bool:
    return any(part.startswith("_") and not part.startswith("__") for part in name.split("."))


@pytest.mark.parametrize("chapter", NOTEBOOKS)
def test_a_notebook_reaches_no_private_name(chapter):
    code = read_code(read_notebook(REPOSITORY / "book" / f"{chapter}.md"))
    attributes = {node.attr for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Attribute)}
    assert not [name for name in imported_names(code) if is_private(name)]
    assert not [name for name in attributes if is_private(name)]


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_wlsc_loads_nothing_heavy():
    loaded = run_python("import wlsc, sys; print(*{name.split('.')[0] for name in sys.modules})").split()
    heavy = {"sklearn", "numba", "triton", "snakemake", "scipy", "matplotlib", "skimage", "papermill", "openTSNE"}
    assert "wlsc" in loaded
    assert not heavy & set(loaded)


def test_importing_wlsc_changes_no_thread_count_and_no_flag():
    code = """
import os, random, warnings
import numpy, torch

def state():
    return {
        "environment": dict(os.environ),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "type": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "precision": (torch.get_float32_matmul_precision(), torch.backends.cuda.matmul.allow_tf32),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32),
        "randomness": (random.getstate(), str(numpy.random.get_state()), torch.get_rng_state().tolist()),
        "errors": numpy.geterr(),
        "warnings": list(warnings.filters),
    }

before = state()
import wlsc, wlsc.dictionary, wlsc.inference, wlsc.models, wlsc.problem, wlsc.simplex, wlsc.training
after = state()
print([name for name in before if before[name] != after[name]])
"""
    assert run_python(code).strip() == "[]"


def needed_by(*names: str) -> set[str]:
    """Distributions that torch and NumPy bring with them."""
    found: set[str] = set()
    waiting = [canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        try:
            requirements = [Requirement(text) for text in metadata.requires(name) or ()]
        except metadata.PackageNotFoundError:
            continue  # of another platform
        needed = [entry for entry in requirements if entry.marker is None or entry.marker.evaluate({"extra": ""})]
        waiting += [canonicalize_name(requirement.name) for requirement in needed]
    return found


CORE = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"{name} is not part of the core")

sys.meta_path.insert(0, Blocker())

import torch
import wlsc
from wlsc import dictionary, inference, models, problem, simplex, training

generator = torch.Generator().manual_seed(0)
patches = torch.randn(64, 6, generator=generator)
model = models.WLSCAutoencoder(6, 8, 0.1, n_layers=5)
reconstruction, codes = model(patches)
assert codes.shape == (64, 8)
assert wlsc.infer_codes(patches, model.dictionary, 0.1, method="unrolled", n_layers=5).shape == (64, 8)
assert wlsc.objective(patches, model.dictionary, codes, 0.1) > 0
training.train(training.ClosedFormTrainer(model), patches.numpy(), n_epochs=1, batch_size=32, seed=0)
print("done")
"""


def test_the_core_works_with_torch_and_numpy_alone():
    allowed = needed_by("torch", "numpy")
    blocked = {
        module
        for module, distributions in metadata.packages_distributions().items()
        if not {canonicalize_name(name) for name in distributions} & {*allowed, "wlsc"}
    }
    assert {"scipy", "sklearn", "skimage", "numba", "matplotlib", "pooch"} <= blocked
    assert run_python(f"BLOCKED = {blocked!r}\n{CORE}").strip() == "done"


def loads_scikit_learn(node: ast.AST) -> bool:
    """Tell whether this is an import inside a function of a library that loads most of scikit-learn."""
    if not isinstance(node, (ast.Import, ast.ImportFrom)):
        return False
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    return node.col_offset > 0 and any(name.split(".")[0] in {"sklearn", "openTSNE", "umap"} for name in names)


def test_imports_of_scikit_learn_draw_no_random_number():
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in MODULES.values()]
    blocks = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.With)]
    kept = [block for block in blocks if ast.unparse(block.items[0].context_expr) == "same_random_numbers()"]
    loading = {node for tree in trees for node in ast.walk(tree) if loads_scikit_learn(node)}
    assert len(loading) > 10
    assert loading == {node for block in kept for node in block.body}


def test_the_first_call_leaves_the_global_generators_alone():
    run_python("""
import random
import numpy as np, torch
from wlsc.analysis.clustering import cluster_codes

before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
cluster_codes(np.random.default_rng(0).dirichlet(np.full(30, 0.1), 200), 4)
assert before == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
""")
