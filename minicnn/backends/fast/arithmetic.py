"""The sum at the end of a residual block, in memory that was used before."""

from __future__ import annotations

import numpy as np

from minicnn.backends.fast import memory
from minicnn.backends.fast.activation import SMALL, in_pieces
from minicnn.backends.fast.rows import flat


class Add:
    """y = a + b, piece by piece where nothing is broadcast."""

    def forward(self, a, b):
        if a.size < SMALL or a.shape != b.shape or a.dtype != b.dtype:
            return super().forward(a, b)
        y = memory.empty_like(a)
        left, right, target = flat(a), flat(b), flat(y)

        def piece(worker, part):
            np.add(left[part], right[part], out=target[part])

        in_pieces(left, piece)
        return y


OPERATIONS = (Add,)
