"""Convolution, as nested loops."""

from __future__ import annotations

import numpy as np

from minicnn.backends.loops.windows import Windowed, indices, output_shape


class Conv2d(Windowed):
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


OPERATIONS = (Conv2d,)
