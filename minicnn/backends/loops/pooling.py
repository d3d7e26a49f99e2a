"""Pooling, as nested loops."""

from __future__ import annotations

import math

import numpy as np

from minicnn.backends.loops.windows import indices


def count_windows(size, kernel, stride, padding, dilation, ceil_mode):
    """How many windows there are along one axis.

    A window begins in the image or in the padding before it. It may not reach beyond the padded
    image; with `ceil_mode` it may, by less than a stride.
    """
    count, allowed = 0, stride - 1 if ceil_mode else 0
    while True:
        start = count * stride - padding
        beyond = start + dilation * (kernel - 1) + 1 - (size + padding)
        if start >= size or beyond > allowed:
            return count
        count += 1


class Windowed:
    """Which pixels window (i, j) of a pooling with a kernel looks at."""

    def output_shape(self, shape):
        """(N, C, OH, OW)."""
        lie = zip(shape[2:], self.kernel, self.stride, self.padding, self.dilation)
        return *shape[:2], *(count_windows(*axis, self.ceil_mode) for axis in lie)

    def positions(self, i, j):
        """(h, w) of all the window's cells, inside the image or not."""
        for u, v in indices(*self.kernel):
            yield (
                i * self.stride[0] + u * self.dilation[0] - self.padding[0],
                j * self.stride[1] + v * self.dilation[1] - self.padding[1],
            )

    def pixels(self, i, j, shape):
        """(h, w) of the window's cells inside the image, in row-major order."""
        for h, w in self.positions(i, j):
            if 0 <= h < shape[2] and 0 <= w < shape[3]:
                yield h, w


class Adaptive:
    """Which pixels window (i, j) of a pooling to a given size looks at."""

    def output_shape(self, shape):
        """(N, C, OH, OW)."""
        return *shape[:2], *self.size

    def pixels(self, i, j, shape):
        """(h, w) of the window, in row-major order: those whose share of the image meets its."""
        (OH, OW), (H, W) = self.size, shape[2:]
        for h, w in indices(H, W):
            rows_meet = h * OH < (i + 1) * H and (h + 1) * OH > i * H
            columns_meet = w * OW < (j + 1) * W and (w + 1) * OW > j * W
            if rows_meet and columns_meet:
                yield h, w


class _Max:
    """y[n,c,i,j] = the largest x in the window; its gradient goes to the first place it is at."""

    def forward(self, x):
        y = np.zeros(self.output_shape(x.shape), x.dtype)
        N, C, OH, OW = y.shape
        winner = np.zeros((N, OH, OW, C), np.int32)
        for n, c, i, j in indices(*y.shape):
            best = None
            for h, w in self.pixels(i, j, x.shape):
                value = x[n, c, h, w]
                if best is None or value > best or (math.isnan(value) and not math.isnan(best)):
                    best, winner[n, i, j, c] = value, h * x.shape[3] + w
            y[n, c, i, j] = best
        self.save(winner)
        return y

    def backward(self, dy):
        (winner,) = self.saved
        dx = np.zeros(self.shapes[0], dy.dtype)
        for n, c, i, j in indices(*dy.shape):
            h, w = divmod(winner[n, i, j, c], dx.shape[3])
            dx[n, c, h, w] += dy[n, c, i, j]
        return dx


class _Avg:
    """y[n,c,i,j] = the window's sum over its divisor, padding counted as zeros."""

    def forward(self, x):
        y = np.zeros(self.output_shape(x.shape), x.dtype)
        for n, c, i, j in indices(*y.shape):
            for h, w in self.pixels(i, j, x.shape):
                y[n, c, i, j] += x[n, c, h, w]
            y[n, c, i, j] /= self.divisor(i, j, x.shape)
        return y

    def backward(self, dy):
        shape = self.shapes[0]
        dx = np.zeros(shape, dy.dtype)
        for n, c, i, j in indices(*dy.shape):
            for h, w in self.pixels(i, j, shape):
                dx[n, c, h, w] += dy[n, c, i, j] / self.divisor(i, j, shape)
        return dx

    def divisor(self, i, j, shape):
        """How many pixels the window sees."""
        return sum(1 for _ in self.pixels(i, j, shape))


class MaxPool2d(Windowed, _Max):
    """The largest x of a window; padding is not looked at."""


class AdaptiveMaxPool2d(Adaptive, _Max):
    """The largest x of a window, one of `size`."""


class AvgPool2d(Windowed, _Avg):
    """The mean of a window."""

    def divisor(self, i, j, shape):
        """The number given; or of pixels seen, with cells of the padding (not beyond it) or not."""
        if self.divisor_override is not None:
            return self.divisor_override
        if not self.count_include_pad:
            return super().divisor(i, j, shape)
        (PH, PW), (H, W) = self.padding, shape[2:]
        return sum(1 for h, w in self.positions(i, j) if h < H + PH and w < W + PW)


class AdaptiveAvgPool2d(Adaptive, _Avg):
    """The mean of a window, one of `size`."""


class MaxUnpool2d:
    """y is 0, but x[n,c,h,w] at place[n,c,h,w] = p*OW + q; a later x overwrites an earlier one."""

    def forward(self, x, place):
        y = np.zeros((*x.shape[:2], *self.size), x.dtype)
        source = {}
        for n, c, h, w in indices(*x.shape):
            p, q = divmod(place[n, c, h, w], self.size[1])
            y[n, c, p, q] = x[n, c, h, w]
            source[n, c, p, q] = (n, c, h, w)
        self.save(source)
        return y

    def backward(self, dy):
        (source,) = self.saved
        dx = np.zeros(self.shapes[0], dy.dtype)
        for target, place in source.items():
            dx[place] = dy[target]
        return dx, None


OPERATIONS = (MaxPool2d, AdaptiveMaxPool2d, AvgPool2d, AdaptiveAvgPool2d, MaxUnpool2d)
