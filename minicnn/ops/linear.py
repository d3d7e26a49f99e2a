"""The fully connected layer."""

from __future__ import annotations

from minicnn.tensor import Function


class Linear(Function):
    """y = x w' + b for rows x (..., I), weights w (O, I) and bias b (O,).

    dx = dy w, dw = dy' x, and db adds up the rows of dy.
    """

    def forward(self, x, w, b):
        self.save(x, w)
        y = x @ w.T
        if b is not None:
            y += b
        return y

    def backward(self, dy):
        x, w = self.saved
        dx = dw = db = None
        if self.needs[0]:
            dx = dy @ w
        dy = dy.reshape(-1, w.shape[0])
        if self.needs[1]:
            dw = dy.T @ x.reshape(-1, w.shape[1])
        if self.needs[2]:
            db = dy.sum(axis=0)
        return dx, dw, db
