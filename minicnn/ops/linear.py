"""The fully connected layer."""

from __future__ import annotations

from minicnn.ops.epilogue import Fused


class Linear(Fused):
    """z = x w' + b for rows x (..., I), weights w (O, I) and bias b (O,); y = activation(z + add).

    dx = dz w, dw = dz' x, and db adds up the rows of dz.
    """

    def forward(self, x, w, b, add):
        self.save(x, w)
        z = x @ w.T
        if b is not None:
            z += b
        return self.finish(z, add)

    def backward(self, dy):
        x, w, *kept = self.saved
        dadd = self.back_to_z(dy, kept)
        dx = dw = db = None
        if self.needs[0]:
            dx = dadd @ w
        dz = dadd.reshape(-1, w.shape[0])
        if self.needs[1]:
            dw = dz.T @ x.reshape(-1, w.shape[1])
        if self.needs[2]:
            db = dz.sum(axis=0)
        return dx, dw, db, dadd
