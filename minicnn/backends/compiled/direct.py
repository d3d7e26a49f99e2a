"""Convolution without a matrix of windows: `kernels/conv/direct.cu`, compiled for this CPU.

`tiled` copies every window, nine times the image for 3x3, so that BLAS can multiply; where filters
are few, the copying takes longer than the product. Here a thread multiplies the image as it lies:
PIXELS neighbours of a row, by a few registers full of filters. Nothing is copied but the filters,
once.

The input gradient is a convolution, too (see `tiled`), or col2im where that has less to copy.
Winograd's is faster, and so is that of a product, where there is no activation to be added. The
weight gradient's sums run over all pixels: see `direct_weights`.
"""

from __future__ import annotations

from functools import lru_cache, partial
from math import prod

import numpy as np

from minicnn.backends.compiled import col2im, direct_weights
from minicnn.backends.compiled.registers import register_floats
from minicnn.backends.cuda.epilogue import CODES
from minicnn.backends.fast import banded, convolution, memory, tiled
from minicnn.backends.fast.ending import Ending
from minicnn.backends.fast.tiles import with_border
from minicnn.backends.fast.workers import run, share_blocks
from minicnn.backends.launch import native

THREADS = 8  # of a block
MANY = 2**18  # weights, which several workers arrange
PRODUCTS = 8  # take as long as a number that is read and written
THIN = 8  # channels, below which an image gets its border, so that windows have long rows,
NARROW = 4  # if a row has fewer threads than this
CACHED = 2**18  # bytes of filters, more of which are used one after the other
# By floats of a register:
LARGE = {8: 2**19, 16: 2**22}  # weights, of which caches hold too little: BLAS is better at those,
PRODUCT = {8: 2**14, 16: 2**18}  # and at 1x1 filters of more than so many
WINOGRAD = {8: 0.9, 16: 1.3}  # a multiply-add of Winograd's takes so many times as long
# (registers of filters, pixels): a sum for each pair, and what is multiplied, fit into a CPU's
# registers. What they cost: the fewer filters, the more often a pixel is read.
SHAPES = {
    8: {(1, 8): 1.25, (2, 4): 1.1, (2, 5): 1.05, (2, 6): 1.05, (3, 4): 1.05},  # AVX2 and others
    16: {
        (1, 7): 1.3, (1, 8): 1.3, (1, 10): 1.25, (2, 7): 1.05, (2, 8): 1.05, (3, 7): 1.03,
        (4, 6): 1.05,
    },
}


