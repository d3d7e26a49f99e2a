"""Convolution, as im2col and a matrix product."""

from __future__ import annotations

from minicnn.layout import nchw, nhwc
from minicnn.ops.windows import col2im, im2col, output_size
from minicnn.tensor import Function


class Conv2d(Function):
    """Cross-correlation of x (N, C, H, W) with O filters w (O, C, KH, KW), plus a bias b (O,).

    y[n,o,i,j] = b[o] + sum over (c,u,v) of x[n, c, i*SH + u - PH, j*SW + v - PW] w[o,c,u,v].

    With a window per row (im2col) that is one matrix product, y = col w' + b. So its gradients are
    dw = dy' col and dcol = dy w, and dx adds up dcol where windows overlap (col2im).
    """

    def forward(self, x, w, b):
        self.save(x, w)
        N, _, H, W = x.shape
        O, _, *kernel = w.shape
        OH, OW = output_size((H, W), kernel, self.stride, self.padding)
        y = im2col(x, kernel, self.stride, self.padding) @ rows(w).T
        if b is not None:
            y += b
        return nchw(y.reshape(N, OH, OW, O))

    def backward(self, dy):
        x, w = self.saved
        kernel = w.shape[2:]
        dy = nhwc(dy).reshape(-1, w.shape[0])  # a row per output pixel, as in col
        dx = dw = db = None
        if self.needs[0]:
            dx = col2im(dy @ rows(w), x.shape, kernel, self.stride, self.padding)
        if self.needs[1]:
            col = im2col(x, kernel, self.stride, self.padding)
            dw = nchw((dy.T @ col).reshape(nhwc(w).shape))
        if self.needs[2]:
            db = dy.sum(axis=0)
        return dx, dw, db


def rows(w):
    """The filters w (O, C, KH, KW) as a matrix (O, KH*KW*C), a row each, in im2col's order."""
    return nhwc(w).reshape(w.shape[0], w.shape[1] * w.shape[2] * w.shape[3])
