"""What is told of the machine: the memory that a process takes is its own."""

import subprocess
import sys

import numpy as np

from wlsc._io.machine import peak_memory

TELL = "from wlsc._io.machine import peak_memory; print(peak_memory())"


def test_the_peak_grows_by_what_is_held_and_stays():
    before = peak_memory()
    held = np.ones(2**25)
    held_bytes = held.nbytes
    grown = peak_memory()
    assert grown >= before
    assert grown > held_bytes
    del held
    assert abs(peak_memory() - grown) < held_bytes / 10  # the system counts pages in batches


def test_a_process_does_not_count_what_started_it():
    held = np.ones(2**27)
    told = int(subprocess.run([sys.executable, "-c", TELL], capture_output=True, text=True, check=True).stdout)
    assert told < held.nbytes / 2


def test_children_count_where_they_are_asked_for():
    code = "import numpy as np; np.ones(2**26)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert peak_memory(with_children=True) - peak_memory() > 2**26 * 8
