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


LARGE = """
import resource, sys
import numpy as np, torch, wlsc
n_atoms, n_samples = map(int, sys.argv[1:])
rng = np.random.default_rng(0)
rows = rng.normal(size=(n_atoms + n_samples, 144)).astype(np.float32)
dictionary, patches = rows[:n_atoms], rows[n_atoms:] + rows[:n_samples]
codes, info = wlsc.infer_codes(patches, dictionary, 0.1, output="csr", return_info=True)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
y, atoms = patches[:20].astype(float), dictionary.astype(float)
x = codes[:20].toarray().astype(float)
gradient = (x @ atoms - y) @ atoms.T + 0.1 * (np.sum(atoms**2, axis=1) - 2 * y @ atoms.T)
gap = np.sum(x * gradient, axis=1) - gradient.min(axis=1)
largest = np.maximum(np.sum((y - atoms.mean(0))**2, axis=1), np.sum((atoms - atoms.mean(0))**2, axis=1).max())
assert (gap <= 1e-5 * 1.2 * largest).all() and info.residuals.max() <= 1e-5
assert abs(codes.sum(axis=1) - 1).max() < 1e-6 and codes.data.min() >= 0
print(peak)
"""


def test_codes_over_65536_atoms_take_less_than_3_gib(record_property):
    """Exact and certified, by the gap written out in float64, with everything that Python and its libraries hold."""
    done = subprocess.run([sys.executable, "-c", LARGE, "65536", "512"], capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stderr
    peak = int(done.stdout)
    assert peak < 3 * 2**30
    record_property("measured", ["bytes at the peak of codes over 65,536 atoms", peak])
