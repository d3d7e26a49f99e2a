"""Winograd's transforms in NumPy: a product with a matrix each, between a copy to and fro.

See `winograd` for the derivation; P = F + 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minicnn.backends.fast import memory
from minicnn.backends.fast.tiles import WORTH_SHARING, Tile, crop, cut, even, length
from minicnn.backends.fast.workers import PerWorker, run

WORKSPACE = 2**27  # bytes of V and M in a stage
FILTERS = 32  # that are transformed at once


@dataclass(frozen=True)
class Transforms:
    """Who does the transforms: NumPy in this file, or compiled code.

    images(x, blocks, padding, F).of(worker, block, out)    fills out (P*P, tiles, C) with V
    outputs(y, blocks, F, end).put(worker, block, M)        fills a block of y from M
    output_gradients(dz, blocks, F).of(worker, block, out)  fills out with dM
    filters(w, F, turned)                                   U (P*P, O, C)
    filter_gradient(dU, F)                                  dw (O, 3, 3, C)
    """

    images: Callable
    outputs: Callable
    output_gradients: Callable
    filters: Callable
    filter_gradient: Callable


B = {
    2: [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
    4: [
        [4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1],
    ],
}  # fmt: skip
G = {
    2: [[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]],
    4: [
        [1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1],
    ],
}  # fmt: skip
A = {
    2: [[1, 1, 1, 0], [0, 1, -1, -1]],
    4: [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
}
A2, B2, G2 = ({F: np.kron(T[F], T[F]).astype(np.float32) for F in T} for T in (A, B, G))


# ---------------------------------------------------------------------------
# Blocks of tiles, and what turns them into matrices and back
# ---------------------------------------------------------------------------
def blocks_of(y, C, F, size):
    """Blocks whose V and M take about `size` bytes; [n, i, j] counts tiles, not pixels."""
    N, OH, OW, O = y.shape
    tiles = max(1, size // ((F + 2) ** 2 * (C + O) * y.itemsize))
    return cut(N, -(-OH // F), -(-OW // F), tiles)


def groups_of(blocks, channels, F):
    """Neighbouring blocks together, as many as the workspace holds."""
    tiles = max(1, WORKSPACE // ((F + 2) ** 2 * channels * 4))
    groups = [[]]
    for t in blocks:
        if groups[-1] and t.rows.stop - groups[-1][0].rows.start > tiles:
            groups.append([])
        groups[-1].append(t)
    return groups


def parts_of(blocks):
    """Where the tiles of neighbouring blocks lie in an array that holds them all."""
    start = blocks[0].rows.start
    return [slice(t.rows.start - start, t.rows.stop - start) for t in blocks]


class Tiles:
    """Tiles of an array (N, H, W, channels), P x P pixels each, F pixels apart, as P*P rows."""

    def __init__(self, array, blocks, offset, P, F):
        self.array, self.offset, self.P, self.F = array, offset, P, F
        self.channels = array.shape[3]
        n, i, j = (max(length(s) for s in axis) for axis in zip(*((t.n, t.i, t.j) for t in blocks)))
        spread = (n, i * F + P - F, j * F + P - F, self.channels)
        self.borders = PerWorker(lambda: memory.empty(spread, array.dtype))
        self.rows = PerWorker(lambda: memory.empty((P * P * n * i * j * self.channels,)))

    def gather(self, worker, t: Tile):
        """The tiles of a block, pixel by pixel: (P*P, tiles*channels)."""
        (n, i, j), P, F = (length(t.n), length(t.i), length(t.j)), self.P, self.F
        border = self.borders[worker][:, : i * F + P - F, : j * F + P - F]
        top, left = t.i.start * F + self.offset[0], t.j.start * F + self.offset[1]
        piece = crop(self.array, t.n, top, left, border)
        sn, sh, sw, sc = piece.strides
        tiles = np.lib.stride_tricks.as_strided(
            piece, (P, P, n, i, j, self.channels), (sh, sw, sn, sh * F, sw * F, sc)
        )
        rows = self.rows[worker][: tiles.size].reshape(tiles.shape)
        np.copyto(rows, tiles)
        return rows.reshape(P * P, -1)


class Images(Tiles):
    """V of x."""

    def __init__(self, x, blocks, padding, F):
        super().__init__(x, blocks, tuple(-p for p in padding), F + 2, F)

    def of(self, worker, t, out):
        """V (P*P, tiles, C) of a block."""
        np.matmul(B2[self.F], self.gather(worker, t), out=out.reshape(len(out), -1))
        return out


class OutputGradients(Tiles):
    """dM of dz."""

    def __init__(self, dz, blocks, F):
        super().__init__(dz, blocks, (0, 0), F, F)

    def of(self, worker, t, out):
        """dM (P*P, tiles, O) of a block."""
        np.matmul(A2[self.F].T, self.gather(worker, t), out=out.reshape(len(out), -1))
        return out


class Outputs:
    """From M to y."""

    def __init__(self, y, blocks, F, end):
        self.y, self.F, self.end = y, F, end
        largest = max(length(t.rows) for t in blocks) * y.shape[3] * F * F
        self.rows = PerWorker(lambda: memory.empty((largest,)))

    def put(self, worker, t, M):
        """Fill a block of y from M (P*P, tiles, O)."""
        F, O, (n, i, j) = self.F, M.shape[2], (length(t.n), length(t.i), length(t.j))
        rows = self.rows[worker][: F * F * length(t.rows) * O].reshape(F * F, -1)
        np.matmul(A2[F], M.reshape(len(M), -1), out=rows)
        tiles = rows.reshape(F, F, n, i, j, O).transpose(2, 3, 0, 4, 1, 5)  # (n, i, F, j, F, O)
        where = t.n, slice(t.i.start * F, t.i.stop * F), slice(t.j.start * F, t.j.stop * F)
        z = self.y[where]
        if z.shape[1:3] == (i * F, j * F):
            z.reshape(tiles.shape)[...] = tiles
        else:  # tiles reach over the edge
            z[...] = tiles.reshape(n, i * F, j * F, O)[:, : z.shape[1], : z.shape[2]]
        if self.end is not None:
            self.end(z, where)


# ---------------------------------------------------------------------------
# Filters
# ---------------------------------------------------------------------------
def filters(w, F, turned):
    """U (P*P, O, C) of w (O, 3, 3, C), or of its filters turned by half a turn."""
    O, C = len(w), w.shape[3]
    transform = G2[F][:, ::-1] if turned else G2[F]
    U = memory.empty((len(transform), O, C), w.dtype)
    pieces = even(O, FILTERS)

    def piece(worker, k):
        cells = w[pieces[k]].reshape(-1, 9, C).transpose(1, 0, 2).reshape(9, -1)  # a copy
        np.matmul(transform, cells, out=U[:, pieces[k]].reshape(len(U), -1))

    run(piece, len(pieces), parallel=U.size * 9 > WORTH_SHARING)
    return U


def filter_gradient(dU, F):
    """dw (O, 3, 3, C) of dU (P*P, O, C)."""
    _, O, C = dU.shape
    dw = memory.empty((O, 9, C), dU.dtype)
    pieces = even(O, FILTERS)

    def piece(worker, k):
        sums = dU[:, pieces[k]]
        cells = G2[F].T @ sums.reshape(len(sums), -1)
        dw[pieces[k]] = cells.reshape(9, -1, C).transpose(1, 0, 2)

    run(piece, len(pieces), parallel=dU.size * 9 > WORTH_SHARING)
    return dw.reshape(O, 3, 3, C)


NUMPY = Transforms(Images, Outputs, OutputGradients, filters, filter_gradient)
