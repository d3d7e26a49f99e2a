"""Pooling as kernels: a thread per output forward, a gather per input backward."""

from __future__ import annotations

from minicnn.backends import xp
from minicnn.backends.cuda.arrays import output_size
from minicnn.backends.launch import launch_each
from minicnn.layout import nchw, nhwc


class _Pool2d:
    """What the poolings share: the numbers that describe the windows."""

    def geometry(self, shape):
        """C, H, W, OH, OW, KH, KW, SH, SW, PH, PW for x of shape (N, C, H, W)."""
        size = output_size(shape, self.kernel, self.stride, self.padding)
        return (*shape[1:], *size, *self.kernel, *self.stride, *self.padding)


class MaxPool2d(_Pool2d):
    """Winners forward, a gather from the windows won backward."""

    file = "pooling/max_pool.cu"

    def forward(self, x):
        geometry = self.geometry(x.shape)
        C, _, _, OH, OW = geometry[:5]
        y = xp(x).empty((x.shape[0], OH, OW, C), x.dtype)
        winner = xp(x).empty(y.shape, "int32")
        args = (nhwc(x), y, winner, y.size, *geometry)
        launch_each(self.file, "max_pool_forward", y.size, args, dtype=x.dtype)
        self.save(winner)
        return nchw(y)

    def backward(self, dy):
        (winner,) = self.saved
        N, C, H, W = shape = self.shapes[0]
        dx = xp(dy).empty((N, H, W, C), dy.dtype)
        args = (nhwc(dy), winner, dx, dx.size, *self.geometry(shape))
        launch_each(self.file, "max_pool_backward", dx.size, args, dtype=dy.dtype)
        return nchw(dx)


class AvgPool2d(_Pool2d):
    """Window sums forward, a gather of shares backward."""

    file = "pooling/avg_pool.cu"

    def forward(self, x):
        geometry = self.geometry(x.shape)
        C, _, _, OH, OW = geometry[:5]
        y = xp(x).empty((x.shape[0], OH, OW, C), x.dtype)
        args = (nhwc(x), y, y.size, *geometry)
        launch_each(self.file, "avg_pool_forward", y.size, args, dtype=x.dtype)
        return nchw(y)

    def backward(self, dy):
        N, C, H, W = shape = self.shapes[0]
        dx = xp(dy).empty((N, H, W, C), dy.dtype)
        args = (nhwc(dy), dx, dx.size, *self.geometry(shape))
        launch_each(self.file, "avg_pool_backward", dx.size, args, dtype=dy.dtype)
        return nchw(dx)


OPERATIONS = (MaxPool2d, AvgPool2d)
