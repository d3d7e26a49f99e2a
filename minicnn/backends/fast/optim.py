"""The optimiser's step in place: no array but w and v is written, and each is walked once."""

from __future__ import annotations

import numpy as np

from minicnn.backends.fast import memory
from minicnn.backends.fast.activation import SMALL, in_pieces
from minicnn.backends.fast.ending import CHUNK
from minicnn.backends.fast.rows import flat
from minicnn.backends.fast.tiles import length
from minicnn.backends.fast.workers import PerWorker


class SGDUpdate:
    """The readable step's formulas in its order, so with its very bits."""

    @classmethod
    def step(cls, w, g, v, lr, momentum, weight_decay, nesterov):
        if w.size < SMALL:
            return super().step(w, g, v, lr, momentum, weight_decay, nesterov)
        if momentum and v is None:
            v, first = memory.empty_like(w), True
        else:
            first = False
        target, gradient, velocity = flat(w), flat(g), flat(v) if momentum else None
        if not all(np.may_share_memory(flat(a), a) for a in (w, v) if a is not None):
            # in an order that cannot be walked
            return super().step(w, g, None if first else v, lr, momentum, weight_decay, nesterov)
        scratch = PerWorker(lambda: memory.empty((2, CHUNK // w.itemsize), w.dtype))

        def piece(worker, part):
            weights, move = target[part], gradient[part]
            u, ahead = scratch[worker][:, : length(part)]
            if weight_decay:
                move = np.add(move, np.multiply(weights, weight_decay, out=u), out=u)
            if momentum:
                past = velocity[part]
                if first:
                    past[...] = move
                else:
                    past *= momentum
                    past += move
                if nesterov:
                    move = np.add(move, np.multiply(past, momentum, out=ahead), out=ahead)
                else:
                    move = past
            weights -= np.multiply(move, lr, out=u)

        in_pieces(target, piece)
        return w, v


OPERATIONS = (SGDUpdate,)
