"""Few channels, as in LeNet: several neighbouring outputs at once, by a banded matrix.

With one channel in and six out, the matrices of im2col are so thin that copying short runs and
multiplying thin matrices takes most of the time. So let J neighbours along a row of the output
share one window, which is as wide as all of them need, KW' = (J - 1) SW + (KW - 1) DW + 1. Its row
of col is a single one, with longer runs, and the J O results are one row of z:

    z[i, J b + j, o] = sum over (u, k, c) of
                       x[i SH + u DH - PH, b J SW + k - PW, c] T[u, k, c, j, o],

    T[u, k, c, j, o] = w[o, u, v, c]  where k = j SW + v DW, and 0 elsewhere.

T is banded. For a filter row (a, b, c) and J = 4 it is, a row for each k and a column for each j,

    a . . .
    b a . .
    c b a .
    . c b a
    . . c b
    . . . c

That is a convolution again, with the kernel (KH, KW'), the stride (SH, J SW) and J O filters, whose
output lies in memory just as that of the first: `tiled` computes it. Multiplying by the zeros of T
is wasted work, KW' / (J KW) of the copying is what it saves.

**Gradients.** dw[o, u, v, c] is the sum over j of dT[u, j SW + v DW, c, j, o], along the diagonals.
The input gradient is a convolution of dz with stride 1 (see `tiled`), made in the same way.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from minicnn.backends.fast import memory, tiled
from minicnn.backends.fast.ending import Ending
from minicnn.backends.geometry import Geometry

FILTERS = 48  # J O is the largest that is not above this: wide enough for a fast product


def forward(x, w, geometry, end, correlate_wide=tiled.in_tiles, filters=FILTERS):
    """y (N, OH, OW, O)."""
    y = memory.empty(geometry.y_shape, x.dtype)
    correlate(x, w.transpose(1, 2, 3, 0), y, geometry, end, correlate_wide, filters)
    return y


def input_gradient(dz, w, geometry, correlate_wide=tiled.in_tiles, filters=FILTERS):
    """dx (N, H, W, C)."""
    if geometry.stride != (1, 1):  # the pixels of a class are no neighbours
        return tiled.input_gradient(dz, w, geometry)
    dx = memory.empty(geometry.x_shape, dz.dtype)
    ((_, _, back),) = tiled.classes(geometry)
    turned = w.transpose(1, 2, 0, 3)[::-1, ::-1]
    correlate(dz, turned, dx, back, None, correlate_wide, filters)
    return dx


def weight_gradient(x, dz, geometry, gradient_wide=tiled.weight_gradient, J=None):
    """dw (O, KH, KW, C), of J neighbours at a time."""
    g, J = geometry, J or neighbours(geometry)
    dT = gradient_wide(x, dz, widened(g, J)).reshape(J, g.O, g.kernel[0], -1, g.C)
    dw = memory.empty(g.w_shape, x.dtype)
    dw[...] = 0
    for j in range(J):
        dw += dT[j][:, :, columns(g, j)]
    return dw


def correlate(x, w, y, geometry, end=None, correlate_wide=tiled.in_tiles, filters=FILTERS):
    """Fill y with x convolved with w (KH, KW, C, O), J neighbours at a time; then `end`."""
    g, J = geometry, neighbours(geometry, filters)
    wide = widened(g, J)
    T = np.zeros((*wide.kernel, g.C, J, g.O), w.dtype)
    for j in range(J):
        T[:, columns(g, j), :, j] = w
    if end is not None:
        bias = None if end.bias is None else np.tile(end.bias, J)
        add = None if end.add is None else end.add.reshape(wide.y_shape)
        end = Ending(bias, add, end.activation)
    correlate_wide(x, T.reshape(1, wide.window, wide.O), y.reshape(wide.y_shape), wide, end)


@lru_cache(256)
def neighbours(geometry, filters=FILTERS):
    """J: it divides OW, and J O is at most `filters`."""
    g = geometry
    fitting = [J for J in range(1, g.output[1] + 1) if g.output[1] % J == 0 and filters >= J * g.O]
    return max(fitting, default=1)


@lru_cache(256)
def widened(geometry, J) -> Geometry:
    """The convolution that makes J neighbours as one output pixel with J O channels."""
    g = geometry
    return replace(
        g, O=J * g.O, output=(g.output[0], g.output[1] // J),
        kernel=(g.kernel[0], (J - 1) * g.stride[1] + (g.kernel[1] - 1) * g.dilation[1] + 1),
        stride=(g.stride[0], J * g.stride[1]), dilation=(g.dilation[0], 1),
    )  # fmt: skip


def columns(geometry, j):
    """Where the KW columns of the kernel of neighbour j lie in the wide window."""
    start, D, KW = j * geometry.stride[1], geometry.dilation[1], geometry.kernel[1]
    return slice(start, start + (KW - 1) * D + 1, D)
