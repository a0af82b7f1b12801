"""A thousand damaged files of every kind that is read, where `make test` tries a few."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY


@pytest.mark.parametrize("file", ["test_image_files.py", "test_digits.py", "test_matrices.py"])
def test_a_thousand_of_every_kind(file):
    environment = {name: value for name, value in os.environ.items() if name != "WLSC_TALLY"}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-q",
        "-k",
        "damaged",
        f"tests/datasets/{file}",
    ]
    done = subprocess.run(
        [*command, "-o", "timeout=0"],
        env=environment | {"WLSC_DAMAGED_FILES": "1000"},
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout
