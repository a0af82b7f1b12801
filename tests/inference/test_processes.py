"""Exact codes in forked and spawned processes, in joblib's and in threads: they come, and they are the same."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

#: Seconds after which a child counts as one that never returns; a busy machine needs some.
PATIENCE = 300

PRELUDE = """
import sys
import numpy as np, torch, wlsc

torch.set_num_threads(2)
rng = np.random.default_rng(0)
patches = rng.normal(size=(4000, 60)).astype(np.float32)
dictionary = rng.normal(size=(200, 60)).astype(np.float32)

def encode(_=None):
    codes = wlsc.infer_codes(patches, dictionary, 0.1)
    residuals = wlsc.kkt_residual(patches, dictionary, codes, 0.1)
    return codes, float(residuals.max()), wlsc.objective(patches, dictionary, codes, 0.1)

def check(expected, results):
    for codes, residual, objective in results:
        np.testing.assert_array_equal(codes, expected[0])
        assert residual <= 1e-5 and abs(objective / expected[2] - 1) < 1e-6

if __name__ == "__main__":
    expected = encode()
"""

WAYS = {
    "fork": """
    import multiprocessing
    with multiprocessing.get_context("fork").Pool(2) as pool:
        check(expected, pool.map(encode, range(4)))
    """,
    "spawn": """
    import multiprocessing
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        check(expected, pool.map(encode, range(4)))
    """,
    "joblib": """
    from joblib import Parallel, delayed
    check(expected, Parallel(2)(delayed(encode)() for _ in range(4)))
    """,
    "threads": """
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(3) as pool:
        check(expected, pool.map(encode, range(6)))
    """,
    "training after a fork": """
    import multiprocessing
    def fit(_):
        model = wlsc.WLSC(n_atoms=20, n_epochs=1, random_state=0).fit(patches)
        return model.components_
    before = fit(0)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        np.testing.assert_allclose(pool.map(fit, [0])[0], before, atol=1e-4)
    """,
}


@pytest.mark.parametrize("way", WAYS)
def test_codes_come_and_are_the_same(way, tmp_path):
    script = Path(tmp_path, "way.py")
    script.write_text(PRELUDE + textwrap.indent(textwrap.dedent(WAYS[way]), "    "))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    said = done.stderr.count("wlsc runs on one thread in a forked process, where it had 2")
    n_forked = {"fork": 2, "training after a fork": 1}.get(way, 0)
    # once in each process that had something to do; a pool need not share its work evenly
    assert (1 <= said <= n_forked) if n_forked else said == 0
