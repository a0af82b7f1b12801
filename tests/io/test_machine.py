"""What is told of the machine: the memory that a process takes is its own."""

import subprocess
import sys

import numpy as np
import torch

from wlsc._io.machine import capability, peak_memory

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


def test_where_the_system_tells_no_memory_experiments_are_there_all_the_same():
    code = "import sys; sys.modules['resource'] = None; import wlsc.experiments; "
    told = subprocess.run([sys.executable, "-c", code + TELL], capture_output=True, text=True, check=True).stdout
    assert told == "None\n"


def test_the_arithmetic_is_told_and_not_the_name_of_the_processor(monkeypatch):
    code = "from wlsc._io.machine import capability; print(capability()['torch'])"
    command = [sys.executable, "-c", code]
    assert capability()["torch"] == torch.backends.cpu.get_cpu_capability()
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout in ("DEFAULT\n", "NO AVX\n")
