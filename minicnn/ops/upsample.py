"""Resampling an image to another size: each output pixel has a position in the input, and reads it.

Both axes are treated alike, one after the other. An axis has a span (n, m): m outputs lie as far
apart as n inputs, so that output i is at i*n/m. One division of two exact numbers, so that what is
an integer on paper is one here.
"""

from __future__ import annotations

import numpy as np

from minicnn.backends import xp
from minicnn.layout import nchw, nhwc
from minicnn.tensor import Function


class Upsample2d(Function):
    """What both kinds share: an output is a weighted sum of the pixels it reads.

    Settings: `size` = (OH, OW); `spans`, one pair for each axis; `align_corners`. The gradient goes
    back by the same weights: dx[h] = sum of weight * dy[i] over the outputs i that read h.
    """

    def forward(self, x):
        y = nhwc(x)
        for axis in (1, 2):
            y = sum(w * y.take(place, axis=axis) for place, w in self.reads(axis, y.dtype))
        return nchw(y)

    def backward(self, dy):
        dx = nhwc(dy)
        for axis in (2, 1):
            size, reads = self.last(axis - 1) + 1, self.reads(axis, dx.dtype)
            dx = sum(hand_back(w * dx, place, axis, size) for place, w in reads)
        return nchw(dx)

    def positions(self, axis):
        """Where the outputs of axis 0 (H) or 1 (W) lie in the input."""
        n, m = self.spans[axis]
        return np.arange(self.size[axis]) * n / m

    def last(self, axis):
        """The number of the last pixel along axis 0 (H) or 1 (W)."""
        return self.shapes[0][axis + 2] - 1


class UpsampleNearest2d(Upsample2d):
    """y[n,c,i,j] = x[n,c, floor(i*n/m), floor(j*n/m)], with (n, m) each axis's span."""

    def places(self, axis):
        """The pixel that each output reads, along axis 0 (H) or 1 (W)."""
        return np.minimum(np.floor(self.positions(axis)).astype(np.int32), self.last(axis))

    def reads(self, axis, dtype):
        """[(place, weight)] for axis 1 or 2 of an (N, H, W, C) array."""
        return [(self.places(axis - 1), dtype.type(1))]


class UpsampleBilinear2d(Upsample2d):
    """y = (1 - t) x[low] + t x[low + 1] for an output at low + t, along each axis.

    A pixel is a square with its value in the middle: output i's middle is at (i + 1/2) n/m - 1/2,
    or at the edge pixel if it lies beyond. With `align_corners` it is at i*n/m, with the span
    (H - 1, OH - 1) from the first pixel's middle to the last one's.
    """

    def places(self, axis):
        """(low, t): the pixel before each output, and how far behind it the output lies."""
        position = self.positions(axis)
        if not self.align_corners:
            n, m = self.spans[axis]
            position = (np.arange(self.size[axis]) + 0.5) * n / m - 0.5
        position = position.clip(0, self.last(axis))
        low = np.floor(position).astype(np.int32)
        return low, position - low

    def reads(self, axis, dtype):
        """[(place, weight)] for axis 1 or 2 of an (N, H, W, C) array."""
        low, t = self.places(axis - 1)
        high = np.minimum(low + 1, self.last(axis - 1))
        t = t.astype(dtype).reshape(-1, *[1] * (3 - axis))
        return [(low, 1 - t), (high, t)]


def hand_back(dy, place, axis, size):
    """The gradient of `x.take(place, axis)`, where x has `size` pixels along that axis."""
    lib, shape = xp(dy), list(dy.shape)
    shape[axis] = size
    dx = lib.zeros(shape, dy.dtype)
    to, of = lib.moveaxis(dx, axis, 0), lib.moveaxis(dy, axis, 0)
    for i, h in enumerate(place):
        to[h] += of[i]
    return dx
