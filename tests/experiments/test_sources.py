"""The closure of imports, against what Python really loads."""

import subprocess
import sys
from pathlib import Path

import pytest

import wlsc
from wlsc.experiments.sources import source_closure

PACKAGE = Path(wlsc.__file__).parent


def names(code):
    return {path.relative_to(PACKAGE).as_posix() for path in source_closure(code)}


@pytest.mark.parametrize(
    "code",
    [
        "import wlsc.models.wlsc",
        "from wlsc import experiments",
        "from wlsc.experiments import studies",
        "from wlsc.experiments.kinds import study_module",
        "import wlsc; wlsc.objective",
        "from wlsc.models import SparseCodingAutoencoder",
        "from wlsc import fit_gabors",
        "import wlsc.companion.results as r",
    ],
)
def test_covers_what_python_loads(code):
    """Static reading may find more, for it sees imports inside functions, but never less."""
    listing = "import sys; print(*(m.__file__ for n, m in sys.modules.items() if n.startswith('wlsc.')), sep='\\n')"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{listing}"], capture_output=True, text=True, check=True)
    loaded = {Path(line).relative_to(PACKAGE).as_posix() for line in done.stdout.split()} - {"_lazy.py"}
    assert loaded <= names(code)


def test_imports_only_what_is_named():
    assert names("import wlsc\nwlsc.kkt_residual(1, 2, 3, 4)") == {"problem.py", "_sparse.py", "_validation.py"}
    assert "models/sparse_coding.py" not in names("import wlsc.models.wlsc")
    assert "plots.py" not in names("from wlsc import experiments")
    assert names("import numpy as np\nnp.zeros(3)") == set()


def test_sees_imports_inside_functions():
    assert "datasets/registry.py" in names("def f():\n    from wlsc.datasets import registry")
