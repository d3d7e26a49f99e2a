"""The fully connected layer as kernels."""

from __future__ import annotations

from minicnn.backends import xp
from minicnn.backends.cuda.arrays import column_sum, matmul


class Linear:
    """Three matrix products and a column sum."""

    def forward(self, x, w, b):
        self.save(x, w)
        y = matmul(x.reshape(-1, w.shape[1]), w.T, b)
        return y.reshape(*x.shape[:-1], w.shape[0])

    def backward(self, dy):
        x, w = self.saved
        dy = xp(dy).ascontiguousarray(dy.reshape(-1, w.shape[0]))
        dx = dw = db = None
        if self.needs[0]:
            dx = matmul(dy, w).reshape(x.shape)
        if self.needs[1]:
            dw = matmul(dy.T, x.reshape(-1, w.shape[1]))
        if self.needs[2]:
            db = column_sum(dy)
        return dx, dw, db


OPERATIONS = (Linear,)
