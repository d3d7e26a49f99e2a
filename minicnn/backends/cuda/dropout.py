"""Dropout as kernels; no mask is stored, `backward` tosses the same coins again."""

from __future__ import annotations

import numpy as np

from minicnn.backends import xp
from minicnn.backends.cuda.arrays import contiguous
from minicnn.backends.launch import launch_each
from minicnn.layout import nchw, nhwc

FILE = "dropout/dropout.cu"
TOSSES = 8  # of one block of Philox, and so of one thread


class Dropout:
    """A thread per block of eight elements."""

    def forward(self, x):
        return self.thinned(x)

    def backward(self, dy):
        return self.thinned(dy)

    def thinned(self, x):
        y = self.toss(contiguous(x))
        return nchw(y) if y.ndim == 4 else y

    def toss(self, x):
        """Dropout of a row-major array."""
        y = xp(x).empty(x.shape, x.dtype)
        numbers = np.array([self.key, self.counter, round(self.keep * 2**32)], np.uint64)
        scale = 1 / self.keep if self.keep else 0.0
        args = (x, y, x.size, *numbers, x.dtype.type(scale))
        launch_each(FILE, "dropout", -(-x.size // TOSSES), args, dtype=x.dtype)
        return y


class Dropout2d(Dropout):
    """Factors for N*C channels by dropout of ones, then a thread per element."""

    def thinned(self, x):
        N, C, H, W = x.shape
        x, lib = nhwc(x), xp(x)
        factor, y = self.toss(lib.ones((N, C), x.dtype)), lib.empty(x.shape, x.dtype)
        args = (x, factor, y, y.size, C, H * W)
        launch_each(FILE, "scale_channels", y.size, args, dtype=x.dtype)
        return nchw(y)


OPERATIONS = (Dropout, Dropout2d)
