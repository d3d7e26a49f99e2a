"""Convolution as kernels: im2col, a matrix product, col2im; a kernel of its own where depthwise."""

from __future__ import annotations

from minicnn.backends import xp
from minicnn.backends.cuda.arrays import column_sum, matmul
from minicnn.backends.cuda.epilogue import CODES, InKernel
from minicnn.backends.launch import launch, launch_each
from minicnn.layout import filter_rows, nchw, nhwc, output_size, rows


# ---------------------------------------------------------------------------
# Array functions
# ---------------------------------------------------------------------------
def im2col(xh, size, kernel, stride, padding, dilation):
    """The windows of xh (N, H, W, C) as rows: (N*OH*OW, KH*KW*C), for size (OH, OW)."""
    N, H, W, C = xh.shape
    col = xp(xh).empty((N * size[0] * size[1], kernel[0] * kernel[1] * C), xh.dtype)
    args = (xh, col, col.size, C, H, W, *size, *kernel, *stride, *padding, *dilation)
    launch_each("conv/im2col.cu", "im2col", col.size, args, dtype=col.dtype)
    return col


def col2im(col, shape, size, kernel, stride, padding, dilation):
    """The adjoint of im2col: an array (N, H, W, C) from the rows, for x of shape (N, C, H, W)."""
    N, C, H, W = shape
    dx = xp(col).empty((N, H, W, C), col.dtype)
    args = (col, dx, dx.size, C, H, W, *size, *kernel, *stride, *padding, *dilation)
    launch_each("conv/col2im.cu", "col2im", dx.size, args, dtype=col.dtype)
    return dx


def part(a, g, groups, axis):
    """Group g of the array a, cut along `axis`."""
    width = a.shape[axis] // groups
    return a[(slice(None),) * axis + (slice(g * width, (g + 1) * width),)]


def join(lib, arrays, axis):
    """The arrays put together along `axis`; the array itself if there is one."""
    return arrays[0] if len(arrays) == 1 else lib.concatenate(arrays, axis=axis)


# ---------------------------------------------------------------------------
# Operations
# ---------------------------------------------------------------------------
class Conv2d(InKernel):
    """For each group im2col and a matrix product; gradients by two products and col2im."""

    def forward(self, x, w, b, add):
        self.save(x, w)
        kernel, G = w.shape[2:], self.groups
        size = output_size(x.shape[2:], kernel, self.stride, self.padding, self.dilation)
        geometry = (size, kernel, self.stride, self.padding, self.dilation)
        y = []
        for g in range(G):
            bias = None if b is None else part(b, g, G, 0)
            added = None if add is None else rows(part(add, g, G, 1))
            col = im2col(nhwc(part(x, g, G, 1)), *geometry)
            y.append(matmul(col, filter_rows(part(w, g, G, 0)).T, bias, added, self.in_kernel))
        return self.finish(nchw(join(xp(x), y, 1).reshape(x.shape[0], *size, w.shape[0])))

    def backward(self, dy):
        x, w, *kept = self.saved
        dz = self.back_to_z(dy, kept)
        kernel, G = w.shape[2:], self.groups
        geometry = (dz.shape[2:], kernel, self.stride, self.padding, self.dilation)
        dx, dw = [], []
        for g in range(G):
            xg, wg, dzg = part(x, g, G, 1), part(w, g, G, 0), rows(part(dz, g, G, 1))
            if self.needs[0]:
                dx.append(col2im(matmul(dzg, filter_rows(wg)), xg.shape, *geometry))
            if self.needs[1]:
                col = im2col(nhwc(xg), *geometry)
                dw.append(matmul(dzg.T, col).reshape(nhwc(wg).shape))
        return (
            nchw(join(xp(x), dx, 3)) if dx else None,
            nchw(join(xp(x), dw, 0)) if dw else None,
            column_sum(rows(dz)) if self.needs[2] else None,
            dz,
        )


