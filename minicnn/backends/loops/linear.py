"""The fully connected layer, as nested loops."""

from __future__ import annotations

import numpy as np


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


OPERATIONS = (Linear,)
