"""Dropout: some of the numbers set to 0, by a coin whose every toss can be looked up.

The coins are counter-based: toss i is a function of (key, counter + i), computed without the tosses
before it, and so in any order, by any number of threads, and again in `backward`. The function is
Philox 4x64-10, as in `numpy.random.Philox`: Salmon, Moraes, Dror, Shaw, "Parallel random numbers:
as easy as 1, 2, 3", 2011. A block of it gives four words of 64 bits, and each word two tosses of 32
bits, the low half first. A toss u keeps its element where u < round(keep 2^32). Elements are
counted in memory order, channels-last.
"""

from __future__ import annotations

import math

import numpy as np

from minicnn.backends import xp
from minicnn.layout import nchw
from minicnn.tensor import Function

TOSSES = 8  # in one block


def blocks(elements: int) -> int:
    """How many blocks (steps of the counter) the tosses for so many elements take."""
    return -(-elements // TOSSES)


def scale(keep: float) -> float:
    """What the kept elements are multiplied by, so that the mean stays; 0 where none is kept."""
    return 1 / keep if keep else 0.0


class Dropout(Function):
    """Each element is 0 with probability 1 - keep: y = x m / keep, m the mask of zeros and ones.

    The gradient goes where the signal went: dx = dy m / keep.
    """

    def forward(self, x):
        mask = self.mask(x)
        self.save(mask)
        return x * mask * scale(self.keep)

    def backward(self, dy):
        (mask,) = self.saved
        return dy * mask * scale(self.keep)

    def mask(self, x):
        """True where an element of x stays."""
        if x.ndim != 4:
            return self.tosses(x, x.shape)
        N, C, H, W = x.shape
        return nchw(self.tosses(x, (N, H, W, C)))

    def tosses(self, x, shape):
        """True or False for each place of a row-major array of this shape, in x's memory."""
        size = math.prod(shape)
        words = np.random.Philox(key=self.key, counter=self.counter).random_raw(4 * blocks(size))
        halves = words.astype("<u8", copy=False).view("<u4")[:size]
        return xp(x).asarray(halves < round(self.keep * 2**32)).reshape(shape)


class Dropout2d(Dropout):
    """Whole channels of an image are 0 with probability 1 - keep: y = x m / keep.

    Neighbouring pixels say nearly the same, so an element dropped alone would hardly be missed.
    """

    def mask(self, x):
        """True where a channel stays: (N, C, 1, 1)."""
        return self.tosses(x, (*x.shape[:2], 1, 1))