class DepthwiseConv2d(InKernel):
    """A thread per output, a gather per input pixel, a block per weight."""

    file = "conv/depthwise.cu"

    def geometry(self, shape, w, size):
        """M, C, H, W, OH, OW, KH, KW, SH, SW, PH, PW, DH, DW."""
        _, C, H, W = shape
        kernel = w.shape[2:]
        windows = (*kernel, *self.stride, *self.padding, *self.dilation)
        return (w.shape[0] // C, C, H, W, *size, *windows)

    def forward(self, x, w, b, add):
        self.save(x, w)
        lib, O = xp(x), w.shape[0]
        size = output_size(x.shape[2:], w.shape[2:], self.stride, self.padding, self.dilation)
        y = lib.empty((x.shape[0], *size, O), x.dtype)
        bias = None if b is None else lib.ascontiguousarray(b)
        add = None if add is None else nhwc(add)
        geometry, code = self.geometry(x.shape, w, size), CODES[self.in_kernel]
        args = (nhwc(x), filter_rows(w), bias, add, y, y.size, *geometry, code)
        launch_each(self.file, "depthwise_forward", y.size, args, dtype=x.dtype)
        return self.finish(nchw(y))

    def backward(self, dy):
        x, w, *kept = self.saved
        dz = self.back_to_z(dy, kept)
        lib, dzh, geometry = xp(x), nhwc(dz), self.geometry(x.shape, w, dz.shape[2:])
        dx = dw = db = None
        if self.needs[0]:
            N, C, H, W = x.shape
            dx = lib.empty((N, H, W, C), x.dtype)
            args = (dzh, filter_rows(w), dx, dx.size, *geometry)
            launch_each(self.file, "depthwise_input_gradient", dx.size, args, dtype=x.dtype)
            dx = nchw(dx)
        if self.needs[1]:
            dw = lib.empty(w.shape, w.dtype)
            args = (nhwc(x), dzh, dw, dz.size // w.shape[0], *geometry)
            launch(self.file, "depthwise_weight_gradient", (dw.size,), (256,), args, dtype=x.dtype)
        if self.needs[2]:
            db = column_sum(rows(dz))
        return dx, dw, db, dz


class ConvTranspose2d:
    """A product and col2im forward; im2col and two products backward."""

    def forward(self, x, w, b):
        self.save(x, w)
        G, shape = self.groups, (len(x), w.shape[1], *self.size)
        geometry = (x.shape[2:], w.shape[2:], self.stride, self.padding, self.dilation)
        y = []
        for g in range(G):
            col = matmul(rows(part(x, g, G, 1)), filter_rows(part(w, g, G, 0)))
            y.append(col2im(col, shape, *geometry))
        y = join(xp(x), y, 3)
        return nchw(y if b is None else y + b)

    def backward(self, dy):
        x, w = self.saved
        G, geometry = self.groups, (x.shape[2:], w.shape[2:], self.stride, self.padding)
        dx, dw = [], []
        for g in range(G):
            xg, wg = part(x, g, G, 1), part(w, g, G, 0)
            col = im2col(nhwc(part(dy, g, G, 1)), *geometry, self.dilation)
            if self.needs[0]:
                dx.append(matmul(col, filter_rows(wg).T).reshape(nhwc(xg).shape))
            if self.needs[1]:
                dw.append(matmul(rows(xg).T, col).reshape(nhwc(wg).shape))
        return (
            nchw(join(xp(x), dx, 3)) if dx else None,
            nchw(join(xp(x), dw, 0)) if dw else None,
            column_sum(rows(dy)) if self.needs[2] else None,
        )


class Im2Col:
    """A thread per element of the matrix; the adjoint backward."""

    def forward(self, x):
        size = output_size(x.shape[2:], self.kernel, self.stride, self.padding, self.dilation)
        return im2col(nhwc(x), size, self.kernel, self.stride, self.padding, self.dilation)

    def backward(self, dy):
        return columns_to_image(self, dy, self.shapes[0])


class Col2Im:
    """A gather per pixel; im2col backward."""

    def forward(self, col):
        return columns_to_image(self, col, self.shape)

    def backward(self, dy):
        return Im2Col.forward(self, dy)


def columns_to_image(op, col, shape):
    """col2im with an operation's settings."""
    size = output_size(shape[2:], op.kernel, op.stride, op.padding, op.dilation)
    col = xp(col).ascontiguousarray(col)
    return nchw(col2im(col, shape, size, op.kernel, op.stride, op.padding, op.dilation))


OPERATIONS = (Conv2d, DepthwiseConv2d, ConvTranspose2d, Im2Col, Col2Im)
