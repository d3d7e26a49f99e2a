"""Memory order: shapes are NCHW wherever a person reads them, memory is channels-last.

An activation is the transposed view of a contiguous (N, H, W, C) array, so that the channels of one
pixel lie side by side: a row of im2col is then a few long copies, and a 1x1 convolution is one
matrix product without a copy. Weights (O, C, KH, KW) are kept the same way, as (O, KH, KW, C).
"""

from __future__ import annotations


def nhwc(x):
    """The contiguous (N, H, W, C) array behind x (N, C, H, W); copied if x is in other order."""
    view = x.transpose(0, 2, 3, 1)
    return view if view.flags.c_contiguous else view.copy(order="C")


def nchw(y):
    """The (N, C, H, W) view of y (N, H, W, C)."""
    return y.transpose(0, 3, 1, 2)


def channels_last(x):
    """x itself, or if it is 4-D and in another memory order, a channels-last copy of it."""
    if x.ndim != 4 or x.transpose(0, 2, 3, 1).flags.c_contiguous:
        return x
    return nchw(nhwc(x))
