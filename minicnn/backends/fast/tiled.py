"""Convolution by im2col, a tile at a time: any kernel, stride, padding, dilation and groups.

**Forward.** The window that output pixel (n, i, j) looks at, written as a row of K = KH KW C
numbers, is a row of the matrix col; the filters are the columns of a matrix W (K, O). Then
z = col W. The whole matrix col is KH KW times as large as the image: for a 3x3 layer of VGG-16 it
takes half a gigabyte, and fetching that from memory costs more than the multiplications. So only a
tile of it is written, about 1 MB, multiplied while it is still in the core's cache, and written
over by the next. Bias, shortcut and activation follow while the tile of z is in the cache, too.
Groups stand side by side: col is (G, pixels, K), W is (G, K, O).

    x  ->  border of zeros, one tile  ->  windows as rows  ->  z = col W  ->  y

In channels-last memory a row of a window, KW pixels of C channels, is one run of numbers: a row of
col is KH copies.

**Weight gradient.** dw = dz' col, a sum over pixels, so over tiles. Tiles are dealt to a few parts
by index; each part has a sum of its own, and the sums are added in index order. Where dw is large
and has few pixels, as late in a net, sums of its size would cost more than all of col: then that is
written whole, and the workers share the filters.

**Input gradient.** Pixel h of x was seen by output i through cell u if h = i SH + u DH - PH. Take
the pixels h = a, a + SH, a + 2 SH, ...: all of them were seen through the same cells u, those with
u DH = a + PH (modulo SH), in steps of `step = SH / gcd(SH, DH)`. So

    dx[a + t SH] = sum over those u of dz[t + (a + PH - u DH) / SH] w[u],

and that is again a convolution, with stride 1, of dz with those cells in reversed order. With
stride 1 there is one class of pixels, and this is the well-known "flipped filters, full padding".
With stride 2 there are four (even and odd, by rows and columns), and none multiplies by a zero.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd

import numpy as np

from minicnn.backends.fast import memory
from minicnn.backends.fast.tiles import WORTH_SHARING, crop, cut, even, length
from minicnn.backends.fast.workers import PerWorker, run
from minicnn.backends.geometry import Geometry

COLUMNS = 2**20  # bytes of col in a tile: they stay in a core's L2 cache,
PIXELS = 256  # but so many rows at least, or the product is busy with arranging W
LEAST = 192  # where the whole output is small, these will do, so that a thread each has some
SUMS = 2**23  # bytes of partial sums of a weight gradient,
WHOLE = 2**24  # or of col at once, where they would be more


def forward(x, w, geometry, end, correlate=None):
    """y (N, OH, OW, G*O): x convolved with w, then `end`; `correlate` replaces `in_tiles`."""
    g = geometry
    y = memory.empty(g.y_shape, x.dtype)
    columns = w.reshape(g.G, g.O, g.window).transpose(0, 2, 1)
    (correlate or in_tiles)(x, columns, y, g, end)
    return y


def weight_gradient(x, dz, geometry):
    """dw (G*O, KH, KW, C)."""
    g = geometry
    tiles = tiles_of(g, x.itemsize)
    columns = PerWorker(lambda: Columns(x, g, tiles))
    dzs = dz.reshape(-1, g.G, g.O).transpose(1, 2, 0)  # (G, O, pixels)
    weights = g.G * g.O * g.window
    parts = min(len(tiles), 16, SUMS // (weights * x.itemsize))
    if parts > 1 and weights < g.pixels * g.G * (g.O + g.window):
        return _by_parts(dzs, columns, g, tiles, parts).reshape(g.w_shape)
    return _at_once(dzs, columns, g, tiles).reshape(g.w_shape)


def _by_parts(dzs, columns, g, tiles, parts):
    """Every part of the tiles has a sum of its own."""
    sums = memory.empty((parts, g.G, g.O, g.window), dzs.dtype)
    terms = PerWorker(lambda: memory.empty(sums.shape[1:], dzs.dtype))

    def part(worker, p):
        for k in range(p, len(tiles), parts):
            col = columns[worker].of(tiles[k])
            out = sums[p] if k == p else terms[worker]
            np.matmul(dzs[:, :, tiles[k].rows], col, out=out)
            if k != p:
                sums[p] += out

    run(part, parts, parallel=worth_sharing(g))
    return sums.sum(axis=0)


def _at_once(dzs, columns, g, tiles):
    """Sums too large to have several: workers share the cells, once col is there for all."""
    sums = memory.empty((g.G, g.O, g.window), dzs.dtype)
    cells = even(g.window, max(16, -(-g.window // 8)))
    most = max(map(length, cells))
    terms = PerWorker(lambda: memory.empty((g.G, g.O, most), dzs.dtype))
    for k, group in enumerate(_groups(tiles, WHOLE // (g.G * g.window * dzs.itemsize))):
        _add_group(dzs, columns, g, group, sums, cells, terms if k else None)
    return sums


def _add_group(dzs, columns, g, group, sums, cells, terms):
    """Fill sums from the tiles of a group; with scratch for terms, add to it."""
    start, stop = group[0].rows.start, group[-1].rows.stop
    col = memory.empty((g.G, stop - start, g.window), dzs.dtype)

    def fill(worker, k):
        rows = group[k].rows
        columns[worker].of(group[k], col[:, rows.start - start : rows.stop - start])

    def multiply(worker, k):
        out = sums[:, :, cells[k]]
        term = out if terms is None else terms[worker][:, :, : length(cells[k])]
        np.matmul(dzs[:, :, start:stop], col[:, :, cells[k]], out=term)
        if terms is not None:
            out += term

    run(fill, len(group), parallel=worth_sharing(g))
    run(multiply, len(cells), parallel=worth_sharing(g))


def _groups(tiles, pixels):
    """Neighbouring tiles together, of at most so many pixels unless a single one has more."""
    groups = [[tiles[0]]]
    for t in tiles[1:]:
        if t.rows.stop - groups[-1][0].rows.start > pixels:
            groups.append([])
        groups[-1].append(t)
    return groups


def input_gradient(dz, w, geometry, correlate=None):
    """dx (N, H, W, G*C)."""
    g = geometry
    dx = memory.empty(g.x_shape, dz.dtype)
    w = w.reshape(g.G, g.O, *g.kernel, g.C).transpose(0, 2, 3, 1, 4)  # (G, KH, KW, O, C)
    for pixels, cells, back in classes(g):
        if back is None:
            dx[pixels] = 0
        else:
            turned = w[:, cells[0]][:, :, cells[1]][:, ::-1, ::-1]
            turned = turned.reshape(g.G, back.window, g.C)
            (correlate or in_tiles)(dz, turned, dx[pixels], back)
    return dx


@lru_cache(256)
def classes(geometry):
    """The classes of pixels of x, each with a convolution of its own: see above.

    A list of (which pixels of dx, which cells of w by rows and by columns, the `Geometry` of the
    convolution of dz with these cells turned around). There is none where no window looks.
    """
    g, found = geometry, []
    for a, b in np.ndindex(min(g.stride[0], g.size[0]), min(g.stride[1], g.size[1])):
        pixels = np.s_[:, a :: g.stride[0], b :: g.stride[1]]
        rows, columns = seen_through(g, 0, a), seen_through(g, 1, b)
        if rows is None or columns is None:
            found.append((pixels, None, None))
            continue
        (us, KH, top, down), (vs, KW, left, right) = rows, columns
        size = -(-(g.size[0] - a) // g.stride[0]), -(-(g.size[1] - b) // g.stride[1])
        back = Geometry(g.N, g.G, g.O, g.C, g.output, size, (KH, KW), (1, 1), (-top, -left),
                        (down, right))  # fmt: skip
        found.append((pixels, (us, vs), back))
    return found


def seen_through(geometry, axis, start):
    """For pixels start, start + S, ...: (cells, their number, first output, dilation), or None."""
    g = geometry
    S, D, P, K = g.stride[axis], g.dilation[axis], g.padding[axis], g.kernel[axis]
    cells = [u for u in range(K) if (start + P - u * D) % S == 0]
    if not cells:
        return None
    step = S // gcd(S, D)
    return slice(cells[0], None, step), len(cells), (start + P - cells[-1] * D) // S, step * D // S


# ---------------------------------------------------------------------------
# The walk over the tiles
# ---------------------------------------------------------------------------
def in_tiles(x, w, y, geometry, end=None):
    """Fill y[n,i,j,(g,o)] with the sum over k of window(n,i,j)[g,k] w[g,k,o], then `end`."""
    g = geometry
    tiles = tiles_of(g, x.itemsize)
    direct = y.flags.c_contiguous  # then a tile of y is a matrix in memory
    matrix = y.reshape(-1, g.G * g.O) if direct else None
    columns = PerWorker(lambda: Columns(x, g, tiles))
    results = PerWorker(lambda: memory.empty((largest(tiles), g.G * g.O), x.dtype))

    def tile(worker, k):
        t = tiles[k]
        z = matrix[t.rows] if direct else results[worker][: length(t.rows)]
        col = columns[worker].of(t)
        if g.G == 1:
            np.matmul(col[0], w[0], out=z)
        else:
            np.matmul(col, w, out=z.reshape(-1, g.G, g.O).transpose(1, 0, 2))
        where = t.n, t.i, t.j
        if not direct:
            y[where] = z.reshape(y[where].shape)
        if end is not None:
            end(y[where], where)

    run(tile, len(tiles), parallel=worth_sharing(g))


def tiles_of(geometry, itemsize):
    """The tiles of an output, by shape alone."""
    g = geometry
    pixels = max(PIXELS, COLUMNS // (g.G * g.window * itemsize))
    return cut(g.N, *g.output, min(pixels, max(LEAST, -(-g.pixels // 4))))


def largest(tiles):
    """Pixels of the largest tile."""
    return max(length(t.rows) for t in tiles)


def worth_sharing(geometry):
    """Whether there is enough work for several threads."""
    g = geometry
    return g.pixels * g.G * g.O * g.window > WORTH_SHARING


class Columns:
    """A worker's scratch: the rows of col for one tile, and the piece of x they are taken from."""

    def __init__(self, x, geometry, tiles):
        self.x, self.g = x, geometry
        g = geometry
        n, i, j = (max(length(s) for s in axis) for axis in zip(*((t.n, t.i, t.j) for t in tiles)))
        self.border = memory.empty((n, *self.seen(i, j), g.G * g.C), x.dtype)
        self.col = memory.empty((g.G * largest(tiles) * g.window,), x.dtype)

    def seen(self, i, j):
        """How many rows and columns of x that many rows and columns of y look at."""
        return tuple(
            (many - 1) * s + (k - 1) * d + 1
            for many, s, k, d in zip((i, j), self.g.stride, self.g.kernel, self.g.dilation)
        )

    def of(self, tile, out=None):
        """The windows of a tile as rows (G, pixels, K), in `out` or in the scratch."""
        g, (n, i, j) = self.g, (length(tile.n), length(tile.i), length(tile.j))
        (SH, SW), (DH, DW), (PH, PW) = g.stride, g.dilation, g.padding
        R, S = self.seen(i, j)
        top, left = tile.i.start * SH - PH, tile.j.start * SW - PW
        piece = crop(self.x, tile.n, top, left, self.border[:, :R, :S])
        sn, sh, sw, sc = piece.strides
        windows = np.lib.stride_tricks.as_strided(
            piece, (g.G, n, i, j, *g.kernel, g.C),
            (g.C * sc, sn, sh * SH, sw * SW, sh * DH, sw * DW, sc),
        )  # fmt: skip
        if out is None:
            pixels = length(tile.rows)
            out = self.col[: g.G * pixels * g.window].reshape(g.G, pixels, g.window)
        np.copyto(out.reshape(windows.shape), windows)
        return out
