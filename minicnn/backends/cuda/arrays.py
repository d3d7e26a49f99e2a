"""Functions of arrays that several operations launch."""

from __future__ import annotations

from minicnn.backends import xp
from minicnn.backends.cuda.epilogue import CODES
from minicnn.backends.launch import launch
from minicnn.layout import nhwc

TILE = 16  # of kernels/matmul/tiled.cu


def matmul(a, b, bias=None, add=None, activation=None):
    """activation(a (M, K) @ b (K, N) + bias (N,) + add (M, N)); the last three may be left out.

    Transposed views of a and b are read in place.
    """
    (M, K), N, lib = a.shape, b.shape[1], xp(a)
    y = lib.empty((M, N), a.dtype)
    a, a_steps = _memory(a)
    b, b_steps = _memory(b)
    bias, add = (None if t is None else lib.ascontiguousarray(t) for t in (bias, add))
    args = (a, b, bias, add, y, M, N, K, *a_steps, *b_steps, CODES[activation])
    grid = (-(-M // TILE), -(-N // TILE))
    launch("matmul/tiled.cu", "matmul", grid, (TILE, TILE), args, dtype=y.dtype)
    return y


def _memory(matrix):
    """A contiguous array with the matrix's elements, and its steps in both directions."""
    if matrix.flags.c_contiguous:
        return matrix, (matrix.shape[1], 1)
    if matrix.T.flags.c_contiguous:
        return matrix.T, (1, matrix.shape[0])
    return matrix.copy(order="C"), (matrix.shape[1], 1)


def column_sum(x):
    """x (R, C) added up over its rows: (C,)."""
    R, C = x.shape
    y = xp(x).empty(C, x.dtype)
    launch("reduction/column_sum.cu", "column_sum", (-(-C // 32),), (32, 8), (x, y, R, C),
           dtype=x.dtype)  # fmt: skip
    return y


def contiguous(x):
    """x in memory order that a kernel can run through: 4-D channels-last, else row-major."""
    if x.ndim == 4:
        return nhwc(x)
    return x if x.flags.c_contiguous else x.copy(order="C")
