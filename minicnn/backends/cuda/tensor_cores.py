"""Launches the TF32 implicit GEMMs of kernels/conv: sm_80 and up.

Arrays are as in memory: x (N, H, W, G*C), y (N, OH, OW, G*O), w (G*O, KH, KW, C), float32, with C
and O in multiples of 4.
"""

from __future__ import annotations

from dataclasses import dataclass

from minicnn.backends import xp
from minicnn.backends.cuda import implicit_gemm
from minicnn.backends.cuda.epilogue import CODES
from minicnn.backends.launch import launch
from minicnn.emulator.signature import address

STEP, STAGES, THREADS = 16, 3, 128  # as in kernels/conv/tf32.cuh


@dataclass(frozen=True)
class Tile:
    """A block's tile: side x side results, warp x warp for each of its 4 warps."""

    side: int
    warp: int

    @property
    def defines(self):
        """The kernels' macros."""
        return (("BM", self.side), ("BN", self.side), ("WARP", self.warp))

    def count(self, rows, columns):
        """How many tiles a matrix has."""
        return -(-rows // self.side) * -(-columns // self.side)

    def shared_mem(self, *along_k):
        """Bytes for panels whose numbers lie along k, or across it."""
        rows = (self.side * (STEP + 4) if along else STEP * (self.side + 8) for along in along_k)
        return 4 * STAGES * sum(rows)


LARGE, SMALL = Tile(128, 64), Tile(64, 32)


def choose_tile(x, rows, columns, times):
    """The large tile, unless there are too few for the GPU or they would be half empty."""
    enough = LARGE.count(rows, columns) * times >= implicit_gemm.multiprocessors(x)
    return LARGE if enough and columns > 64 else SMALL


def run(direction, tile, grid, args, along_k):
    """Launch conv/tf32_<direction>.cu."""
    launch(
        f"conv/tf32_{direction}.cu", f"tf32_{direction}", grid, (THREADS,), args,
        dtype=args[0].dtype, shared_mem=tile.shared_mem(*along_k), defines=tile.defines,
    )  # fmt: skip


def aligned(array):
    """The array, or a copy if 16 bytes cannot be read at once from its first number."""
    return array if address(array) % 16 == 0 else array.copy()


def forward(x, w, bias, add, geometry, activation=None):
    """activation(conv(x, w) + bias + add), as an array (N, OH, OW, G*O)."""
    g = geometry
    y = xp(x).empty(g.y_shape, x.dtype)
    tile = choose_tile(x, g.pixels, g.O, g.G)
    args = (aligned(x), aligned(w), bias, add, y, g.pixels, *g.numbers, CODES[activation])
    run("forward", tile, (tile.count(g.pixels, g.O), g.G), args, (True, True))
    return y


def input_gradient(dy, w, geometry):
    """dx (N, H, W, G*C)."""
    g, (SH, SW) = geometry, geometry.stride
    dx = xp(dy).empty(g.x_shape, dy.dtype)
    largest = implicit_gemm.pixels_of_a_class(g)
    tile = choose_tile(dy, largest, g.C, g.G * SH * SW)
    grid = (tile.count(largest, g.C), SH * SW, g.G)
    args = (aligned(dy), aligned(w), dx, g.N, *g.numbers)
    run("input_gradient", tile, grid, args, (True, False))
    return dx


def weight_gradient(x, dy, geometry):
    """dw (G*O, KH, KW, C)."""
    g = geometry
    chunk = implicit_gemm.chunk_length(g)
    chunks = max(1, -(-g.pixels // chunk))
    partial = xp(x).empty((chunks, g.G * g.O, g.window), x.dtype)
    tile = choose_tile(x, g.window, g.O, g.G * chunks)
    grid = (tile.count(g.window, g.O), chunks, g.G)
    args = (aligned(x), aligned(dy), partial, g.pixels, chunk, *g.numbers)
    run("weight_gradient", tile, grid, args, (False, False))
    return implicit_gemm.add_partials(partial).reshape(g.w_shape)
