"""What a kernel file asks of a GPU, what a GPU is able to, and how long tiles keep it busy.

A file that needs a newer GPU than the oldest (sm_75, the T4) says so in its opening comment, on a
line of its own: `// Needs: sm_80`. Dispatchers and the test that compiles every kernel read it.
"""

from __future__ import annotations

import math
import re
from functools import cache

import numpy as np

from minicnn.backends import xp
from minicnn.paths import kernels_dir

OLDEST = (7, 5)
EMULATOR = (9, 0)  # it plays every instruction that the kernels use
START = 64  # terms' time that a part of a sum takes to begin and to end,
JOIN = 0.4  # and products' time that a number of its result takes to be written, and joined
MULTIPROCESSORS = 132  # of an H100: where there is no GPU to ask, or rounding must not depend on it


@cache
def needed_capability(file: str) -> tuple[int, int]:
    """The compute capability that `kernels/<file>` needs: (8, 0) for `// Needs: sm_80`."""
    source = (kernels_dir() / file).read_text(encoding="utf-8")
    found = re.search(r"^// Needs: sm_(\d+)(\d)a?$", source, re.MULTILINE)
    return (int(found[1]), int(found[2])) if found else OLDEST


def capability(array) -> tuple[int, int]:
    """The compute capability of the GPU that holds the array; the emulator's for a NumPy array."""
    if xp(array) is np:
        return EMULATOR
    number = array.device.compute_capability  # "75", "100"
    return int(number[:-1]), int(number[-1])


def named(capability: tuple[int, int]) -> str:
    """(8, 0) as NVIDIA writes it for compilers: sm_80."""
    return f"sm_{capability[0]}{capability[1]}"


def busiest(tiles, threads, processors=MULTIPROCESSORS):
    """How long the busiest multiprocessor takes for its ceil(tiles / processors) tiles, in tiles.

    Its registers are enough for 512 threads, each tile takes `threads` of them, and the fewer there
    are, the less they hide each other's waiting: half of them take not half as long as all, but
    about the root of a half.
    """
    at_once = 512 // threads
    whole, rest = divmod(-(-tiles // processors), at_once)
    return whole * at_once + math.sqrt(rest * at_once)


def best_cut(terms, shortest, results, busy):
    """Into how many parts of at least `shortest` terms a sum is cut: so many that a GPU is busy.

    Parameters
    ----------
    terms, shortest : int
    results : int
        Sums that are made; each part is written once for all of them, and read again.
    busy : callable
        How long a term takes in so many parts, in products of one multiprocessor.
    """

    def time(parts):
        return busy(parts) * (terms / parts + START) + JOIN * results * parts

    return min(range(1, max(1, min(terms // shortest, 8 * MULTIPROCESSORS)) + 1), key=time)
