"""The sum at the end of a residual block, in memory that was used before."""

from __future__ import annotations

import numpy as np

from minicnn.backends.fast import memory
from minicnn.backends.fast.activation import SMALL, in_parts
from minicnn.backends.fast.rows import flat


class Add:
    """y = a + b, a part a thread where nothing is broadcast."""

    def forward(self, a, b):
        if a.size < SMALL or a.shape != b.shape or a.dtype != b.dtype:
            return super().forward(a, b)
        y = memory.empty_like(a)
        left, right, target = flat(a), flat(b), flat(y)

        def part(worker, which):
            np.add(left[which], right[which], out=target[which])

        in_parts(left, part)
        return y


OPERATIONS = (Add,)
