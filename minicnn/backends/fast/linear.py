"""The fully connected layer: the products of a 1x1 convolution, without an image."""

from __future__ import annotations

from minicnn.backends.fast import memory
from minicnn.backends.fast.ending import Ending, InTiles
from minicnn.backends.fast.product import multiply, multiply_transposed
from minicnn.backends.fast.tiles import matrix


class Linear(InTiles):
    """z = x w' + b in blocks of rows; dx in blocks of rows, dw in blocks of columns."""

    def forward(self, x, w, b, add):
        self.save(x, w)
        y = memory.empty((*x.shape[:-1], len(w)), x.dtype)
        multiply(matrix(x), w.T, matrix(y), Ending(b, add, self.in_tiles).of_matrix())
        return self.ended(y)

    def backward(self, dy):
        x, w, *kept = self.saved
        dz, db = self.before_the_end(dy, kept)
        dx = dw = None
        if self.needs[0]:
            dx = memory.empty(x.shape, x.dtype)
            multiply(matrix(dz), w, matrix(dx))
        if self.needs[1]:
            dw = memory.empty(w.shape, w.dtype)
            multiply_transposed(matrix(dz), matrix(x), dw)
        return dx, dw, db, dz


OPERATIONS = (Linear,)
