"""Pooling: every window becomes one number, each channel by itself."""

from __future__ import annotations

import numpy as np

from minicnn.backends import device_of, drawing, xp
from minicnn.layout import nchw, nhwc
from minicnn.ops.pooling_windows import (
    adaptive_windows,
    add_at,
    element,
    pooled_size,
    read_at,
    surround,
)
from minicnn.ops.windows import windows
from minicnn.tensor import Function


class Pool2d(Function):
    """What poolings with a kernel share: how their windows lie on the image.

    Settings: the pairs `kernel`, `stride`, `padding`, `dilation`, and whether `ceil_mode`.
    """

    dilation = (1, 1)

    def output_size(self, shape):
        """(OH, OW) for x of shape (N, C, H, W)."""
        lie = self.kernel, self.stride, self.padding, self.dilation
        return pooled_size(shape[2:], *lie, self.ceil_mode)

    def surround(self, xh, value):
        """xh (N, H, W, C) with a border of `value` wherever windows look beyond the image."""
        count = self.output_size(nchw(xh).shape)
        return surround(xh, value, count, self.kernel, self.stride, self.padding, self.dilation)

    def windows(self, padded):
        """All windows of what `surround` gave, as a view (N, OH, OW, KH, KW, C)."""
        return windows(padded, self.kernel, self.stride, self.dilation)


