"""The end of an operation, done to a tile while it is in the cache: bias, shortcut, activation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from minicnn.backends.fast import memory
from minicnn.backends.fast.tiles import CHUNK, even, length, matrix
from minicnn.backends.fast.workers import PerWorker, run

ELEMENTS = 2**18  # of an array worth sharing


# ---------------------------------------------------------------------------
# The end of a forward pass
# ---------------------------------------------------------------------------
def relu(z):
    """max(z, 0) in place (clip is twice as fast as maximum)."""
    np.clip(z, 0, np.inf, out=z)


def relu6(z):
    """min(max(z, 0), 6) in place."""
    np.clip(z, 0, 6, out=z)


IN_TILES = {"relu": relu, "relu6": relu6}  # their slope follows from y, so z need not be kept


@dataclass(frozen=True)
class Ending:
    """y = activation(z + bias + add), for a tile while it is in the cache.

    bias (O,) and add, of y's shape, may be None; activation is a name of IN_TILES, or None.
    """

    bias: np.ndarray | None = None
    add: np.ndarray | None = None
    activation: str | None = None

    def __call__(self, z, where):
        """Turn the tile z = y[where] from z into y."""
        if self.bias is not None:
            z += self.bias
        if self.add is not None:
            z += self.add[where]
        if self.activation is not None:
            IN_TILES[self.activation](z)

    def of_matrix(self):
        """The same for y as a matrix, a row for each pixel."""
        return self if self.add is None else replace(self, add=matrix(self.add))

    def of_columns(self, columns):
        """The same for tiles that have these columns of a matrix alone."""
        return self if self.bias is None else replace(self, bias=self.bias[columns])


class InTiles:
    """A `Fused` operation that adds bias and shortcut and activates tile by tile.

    Its forward ends with `return self.ended(y)`, and its backward begins with
    `dz, db = self.before_the_end(dy, kept)`. An activation whose slope follows from y is applied to
    the tiles; another one gets z whole.
    """

    @staticmethod
    def as_in_memory(array):
        """An input or output as the contiguous array that tiles are cut from."""
        return array

    @property
    def in_tiles(self):
        """The activation that tiles end in; None if there is none, or if it has to see z."""
        return self.activation if self.activation in IN_TILES else None

    def ended(self, y):
        """y as the tiles left it, or activated now; keeps what backward needs."""
        if self.in_tiles is None:
            return self.finish(y, None)
        self.start_part(y)
        self.saved = (*self.saved, y)
        return y

    def before_the_end(self, dy, kept):
        """(dz, db), as in memory; db is None where nobody wants it."""
        if self.in_tiles is None:
            dz = self.as_in_memory(self.back_to_z(dy, kept))
            return dz, column_sum(dz) if self.needs[2] else None
        return through_activation(
            self.as_in_memory(dy), self.as_in_memory(kept[0]), self.activation
        )


# ---------------------------------------------------------------------------
# The beginning of a backward pass
# ---------------------------------------------------------------------------
def passes(y, activation, out):
    """Where the activation let z through, from y."""
    np.greater(y, 0, out=out)
    if activation == "relu6":
        out &= y < 6


def through_activation(dy, y, activation):
    """(dz, db): the gradient of z, and its sum over all pixels, from dy and y (..., O)."""
    O = dy.shape[-1]
    dys, ys = dy.reshape(-1, O), y.reshape(-1, O)
    dz = memory.empty(dy.shape, dy.dtype)
    dzs, chunks = dz.reshape(-1, O), _chunks(dys)
    sums = np.zeros((len(chunks), O), dy.dtype)
    masks = PerWorker(lambda: np.empty((length(chunks[0]) + 1, O), bool))

    def chunk(worker, k):
        rows = chunks[k]
        mask = masks[worker][: length(rows)]
        passes(ys[rows], activation, mask)
        np.multiply(dys[rows], mask, out=dzs[rows])
        sums[k] = np.ones(length(rows), dy.dtype) @ dzs[rows]

    run(chunk, len(chunks), parallel=dy.size > ELEMENTS)
    return dz, sums.sum(axis=0)


def column_sum(dz):
    """The sum of dz (..., O) over all but the last axis."""
    dzs = dz.reshape(-1, dz.shape[-1])
    chunks = _chunks(dzs, 4 * CHUNK)  # they need not stay in the cache
    sums = np.zeros((len(chunks), dzs.shape[1]), dz.dtype)
    ones = np.ones(length(chunks[-1]), dz.dtype)

    def chunk(worker, k):
        rows = chunks[k]
        sums[k] = ones[: length(rows)] @ dzs[rows]  # a product, faster than .sum(0)

    run(chunk, len(chunks), parallel=dz.size > 4 * ELEMENTS)
    return sums.sum(axis=0)


def _chunks(matrix, size=CHUNK):
    return even(len(matrix), max(1, size // (matrix.shape[1] * matrix.itemsize)))
