"""A matrix (R, C) walked through in pieces that stay in a core's cache.

A channel's numbers stand C apart, and a vector of C numbers, one a channel, is to meet each row.
NumPy's inner loop is one row long, which is short where there are few channels. So `Pieces` takes k
rows for one, with the vector repeated k times: the same memory, read as a matrix (R/k, k C), with
the R mod k rows that are left over in a piece of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from minicnn.backends.fast import memory
from minicnn.backends.fast.ending import CHUNK, ELEMENTS
from minicnn.backends.fast.tiles import even
from minicnn.backends.fast.workers import PerWorker, run

WIDTH = 256  # numbers in a row of a piece, or about so many


@dataclass(frozen=True)
class Piece:
    """Elements `start` to `stop`, as a matrix of rows `width` long, a multiple of C."""

    start: int
    stop: int
    width: int

    def of(self, array):
        """This piece of an array whose elements lie together."""
        return array.reshape(-1)[self.start : self.stop].reshape(-1, self.width)

    def scratch(self, buffer):
        """As much of a flat buffer as this piece has, in its shape."""
        return buffer[: self.stop - self.start].reshape(-1, self.width)


@lru_cache(256)
def pieces(R, C, itemsize) -> tuple[Piece, ...]:
    """The pieces of a matrix (R, C)."""
    k = max(1, WIDTH // C)
    width, whole = k * C, R // k
    most = max(1, CHUNK // (width * itemsize))
    found = [Piece(a.start * width, a.stop * width, width) for a in even(whole, most) if whole]
    if R % k:
        found.append(Piece(whole * width, R * C, R % k * C))
    return tuple(found)


class Rows:
    """The pieces of a matrix (R, C), for `each`; scratch and sums that fit them."""

    def __init__(self, shape, dtype):
        (self.R, self.C), self.dtype = shape, dtype
        self.pieces = pieces(self.R, self.C, dtype.itemsize)
        self.largest = max((piece.stop - piece.start for piece in self.pieces), default=0)
        self.ones = np.ones(max(self.largest // max(self.C, 1), 1), dtype)

    def each(self, function):
        """Call function(worker, i, piece) for all pieces, on several threads if it is worth it."""
        parallel = self.R * self.C > ELEMENTS
        run(lambda worker, i: function(worker, i, self.pieces[i]), len(self.pieces), parallel)

    def scratch(self, dtype=None):
        """A buffer of a piece's size for each worker."""
        return PerWorker(lambda: memory.empty((self.largest,), dtype or self.dtype))

    def wide(self, vector):
        """A vector (C,), repeated as often as a piece's row needs; slice it to the row's width."""
        repeats = max((piece.width for piece in self.pieces), default=0) // max(self.C, 1)
        return np.tile(vector.astype(self.dtype, copy=False), repeats)

    def sums(self, count):
        """Room for `count` sums over the rows, piece by piece: (pieces, count, C)."""
        return np.zeros((len(self.pieces), count, self.C))

    def add_up(self, array):
        """The sum over the rows of a piece: (C,), in float64 at the end.

        A product with ones is several times faster than `.sum(axis=0)`.
        """
        lines = self.ones[: len(array)] @ array
        return lines.reshape(-1, self.C).sum(axis=0, dtype=np.float64)


def flat(array):
    """The array's elements as they lie in memory, channels-last if it is 4-D: a view if it can."""
    if array.ndim == 4:
        array = array.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(array).reshape(-1)
