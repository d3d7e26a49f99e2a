"""The weight gradient of thin convolutions: `kernels/conv/direct_weight_gradient.cu`, for this CPU.

`tiled` copies every window so that BLAS can multiply: for LeNet's layers, a net's first layer, or
few filters, matrices so thin that the product, too, runs at a third of its speed. Here a thread has
some numbers of a window times some filters as sums in its registers, and walks along the rows of a
part of the output. Nothing is copied, and parts are added up at the end.

Where filters are few, J neighbours share a window, as in `banded`, so that they fill a register.
"""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np

from minicnn.backends.compiled.registers import register_floats
from minicnn.backends.fast import banded, memory
from minicnn.backends.fast.tiles import with_border
from minicnn.backends.fast.workers import share_blocks
from minicnn.backends.launch import native

SUMS = {8: 12, 16: 24}  # vectors of sums, in registers of so many floats
NUMBERS = 16  # of a window's row in a thread, at most
WEIGHTS = 2**16  # of all parts together, about
FILTERS = 32  # many more make a product that BLAS is better at,
WINDOW = 64  # unless windows are small


def suits(geometry, found) -> bool:
    """Whether it is faster than the algorithm that was found otherwise."""
    g = geometry
    if g.G > 1 or g.dilation[1] > 1 or found not in ("banded", "tiled") or not shape_of(g):
        return False
    return found == "banded" or g.O <= FILTERS or g.window <= WINDOW


@lru_cache(512)
def shape_of(geometry):
    """(neighbours, lanes, numbers) of the threads, or None where no lanes fit the filters."""
    g, width = geometry, register_floats()
    for J in (1, 2, 4):
        O = J * g.O
        lanes = next((n for n in (2 * width, width, 24, 8) if O % n == 0), None)
        if lanes is None or g.output[1] % J or (J > 1 and 2 * width < O):
            continue
        vectors = lanes // (width if lanes % width == 0 else 8)
        run = banded.widened(g, J).kernel[1] * g.C
        most = min(NUMBERS, SUMS[width] // vectors)
        return J, lanes, min(range(1, most + 1), key=lambda n: (-(-run // n) * (n + 2), -n))
    return None


def weight_gradient(x, dz, geometry):
    """dw (O, KH, KW, C)."""
    J, lanes, numbers = shape_of(geometry)
    return banded.weight_gradient(x, dz, geometry, partial(add_up, lanes, numbers), J)


def add_up(lanes, numbers, x, dz, g):
    """The gradient of g's filters: (O, window)."""
    x, dz = np.ascontiguousarray(x), np.ascontiguousarray(dz)
    if max(g.padding) > 0:
        x, g = with_border(x, g)
    rows, weights = g.N * g.output[0], g.window * g.O
    rows_of_part = max(1, -(-rows // max(8, min(64, WEIGHTS // weights))))
    parts = max(1, -(-rows // rows_of_part))
    threads = g.O // lanes * -(-g.kernel[1] * g.C // numbers) * g.kernel[0]  # of a part
    sums = memory.empty((parts, g.window, g.O), x.dtype)
    macros = (("LANES", lanes), ("NUMBERS", numbers))
    kernel = native("conv/direct_weight_gradient.cu", "direct_weight_gradient", macros)
    args = (x, dz, sums, parts * threads, rows, rows_of_part, *g.numbers)
    kernel((parts,), (threads,), args, share_blocks, g.pixels * weights // 8)
    return sums.sum(axis=0).T
