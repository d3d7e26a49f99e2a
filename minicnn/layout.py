"""Memory order and sizes: shapes are NCHW wherever a person reads them, memory is channels-last.

An activation is the transposed view of a contiguous (N, H, W, C) array, so that the channels of one
pixel lie side by side: a row of im2col is then a few long copies, and a 1x1 convolution is one
matrix product without a copy. Weights (O, C, KH, KW) are kept the same way, as (O, KH, KW, C).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

FEW = 8  # channels: fewer are copied one by one, since NumPy's inner loop would be a pixel's,
SMALL = 2**12  # unless it is a small array


def nhwc(x):
    """The contiguous (N, H, W, C) array behind x (N, C, H, W); copied if x is in other order."""
    view = x.transpose(0, 2, 3, 1)
    if view.flags.c_contiguous:
        return view
    if not 1 < x.shape[1] < FEW or x.size < SMALL:
        return view.copy(order="C")
    y = np.empty_like(view, order="C")  # (CuPy's, where x is CuPy's)
    for c in range(x.shape[1]):
        y[..., c] = x[:, c]
    return y


def nchw(y):
    """The (N, C, H, W) view of y (N, H, W, C)."""
    return y.transpose(0, 3, 1, 2)


def channels_last(x):
    """x itself, or if it is 4-D and in another memory order, a channels-last copy of it."""
    if x.ndim != 4 or x.transpose(0, 2, 3, 1).flags.c_contiguous:
        return x
    return nchw(nhwc(x))


def filter_rows(w):
    """w (O, C, KH, KW) as a matrix (O, KH*KW*C): a row for each filter, in im2col's order."""
    return nhwc(w).reshape(w.shape[0], w.shape[1] * w.shape[2] * w.shape[3])


@lru_cache(1024)
def output_size(size, kernel, stride, padding, dilation=(1, 1)):
    """(OH, OW): how often a kernel fits into an image (H, W); each argument is a pair.

    OH = floor((H + 2 PH - DH*(KH - 1) - 1) / SH) + 1. Rows left over at the end are not looked at.
    """
    return tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(size, kernel, stride, padding, dilation)
    )


def rows(x):
    """x (N, C, ...) as (R, C): a column for each channel; no copy if x is channels-last."""
    C = x.shape[1]
    return x.transpose(0, *range(2, x.ndim), 1).reshape(x.size // C, C)


def from_rows(y, shape):
    """The inverse of `rows`: y (R, C) as (N, C, ...)."""
    N, C, *size = shape
    return y.reshape(N, *size, C).transpose(0, len(size) + 1, *range(1, len(size) + 1))
