"""The windows that a kernel sees, shared by convolution and pooling.

Output pixel (i, j) looks at the input pixels (i*SH + u*DH, j*SW + v*DW), for u < KH and v < KW, of
the padded input; a dilation D over 1 leaves gaps, so that a kernel spans DH*(KH - 1) + 1 rows. Of a
size H, a kernel with stride SH and padding PH fits OH = floor((H + 2 PH - DH*(KH - 1) - 1) / SH) +
1 times; rows that are left over at the end are not looked at.
"""

from __future__ import annotations

import numpy as np

from minicnn.backends import xp
from minicnn.layout import nchw, nhwc, output_size


def pad(xh, padding, value=0):
    """xh (N, H, W, C) with PH rows and PW columns of `value` on each side."""
    (PH, PW), (N, H, W, C) = padding, xh.shape
    if not PH and not PW:
        return xh
    padded = xp(xh).full((N, H + 2 * PH, W + 2 * PW, C), value, xh.dtype)
    padded[:, PH : PH + H, PW : PW + W] = xh
    return padded


def unpad(xh, padding):
    """The inverse of `pad`: xh (N, H, W, C) without its border."""
    (PH, PW), (_, H, W, _) = padding, xh.shape
    return xh[:, PH : H - PH, PW : W - PW]


def windows(xh, kernel, stride, dilation=(1, 1), size=None):
    """Every window of xh (N, H, W, C) as a view (N, OH, OW, KH, KW, C): no element is copied.

    Overlapping windows share memory, so a sum into all of them at once would lose terms; the cell
    (u, v) of all windows, `windows(...)[:, :, :, u, v]`, never names an element twice. `size` is
    (OH, OW) where fewer windows are wanted than fit.
    """
    (KH, KW), (SH, SW), (DH, DW) = kernel, stride, dilation
    N, H, W, C = xh.shape
    OH, OW = size or output_size((H, W), kernel, stride, (0, 0), dilation)
    n, h, w, c = xh.strides
    return xp(xh).lib.stride_tricks.as_strided(
        xh, (N, OH, OW, KH, KW, C), (n, h * SH, w * SW, h * DH, w * DW, c)
    )


def im2col(x, kernel, stride, padding, dilation=(1, 1), size=None):
    """One row per output pixel holding the window it looks at: (N*OH*OW, KH*KW*C).

    Row (n, i, j), column (u, v, c) is x[n, c, i*SH + u*DH - PH, j*SW + v*DW - PW], or 0 in the
    padding.
    """
    view = windows(pad(nhwc(x), padding), kernel, stride, dilation, size)
    N, OH, OW, KH, KW, C = view.shape
    return view.reshape(N * OH * OW, KH * KW * C)


def col2im(col, shape, kernel, stride, padding, dilation=(1, 1), size=None):
    """The adjoint of im2col: each pixel of x (N, C, H, W) gets the sum of its copies in `col`."""
    (KH, KW), (PH, PW), (N, C, H, W) = kernel, padding, shape
    padded = xp(col).zeros((N, H + 2 * PH, W + 2 * PW, C), col.dtype)
    target = windows(padded, kernel, stride, dilation, size)
    source = col.reshape(target.shape)
    for u, v in np.ndindex(KH, KW):
        target[:, :, :, u, v] += source[:, :, :, u, v]
    return nchw(unpad(padded, padding))