# ---------------------------------------------------------------------------
# Maxima. A window's choice is a place h*W + w: `places` gives them as int32 (N, OH, OW, C) on every
# backend. With the choices given, the pooling is linear: y = read_at(x, places): that replays it.
# ---------------------------------------------------------------------------
class MaxPool2d(Pool2d):
    """Largest value of each window.

    y[n,c,i,j] = max over (u,v) of x[n, c, i*SH + u*DH - PH, j*SW + v*DW - PW]; what lies outside
    counts as -infinity, so it never wins, and a NaN does. The gradient flows to the window's first
    maximum in row-major order: dx[n,c,h,w] = sum of dy[n,c,i,j] over the windows whose maximum sits
    at (h,w).
    """

    def forward(self, x):
        xh = nhwc(x)
        winner = self.winners(xh)
        self.save(winner)
        return nchw(read_at(xh, winner))

    def backward(self, dy):
        (winner,) = self.saved
        return nchw(add_at(winner, nhwc(dy), self.shapes[0][2:]))

    def places(self):
        """The winners that `forward` saved (a backend may have saved them in another form)."""
        return self.saved[0]

    def choose(self, x):
        """The place of each window's first maximum."""
        return self.winners(nhwc(x))

    def replay(self, winner, x):
        """What stands at those places."""
        return nchw(read_at(nhwc(x), winner))

    def winners(self, xh):
        """The place h*W + w of each window's first maximum: (N, OH, OW, C)."""
        view = self.windows(self.surround(xh, -np.inf))
        N, OH, OW, KH, KW, C = view.shape
        cell = view.reshape(N, OH, OW, KH * KW, C).argmax(axis=3)
        h = self.pixel(cell // KW, 0, xp(xh).arange(OH)[:, None, None])
        w = self.pixel(cell % KW, 1, xp(xh).arange(OW)[:, None])
        return (h * xh.shape[2] + w).astype(np.int32)

    def pixel(self, u, axis, i):
        """The row (axis 0) or column (axis 1) of the image that cell u of window i looks at.

        A border of -infinity wins only in a window of nothing else, and then with the window's
        first cell; the first maximum inside the image is then the first cell inside it.
        """
        start = i * self.stride[axis] - self.padding[axis]
        first_inside = xp(u).maximum(-(start // self.dilation[axis]), 0)
        return start + xp(u).maximum(u, first_inside) * self.dilation[axis]


class AdaptiveMaxPool2d(MaxPool2d):
    """Largest value of each of `size` = (OH, OW) windows that divide the image evenly.

    y[n,c,i,j] = max of x[n,c,h,w] over floor(i H/OH) <= h < ceil((i+1) H/OH), w likewise. Forward
    and backward are MaxPool2d's; only the windows are others.
    """

    def winners(self, xh):
        """The place h*W + w of each window's first maximum: (N, OH, OW, C)."""
        N, H, W, C = xh.shape
        winner = xp(xh).empty((N, *self.size, C), np.int32)
        for i, j, rows, columns in adaptive_windows((H, W), self.size):
            KH, KW = rows.stop - rows.start, columns.stop - columns.start
            cell = xh[:, rows, columns].reshape(N, KH * KW, C).argmax(axis=1)
            winner[:, i, j] = (rows.start + cell // KW) * W + columns.start + cell % KW
        return winner


class PoolIndices(Function):
    """Where a maximum pooling finds its maxima: the places h*W + w, as int64 (N, C, OH, OW).

    Settings: the operation `pool`, and its settings. There is no gradient.
    """

    def forward(self, x):
        pool = drawing(self.pool, device_of(x))()
        pool.__dict__.update(self.settings)
        pool.shapes, pool.needs = self.shapes, (True,)
        pool.forward(x)
        return nchw(pool.places().astype(np.int64))

    def backward(self, dy):
        return None

    def choose(self, x):
        """The places: they are a choice, and nothing else."""
        return self.forward(x)

    def replay(self, places, x):
        """The same places."""
        return places


class MaxUnpool2d(Function):
    """Puts x (N, C, H, W) back where a maximum pooling found it, zeros elsewhere.

    y[n, c, place[n,c,h,w]] = x[n,c,h,w] in images of `size` = (OH, OW), with places p*OW + q. Where
    a place is named twice, the last x in row-major order stays, and it alone gets the gradient:
    dx[n,c,h,w] = dy[n, c, place[n,c,h,w]], or 0 if another x lies there.
    """

    def forward(self, x, place):
        lib, (N, C, H, W) = xp(x), x.shape
        place, mine = nhwc(place), lib.arange(H * W).reshape(H, W, 1)
        owner = lib.full((N, *self.size, C), -1)  # the place in x of what lies there
        lib.maximum.at(
            owner.reshape(-1),
            element(place, self.size).reshape(-1),
            lib.broadcast_to(mine, place.shape).reshape(-1),
        )
        self.save(place, read_at(owner, place) == mine)
        y = read_at(nhwc(x), lib.maximum(owner, 0))
        return nchw(lib.where(owner >= 0, y, 0).astype(x.dtype, copy=False))

    def backward(self, dy):
        place, stayed = self.saved
        return nchw(xp(dy).where(stayed, read_at(nhwc(dy), place), 0)), None


# ---------------------------------------------------------------------------
# Means
# ---------------------------------------------------------------------------
class AvgPool2d(Pool2d):
    """Mean of each window; the padding counts as zeros.

    y[n,c,i,j] = 1/D[i,j] sum over (u,v) of x[n, c, i*SH + u - PH, j*SW + v - PW], with D = KH KW
    where the window lies inside the padded image (see `divisors`). Every cell of a window gets an
    equal share of its gradient: dx[n,c,h,w] = sum of dy[n,c,i,j] / D[i,j] over the windows that
    see (h,w).
    """

    def forward(self, x):
        view = self.windows(self.surround(nhwc(x), 0))
        divisors = xp(x).asarray(self.divisors(), x.dtype)
        return nchw(view.sum(axis=(3, 4)) / divisors[:, :, None])

    def backward(self, dy):
        (PH, PW), (N, C, H, W) = self.padding, self.shapes[0]
        share = nhwc(dy) / xp(dy).asarray(self.divisors(), dy.dtype)[:, :, None]
        dx = self.surround(xp(dy).zeros((N, H, W, C), dy.dtype), 0)
        target = self.windows(dx)
        for u, v in np.ndindex(*self.kernel):
            target[:, :, :, u, v] += share
        return nchw(dx[:, PH : PH + H, PW : PW + W])

    def divisors(self):
        """What each window's sum is divided by: integers (OH, OW).

        That is `divisor_override`, if there is one; else the number of the window's cells inside
        the padded image, or, unless `count_include_pad`, inside the image.
        """
        shape, counts = self.shapes[0], []
        for n, o, k, s, p in zip(
            shape[2:], self.output_size(shape), self.kernel, self.stride, self.padding
        ):
            border = p if self.count_include_pad else 0
            start = np.arange(o) * s - p
            counts.append(np.minimum(start + k, n + border) - np.maximum(start, -border))
        divisors = np.multiply.outer(*counts)
        if self.divisor_override is not None:
            divisors[:] = self.divisor_override
        return divisors


class AdaptiveAvgPool2d(Function):
    """Mean of each of `size` = (OH, OW) windows that divide the image evenly.

    y[n,c,i,j] = mean of x[n,c,h,w] over floor(i H/OH) <= h < ceil((i+1) H/OH), w likewise. Every
    pixel of a window gets an equal share of its gradient. Size (1, 1) is global average pooling.
    """

    def forward(self, x):
        xh, (N, C, H, W) = nhwc(x), x.shape
        y = xp(x).empty((N, *self.size, C), x.dtype)
        for i, j, rows, columns in adaptive_windows((H, W), self.size):
            y[:, i, j] = xh[:, rows, columns].mean(axis=(1, 2))
        return nchw(y)

    def backward(self, dy):
        dyh, (N, C, H, W) = nhwc(dy), self.shapes[0]
        dx = xp(dy).zeros((N, H, W, C), dy.dtype)
        for i, j, rows, columns in adaptive_windows((H, W), self.size):
            count = (rows.stop - rows.start) * (columns.stop - columns.start)
            dx[:, rows, columns] += dyh[:, i, j, None, None] / count
        return nchw(dx)
