"""The ladder of transpositions.

================ ==================================================================================
rung             in a word
================ ==================================================================================
naive            neighbours read neighbouring numbers, and write numbers far apart
tiled            a tile is turned in shared memory, whose banks then wait for each other
padded           one more column, and the banks do not
rows             four numbers a thread
================ ==================================================================================

The files are in `kernels/transpose`.
"""

from __future__ import annotations

from minicnn.backends import xp
from minicnn.backends.launch import launch, launch_each

BLOCKS = {"tiled": (32, 32), "padded": (32, 32), "rows": (32, 8)}  # threads for a tile of 32 x 32
RUNGS = ("naive", *BLOCKS)
TILE = 32


def transpose(x, rung="auto"):
    """The transposed matrix in memory order of its own: a contiguous (C, R) from x (R, C).

    Parameters
    ----------
    x : array (R, C)
        float32 or float64, in row-major order.
    rung : str
        One of `RUNGS`, or "auto".

    Raises
    ------
    ValueError
        If there is no such rung.
    """
    rung = "rows" if rung == "auto" else rung
    if rung not in RUNGS:
        names = ", ".join(map(repr, ("auto", *RUNGS)))
        raise ValueError(f"transpose: rung expects one of {names}, but got {rung!r}")
    (R, C), lib = x.shape, xp(x)
    y = lib.empty((C, R), x.dtype)
    file, args = f"transpose/{rung}.cu", (lib.ascontiguousarray(x), y, R, C)
    if rung == "naive":
        launch_each(file, "transpose", x.size, args, dtype=x.dtype)
    else:
        tiles = -(-R // TILE) * -(-C // TILE)
        launch(file, "transpose", (tiles,), BLOCKS[rung], args, dtype=x.dtype)
    return y
