"""Data larger than the memory that training takes: five million patches on disk, streamed."""

import json
import subprocess
import sys

import numpy as np
import pytest

N_PATCHES, N_FEATURES, N_ATOMS = 5_000_000, 64, 64

#: Trains on the memory-mapped file that it is given, and prints peak anonymous memory (bytes) beyond that at the start.
#: Pages of the file that happen to be cached do not count: the system takes them back whenever it needs them.
SCRIPT = """
import json, re, sys, threading, time
import numpy as np
from wlsc import WLSC

def anonymous():
    return 1024 * int(re.search(r"RssAnon:\\s+(\\d+)", open("/proc/self/status").read()).group(1))

def watch():
    while not done.is_set():
        peaks.append(anonymous())
        time.sleep(0.02)

patches = np.load(sys.argv[1], mmap_mode="r")
n_patches = int(sys.argv[2])
options = dict(n_atoms=int(sys.argv[3]), lam=0.1, random_state=0, batch_size=20_000, n_epochs=1)
WLSC(**options).fit(patches[:40_000])  # loads and compiles everything
before, peaks, done = anonymous(), [], threading.Event()
watcher = threading.Thread(target=watch)
watcher.start()
if sys.argv[4] == "fit":
    model = WLSC(**options).fit(patches[:n_patches])
else:
    model = WLSC(**options).fit_batches(patches[i : i + 20_000] for i in range(0, n_patches, 20_000))
done.set()
watcher.join()
print(json.dumps({"beyond": max(peaks) - before, "finite": bool(np.isfinite(model.components_).all())}))
"""


@pytest.fixture(scope="module")
def patches_on_disk(tmp_path_factory):
    path = tmp_path_factory.mktemp("scale") / "patches.npy"
    rng = np.random.default_rng(0)
    corners = rng.normal(size=(N_ATOMS, N_FEATURES)).astype(np.float32)
    stored = np.lib.format.open_memmap(path, "w+", np.float32, (N_PATCHES, N_FEATURES))
    for first in range(0, N_PATCHES, 100_000):
        chosen = rng.integers(N_ATOMS, size=(100_000, 3))
        stored[first : first + 100_000] = corners[chosen].mean(axis=1)
    stored.flush()
    return path


@pytest.mark.parametrize("how", ["fit", "fit_batches"])
def test_memory_does_not_grow_with_the_number_of_patches(patches_on_disk, how, record_property):
    beyond = {}
    for n_patches in (500_000, N_PATCHES):
        arguments = [str(patches_on_disk), str(n_patches), str(N_ATOMS), how]
        done = subprocess.run([sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=True)
        report = json.loads(done.stdout)
        assert report["finite"]
        beyond[n_patches] = report["beyond"]
    # a random order of five million rows is 40 MB; a copy of the data would be 1.3 GB
    assert beyond[N_PATCHES] < beyond[500_000] + 100e6
    found = {"n_patches": N_PATCHES, "n_features": N_FEATURES, "bytes": beyond[N_PATCHES]}
    record_property("measured", [f"streamed by {how}", found])
