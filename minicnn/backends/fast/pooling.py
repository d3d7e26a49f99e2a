"""Pooling, window cell by window cell: cell (u, v) of all windows is one strided view of the image.

The maximum of a tile of outputs is a running one over the KH KW cells, and the winner a running
code u KW + v, one byte where the readable drawing has eight: codes only grow, so "a later cell won"
is max(winner, code), with 64 bytes to an instruction. What lies outside the image is left out of
the views, so nothing is padded. The walk back goes by tiles of the input, cell by cell again: no
two tiles write to the same pixel, and where windows overlap, shares are added in a fixed order.

A NaN wins, as everywhere: `maximum` hands it on, and for tiles that hold one the winners are
searched again with NaNs in mind.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod

import numpy as np

from minicnn.backends.fast import memory
from minicnn.backends.fast.ending import CHUNK, ELEMENTS
from minicnn.backends.fast.tiles import even, length
from minicnn.backends.fast.workers import PerWorker, run
from minicnn.layout import nchw, nhwc

ALL = slice(None)


# ---------------------------------------------------------------------------
# Which pixels a cell sees
# ---------------------------------------------------------------------------
class Span:
    """Along one axis, the outputs whose cell u lies inside the image, and the pixels they see."""

    __slots__ = ("outputs", "pixels")

    def __init__(self, outputs, pixels):
        self.outputs, self.pixels = outputs, pixels


@lru_cache(4096)
def span(start, stop, u, size, stride, padding, dilation) -> Span | None:
    """Of outputs start ... stop - 1, those whose cell u is inside; None if there are none."""
    offset = u * dilation - padding  # output i sees pixel i * stride + offset
    first = max(start, -(offset // stride))  # i * stride + offset >= 0
    last = min(stop - 1, (size - 1 - offset) // stride)
    if first > last:
        return None
    begin = first * stride + offset
    end = last * stride + offset + 1
    return Span(slice(first - start, last + 1 - start), slice(begin, end, stride))


@lru_cache(4096)
def back_span(start, stop, u, count, stride, padding, dilation) -> Span | None:
    """Of pixels start ... stop - 1, those that are cell u of an output; None if there are none."""
    offset = u * dilation - padding
    first = max(0, -(-(start - offset) // stride))
    last = min(count - 1, (stop - 1 - offset) // stride)
    if first > last:
        return None
    begin = first * stride + offset - start
    end = last * stride + offset - start + 1
    return Span(slice(first, last + 1), slice(begin, end, stride))


class Windows:
    """How a pooling's windows lie on images (N, H, W, C), and how the work is cut."""

    def __init__(self, op, shape):
        (self.N, self.C, self.H, self.W), self.kernel = shape, op.kernel
        self.OH, self.OW = op.output_size(shape)
        lie = op.stride, op.padding, op.dilation
        self.rows, self.columns = zip(*lie)
        reach = [d * (k - 1) + 1 for k, d in zip(op.kernel, op.dilation)]
        self.apart = all(r <= s for r, s in zip(reach, op.stride))  # no two windows share a pixel
        self.parallel = self.N * self.C * self.H * self.W > ELEMENTS

    def cells(self):
        """(code, u, v) of each cell, in row-major order."""
        KH, KW = self.kernel
        return [(u * KW + v, u, v) for u in range(KH) for v in range(KW)]

    def seen(self, i, u, v):
        """Outputs of the rows i whose cell (u, v) is inside, and the pixels: pairs of slices."""
        h = span(i.start, i.stop, u, self.H, *self.rows)
        w = span(0, self.OW, v, self.W, *self.columns)
        return both(h, w)

    def seen_from(self, rows, u, v):
        """The same for input rows: outputs of the image, pixels counted from the first row."""
        h = back_span(rows.start, rows.stop, u, self.OH, *self.rows)
        w = back_span(0, self.W, v, self.OW, *self.columns)
        return both(h, w)

    def tiles(self, height, width, itemsize):
        """(n, rows) of tiles of images height x width: several images, or some rows of one."""
        rows = max(1, CHUNK // max(width * self.C * itemsize, 1))
        images = even(self.N, max(1, rows // height)) if self.N else []
        return [(n, part) for n in images for part in even(height, rows)]


def both(h, w):
    """(outputs, pixels) as indices of (N, H, W, C), from the two axes' spans; None without one."""
    if h is None or w is None:
        return None
    return (ALL, h.outputs, w.outputs), (ALL, h.pixels, w.pixels)


# ---------------------------------------------------------------------------
# Maxima
# ---------------------------------------------------------------------------
class MaxPool2d:
    """A winner is the code u KW + v of its cell in the window."""

    def forward(self, x):
        xh, lie = nhwc(x), Windows(self, x.shape)
        shape = (lie.N, lie.OH, lie.OW, lie.C)
        KH, KW = self.kernel
        codes = np.uint8 if KH * KW <= 256 else np.int32
        y = memory.empty(shape, x.dtype)
        winner = memory.empty(shape, codes) if any(self.needs) else None
        tiles = lie.tiles(lie.OH, lie.OW, xh.itemsize)
        largest = max((length(n) * length(i) for n, i in tiles), default=0) * lie.OW * lie.C
        masks = PerWorker(lambda: memory.empty((largest,), bool))
        won = PerWorker(lambda: memory.empty((largest,), codes))

        def tile(worker, t):
            n, i = tiles[t]
            if winner is None:
                largest_of(xh[n], y[n, i], lie, i)
            else:
                winners_of(xh[n], y[n, i], winner[n, i], lie, i, masks[worker], won[worker])

        run(tile, len(tiles), lie.parallel)
        self.save(winner)
        return nchw(y)

    def backward(self, dy):
        (winner,) = self.saved
        lie, dyh = Windows(self, self.shapes[0]), nhwc(dy)
        dx = memory.empty((lie.N, lie.H, lie.W, lie.C), dy.dtype)
        tiles = lie.tiles(lie.H, lie.W, dy.itemsize)
        SH = self.stride[0]
        most = max((length(n) * min(lie.OH, length(h) // SH + 1) for n, h in tiles), default=0)
        masks = PerWorker(lambda: memory.empty((most * lie.OW * lie.C,), bool))
        bits = PerWorker(lambda: memory.empty((most * lie.OW * lie.C,), f"i{dy.itemsize}"))

        def tile(worker, t):
            n, h = tiles[t]
            out = dx[n, h]
            out[...] = 0
            for code, u, v in lie.cells():
                found = lie.seen_from(h, u, v)
                if found is None:
                    continue
                outputs, pixels = found
                share = dyh[n][outputs]
                mask = corner(masks[worker], share.shape)
                np.equal(winner[n][outputs], code, out=mask)
                kept = only(share, mask, corner(bits[worker], share.shape))
                if lie.apart:
                    out[pixels] = kept
                else:
                    out[pixels] += kept

        run(tile, len(tiles), lie.parallel)
        return nchw(dx)

    def places(self):
        """The winners as places h*W + w of the image, as the readable drawing saves them."""
        (winner,) = self.saved
        (_, KW), (OH, OW) = self.kernel, winner.shape[1:3]
        u, v = np.divmod(winner.astype(np.int32), KW)
        (SH, SW), (PH, PW), (DH, DW) = self.stride, self.padding, self.dilation
        h = np.arange(OH)[:, None, None] * SH - PH + u * DH
        w = np.arange(OW)[:, None] * SW - PW + v * DW
        return (h * self.shapes[0][3] + w).astype(np.int32)


def largest_of(x, y, lie, i):
    """The maxima of the output rows i of images x (N, H, W, C), into y."""
    empty = True
    for _, u, v in lie.cells():
        found = lie.seen(i, u, v)
        if found is None:
            continue
        outputs, pixels = found
        if empty:
            start(y, x, outputs, pixels)
            empty = False
        else:
            np.maximum(y[outputs], x[pixels], out=y[outputs])


def winners_of(x, y, winner, lie, i, mask, won):
    """As `largest_of`, with the codes of the first maxima into `winner`."""
    empty = True
    seen = [(code, *found) for code, u, v in lie.cells() if (found := lie.seen(i, u, v))]
    for code, outputs, _ in reversed(seen):  # the first cell inside, in case all are -infinity
        winner[outputs] = code
    for code, outputs, pixels in seen:
        if empty:
            start(y, x, outputs, pixels)
            empty = False
            continue
        piece, new = y[outputs], x[pixels]
        later, name = corner(mask, piece.shape), corner(won, piece.shape)
        np.greater(new, piece, out=later)
        np.multiply(later.view(np.uint8), winner.dtype.type(code), out=name)
        np.maximum(winner[outputs], name, out=winner[outputs])
        np.maximum(piece, new, out=piece)
    if np.isnan(y.max(initial=-np.inf)):
        first_nans(x, y, winner, seen)


def first_nans(x, y, winner, seen):
    """Where a window's maximum is NaN, the winner is its first NaN."""
    for code, outputs, pixels in reversed(seen):
        winner[outputs][np.isnan(x[pixels])] = code


def start(y, x, outputs, pixels):
    """y = x for a first cell; where that lies outside for some windows, -infinity for those."""
    if y[outputs].shape != y.shape:
        y[...] = -np.inf
    y[outputs] = x[pixels]


def only(array, mask, bits):
    """The array where the mask is true, else 0, also for an infinity: a bitwise and, in `bits`."""
    np.negative(mask.view(np.int8), out=bits, dtype=bits.dtype)  # all bits, or none
    np.bitwise_and(array.view(bits.dtype), bits, out=bits)
    return bits.view(array.dtype)


def corner(buffer, shape):
    """So much of a flat buffer as `shape` asks for, its elements together."""
    return buffer[: prod(shape)].reshape(shape)


# ---------------------------------------------------------------------------
# Means
# ---------------------------------------------------------------------------
class AvgPool2d:
    """Sums cell by cell, then one division."""

    def forward(self, x):
        xh, lie = nhwc(x), Windows(self, x.shape)
        y = memory.empty((lie.N, lie.OH, lie.OW, lie.C), x.dtype)
        divisors = self.divisors().astype(x.dtype)[:, :, None]
        tiles = lie.tiles(lie.OH, lie.OW, x.itemsize)

        def tile(worker, t):
            n, i = tiles[t]
            out = y[n, i]
            out[...] = 0
            for _, u, v in lie.cells():
                if found := lie.seen(i, u, v):
                    outputs, pixels = found
                    out[outputs] += xh[n][pixels]
            out /= divisors[i]

        run(tile, len(tiles), lie.parallel)
        return nchw(y)

    def backward(self, dy):
        lie, dyh = Windows(self, self.shapes[0]), nhwc(dy)
        share = memory.empty(dyh.shape, dy.dtype)
        np.divide(dyh, self.divisors().astype(dy.dtype)[:, :, None], out=share)
        dx = memory.empty((lie.N, lie.H, lie.W, lie.C), dy.dtype)
        tiles = lie.tiles(lie.H, lie.W, dy.itemsize)

        def tile(worker, t):
            n, h = tiles[t]
            out = dx[n, h]
            out[...] = 0
            for _, u, v in lie.cells():
                if found := lie.seen_from(h, u, v):
                    outputs, pixels = found
                    out[pixels] += share[n][outputs]

        run(tile, len(tiles), lie.parallel)
        return nchw(dx)


class AdaptiveAvgPool2d:
    """Global means as products with ones; a window to each pixel is a copy; the rest as it was."""

    def forward(self, x):
        xh, (N, C, H, W) = nhwc(x), x.shape
        if self.size == (1, 1):
            ones = np.full((1, H * W), 1 / (H * W), x.dtype)
            return nchw(np.matmul(ones, xh.reshape(N, H * W, C)).reshape(N, 1, 1, C))
        if self.size == (H, W):
            return nchw(xh.copy())
        return super().forward(x)

    def backward(self, dy):
        N, C, H, W = self.shapes[0]
        if self.size == (1, 1):
            dx = memory.empty((N, H, W, C), dy.dtype)
            dx[...] = nhwc(dy) / (H * W)
            return nchw(dx)
        if self.size == (H, W):
            return nchw(nhwc(dy).copy())
        return super().backward(dy)


OPERATIONS = (MaxPool2d, AvgPool2d, AdaptiveAvgPool2d)
