"""Convolution as kernels: a rung of the ladder; a kernel of its own where depthwise."""

from __future__ import annotations

from minicnn.backends import xp
from minicnn.backends.algorithm import current_algorithm
from minicnn.backends.cuda import convolution
from minicnn.backends.cuda.columns import col2im, im2col
from minicnn.backends.cuda.epilogue import CODES, InKernel
from minicnn.backends.cuda.reduction import column_sum
from minicnn.backends.launch import launch, launch_each
from minicnn.layout import filter_rows, nchw, nhwc, output_size, rows


class OnLadder:
    """An operation that runs a rung of `convolution`, the same one forward and backward.

    Its forward sets `algorithm`, to what `use_algorithm` asks for then.
    """

    @property
    def how(self):
        """The settings of this convolution."""
        return {
            "stride": self.stride, "padding": self.padding, "dilation": self.dilation,
            "groups": self.groups, "algorithm": self.algorithm,
        }  # fmt: skip


class Conv2d(OnLadder, InKernel):
    """One kernel forward, one for each gradient (im2col and Winograd: a few)."""

    def forward(self, x, w, b, add):
        self.save(x, w)
        self.algorithm = current_algorithm()
        return self.finish(
            convolution.forward(x, w, b, add, activation=self.in_kernel, **self.how)
        )

    def backward(self, dy):
        x, w, *kept = self.saved
        dz, how = self.back_to_z(dy, kept), self.how
        return (
            convolution.input_gradient(dz, w, x.shape, **how) if self.needs[0] else None,
            convolution.weight_gradient(x, dz, w.shape, **how) if self.needs[1] else None,
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


class ConvTranspose2d(OnLadder):
    """A convolution's input gradient forward; a convolution and its weight gradient backward."""

    def forward(self, x, w, b):
        self.save(x, w)
        self.algorithm = current_algorithm()
        shape = (len(x), w.shape[1] * self.groups, *self.size)
        y = convolution.input_gradient(x, w, shape, **self.how)
        return y if b is None else nchw(nhwc(y) + b)

    def backward(self, dy):
        (x, w), how = self.saved, self.how
        dx = dw = None
        if self.needs[0]:
            dx = convolution.forward(dy, w, output=x.shape[2:], **how)
        if self.needs[1]:
            dw = convolution.weight_gradient(dy, x, w.shape, **how)
        return dx, dw, column_sum(rows(dy)) if self.needs[2] else None


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
    N, C, H, W = shape
    return nchw(col2im(col, (N, H, W, C), size, op.kernel, op.stride, op.padding, op.dilation))


OPERATIONS = (Conv2d, DepthwiseConv2d, ConvTranspose2d, Im2Col, Col2Im)
