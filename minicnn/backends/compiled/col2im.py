"""The input gradient of a convolution as textbooks have it: dcol = dz W, and col2im, compiled.

dcol (pixels, KH KW C) holds what each window passes back to each of its cells, and col2im adds up,
for each pixel, the cells that saw it. NumPy would walk through memory once for each cell; compiled,
`kernels/conv/col2im.cu` gathers. With few channels, as in LeNet, dcol is small, and this beats a
convolution of dz, whose products would be thin. Blocks of images pass through both steps while they
are in a core's cache.
"""

from __future__ import annotations

import numpy as np

from minicnn.backends.fast import banded, memory
from minicnn.backends.fast.tiles import WORTH_SHARING, even, length
from minicnn.backends.fast.workers import PerWorker, run
from minicnn.backends.launch import THREADS, lanes_of, native

BLOCK = 2**19  # bytes of dcol


def input_gradient(dz, w, geometry):
    """dx (N, H, W, C); there is one group. float64 goes the way of `banded`."""
    if dz.dtype != np.float32:
        return banded.input_gradient(dz, w, geometry)
    g, lanes = geometry, lanes_of(geometry.C)
    dx, dz = memory.empty(g.x_shape, dz.dtype), np.ascontiguousarray(dz)
    W, pixels = w.reshape(g.O, g.window), g.output[0] * g.output[1]
    blocks = even(g.N, max(1, BLOCK // (pixels * g.window * dz.itemsize)))
    most = max(map(length, blocks)) * pixels
    scratch = PerWorker(lambda: memory.empty((most, g.window), dz.dtype))
    kernel = native("conv/col2im.cu", "col2im", (("LANES", lanes),))
    sizes = (g.C, *g.size, *g.output, *g.kernel, *g.stride, *g.padding, *g.dilation)

    def block(worker, k):
        rows, out = dz[blocks[k]].reshape(-1, g.O), dx[blocks[k]]
        dcol = np.matmul(rows, W, out=scratch[worker][: len(rows)])
        kernel((-(-out.size // lanes // THREADS),), (THREADS,), (dcol, out, out.size, *sizes))

    run(block, len(blocks), parallel=g.pixels * g.O * g.window > WORTH_SHARING)
    return dx
