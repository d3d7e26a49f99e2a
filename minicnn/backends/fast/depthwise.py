"""Depthwise convolution: a filter for each channel, by shifted multiply-adds.

No sum over channels, so no matrix product: z is the sum over the cells (u, v) of x, shifted by the
cell, times w[u, v], channel by channel. That is 2 KH KW walks over the image, which in memory would
cost far more than the arithmetic; so they are made over a tile that stays in the cache.

    forward          z[i, j, c]  = sum over (u, v) of x[i SH + u, j SW + v, c] w[u, v, c]
    input gradient   the same of dz with the cells turned around (see `tiled` for strides)
    weight gradient  dw[u, v, c] = sum over (i, j) of x[i SH + u, j SW + v, c] dz[i, j, c]

NumPy's inner loop would be C numbers long, which is short. Along a row of the image, with stride 1,
the channels of neighbouring pixels are one run of numbers, and so are those of the shifted row; so
some neighbours are taken as one pixel, and the filter is repeated for each.
"""

from __future__ import annotations

import numpy as np

from minicnn.backends.fast import memory
from minicnn.backends.fast.tiled import classes
from minicnn.backends.fast.tiles import WORTH_SHARING, crop, cut, length
from minicnn.backends.fast.workers import PerWorker, run

TILE = 2**16  # bytes of a tile of z; with x and the products, three of them are in the cache
RUN = 512  # numbers of an inner loop that is long enough


def forward(x, w, geometry, end):
    """y (N, OH, OW, C)."""
    y = memory.empty(geometry.y_shape, x.dtype)
    correlate(x, cells_of(w), y, geometry, end)
    return y


def input_gradient(dz, w, geometry):
    """dx (N, H, W, C)."""
    dx, w = memory.empty(geometry.x_shape, dz.dtype), cells_of(w)
    for pixels, cells, back in classes(geometry):
        if back is None:
            dx[pixels] = 0
        else:
            correlate(dz, w[cells[0]][:, cells[1]][::-1, ::-1], dx[pixels], back)
    return dx


def weight_gradient(x, dz, geometry):
    """dw (C, KH, KW, 1)."""
    g = geometry
    shifted = Shifted(x, g)
    sums = memory.empty((len(shifted.tiles), *g.kernel, g.G), x.dtype)
    products = PerWorker(lambda: memory.empty((shifted.largest, g.G), x.dtype))

    def tile(worker, k):
        t = shifted.tiles[k]
        dzt, ones = dz[t.n, t.i, t.j], np.ones(length(t.rows), x.dtype)
        product = products[worker][: len(ones)]
        for (u, v), moved in shifted.by_cell(worker, t):
            np.multiply(moved, dzt, out=product.reshape(dzt.shape))
            np.matmul(ones, product, out=sums[k, u, v])

    run(tile, len(shifted.tiles), parallel=worth_sharing(g))
    return sums.sum(axis=0).transpose(2, 0, 1)[..., None].copy()


def correlate(x, w, y, geometry, end=None):
    """Fill y with the sum over (u, v) of x, shifted, times w[u, v]; then `end`."""
    shifted = Shifted(x, geometry)
    together = neighbours(geometry, shifted.tiles)
    w = np.tile(w, together)
    sums, products = (
        PerWorker(lambda: memory.empty((shifted.largest * geometry.G,), x.dtype)) for _ in "zp"
    )

    def tile(worker, k):
        t = shifted.tiles[k]
        where = t.n, t.i, t.j
        size = length(t.rows) * geometry.G
        z, product = (a[worker][:size] for a in (sums, products))
        for (u, v), moved in shifted.by_cell(worker, t):
            n, i, j, G = moved.shape
            runs = moved.reshape(n, i, j // together, together * G)
            np.multiply(runs, w[u, v], out=(product if u or v else z).reshape(runs.shape))
            if u or v:
                z += product
        z = z.reshape(y[where].shape)
        if end is not None:
            end(z, where)
        y[where] = z

    run(tile, len(shifted.tiles), parallel=worth_sharing(geometry))


def neighbours(geometry, tiles):
    """How many pixels of a row are taken as one: they divide each tile's row."""
    if geometry.stride[1] != 1 or any(length(t.j) < geometry.output[1] for t in tiles):
        return 1
    OW = geometry.output[1]
    enough = -(-RUN // geometry.G)
    return next(k for k in range(1, OW + 1) if OW % k == 0 and (k >= enough or k == OW))


def cells_of(w):
    """w (C, KH, KW, 1) as (KH, KW, C)."""
    return np.ascontiguousarray(w[..., 0].transpose(1, 2, 0))


def worth_sharing(geometry):
    """Whether there is enough work for several threads."""
    return geometry.pixels * geometry.G * geometry.window > WORTH_SHARING // 8


class Shifted:
    """Tiles of an output, and for each the pieces of x that its cells (u, v) see."""

    def __init__(self, x, geometry):
        self.x, self.g = x, geometry
        g = geometry
        self.tiles = cut(g.N, *g.output, max(1, TILE // (g.G * x.itemsize)))
        self.largest = max(length(t.rows) for t in self.tiles)
        n, i, j = (max(length(s) for s in axis)
                   for axis in zip(*((t.n, t.i, t.j) for t in self.tiles)))  # fmt: skip
        self.borders = PerWorker(lambda: memory.empty((n, *self.seen(i, j), g.G), x.dtype))

    def seen(self, i, j):
        """How many rows and columns of x that many rows and columns of y look at."""
        return tuple(
            (many - 1) * s + (k - 1) * d + 1
            for many, s, k, d in zip((i, j), self.g.stride, self.g.kernel, self.g.dilation)
        )

    def by_cell(self, worker, t):
        """((u, v), what output tile t sees through that cell), for each cell."""
        (SH, SW), (DH, DW), (PH, PW) = self.g.stride, self.g.dilation, self.g.padding
        i, j = length(t.i), length(t.j)
        R, S = self.seen(i, j)
        top, left = t.i.start * SH - PH, t.j.start * SW - PW
        piece = crop(self.x, t.n, top, left, self.borders[worker][:, :R, :S])
        for u, v in np.ndindex(*self.g.kernel):
            h, k = u * DH, v * DW
            yield (u, v), piece[:, h : h + (i - 1) * SH + 1 : SH, k : k + (j - 1) * SW + 1 : SW]
