"""Pooling, as nested loops."""

from __future__ import annotations

import math

import numpy as np

from minicnn.backends.loops.windows import Windowed, indices, output_shape


class MaxPool2d(Windowed):
    """y[n,c,i,j] = the largest x in the window; its gradient goes to the first place it is at."""

    def forward(self, x):
        shape = output_shape(x.shape, self.kernel, self.stride, self.padding, x.shape[1])
        y, places = np.zeros(shape, x.dtype), {}
        for n, c, i, j in indices(*shape):
            best = None
            for _, _, h, w in self.cells(i, j, self.kernel, x.shape):
                value = x[n, c, h, w]
                if best is None or value > best or (math.isnan(value) and not math.isnan(best)):
                    best, places[n, c, i, j] = value, (n, c, h, w)
            y[n, c, i, j] = best
        self.save(places)
        return y

    def backward(self, dy):
        (places,) = self.saved
        dx = np.zeros(self.shapes[0], dy.dtype)
        for output, place in places.items():
            dx[place] += dy[output]
        return dx


class AvgPool2d(Windowed):
    """y[n,c,i,j] = the window's sum over KH KW, padding counted as zeros."""

    def forward(self, x):
        shape = output_shape(x.shape, self.kernel, self.stride, self.padding, x.shape[1])
        y = np.zeros(shape, x.dtype)
        for n, c, i, j in indices(*shape):
            for _, _, h, w in self.cells(i, j, self.kernel, x.shape):
                y[n, c, i, j] += x[n, c, h, w]
            y[n, c, i, j] /= self.kernel[0] * self.kernel[1]
        return y

    def backward(self, dy):
        shape = self.shapes[0]
        dx = np.zeros(shape, dy.dtype)
        for n, c, i, j in indices(*dy.shape):
            for _, _, h, w in self.cells(i, j, self.kernel, shape):
                dx[n, c, h, w] += dy[n, c, i, j] / (self.kernel[0] * self.kernel[1])
        return dx


OPERATIONS = (MaxPool2d, AvgPool2d)
