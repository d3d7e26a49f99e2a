"""The input gradient of a convolution as textbooks have it: dcol = dz W, and col2im, compiled.

dcol (pixels, KH KW C) holds what each window passes back to each of its cells, and col2im adds up,
for each pixel, the cells that saw it. NumPy would walk through memory once for each cell; compiled,
`kernels/conv/col2im.cu` gathers. Filters are read as they lie in memory, once, where a convolution
of dz would have to turn them; and with a stride it is one product, not one for each class of pixels
(see `minicnn.backends.fast.tiled`).

Where all is small, as in LeNet, blocks of images pass through both steps while they are in a
core's cache; else each step is done for as many images as the workspace holds.
"""

from __future__ import annotations

import numpy as np

from minicnn.backends.fast import banded, memory, product
from minicnn.backends.fast.tiles import WORTH_SHARING, even, length
from minicnn.backends.fast.workers import PerWorker, run, share_blocks
from minicnn.backends.launch import THREADS, lanes_of, native

BLOCK = 2**19  # bytes of dcol, and of W, that stay in a cache
WORKSPACE = 2**26  # bytes of dcol at most


def input_gradient(dz, w, geometry):
    """dx (N, H, W, C); there is one group. float64 goes the way of `banded`."""
    if dz.dtype != np.float32:
        return banded.input_gradient(dz, w, geometry)
    g, lanes = geometry, lanes_of(geometry.C)
    dx, dz = memory.empty(g.x_shape, dz.dtype), np.ascontiguousarray(dz)
    W, pixels = w.reshape(g.O, g.window), g.output[0] * g.output[1]
    image = pixels * g.window * dz.itemsize
    cached = max(image, W.nbytes) <= BLOCK
    blocks = even(g.N, max(1, (BLOCK if cached else WORKSPACE) // image))
    most = max(map(length, blocks)) * pixels
    scratch = PerWorker(lambda: memory.empty((most, g.window), dz.dtype))
    kernel = native("conv/col2im.cu", "col2im", (("LANES", lanes),))
    sizes = (g.C, *g.size, *g.output, *g.kernel, *g.stride, *g.padding, *g.dilation)

    def block(worker, k, multiply=np.matmul, share=None):
        rows, out = dz[blocks[k]].reshape(-1, g.O), dx[blocks[k]]
        dcol = scratch[worker][: len(rows)]
        multiply(rows, W, dcol)
        grid = (-(-out.size // lanes // THREADS),)
        kernel(grid, (THREADS,), (dcol, out, out.size, *sizes), share)

    if cached:
        run(block, len(blocks), parallel=g.pixels * g.O * g.window > WORTH_SHARING)
    else:
        for k in range(len(blocks)):
            block(0, k, product.multiply, share_blocks)
    return dx
