"""The optimisers' steps as kernels: one launch a parameter, everything in one pass, in place."""

from __future__ import annotations

import math

from minicnn.backends import xp
from minicnn.backends.launch import empty, launch_each
from minicnn.layout import nchw, nhwc


def _order(w):
    """Brings arrays into w's order in memory, and back: (inward, outward), None if it has none."""
    if w.flags.c_contiguous:
        return xp(w).ascontiguousarray, _same
    if w.ndim == 4 and w.transpose(0, 2, 3, 1).flags.c_contiguous:
        return nhwc, nchw
    return None


def _same(array):
    return array


class SGDUpdate:
    """Writes w and v in place."""

    @classmethod
    def step(cls, w, g, v, lr, momentum, weight_decay, nesterov):
        order = _order(w)
        if order is None:
            return super().step(w, g, v, lr, momentum, weight_decay, nesterov)
        inward, outward = order
        memory, first, real = inward(w), v is None, w.dtype.type
        if momentum:
            v = empty(w, memory.shape, w.dtype) if first else inward(v)
        settings = (real(lr), real(momentum), real(weight_decay), int(nesterov), int(first))
        args = (memory, inward(g), v, w.size, *settings)
        launch_each("optim/sgd.cu", "sgd", w.size, args, dtype=w.dtype, channels=w.size)
        return w, None if v is None else outward(v)


class AdamUpdate:
    """Writes w, m, v and `largest` in place."""

    @classmethod
    def step(cls, w, g, m, v, largest, t, lr, betas, eps):
        state = [a for a in (m, v, largest) if a is not None]
        order = _order(w)
        if order is None or any(a.strides != w.strides for a in state):
            return super().step(w, g, m, v, largest, t, lr, betas, eps)
        inward, real, (b1, b2) = order[0], w.dtype.type, betas
        arrays = (None if a is None else inward(a) for a in (w, g, m, v, largest))
        rate, root = lr / (1 - b1**t), math.sqrt(1 - b2**t)
        settings = map(real, (1 - b1, b2, 1 - b2, rate, root, eps))
        args = (*arrays, w.size, *settings)
        launch_each("optim/adam.cu", "adam", w.size, args, dtype=w.dtype)
        return w


OPERATIONS = (SGDUpdate, AdamUpdate)
