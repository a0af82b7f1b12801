"""The one table of kinds: what it names is there, and a build depends on it."""

import inspect
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.faults.tiny_book import TRAINING, plant
from wlsc.experiments.kinds import DATA_KINDS, MODEL_KINDS, STUDY_KINDS
from wlsc.experiments.studies import clusters, load_study, receptive_fields

#: A model in a file that is not called after its kind.
MODULE = "from wlsc.models.wlsc import WLSCAutoencoder as Toy\n"
STUDY = """
[data]
kind = "digits"
[models.first]
kind = "toy"
[models.null]
kind = "random_patches"
"""


@pytest.mark.parametrize("kind", [*MODEL_KINDS.values(), *DATA_KINDS.values()])
def test_a_kind_is_defined_in_its_module(kind):
    found = kind.load()
    assert (found.__module__, found.__name__) == kind
    assert inspect.isclass(found) == (kind in MODEL_KINDS.values())


@pytest.mark.parametrize("module", STUDY_KINDS.values())
def test_a_kind_of_study_can_be_read_and_measured(module):
    assert callable(import_module(module).read_study)
    assert callable(import_module(module).measure)


def planned_inputs(tree: Path, output: str) -> list[str]:
    """What a build in ``tree`` would make ``output`` of."""
    command = [str(Path(sys.executable).with_name("snakemake")), "--dry-run", "--nolock", "--cores", "1", "--", output]
    environment = os.environ | {"PYTHONPATH": str(tree)}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return re.search(r"^    input: (.*)$", done.stdout + done.stderr, flags=re.MULTILINE)[1].split(", ")


@pytest.mark.parametrize("profile", ["quick", "full"])
@pytest.mark.parametrize(("name", "kind"), [("figure_1a", receptive_fields.Study), ("figure_1b", clusters.Study)])
def test_a_study_is_read_by_the_module_of_its_kind(name, kind, profile):
    study = load_study(name, profile, REPOSITORY / "book" / "studies")
    assert type(study) is kind
    assert study.name == name


def test_a_model_in_a_file_of_another_name_is_an_input_of_trainings_and_studies(tmp_path):
    tree = plant(tmp_path)
    table, book = tree / "wlsc" / "experiments" / "kinds.py", tree / "book"
    entry = '    "toy": Kind("wlsc.models.playthings", "Toy"),\n'
    first = '    "wlsc": Kind('
    text = table.read_text(encoding="utf-8")
    assert text.count(first) == 1
    table.write_text(text.replace(first, entry + first), encoding="utf-8")
    (tree / "wlsc" / "models" / "playthings.py").write_text(MODULE, encoding="utf-8")
    (book / "experiments" / "quick" / "toy.toml").write_text(TRAINING.replace('"wlsc"', '"toy"'), encoding="utf-8")
    (book / "studies" / "quick").mkdir(parents=True)
    (book / "studies" / "quick" / "toy.toml").write_text(STUDY, encoding="utf-8")
    for output in ("_build/quick/trained/toy.json", "_build/quick/studied/toy.json"):
        found = planned_inputs(tree, output)
        assert {"wlsc/models/playthings.py", "wlsc/models/wlsc.py", "wlsc/datasets/digits.py"} <= set(found)
        assert "wlsc/models/ica.py" not in found
