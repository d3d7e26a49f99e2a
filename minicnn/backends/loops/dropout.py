"""Dropout, one toss at a time; Philox 4x64-10 in plain integers."""

from __future__ import annotations

import numpy as np

from minicnn.backends.loops.windows import indices

MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
INCREMENTS = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)  # of the key, from round to round
WORD = 2**64


def philox(counter, key):
    """Four 64-bit words for a counter of four words and a key of two: ten rounds of products.

    A round multiplies two words to 128 bits each, and crosses over high halves, low halves, the
    other two words and the key. Salmon and others, 2011.
    """
    for _ in range(10):
        high_0, low_0 = divmod(counter[0] * MULTIPLIERS[0], WORD)
        high_1, low_1 = divmod(counter[2] * MULTIPLIERS[1], WORD)
        counter = (high_1 ^ counter[1] ^ key[0], low_1, high_0 ^ counter[3] ^ key[1], low_0)
        key = tuple((k + step) % WORD for k, step in zip(key, INCREMENTS))
    return counter


def toss(element, key, counter):
    """The 32-bit random number of one element."""
    block, place = divmod(element, 8)
    words = philox((counter + 1 + block, 0, 0, 0), (key, 0))  # NumPy's first block is counter + 1
    word = words[place // 2]
    return word >> 32 if place % 2 else word % 2**32


class Dropout:
    """y = x / keep where u < round(keep 2^32), else 0; u is the toss of x's place in memory."""

    def forward(self, x):
        return self.thinned(x)

    def backward(self, dy):
        return self.thinned(dy)  # the same tosses again

    def thinned(self, x):
        y = np.zeros_like(x)
        for k in indices(*x.shape):
            stays = toss(self.place(k, x.shape), self.key, self.counter) < round(self.keep * 2**32)
            factor = 1 / self.keep if stays else 0.0
            y[k] = x[k] * x.dtype.type(factor)
        return y

    def place(self, index, shape):
        """Where an element lies in memory: images are channels-last."""
        if len(shape) == 4:
            (n, c, h, w), (N, C, H, W) = index, shape
            index, shape = (n, h, w, c), (N, H, W, C)
        place = 0
        for i, size in zip(index, shape):
            place = place * size + i
        return place


class Dropout2d(Dropout):
    """As dropout, with one toss for each channel of each image."""

    def place(self, index, shape):
        return index[0] * shape[1] + index[1]


OPERATIONS = (Dropout, Dropout2d)
