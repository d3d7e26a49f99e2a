"""ReLU and ReLU6; backward piece by piece: the slope's mask, a byte an element, stays in the cache.

y and the gradient of x are the only arrays as large as x. `clip` is twice as fast as `maximum`, and
hands a NaN on as well.
"""

from __future__ import annotations

import numpy as np

from minicnn.backends.fast import memory
from minicnn.backends.fast.ending import CHUNK, ELEMENTS, passes
from minicnn.backends.fast.rows import flat
from minicnn.backends.fast.tiles import even, length
from minicnn.backends.fast.workers import PerWorker, get_num_threads, run

SMALL = 2**13  # elements, below which the readable drawing is as fast


class ReLU:
    """y = max(x, 0)."""

    kind, most = "relu", np.inf

    def forward(self, x):
        if x.size < SMALL:
            return super().forward(x)
        y = memory.empty_like(x) if self.out is None else self.out
        source, target = flat(x), flat(y)

        def part(worker, which):
            np.clip(source[which], 0, self.most, out=target[which])

        in_parts(source, part)
        self.save(y)
        return y

    def backward(self, dy):
        (y,) = self.saved
        if y.size < SMALL:
            return super().backward(dy)
        dx = memory.empty_like(dy)
        kept, source, target = flat(y), flat(dy), flat(dx)
        masks = PerWorker(lambda: memory.empty((CHUNK // dy.itemsize,), bool))

        def piece(worker, part):
            mask = masks[worker][: length(part)]
            passes(kept[part], self.kind, mask)
            np.multiply(source[part], mask, out=target[part])

        in_pieces(source, piece)
        return dx


class ReLU6(ReLU):
    """y = min(max(x, 0), 6)."""

    kind, most = "relu6", 6


def in_parts(array, function):
    """Call function(worker, slice) for parts of a flat array, one a thread: nothing is kept."""
    if len(array) > 4 * ELEMENTS:  # they are walked through once
        parts = even(len(array), -(-len(array) // get_num_threads()))
        run(lambda worker, k: function(worker, parts[k]), len(parts))
    else:
        function(0, slice(None))


def in_pieces(array, function):
    """Call function(worker, slice) for pieces of a flat array that stay in the cache."""
    parts = even(len(array), CHUNK // array.itemsize)
    if len(array) > ELEMENTS:
        run(lambda worker, k: function(worker, parts[k]), len(parts))
    else:  # without `run`, which holds BLAS: there is no product here
        for part in parts:
            function(0, part)


OPERATIONS = (ReLU, ReLU6)