@lru_cache(512)
def shape_of(O, OW, width) -> tuple[float, int, int]:
    """(work for each result, lanes, pixels) of the threads that waste least of a row.

    `width` is that of a register, in floats.
    """
    found = []
    for (registers, pixels), cost in SHAPES[width].items():
        lanes = registers * width
        made = -(-O // lanes) * lanes * -(-OW // pixels) * pixels
        found.append((cost * made / (O * OW), lanes, pixels))
    return min(found)


def correlate(x, w, y, geometry, end=None):
    """Fill y[n,i,j,(g,o)] with the sum over k of window(n,i,j)[g,k] w[g,k,o], then `end`."""
    if x.dtype != np.float32:
        tiled.in_tiles(x, w, y, geometry, end)
        return
    g, end = geometry, Ending() if end is None else end
    x = np.ascontiguousarray(x)
    _, lanes, pixels = shape_of(g.O, g.output[1], register_floats())
    if g.C < THIN and max(g.padding) > 0 and g.output[1] < NARROW * pixels:
        x, g = with_border(x, g)
    columns = side_by_side(w, lanes)
    out = y if y.flags.c_contiguous else memory.empty(g.y_shape, x.dtype)
    add = None if end.add is None else np.ascontiguousarray(end.add)
    bias = None if end.bias is None else np.ascontiguousarray(end.bias)
    F = columns.shape[1] * lanes
    threads = g.N * g.output[0] * -(-g.output[1] // pixels) * (g.G * F // lanes)
    args = (x, columns, np.zeros(g.C, x.dtype), bias, add, out, threads, F, *g.numbers)
    macros = {"LANES": lanes, "PIXELS": pixels, "FILTERS_OUTSIDE": int(columns.nbytes > CACHED)}
    kernel = native("conv/direct.cu", "direct_forward", tuple(macros.items()))
    grid = (-(-threads // THREADS),)
    work = g.pixels * g.G * g.O * g.window // PRODUCTS
    kernel(grid, (THREADS,), (*args, CODES[end.activation]), share_blocks, work)
    if out is not y:
        y[...] = out.reshape(y.shape)


def side_by_side(w, lanes):
    """Filters w (G, K, O) as columns (G, F / lanes, K, lanes), those that are missing as zeros."""
    G, K, O = w.shape
    blocks, whole = -(-O // lanes), O // lanes
    columns = memory.empty((G, blocks, K, lanes), w.dtype)
    target = columns[:, :whole]
    source = w[:, :, : whole * lanes].reshape(G, K, whole, lanes).transpose(0, 2, 1, 3)

    def arrange(_, k):
        target[:, k] = source[:, k]

    if w.size > MANY:
        run(arrange, whole)
    else:
        target[...] = source
    if whole < blocks:
        columns[:, whole, :, : O % lanes] = w[:, :, whole * lanes :]
        columns[:, whole, :, O % lanes :] = 0
    return columns


# ---------------------------------------------------------------------------
# The algorithm, and where it is taken
# ---------------------------------------------------------------------------
def forward(x, w, geometry, end):
    """y (N, OH, OW, G*O); of few filters for several neighbours at once, see `banded`."""
    if x.dtype == np.float32 and geometry.G == 1 and few(geometry.O):
        return banded.forward(x, w, geometry, end, correlate, 2 * register_floats())
    return tiled.forward(x, w, geometry, end, correlate)


def few(filters):
    """Whether so many fill no more than half of a register."""
    return 2 * filters <= register_floats()


input_gradient = partial(tiled.input_gradient, correlate=correlate)


def suits_col2im(geometry):
    """Whether a convolution of dz would copy more filters than pixels, or see few cells at once."""
    g = geometry
    few_cells = prod(g.kernel) < 4 * prod(g.stride)  # of a class of pixels
    return g.G == 1 and (g.pixels < g.O or few_cells)


class Algorithms(convolution.Algorithms):
    """The algorithms of the table, and "direct", which is better than some of them."""

    def __init__(self, table, cost_of_winograd):
        self.others = convolution.Algorithms(table, cost_of_winograd)
        direct = convolution.Algorithm(forward, self.input_gradient, self.weight_gradient)
        super().__init__(table | {"direct": direct}, cost_of_winograd)

    def input_gradient(self, dz, w, geometry):
        """dx (N, H, W, G*C): `direct` or col2im where only a matrix of windows would be left."""
        g, found = geometry, self.others.choose(geometry, dz.dtype)
        if found == "banded" and dz.dtype == np.float32 and g.stride == (1, 1) and few(g.C):
            return banded.input_gradient(dz, w, g, correlate, register_floats())
        if found == "banded" or (found == "tiled" and suits_col2im(g)):
            return col2im.input_gradient(dz, w, g)
        if found == "tiled":
            return input_gradient(dz, w, g)
        return self.others.table[found].input_gradient(dz, w, g)

    def weight_gradient(self, x, dz, geometry):
        """dw (G*O, KH, KW, C): of thin ones see `direct_weights`, else as without `direct`."""
        found = self.others.choose(geometry, x.dtype)
        if x.dtype == np.float32 and direct_weights.suits(geometry, found):
            return direct_weights.weight_gradient(x, dz, geometry)
        return self.others.table[found].weight_gradient(x, dz, geometry)

    def choose(self, geometry, dtype) -> str:
        """The algorithm that "auto" takes."""
        found = super().choose(geometry, dtype)
        return "direct" if self.direct_is_better(found, geometry, dtype) else found

    def direct_is_better(self, found, geometry, dtype):
        """Whether "direct" is faster than the algorithm that was found, as far as shapes tell."""
        g, register = geometry, register_floats()
        if dtype != np.float32 or found == "depthwise":
            return False
        if g.G * g.O * g.window > LARGE[register]:
            return False
        work, *_ = shape_of(g.O, g.output[1], register)
        if found == "product":
            return work < 2 and PRODUCT[register] >= g.C * g.O
        if found.startswith("winograd"):
            winograd = WINOGRAD[register] * self.cost_of_winograd(g, int(found[-1]))
            return g.pixels * g.window * g.O * work < winograd
        return True
