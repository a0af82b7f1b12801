"""The numbers of the quick book are those of its reference under every arithmetic, and a wrong number still drifts."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from wlsc.companion.printed import read_notebooks
from wlsc.companion.processors import SETTINGS, Setting, run_notebooks
from wlsc.companion.reference import compare, read_reference

REFERENCE = REPOSITORY / "results" / "reference" / "quick.json"

#: What is done wrong → file, its text, what stands there instead, and the page that must tell.
MUTATIONS = {
    "λ off by 5 %": ("book/experiments/quick/natural_wlsc.toml", "lam = 0.1\n", "lam = 0.105\n", "natural_images"),
    "another seed": ("book/experiments/quick/natural_wlsc.toml", "seed = 0\n", "seed = 1\n", "natural_images"),
    "the sign of a Gabor's phase": ("wlsc/analysis/gabor.py", "np.arctan2(-b, a)", "np.arctan2(b, a)", "figure_1a"),
    "nx off by √2": (
        "wlsc/analysis/gabor.py",
        "phase, nx, ny], axis=1)",
        "phase, nx * 2**0.5, ny], axis=1)",
        "figure_1a",
    ),
}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", SETTINGS)
def test_every_number_is_that_of_the_reference_under(name, tmp_path, record_property):
    run_notebooks("quick", tmp_path / "out", SETTINGS[name], REPOSITORY)
    found = compare(read_notebooks(tmp_path / "out"), read_reference(REFERENCE)["pages"])
    assert not found.drifts, "\n" + "\n".join(found.drifts)
    record_property("numbers", sum(found.n_numbers.values()))


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", MUTATIONS)
def test_a_wrong_number_drifts(name, tmp_path, monkeypatch):
    file, old, new, page = MUTATIONS[name]
    tree = plant(tmp_path / "tree")
    text = (tree / file).read_text(encoding="utf-8")
    assert text.count(old) == 1
    (tree / file).write_text(text.replace(old, new), encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tree))
    run_notebooks("quick", tmp_path / "out", Setting(), tree, [page])
    known = {page: read_reference(REFERENCE)["pages"][page]}
    assert compare({page: read_notebooks(tmp_path / "out")[page]}, known).drifts


def plant(folder: Path) -> Path:
    """A copy of the sources."""
    files = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    for name in filter(None, files.split("\0")):
        if (REPOSITORY / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, folder / name)
    return folder
