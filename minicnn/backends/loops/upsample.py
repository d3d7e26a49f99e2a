"""Resampling, as nested loops."""

from __future__ import annotations

import numpy as np

from minicnn.backends.loops.windows import indices


class _Upsample2d:
    """y[n,c,i,j] = sum over all pixels of weight(i, h) weight(j, w) x[n,c,h,w]."""

    def forward(self, x):
        y = np.zeros((*x.shape[:2], *self.size), x.dtype)
        for n, c, i, j in indices(*y.shape):
            for h, w, weight in self.pixels(i, j):
                y[n, c, i, j] += weight * x[n, c, h, w]
        return y

    def backward(self, dy):
        dx = np.zeros(self.shapes[0], dy.dtype)
        for n, c, i, j in indices(*dy.shape):
            for h, w, weight in self.pixels(i, j):
                dx[n, c, h, w] += weight * dy[n, c, i, j]
        return dx

    def pixels(self, i, j):
        """(h, w, weight) of the pixels that output (i, j) reads."""
        for h, w in indices(*self.shapes[0][2:]):
            weight = self.weight(i, h, 0) * self.weight(j, w, 1)
            if weight:
                yield h, w, weight


class UpsampleNearest2d(_Upsample2d):
    """All the weight is on the pixel that the output's position falls into."""

    def weight(self, i, h, axis):
        """1 if output i of axis 0 (H) or 1 (W) reads pixel h, else 0."""
        n, m = self.spans[axis]
        position = i * n / m
        beyond = h == self.shapes[0][axis + 2] - 1 and position >= h
        return 1.0 if h <= position < h + 1 or beyond else 0.0


class UpsampleBilinear2d(_Upsample2d):
    """A pixel's weight falls off in a straight line, to 0 at the distance of one pixel."""

    def weight(self, i, h, axis):
        """1 - distance of output i and pixel h of axis 0 (H) or 1 (W), or 0 if that is less."""
        n, m = self.spans[axis]
        position = i * n / m if self.align_corners else (i + 0.5) * n / m - 0.5
        position = min(max(position, 0), self.shapes[0][axis + 2] - 1)
        return max(0.0, 1 - abs(position - h))


OPERATIONS = (UpsampleNearest2d, UpsampleBilinear2d)
