"""1x1 convolution: a matrix product.

The window of a 1x1 kernel is the pixel itself, so the matrix of windows is x as it lies in memory,
a row of C numbers for each pixel: z = x W, with nothing to copy. With a stride, it is every SH-th
row and SW-th column of x, and the other pixels get no gradient.

    forward          z  = x W         in blocks of pixels, or of filters where pixels are few
    input gradient   dx = dz W'       in blocks of pixels, or of channels
    weight gradient  dW' = dz' x      in blocks of filters or channels, or of pixels: sums

BLAS arranges both factors anew in each call: so the larger one is cut, and the other one is small.

The fully connected layer is the same thing.
"""

from __future__ import annotations

import numpy as np

from minicnn.backends.fast import memory
from minicnn.backends.fast.tiles import even, matrix
from minicnn.backends.fast.workers import run

BLOCK = 2**20  # bytes of a block's rows, those read and those written
PIXELS = 256  # rows of a block at least,
SHARE = 200  # or these, so that there are several: in each, BLAS arranges all of b anew
CHANNELS = 64  # of a block at least, where channels are cut; twice as many of a weight gradient,
FEW_WEIGHTS = 2**14  # unless it has no more than these: then pixels are cut,
PART = 512  # so many at least
WORTH_SHARING = 2**23  # multiplications: one product is faster than two of half the size
WORTH_CUTTING = 2**24  # multiplications, for columns to be cut where b is the larger one


def forward(x, w, geometry, end):
    """y (N, OH, OW, O): the product of pixels and filters, then `end`."""
    y = memory.empty(geometry.y_shape, x.dtype)
    multiply(seen(x, geometry), w.reshape(geometry.O, geometry.C).T, matrix(y), end.of_matrix())
    return y


def input_gradient(dz, w, geometry):
    """dx (N, H, W, C)."""
    g = geometry
    small = memory.empty((*dz.shape[:3], g.C), dz.dtype)
    multiply(matrix(dz), w.reshape(g.O, g.C), matrix(small))
    if small.shape == g.x_shape:
        return small
    dx = memory.empty(g.x_shape, dz.dtype)
    dx[...] = 0
    dx[looked_at(g)] = small
    return dx


def weight_gradient(x, dz, geometry):
    """dw (O, 1, 1, C)."""
    dw = memory.empty(geometry.w_shape, x.dtype)
    multiply_transposed(matrix(dz), seen(x, geometry), dw.reshape(geometry.O, geometry.C))
    return dw


def seen(x, geometry):
    """The pixels that windows look at, as rows (N*OH*OW, C)."""
    return matrix(x[looked_at(geometry)])


def looked_at(geometry):
    """Which pixels of x that is."""
    return slice(None), *(
        slice(0, (many - 1) * s + 1, s) for many, s in zip(geometry.output, geometry.stride)
    )


# ---------------------------------------------------------------------------
# Products, shared by the workers
# ---------------------------------------------------------------------------
def multiply(a, b, out, end=None):
    """out = a b, then `end`, in blocks of rows; of columns where b is the larger one."""
    (R, K), O = a.shape, out.shape[1]
    if R < O and R * K * O > WORTH_CUTTING:
        _multiply_columns(a, b, out, end)
        return
    parallel = R * K * O > WORTH_SHARING
    most = max(PIXELS, BLOCK // ((K + O) * a.itemsize))
    if parallel:
        most = min(most, max(-(-R // 8), min(SHARE, -(-R // 2)), 1))
    blocks = even(R, most)

    def block(worker, k):
        rows = blocks[k]
        np.matmul(a[rows], b, out=out[rows])
        if end is not None:
            end(out[rows], rows)

    run(block, len(blocks), parallel)


def _multiply_columns(a, b, out, end):
    """out = a b, then `end`, in blocks of columns."""
    O = out.shape[1]
    blocks = even(O, max(CHANNELS, -(-O // 8)))

    def block(worker, k):
        columns = np.s_[:, blocks[k]]
        np.matmul(a, b[columns], out=out[columns])
        if end is not None:
            end.of_columns(blocks[k])(out[columns], columns)

    run(block, len(blocks))


def multiply_transposed(a, b, out):
    """out = a' b, in blocks of its longer side; as a sum of parts where out is small."""
    (R, O), K = a.shape, b.shape[1]
    parallel = R * K * O > WORTH_SHARING
    if O * K <= FEW_WEIGHTS and R >= 2 * PART:
        _multiply_parts(a, b, out, even(R, max(PART, -(-R // 8))), parallel)
        return
    blocks = even(max(O, K), max(2 * CHANNELS, -(-max(O, K) // 8)))

    def block(worker, k):
        rows, columns = (blocks[k], np.s_[:]) if O >= K else (np.s_[:], blocks[k])
        np.matmul(a.T[rows], b[:, columns], out=out[rows, columns])

    run(block, len(blocks), parallel=parallel)


def _multiply_parts(a, b, out, parts, parallel):
    """out = a' b, a sum over parts of the rows."""
    sums = memory.empty((len(parts), *out.shape), a.dtype)
    run(lambda _, k: np.matmul(a.T[:, parts[k]], b[parts[k]], out=sums[k]), len(parts), parallel)
    np.sum(sums, axis=0, out=out)
