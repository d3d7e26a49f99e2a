"""The ladders of reductions: the sum of an array, and the sums of a matrix's columns.

================ ==================================================================================
sum              in a word
================ ==================================================================================
naive            one thread
divergent        a tree in shared memory; the threads at work are spread over all warps
sequential       a tree whose threads at work stand together
shuffle          within warps from register to register
grid_stride      every thread adds many numbers first; two launches
================ ==================================================================================

================ ==================================================================================
column_sum       in a word
================ ==================================================================================
naive            a thread per column
shared           a block of 32 x 8 threads per 32 columns
parts            the rows cut into parts, and the parts' sums
================ ==================================================================================

The files are in `kernels/reduction`. No rung uses atomics: additions come in an order that depends
on the shape alone, so results repeat bit for bit.
"""

from __future__ import annotations

from minicnn.backends import xp
from minicnn.backends.launch import THREADS, launch, launch_each

SUM_RUNGS = ("naive", "divergent", "sequential", "shuffle", "grid_stride")
COLUMN_SUM_RUNGS = ("naive", "shared", "parts")

BLOCKS = 512  # of grid_stride: enough for every GPU, few enough for the second launch
LANES = 32  # columns of a block
SHORTEST = 256  # rows of a part


def sum(x, rung="auto"):
    """The sum of all elements of x, as an array of shape ().

    Parameters
    ----------
    x : array
        float32 or float64, in row-major order.
    rung : str
        One of `SUM_RUNGS`, or "auto".

    Raises
    ------
    ValueError
        If there is no such rung.
    """
    rung = _known("sum", rung, SUM_RUNGS, "grid_stride")
    x, lib = xp(x).ascontiguousarray(x).reshape(-1), xp(x)
    if not x.size:
        return lib.zeros((), x.dtype)
    while True:
        blocks = _sum_blocks(x.size, rung)
        y = lib.empty(blocks, x.dtype)
        block = (1,) if rung == "naive" else (THREADS,)
        file = f"reduction/sum_{rung}.cu"
        launch(file, "sum", (blocks,), block, (x, y, x.size), dtype=x.dtype)
        if blocks == 1:
            return y.reshape(())
        x = y


def _sum_blocks(elements, rung):
    """How many numbers a launch leaves."""
    if rung == "naive":
        return 1
    blocks = -(-elements // THREADS)
    if rung != "grid_stride":
        return blocks
    return 1 if blocks <= 2 else min(blocks, BLOCKS)  # so the second launch is the last


def column_sum(x, rung="auto"):
    """x (R, C), in row-major order, added up over its rows: (C,).

    Parameters
    ----------
    x : array (R, C)
    rung : str
        One of `COLUMN_SUM_RUNGS`, or "auto": "parts" if there are rows enough to cut.

    Raises
    ------
    ValueError
        If there is no such rung.
    """
    R, C = x.shape
    rung = _known("column_sum", rung, COLUMN_SUM_RUNGS, "parts" if _parts(R, C) > 1 else "shared")
    y = xp(x).empty(C, x.dtype)
    tiles = -(-C // LANES)
    if rung == "naive":
        launch_each("reduction/column_sum_naive.cu", "column_sum", C, (x, y, R, C), dtype=x.dtype)
    elif rung == "shared":
        file, args = "reduction/column_sum.cu", (x, y, R, C)
        launch(file, "column_sum", (tiles,), (LANES, 8), args, dtype=x.dtype)
    else:
        parts = _parts(R, C)
        partial = xp(x).empty((parts, C), x.dtype)
        file, args = "reduction/column_sum_parts.cu", (x, partial, R, C, -(-R // parts))
        launch(file, "parts", (tiles * parts,), (LANES, 8), args, dtype=x.dtype)
        launch_each(file, "join", C, (partial, y, parts, C), dtype=x.dtype)
    return y


def _parts(R, C):
    """Into how many parts R rows are cut, so that C columns make about 512 blocks."""
    wanted = BLOCKS // max(1, -(-C // LANES))
    return max(1, min(wanted, R // SHORTEST))


def _known(function, rung, rungs, automatic):
    if rung == "auto":
        return automatic
    if rung not in rungs:
        names = ", ".join(map(repr, ("auto", *rungs)))
        raise ValueError(f"{function}: rung expects one of {names}, but got {rung!r}")
    return rung
