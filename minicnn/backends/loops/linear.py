"""The fully connected layer, as nested loops."""

from __future__ import annotations

import numpy as np


class Linear:
    """z[r,o] = b[o] + sum over i of x[r,i] w[o,i], for each row r; y = activation(z + add)."""

    def forward(self, x, w, b, add):
        self.save(x, w)
        O, I = w.shape
        z = np.zeros((*x.shape[:-1], O), x.dtype)
        for r in np.ndindex(x.shape[:-1]):
            for o in range(O):
                total = x.dtype.type(0)
                for i in range(I):
                    total += x[*r, i] * w[o, i]
                z[*r, o] = total if b is None else total + b[o]
        return self.finish(z, add)

    def backward(self, dy):
        x, w, *kept = self.saved
        dz = self.back_to_z(dy, kept)
        O, I = w.shape
        dx, dw, db = np.zeros_like(x), np.zeros_like(w), np.zeros(O, w.dtype)
        for r in np.ndindex(x.shape[:-1]):
            for o in range(O):
                g = dz[*r, o]
                db[o] += g
                for i in range(I):
                    dx[*r, i] += g * w[o, i]
                    dw[o, i] += g * x[*r, i]
        return dx, dw, db, dz


OPERATIONS = (Linear,)
