"""Pooling: every window becomes one number, each channel by itself."""

from __future__ import annotations

import numpy as np

from minicnn.backends import xp
from minicnn.layout import nchw, nhwc
from minicnn.ops.windows import pad, unpad, windows
from minicnn.tensor import Function


class MaxPool2d(Function):
    """Largest value of each window.

    y[n,c,i,j] = max over (u,v) of x[n, c, i*SH + u - PH, j*SW + v - PW]; the padding counts as
    -infinity, so it never wins, and a NaN does. The gradient flows to the window's first maximum in
    row-major order: dx[n,c,h,w] = sum of dy[n,c,i,j] over the windows whose maximum sits at (h,w).
    """

    def forward(self, x):
        view = windows(pad(nhwc(x), self.padding, -np.inf), self.kernel, self.stride)
        N, OH, OW, KH, KW, C = view.shape
        cells = view.reshape(N, OH, OW, KH * KW, C)
        winner = cells.argmax(axis=3)
        y = xp(x).take_along_axis(cells, winner[:, :, :, None], axis=3)[:, :, :, 0]
        self.save(inside(winner, x.shape, self.kernel, self.stride, self.padding))
        return nchw(y)

    def backward(self, dy):
        (winner,) = self.saved
        (PH, PW), (N, C, H, W) = self.padding, self.shapes[0]
        dy = nhwc(dy)
        dx = xp(dy).zeros((N, H + 2 * PH, W + 2 * PW, C), dy.dtype)
        target = windows(dx, self.kernel, self.stride)
        for k, (u, v) in enumerate(np.ndindex(*self.kernel)):
            target[:, :, :, u, v] += dy * (winner == k)
        return nchw(unpad(dx, self.padding))


def inside(winner, shape, kernel, stride, padding):
    """Winners u*KW + v (N, OH, OW, C), moved out of the padding.

    Only in a window of nothing but -infinity does the padding win, at (0, 0); the first maximum is
    then the first cell inside the image.
    """
    lib, KW = xp(winner), kernel[1]
    _, OH, OW, _ = winner.shape
    first_u = lib.maximum(padding[0] - lib.arange(OH) * stride[0], 0)[:, None, None]
    first_v = lib.maximum(padding[1] - lib.arange(OW) * stride[1], 0)[:, None]
    u, v = lib.maximum(winner // KW, first_u), lib.maximum(winner % KW, first_v)
    return (u * KW + v).astype(np.int32)


class AvgPool2d(Function):
    """Mean of each window; the padding counts as zeros.

    y[n,c,i,j] = 1/(KH KW) sum over (u,v) of x[n, c, i*SH + u - PH, j*SW + v - PW]. Every cell of a
    window gets an equal share of its gradient.
    """

    def forward(self, x):
        view = windows(pad(nhwc(x), self.padding), self.kernel, self.stride)
        return nchw(view.mean(axis=(3, 4)))

    def backward(self, dy):
        (PH, PW), (N, C, H, W) = self.padding, self.shapes[0]
        share = nhwc(dy) / (self.kernel[0] * self.kernel[1])
        dx = xp(dy).zeros((N, H + 2 * PH, W + 2 * PW, C), dy.dtype)
        target = windows(dx, self.kernel, self.stride)
        for u, v in np.ndindex(*self.kernel):
            target[:, :, :, u, v] += share
        return nchw(unpad(dx, self.padding))
