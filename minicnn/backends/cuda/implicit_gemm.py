"""Launches the implicit GEMMs of kernels/conv: tiles, splits and reading widths, chosen by shape.

Arrays are as in memory: x (N, H, W, G*C), y (N, OH, OW, G*O), w (G*O, KH, KW, C), float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from minicnn.backends import xp
from minicnn.backends.cuda.epilogue import CODES
from minicnn.backends.cuda.ladder import MULTIPROCESSORS, best_cut, busiest
from minicnn.backends.launch import launch, launch_each
from minicnn.emulator.signature import address


@dataclass(frozen=True)
class Tile:
    """A block's tile: m x n results, 8 x `thread_n` for a thread.

    A warp is `lanes_m` threads high, `step` numbers of each sum are read at a time, and `speed`
    is the share of the largest tile's products in a second that it is reckoned to reach: a smaller
    tile reads each number more often.
    """

    m: int
    n: int
    thread_n: int
    lanes_m: int
    step: int
    speed: float

    @property
    def threads(self):
        """Of a block."""
        return self.m * self.n // (8 * self.thread_n)

    def time(self, rows, columns, times, processors):
        """How long `times` matrices take, in the largest tile's products of one multiprocessor."""
        tiles = self.count(rows, columns) * times
        return busiest(tiles, self.threads, processors) * self.m * self.n / self.speed

    def defines(self, left, right):
        """The kernels' macros, if so many numbers of the two matrices are read at once.

        Reading single numbers takes registers for a pointer each, so a step is 8 then.
        """
        step = self.step if right == 4 else 8
        sizes = {"BM": self.m, "BN": self.n, "TM": 8, "TN": self.thread_n, "LANES_M": self.lanes_m}
        return (*sizes.items(), ("STEP", step), ("VECTOR_A", left), ("VECTOR_B", right))

    def count(self, rows, columns):
        """How many tiles a matrix has."""
        return -(-rows // self.m) * -(-columns // self.n)


LARGE = Tile(128, 128, thread_n=8, lanes_m=8, step=8, speed=1.0)
TALL = Tile(128, 64, thread_n=8, lanes_m=8, step=8, speed=0.9)
SMALL = Tile(64, 64, thread_n=4, lanes_m=4, step=16, speed=0.75)
NARROW = Tile(128, 32, thread_n=4, lanes_m=4, step=16, speed=0.7)
TILES = (LARGE, TALL, SMALL, NARROW)
SHORTEST = 256  # pixels that a block of a weight gradient adds up, at least
FEW = 264  # blocks of another product, two for each multiprocessor: with fewer, sums are cut
SHORTEST_PART = 128  # numbers of such a part, at least


def choose_tile(x, rows, columns, times=1):
    """The tile that takes the least time for `times` matrices of rows x columns results.

    No sum depends on the choice, only which thread computes it: results are the same bits on every
    GPU.
    """
    processors = multiprocessors(x)
    return min(TILES, key=lambda tile: tile.time(rows, columns, times, processors))


def multiprocessors(x):
    """Of the GPU that holds x."""
    if xp(x) is np:
        return MULTIPROCESSORS
    return _multiprocessors(x.device.id)


@cache
def _multiprocessors(number):
    import cupy

    return cupy.cuda.Device(number).attributes["MultiProcessorCount"]


def width(array, *sizes):
    """4 if a kernel can read four numbers of the array at once, else 1.

    `sizes` are those whose multiples lie between the places where a read may begin.
    """
    aligned = address(array) % 16 == 0
    return 4 if aligned and all(size % 4 == 0 for size in sizes) else 1


def parts_of_a_sum(rows, columns, times, terms):
    """Into how many parts sums of so many terms are cut, where few results leave a GPU idle.

    By shape alone, because it decides how sums are rounded.
    """
    tile = NARROW if columns <= NARROW.n else SMALL
    wanted = FEW // max(1, tile.count(rows, columns) * times)
    return max(1, min(wanted, terms // SHORTEST_PART))


def forward(x, w, bias, add, geometry, activation=None):
    """activation(conv(x, w) + bias + add), as an array (N, OH, OW, G*O)."""
    g = geometry
    parts = parts_of_a_sum(g.pixels, g.O, g.G, g.window)
    tile = choose_tile(x, g.pixels, g.O, g.G * parts)
    defines = tile.defines(width(x, g.C), width(w, g.window))
    y = xp(x).empty((parts, *g.y_shape), x.dtype)
    ending = (bias, add, activation) if parts == 1 else (None, None, None)
    args = (x, w, *ending[:2], y, g.pixels, *g.numbers, CODES[ending[2]])
    launch(
        "conv/implicit_gemm_forward.cu", "implicit_gemm_forward",
        (tile.count(g.pixels, g.O), g.G, parts), (tile.threads,), args,
        dtype=x.dtype, defines=defines,
    )  # fmt: skip
    return y[0] if parts == 1 else add_partials(y, bias, add, activation)


def input_gradient(dy, w, geometry):
    """dx (N, H, W, G*C)."""
    g, (SH, SW) = geometry, geometry.stride
    largest = pixels_of_a_class(g)
    terms = -(-g.kernel[0] // SH) * -(-g.kernel[1] // SW) * g.O
    parts = parts_of_a_sum(largest, g.C, g.G * SH * SW, terms)
    tile = choose_tile(dy, largest, g.C, g.G * SH * SW * parts)
    defines = (*tile.defines(width(dy, g.O), width(w, g.C)), ("SPLIT", int(parts > 1)))
    dx = xp(dy).empty((parts, *g.x_shape), dy.dtype)
    launch(
        "conv/implicit_gemm_input_gradient.cu", "implicit_gemm_input_gradient",
        (tile.count(largest, g.C), SH * SW * parts, g.G), (tile.threads,),
        (dy, w, dx, g.N, *g.numbers), dtype=dy.dtype, defines=defines,
    )  # fmt: skip
    return dx[0] if parts == 1 else add_partials(dx)


def weight_gradient(x, dy, geometry):
    """dw (G*O, KH, KW, C)."""
    parts = partial_weight_gradients(x, dy, geometry)
    dw = parts[0] if len(parts) == 1 else add_partials(parts)
    return dw.reshape(geometry.w_shape)


def partial_weight_gradients(x, dy, geometry):
    """The sums over chunks of the pixels: (chunks, G*O, K)."""
    g = geometry
    chunk = chunk_length(g)
    chunks = max(1, -(-g.pixels // chunk))
    partial = xp(x).empty((chunks, g.G * g.O, g.window), x.dtype)
    tile = choose_tile(x, g.window, g.O, g.G * chunks)
    defines = tile.defines(width(x, g.C), width(dy, g.O))
    launch(
        "conv/implicit_gemm_weight_gradient.cu", "implicit_gemm_weight_gradient",
        (tile.count(g.window, g.O), chunks, g.G), (tile.threads,),
        (x, dy, partial, g.pixels, chunk, *g.numbers),
        dtype=x.dtype, defines=defines,
    )  # fmt: skip
    return partial


def pixels_of_a_class(geometry):
    """Pixels of the largest class of an input gradient: see kernels/conv/remainder.cuh."""
    (H, W), (SH, SW) = geometry.size, geometry.stride
    return geometry.N * -(-H // SH) * -(-W // SW)


def chunk_length(geometry):
    """Pixels of a chunk, a multiple of 8; by shape alone, as it decides how sums are rounded."""
    g = geometry
    chunks = chunks_of_pixels(g.window, g.O, g.G, g.pixels)
    return max(8, -(-g.pixels // chunks // 8) * 8)


@lru_cache(maxsize=1024)
def chunks_of_pixels(rows, columns, times, pixels):
    """Into how many chunks a sum over pixels is cut, for `times` matrices of rows x columns.

    As if the GPU were an H100: a result must not depend on the GPU.
    """

    def busy(chunks):
        return min(tile.time(rows, columns, times * chunks, MULTIPROCESSORS) for tile in TILES)

    return best_cut(pixels, SHORTEST, times * rows * columns, busy)


def add_partials(partial, bias=None, add=None, activation=None):
    """activation(partial (P, ..., C) added up over its first axis, in order, + bias + add)."""
    y = xp(partial).empty(partial.shape[1:], partial.dtype)
    args = (partial, bias, add, y, y.size, y.shape[-1], len(partial), CODES[activation])
    launch_each("conv/add_partials.cu", "add_partials", y.size, args, dtype=y.dtype)
    return y
