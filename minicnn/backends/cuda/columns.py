"""Convolution as im2col and a matrix product, both of our own kernels: what is shown first."""

from __future__ import annotations

from minicnn.backends import xp
from minicnn.backends.cuda.matmul import matmul
from minicnn.backends.launch import launch_each


def im2col(xh, size, kernel, stride, padding, dilation):
    """The windows of xh (N, H, W, C) as rows: (N*OH*OW, KH*KW*C), for size (OH, OW)."""
    N, H, W, C = xh.shape
    col = xp(xh).empty((N * size[0] * size[1], kernel[0] * kernel[1] * C), xh.dtype)
    args = (xh, col, col.size, C, H, W, *size, *kernel, *stride, *padding, *dilation)
    launch_each("conv/im2col.cu", "im2col", col.size, args, dtype=col.dtype)
    return col


def col2im(col, shape, size, kernel, stride, padding, dilation):
    """The adjoint of im2col: an array (N, H, W, C) of that shape from the rows."""
    N, H, W, C = shape
    dx = xp(col).empty(shape, col.dtype)
    args = (col, dx, dx.size, C, H, W, *size, *kernel, *stride, *padding, *dilation)
    launch_each("conv/col2im.cu", "col2im", dx.size, args, dtype=col.dtype)
    return dx


def forward(x, w, bias, add, geometry, activation=None):
    """activation(conv(x, w) + bias + add), as an array (N, OH, OW, G*O)."""
    g, y = geometry, []
    for k in range(g.G):
        filters = slice(k * g.O, (k + 1) * g.O)
        b = None if bias is None else bias[filters]
        a = None if add is None else add[..., filters].reshape(g.pixels, g.O)
        col = im2col(group(x, k, g.C), g.output, *windows(g))
        y.append(matmul(col, w[filters].reshape(g.O, g.window).T, b, a, activation))
    return join(xp(x), y, 1).reshape(g.y_shape)


def input_gradient(dy, w, geometry):
    """dx (N, H, W, G*C)."""
    g, dx = geometry, []
    for k in range(g.G):
        dyk = group(dy, k, g.O).reshape(g.pixels, g.O)
        dcol = matmul(dyk, w[k * g.O : (k + 1) * g.O].reshape(g.O, g.window))
        dx.append(col2im(dcol, (*g.x_shape[:3], g.C), g.output, *windows(g)))
    return join(xp(dy), dx, 3)


def weight_gradient(x, dy, geometry):
    """dw (G*O, KH, KW, C)."""
    g, dw = geometry, []
    for k in range(g.G):
        col = im2col(group(x, k, g.C), g.output, *windows(g))
        dw.append(matmul(group(dy, k, g.O).reshape(g.pixels, g.O).T, col))
    return join(xp(x), dw, 0).reshape(g.w_shape)


def windows(geometry):
    """kernel, stride, padding, dilation."""
    return geometry.kernel, geometry.stride, geometry.padding, geometry.dilation


def group(x, k, channels):
    """Group k of x (N, H, W, G*channels), in one piece."""
    return xp(x).ascontiguousarray(x[..., k * channels : (k + 1) * channels])


def join(lib, arrays, axis):
    """The arrays put together along `axis`; the array itself if there is one."""
    return arrays[0] if len(arrays) == 1 else lib.concatenate(arrays, axis=axis)
