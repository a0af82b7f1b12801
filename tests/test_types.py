"""What mypy and editors know of the package: every public name with its types, and no other."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import wlsc

PACKAGE = Path(wlsc.__file__).parent
STUBS = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.pyi"))


@pytest.mark.parametrize("stub", STUBS, ids=str)
def test_a_stub_names_what_its_package_has_from_where_it_is_defined(stub):
    package = importlib.import_module(".".join(("wlsc", *stub.parent.parts)))
    imports = [node for node in ast.parse((PACKAGE / stub).read_text()).body if isinstance(node, ast.ImportFrom)]
    named = {alias.asname: f"{node.module}.{alias.name}" for node in imports for alias in node.names}
    assert sorted(named) == [name for name in dir(package) if not name.startswith("_")]
    for name, place in named.items():
        found = getattr(package, name)
        assert place in (getattr(found, "__module__", "") + f".{name}", getattr(found, "__name__", ""))


MISTAKES = """
import wlsc

wlsc.WLSC(n_atom=3)
wlsc.no_such_name
wlsc.models.WLSCAutoencoder(n_features="three", n_atoms=4, lam=0.1)
wlsc.WLSC(n_atoms=3)
"""


def test_mypy_finds_mistakes_in_the_use_of_the_package(tmp_path):
    (tmp_path / "user.py").write_text(MISTAKES)
    options = ["--ignore-missing-imports", "--follow-imports", "silent", "--cache-dir", str(tmp_path / "cache")]
    found_here = os.environ | {"MYPYPATH": str(PACKAGE.parent)}  # an editable installation is found by a hook alone
    command = [sys.executable, "-m", "mypy", *options, "user.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=found_here)
    found = [line.split(": error: ")[0] for line in done.stdout.splitlines() if ": error: " in line]
    assert found == ["user.py:4", "user.py:5", "user.py:6"], done.stdout + done.stderr
