"""The definition: every operation as nested loops over single numbers.

Nothing is clever here, so nothing can be misread. It is slow (a microsecond or so a term) and it is
what every other drawing is compared with.
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np


def output_shape(shape, kernel, stride, padding, channels):
    """(N, O, OH, OW) of a convolution or pooling."""
    N, _, H, W = shape
    OH = (H + 2 * padding[0] - kernel[0]) // stride[0] + 1
    OW = (W + 2 * padding[1] - kernel[1]) // stride[1] + 1
    return N, channels, OH, OW


def indices(*sizes):
    """All index tuples of an array of these sizes, in row-major order."""
    return product(*map(range, sizes))


class _Windowed:
    """What convolution and pooling share: which input pixel a window's cell is."""

    def cells(self, i, j, kernel, shape):
        """(u, v, h, w) of the cells of window (i, j) that lie inside the image."""
        for u, v in indices(*kernel):
            h = i * self.stride[0] + u - self.padding[0]
            w = j * self.stride[1] + v - self.padding[1]
            if 0 <= h < shape[2] and 0 <= w < shape[3]:
                yield u, v, h, w


class Conv2d(_Windowed):
    """y[n,o,i,j] = b[o] + sum over (c,u,v) of x[n, c, i*SH + u - PH, j*SW + v - PW] w[o,c,u,v]."""

    def forward(self, x, w, b):
        self.save(x, w)
        O, C, *kernel = w.shape
        y = np.zeros(output_shape(x.shape, kernel, self.stride, self.padding, O), x.dtype)
        for n, o, i, j in indices(*y.shape):
            total = x.dtype.type(0)
            for c in range(C):
                for u, v, h, k in self.cells(i, j, kernel, x.shape):
                    total += x[n, c, h, k] * w[o, c, u, v]
            y[n, o, i, j] = total if b is None else total + b[o]
        return y

    def backward(self, dy):
        x, w = self.saved
        O, C, *kernel = w.shape
        dx, dw, db = np.zeros_like(x), np.zeros_like(w), np.zeros(O, w.dtype)
        for n, o, i, j in indices(*dy.shape):
            g = dy[n, o, i, j]
            db[o] += g
            for c in range(C):
                for u, v, h, k in self.cells(i, j, kernel, x.shape):
                    dx[n, c, h, k] += g * w[o, c, u, v]
                    dw[o, c, u, v] += g * x[n, c, h, k]
        return dx, dw, db


class MaxPool2d(_Windowed):
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


class AvgPool2d(_Windowed):
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


class Linear:
    """y[r,o] = b[o] + sum over i of x[r,i] w[o,i], for each row r."""

    def forward(self, x, w, b):
        self.save(x, w)
        O, I = w.shape
        y = np.zeros((*x.shape[:-1], O), x.dtype)
        for r in np.ndindex(x.shape[:-1]):
            for o in range(O):
                total = x.dtype.type(0)
                for i in range(I):
                    total += x[*r, i] * w[o, i]
                y[*r, o] = total if b is None else total + b[o]
        return y

    def backward(self, dy):
        x, w = self.saved
        O, I = w.shape
        dx, dw, db = np.zeros_like(x), np.zeros_like(w), np.zeros(O, w.dtype)
        for r in np.ndindex(x.shape[:-1]):
            for o in range(O):
                g = dy[*r, o]
                db[o] += g
                for i in range(I):
                    dx[*r, i] += g * w[o, i]
                    dw[o, i] += g * x[*r, i]
        return dx, dw, db


class _Elementwise:
    """One function for every element, and its slope times dy for every gradient."""

    def forward(self, x):
        y = np.zeros_like(x)
        for k in np.ndindex(x.shape):
            y[k] = self.value(float(x[k]))
        self.save(x)
        return y

    def backward(self, dy):
        (x,) = self.saved
        dx = np.zeros_like(x)
        for k in np.ndindex(x.shape):
            dx[k] = dy[k] * x.dtype.type(self.slope(float(x[k])))
        return dx


class ReLU(_Elementwise):
    """max(x, 0); slope 1 where x > 0, else 0."""

    def value(self, x):
        return x if x > 0 or math.isnan(x) else 0.0

    def slope(self, x):
        return 1.0 if x > 0 else 0.0


class Tanh(_Elementwise):
    """tanh x; slope 1 - tanh^2 x."""

    def value(self, x):
        return math.tanh(x)

    def slope(self, x):
        return 1 - math.tanh(x) ** 2


class Sigmoid(_Elementwise):
    """1 / (1 + e^-x), written so that the exponential never overflows; slope y (1 - y)."""

    def value(self, x):
        return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))

    def slope(self, x):
        return self.value(x) * self.value(-x)


class SoftmaxCrossEntropy:
    """Mean over rows of -log p[t]; p[k] = e^(x[k] - m) / sum of e^(x[l] - m), m the maximum."""

    def forward(self, x, t):
        N, K = x.shape
        loss, p = 0.0, np.zeros_like(x)
        for n in range(N):
            row = [float(x[n, k]) for k in range(K)]
            m = max(row)
            total = sum(math.exp(value - m) for value in row)
            for k in range(K):
                p[n, k] = math.exp(row[k] - m) / total
            loss += (math.log(total) + m - row[t[n]]) / N
        self.save(p, t)
        return np.asarray(loss, x.dtype)

    def backward(self, dy):
        p, t = self.saved
        dx = np.zeros_like(p)
        for n, k in indices(*p.shape):
            dx[n, k] = dy * (p[n, k] - (1 if k == t[n] else 0)) / len(p)
        return dx, None


OPERATIONS = {
    operation.__name__: operation
    for operation in (
        Conv2d, MaxPool2d, AvgPool2d, Linear, ReLU, Tanh, Sigmoid, SoftmaxCrossEntropy,
    )
}  # fmt: skip
