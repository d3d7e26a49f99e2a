"""The weight gradient of thin convolutions: `kernels/conv/direct_weight_gradient.cu`, for this CPU.

`tiled` copies every window so that BLAS can multiply: for LeNet's layers, a net's first layer, 5x5
filters of few channels, or few pixels, matrices so thin that the product, too, runs at half of its
speed or less. Here a thread has some numbers of a window times some filters as sums in its
registers, and walks along the rows of the output. Nothing is copied. Where x and dz are larger than
the cache, threads have a part of the rows each, and parts are added up at the end.

Where filters are few, J neighbours share a window, as in `banded`, so that they fill a register.
"""

from __future__ import annotations

from functools import lru_cache, partial
from math import prod

import numpy as np

from minicnn.backends.compiled.registers import register_floats, whole_registers
from minicnn.backends.fast import banded, memory
from minicnn.backends.fast.tiles import with_border
from minicnn.backends.fast.workers import share_blocks
from minicnn.backends.launch import native

SUMS = {8: 12, 16: 24}  # vectors of sums, in registers of so many floats
NUMBERS = 24  # of a window's row in a thread, at most
CACHED = 2**20  # bytes of x and dz in a part
ENOUGH = 32  # threads, to be shared evenly
MANY = {8: 2**18, 16: 2**20}  # weights times the stride's area, of which BLAS is better at more;
PRODUCT = {8: 0, 16: 2**15}  # and at 1x1 filters of so many weights
FEW = 32  # filters, for which a register may stay half empty


def suits(geometry, found) -> bool:
    """Whether it is faster than the algorithm that was found otherwise."""
    g, width = geometry, register_floats()
    if g.G > 1 or g.dilation[1] > 1 or not shape_of(g):
        return False
    if found == "product":
        return PRODUCT[width] > g.C * g.O
    if found == "tiled":
        full = shape_of(g)[1] >= width or g.O <= FEW
        return full and g.O * g.window * prod(g.stride) <= MANY[width]
    return found == "banded"


@lru_cache(512)
def shape_of(geometry):
    """(neighbours, lanes, numbers) of the threads, or None where no lanes fit the filters."""
    g, width = geometry, register_floats()
    for J in (1, 2, 4):
        O = J * g.O
        lanes = whole_registers(O, width) or next((n for n in (24, 8) if O % n == 0), None)
        if lanes is None or g.output[1] % J or (J > 1 and 2 * width < O):
            continue
        vectors = lanes // (width if lanes % width == 0 else 8)
        run = banded.widened(g, J).kernel[1] * g.C
        most = min(NUMBERS, SUMS[width] // vectors)
        return J, lanes, min(range(1, most + 1), key=lambda n: (-(-run // n) * (n + 2), -n))
    return None


def weight_gradient(x, dz, geometry):
    """dw (O, KH, KW, C)."""
    g, (J, lanes, numbers) = geometry, shape_of(geometry)
    if J == 1:
        return add_up(lanes, numbers, x, dz, g).reshape(g.w_shape)
    return banded.weight_gradient(x, dz, g, partial(add_up, lanes, numbers), J)


def add_up(lanes, numbers, x, dz, g):
    """The gradient of g's filters: (O, window)."""
    x, dz = np.ascontiguousarray(x), np.ascontiguousarray(dz)
    if max(g.padding) > 0:
        x, g = with_border(x, g)
    rows, weights = g.N * g.output[0], g.window * g.O
    threads = g.O // lanes * -(-g.kernel[1] * g.C // numbers) * g.kernel[0]  # of a part
    parts = max(-(-(x.nbytes + dz.nbytes) // CACHED), -(-ENOUGH // threads))
    rows_of_part = max(1, -(-rows // parts))
    parts = max(1, -(-rows // rows_of_part))
    sums = memory.empty((parts, g.O, g.window), x.dtype)
    macros = (("LANES", lanes), ("NUMBERS", numbers))
    kernel = native("conv/direct_weight_gradient.cu", "direct_weight_gradient", macros)
    args = (x, dz, sums, parts * threads, rows, rows_of_part, *g.numbers)
    kernel((parts * threads,), (1,), args, share_blocks, g.pixels * weights // 8)
    return sums[0] if parts == 1 else sums.sum(axis=0)
