"""The ladder of matrix products: which rungs there are, what each asks for, and which is chosen.

================ ====================== ======= ====================================================
rung             a block makes          types   in a word
================ ====================== ======= ====================================================
naive            256 numbers            both    a thread per number, memory read as it comes
coalesced        256 numbers            both    neighbouring threads read neighbouring numbers
tiled            16 x 16                both    a block shares what it reads
register_tile_1d 64 x 64                both    a thread makes 8 numbers of a column
register_tile_2d 128 x 128              both    a thread makes 8 x 8 numbers
vectorised       128 x 128              float32 4 numbers with one instruction
double_buffered  128 x 128              float32 the next numbers come while these are multiplied
warp_tiles       128 x 128              float32 a warp's threads stand 8 x 4
warp_tiles_64    64 x 64                float32 the same for small matrices, and for any alignment
split_k          64 x 64 of a part of k float32 a small result with a long sum, in two passes
few_rows         4 x 4                  both    up to 8 rows: a block shares the sums
tf32             128 x 128              float32 tensor cores; factors rounded to 10 bits; sm_80
================ ====================== ======= ====================================================

The files are in `kernels/matmul`. Each rung adds up a number's products in rising k, split_k by
parts, few_rows by threads and tf32 in groups of 8, in an order that depends on the shapes alone:
results repeat bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from minicnn.backends import xp
from minicnn.backends.algorithm import tf32_allowed
from minicnn.backends.cuda.epilogue import CODES
from minicnn.backends.cuda.ladder import (
    MULTIPROCESSORS,
    best_cut,
    busiest,
    capability,
    named,
    needed_capability,
)
from minicnn.backends.launch import THREADS, launch, launch_each
from minicnn.emulator.signature import address

SHORTEST = 512  # k of a part of a sum, at least
LARGEST = 2**31 - 257  # rows, columns, k: a tile's end must fit into an int
BLOCKS = 2**31 - 1  # of a one-dimensional grid


class Matrix(NamedTuple):
    """A matrix as a kernel reads it: a contiguous array, and the steps between its elements."""

    array: object
    row: int
    column: int

    @classmethod
    def of(cls, matrix):
        """A transposed view is read in place; what is neither that nor contiguous is copied."""
        if matrix.flags.c_contiguous:
            return cls(matrix, matrix.shape[1], 1)
        if matrix.T.flags.c_contiguous:
            return cls(matrix.T, 1, matrix.shape[0])
        return cls(matrix.copy(order="C"), matrix.shape[1], 1)

    @property
    def in_fours(self):
        """Whether its numbers can be read four at a time, each four at a multiple of 16 bytes."""
        return self.array.shape[1] % 4 == 0 and address(self.array) % 16 == 0


# ---------------------------------------------------------------------------
# Rungs
# ---------------------------------------------------------------------------
@dataclass(frozen=True)
class Rung:
    """A kernel for matrix products, and what it asks for.

    Attributes
    ----------
    file : str
        Below `kernels`.
    tile : (int, int)
        Rows and columns of C that a block makes.
    block : tuple of int
        Its threads.
    float64 : bool
        Whether it can be compiled for float64.
    in_fours : bool
        Whether it needs `Matrix.in_fours` of both factors.
    defines : tuple of (str, int)
        Macros of its tiles.
    layouts : bool
        Whether it is compiled for the way in which the factors lie.
    shared_mem : callable
        Dynamic shared memory in bytes, for factors a and b.
    """

    file: str
    tile: tuple[int, int]
    block: tuple[int, ...]
    float64: bool = False
    in_fours: bool = False
    defines: tuple = ()
    layouts: bool = False
    shared_mem: Callable = lambda a, b: 0

    def blocks(self, M, N):
        """How many blocks a product M x N takes."""
        return -(-M // self.tile[0]) * -(-N // self.tile[1])

    def grid(self, M, N):
        """The grid, one-dimensional."""
        return (self.blocks(M, N),)

    def macros(self, a, b):
        """The macros to compile it with."""
        if not self.layouts:
            return self.defines
        along_k = (("A_ALONG_K", int(a.column == 1)), ("B_ALONG_K", int(b.column != 1)))
        return (*self.defines, *along_k, ("VECTOR", int(a.in_fours and b.in_fours)))

    def refusal(self, a, b, M, N) -> str | None:
        """Why this rung cannot multiply the factors a and b, or None."""
        dtype, wanted, there = a.array.dtype, needed_capability(self.file), capability(a.array)
        if dtype != np.float32 and not self.float64:
            return f"computes in float32, but the factors are {dtype}"
        if there < wanted:
            return f"needs a GPU of {named(wanted)} or newer, but this one is {named(there)}"
        for name, m in (("a", a), ("b", b)):
            if self.in_fours and not m.in_fours:
                return (
                    f"reads 4 numbers at once, so the size along which {name} is contiguous must "
                    f"be a multiple of 4 and its memory start at a multiple of 16 bytes, but the "
                    f"size is {m.array.shape[1]} and the address {address(m.array):#x}"
                )
        if max(self.grid(M, N)) > BLOCKS:
            return f"would take {max(self.grid(M, N))} blocks, but a grid has {BLOCKS} at most"
        return None

    def run(self, a, b, bias, add, y, K, activation):
        """Fill y (M, N)."""
        steps = (a.row, a.column, b.row, b.column)
        args = (a.array, b.array, bias, add, y, *y.shape, K, *steps, CODES[activation])
        launch(
            self.file, "matmul", self.grid(*y.shape), self.block, args, dtype=y.dtype,
            shared_mem=self.shared_mem(a, b), defines=self.macros(a, b),
        )  # fmt: skip


class PerNumber(Rung):
    """A thread for each number of C; the tile is a block's numbers, in a row."""

    def blocks(self, M, N):
        return -(-M * N // THREADS)


class Grid2d(Rung):
    """Tiles in a two-dimensional grid, rows first: 65535 of them across."""

    def grid(self, M, N):
        return (-(-M // self.tile[0]), -(-N // self.tile[1]))

    def refusal(self, a, b, M, N):
        if self.grid(M, N)[1] > 65535:
            return f"has room for {65535 * self.tile[1]} columns, but the product has {N}"
        return super().refusal(a, b, M, N)


class SplitK(Rung):
    """Sums over parts of k, and their sums."""

    def parts(self, M, N, K):
        """Into how many parts k is cut: by shape alone, because it decides how sums are rounded."""
        return _parts_of_k(self.blocks(M, N), self.block[0], self.tile, M * N, K)

    def run(self, a, b, bias, add, y, K, activation):
        (M, N), lib = y.shape, xp(y)
        part_k = -(-K // self.parts(M, N, K) // 8) * 8
        parts = max(1, -(-K // max(1, part_k)))
        partial = lib.empty((parts, M, N), y.dtype)
        steps = (a.row, a.column, b.row, b.column)
        args = (a.array, b.array, partial, M, N, K, part_k, *steps)
        grid, defines = (self.blocks(M, N) * parts,), self.macros(a, b)
        launch(self.file, "parts", grid, self.block, args, dtype=y.dtype, defines=defines)
        args = (partial, bias, add, y, y.size, N, parts, CODES[activation])
        launch_each(self.file, "join", y.size, args, dtype=y.dtype)


@lru_cache(maxsize=1024)
def _parts_of_k(blocks, threads, tile, results, K):
    """1, where there are two blocks for each of an H100's multiprocessors."""

    def busy(parts):
        return busiest(blocks * parts, threads) * tile[0] * tile[1]

    return 1 if blocks >= 2 * MULTIPROCESSORS else best_cut(K, SHORTEST, results, busy)


def _stages(a, b):
    """Bytes of tf32.cu's stages: three panels of A and of B, 128 x 16 and their padding."""
    along_k, along_rows = 128 * (16 + 4), 16 * (128 + 8)
    panels = (along_k if m else along_rows for m in (a.column == 1, b.column != 1))
    return 3 * 4 * sum(panels)


_64 = (("BM", 64), ("BN", 64), ("TM", 8), ("TN", 4), ("LANES_M", 4))
RUNGS = {
    "naive": PerNumber("matmul/naive.cu", (1, THREADS), (THREADS,), float64=True),
    "coalesced": PerNumber("matmul/coalesced.cu", (1, THREADS), (THREADS,), float64=True),
    "tiled": Grid2d("matmul/tiled.cu", (16, 16), (16, 16), float64=True),
    "register_tile_1d": Rung("matmul/register_tile_1d.cu", (64, 64), (512,), float64=True),
    "register_tile_2d": Rung("matmul/register_tile_2d.cu", (128, 128), (256,), float64=True),
    "vectorised": Rung("matmul/vectorised.cu", (128, 128), (256,), in_fours=True),
    "double_buffered": Rung(
        "matmul/double_buffered.cu", (128, 128), (256,), in_fours=True, layouts=True
    ),
    "warp_tiles": Rung("matmul/warp_tiles.cu", (128, 128), (256,), in_fours=True, layouts=True),
    "warp_tiles_64": Rung("matmul/warp_tiles.cu", (64, 64), (128,), defines=_64, layouts=True),
    "split_k": SplitK("matmul/split_k.cu", (64, 64), (128,), layouts=True),
    "few_rows": Rung("matmul/few_rows.cu", (4, 4), (128,), float64=True),
    "tf32": Rung(
        "matmul/tf32.cu", (128, 128), (128,), in_fours=True, layouts=True, shared_mem=_stages
    ),
}  # fmt: skip


# ---------------------------------------------------------------------------
# Choice
# ---------------------------------------------------------------------------
ENOUGH_BLOCKS = 128  # to give every multiprocessor of a large GPU something to do
FEW_ROWS = 8  # a fully connected layer of a small batch
LONG = 8192  # sums that are cut, if there are few of them
NARROW = 32  # a 64 x 64 tile would be less than half full
SMALL_TILE = 0.75  # the products a second that 64 x 64 tiles are reckoned to make, of 128 x 128's


def candidates(M, N, K, dtype) -> tuple[str, ...]:
    """The rungs that suit these sizes, best first; the last one can compute any product."""
    large, small = (RUNGS[name].blocks(M, N) for name in ("warp_tiles", "warp_tiles_64"))
    few, ragged = large < ENOUGH_BLOCKS, large * 4 * SMALL_TILE > small
    if dtype == np.float32 and RUNGS["split_k"].parts(M, N, K) > 1:
        return ("split_k",)
    if min(M, N) < NARROW:
        return ("tiled", "coalesced")
    if dtype != np.float32:
        return ("register_tile_1d",) if few or ragged else ("register_tile_2d",)
    if few:
        return ("warp_tiles_64",)
    exact = ("warp_tiles_64",) if ragged else ("warp_tiles", "warp_tiles_64")
    return ("tf32", *exact) if tf32_allowed() else exact


def choose(a, b, M, N, K) -> str:
    """The rung that "auto" takes: by shape, dtype, layout and capability, never by timing."""
    enough = K <= LONG or RUNGS["few_rows"].blocks(M, N) >= MULTIPROCESSORS
    if M <= FEW_ROWS and enough and a.column == b.row == 1:  # both lie along k
        return "few_rows"
    names = candidates(M, N, K, a.array.dtype)
    return next((name for name in names if RUNGS[name].refusal(a, b, M, N) is None), names[-1])


def matmul(a, b, bias=None, add=None, activation=None, rung="auto"):
    """activation(a @ b + bias + add); the last three may be left out.

    Parameters
    ----------
    a : array (M, K)
    b : array (K, N)
        Both float32 or both float64. Transposed views are read in place.
    bias : array (N,), optional
    add : array (M, N), optional
    activation : str, optional
        "relu", "relu6", "silu" or "hardswish".
    rung : str
        One of `RUNGS`, or "auto".

    Returns
    -------
    array (M, N)

    Raises
    ------
    ValueError, TypeError
        If the arrays do not fit together, or the rung cannot multiply them.
    """
    M, N, K = _check(a, b, bias, add, activation)
    a, b = Matrix.of(a), Matrix.of(b)
    y, lib = xp(a.array).empty((M, N), a.array.dtype), xp(a.array)
    bias, add = (None if t is None else lib.ascontiguousarray(t) for t in (bias, add))
    how = _rung(rung, a, b, M, N, K)
    if y.size:
        how.run(a, b, bias, add, y, K, activation)
    return y


def _check(a, b, bias, add, activation):
    """M, N, K, if the arguments fit together."""
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(
            f"matmul: expects a (M, K) and b (K, N), but got {a.shape} and {b.shape}; "
            "their inner sizes must be equal"
        )
    (M, K), N = a.shape, b.shape[1]
    if max(M, N, K) > LARGEST:
        raise ValueError(f"matmul: sizes may be up to {LARGEST}, but got {a.shape} and {b.shape}")
    for name, array, shape in (("bias", bias, (N,)), ("add", add, (M, N))):
        if array is not None and array.shape != shape:
            raise ValueError(f"matmul: {name} expects the shape {shape}, but got {array.shape}")
    dtypes = {t.dtype for t in (a, b, bias, add) if t is not None}
    if len(dtypes) > 1 or dtypes.pop() not in (np.float32, np.float64):
        kinds = ", ".join(str(t.dtype) for t in (a, b, bias, add) if t is not None)
        raise TypeError(f"matmul: expects arrays all of float32 or all of float64, but got {kinds}")
    if activation not in CODES:
        names = ", ".join(map(repr, CODES))
        raise ValueError(f"matmul: activation expects one of {names}, but got {activation!r}")
    return M, N, K


def _rung(name, a, b, M, N, K):
    if name == "auto":
        return RUNGS[choose(a, b, M, N, K)]
    if name not in RUNGS:
        names = ", ".join(map(repr, ("auto", *RUNGS)))
        raise ValueError(f"matmul: rung expects one of {names}, but got {name!r}")
    refusal = RUNGS[name].refusal(a, b, M, N)
    if refusal:
        raise ValueError(f"matmul: rung {name!r} {refusal}; use 'auto'")
    return RUNGS[name]
