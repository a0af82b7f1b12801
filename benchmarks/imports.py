"""What does `import wlsc` add to `import torch`?

    python benchmarks/imports.py

The two are timed in turn, each in a fresh interpreter, once the system holds their files in its cache.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from _measure import main, spread

REPEATS = 9

#: Prints the seconds that importing torch took, and those that wlsc took after it.
SCRIPT = """
import time
start = time.perf_counter()
import torch
middle = time.perf_counter()
import wlsc
print(middle - start, time.perf_counter() - middle)
"""


def measure() -> dict[str, Any]:
    def imported() -> list[float]:
        done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
        return [float(word) for word in done.stdout.split()]

    imported()
    torch, wlsc = zip(*(imported() for _ in range(REPEATS)), strict=True)
    return {"seconds_torch": spread(torch), "seconds_added_by_wlsc": spread(wlsc)}


if __name__ == "__main__":
    main("imports", measure)
