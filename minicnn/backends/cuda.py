"""The operations as CUDA kernels: on a GPU for CuPy arrays, in the emulator for NumPy arrays.

Each class makes its output arrays, and launches kernels of `kernels/` that fill them. Convolution
is im2col and our own matrix product, as in the readable drawing.
"""

from __future__ import annotations

from minicnn.backends import xp
from minicnn.backends.launch import launch, launch_each
from minicnn.layout import nchw, nhwc

TILE = 16  # of kernels/matmul/tiled.cu


# ---------------------------------------------------------------------------
# Array functions
# ---------------------------------------------------------------------------
def matmul(a, b, bias=None):
    """a (M, K) @ b (K, N) + bias (N,). Transposed views are read in place."""
    (M, K), N, lib = a.shape, b.shape[1], xp(a)
    y = lib.empty((M, N), a.dtype)
    if bias is None:
        bias = lib.zeros(N, a.dtype)
    a, a_steps = _memory(a)
    b, b_steps = _memory(b)
    args = (a, b, lib.ascontiguousarray(bias), y, M, N, K, *a_steps, *b_steps)
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


def contiguous(x):
    """x in memory order that a kernel can run through: 4-D channels-last, else row-major."""
    if x.ndim == 4:
        return nhwc(x)
    return x if x.flags.c_contiguous else x.copy(order="C")


def output_size(shape, kernel, stride, padding):
    """(OH, OW) for x of shape (N, C, H, W)."""
    return tuple(
        (n + 2 * p - k) // s + 1 for n, k, s, p in zip(shape[2:], kernel, stride, padding)
    )


# ---------------------------------------------------------------------------
# Operations
# ---------------------------------------------------------------------------
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


class Linear:
    """Three matrix products and a column sum."""

    def forward(self, x, w, b):
        self.save(x, w)
        y = matmul(x.reshape(-1, w.shape[1]), w.T, b)
        return y.reshape(*x.shape[:-1], w.shape[0])

    def backward(self, dy):
        x, w = self.saved
        dy = xp(dy).ascontiguousarray(dy.reshape(-1, w.shape[0]))
        dx = dw = db = None
        if self.needs[0]:
            dx = matmul(dy, w).reshape(x.shape)
        if self.needs[1]:
            dw = matmul(dy.T, x.reshape(-1, w.shape[1]))
        if self.needs[2]:
            db = column_sum(dy)
        return dx, dw, db


class _Elementwise:
    """y = f(x) by one kernel, dx from dy and the saved y by another."""

    file = "activation/activation.cu"

    def forward(self, x):
        x = contiguous(x)
        y = xp(x).empty(x.shape, x.dtype)
        launch_each(self.file, f"{self.kernel}_forward", x.size, (x, y, x.size), dtype=x.dtype)
        self.save(y)
        return nchw(y) if y.ndim == 4 else y

    def backward(self, dy):
        (y,) = self.saved
        dy = contiguous(dy)
        dx = xp(dy).empty(dy.shape, dy.dtype)
        args = (dy, y, dx, dy.size)
        launch_each(self.file, f"{self.kernel}_backward", dy.size, args, dtype=dy.dtype)
        return nchw(dx) if dx.ndim == 4 else dx


class ReLU(_Elementwise):
    """max(x, 0)."""

    kernel = "relu"


class Tanh(_Elementwise):
    """tanh x."""

    kernel = "tanh"


class Sigmoid(_Elementwise):
    """1 / (1 + e^-x)."""

    kernel = "sigmoid"


class SoftmaxCrossEntropy:
    """A warp per row forward, a thread per score backward."""

    file = "loss/softmax_cross_entropy.cu"

    def forward(self, x, t):
        (N, K), lib = x.shape, xp(x)
        x, t = lib.ascontiguousarray(x), lib.ascontiguousarray(t)
        loss, log_sum = lib.empty((N, 1), x.dtype), lib.empty(N, x.dtype)
        args = (x, t, loss, log_sum, N, K)
        launch(self.file, "softmax_cross_entropy_forward", (-(-N // 4),), (128,), args,
               dtype=x.dtype)  # fmt: skip
        self.save(x, t, log_sum)
        return column_sum(loss).reshape(())

    def backward(self, dy):
        x, t, log_sum = self.saved
        dx = xp(x).empty(x.shape, x.dtype)
        args = (x, t, log_sum, dy.reshape(1), dx, *x.shape)
        launch_each(self.file, "softmax_cross_entropy_backward", x.size, args, dtype=x.dtype)
        return dx, None


OPERATIONS = {
    operation.__name__: operation
    for operation in (
        Conv2d, MaxPool2d, AvgPool2d, Linear, ReLU, Tanh, Sigmoid, SoftmaxCrossEntropy,
    )
}  # fmt: skip
