"""Convolution as kernels: im2col, a matrix product, col2im."""

from __future__ import annotations

from minicnn.backends import xp
from minicnn.backends.cuda.arrays import column_sum, matmul, output_size
from minicnn.backends.launch import launch_each
from minicnn.layout import nchw, nhwc


def im2col(xh, size, kernel, stride, padding):
    """The windows of xh (N, H, W, C) as rows: (N*OH*OW, KH*KW*C), for size (OH, OW)."""
    N, H, W, C = xh.shape
    col = xp(xh).empty((N * size[0] * size[1], kernel[0] * kernel[1] * C), xh.dtype)
    args = (xh, col, col.size, C, H, W, *size, *kernel, *stride, *padding)
    launch_each("conv/im2col.cu", "im2col", col.size, args, dtype=col.dtype)
    return col


def col2im(col, shape, size, kernel, stride, padding):
    """The adjoint of im2col: an array (N, H, W, C) from the rows, for x of shape (N, C, H, W)."""
    N, C, H, W = shape
    dx = xp(col).empty((N, H, W, C), col.dtype)
    args = (col, dx, dx.size, C, H, W, *size, *kernel, *stride, *padding)
    launch_each("conv/col2im.cu", "col2im", dx.size, args, dtype=col.dtype)
    return dx


class Conv2d:
    """im2col and a matrix product; gradients by two products and col2im."""

    def forward(self, x, w, b):
        self.save(x, w)
        O, C, *kernel = w.shape
        size = output_size(x.shape, kernel, self.stride, self.padding)
        col = im2col(nhwc(x), size, kernel, self.stride, self.padding)
        y = matmul(col, nhwc(w).reshape(O, -1).T, b)
        return nchw(y.reshape(x.shape[0], *size, O))

    def backward(self, dy):
        x, w = self.saved
        O, C, *kernel = w.shape
        geometry = (dy.shape[2:], kernel, self.stride, self.padding)
        dy = nhwc(dy).reshape(-1, O)
        dx = dw = db = None
        if self.needs[0]:
            dx = nchw(col2im(matmul(dy, nhwc(w).reshape(O, -1)), x.shape, *geometry))
        if self.needs[1]:
            dw = nchw(matmul(dy.T, im2col(nhwc(x), *geometry)).reshape(O, *kernel, C))
        if self.needs[2]:
            db = column_sum(dy)
        return dx, dw, db


OPERATIONS = (Conv2d,)
