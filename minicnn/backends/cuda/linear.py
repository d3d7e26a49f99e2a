"""The fully connected layer as kernels."""

from __future__ import annotations

from minicnn.backends import xp
from minicnn.backends.cuda.epilogue import InKernel
from minicnn.backends.cuda.matmul import matmul
from minicnn.backends.cuda.reduction import column_sum


class Linear(InKernel):
    """Three matrix products and a column sum."""

    def forward(self, x, w, b, add):
        self.save(x, w)
        add = None if add is None else add.reshape(-1, w.shape[0])
        y = matmul(x.reshape(-1, w.shape[1]), w.T, b, add, self.in_kernel)
        return self.finish(y.reshape(*x.shape[:-1], w.shape[0]))

    def backward(self, dy):
        x, w, *kept = self.saved
        dadd = self.back_to_z(dy, kept)
        dz = xp(dy).ascontiguousarray(dadd.reshape(-1, w.shape[0]))
        dx = dw = db = None
        if self.needs[0]:
            dx = matmul(dz, w).reshape(x.shape)
        if self.needs[1]:
            dw = matmul(dz.T, x.reshape(-1, w.shape[1]))
        if self.needs[2]:
            db = column_sum(dz)
        return dx, dw, db, dadd


OPERATIONS = (Linear,)
