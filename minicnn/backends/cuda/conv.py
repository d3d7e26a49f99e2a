"""Convolution as kernels: a rung of the ladder; a kernel of its own where depthwise."""

from __future__ import annotations

from minicnn.backends import xp
from minicnn.backends.algorithm import current_algorithm
from minicnn.backends.cuda import convolution
from minicnn.backends.cuda.columns import col2im, im2col
from minicnn.backends.cuda.epilogue import CODES, InKernel
from minicnn.backends.cuda.reduction import column_sum
from minicnn.backends.launch import empty, launch_each
from minicnn.layout import nchw, nhwc, output_size, rows


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
    """A thread per output, a gather per input pixel, two passes for the weights."""

    file = "conv/depthwise.cu"

    def geometry(self, shape, w, size):
        """M, C, H, W, OH, OW, KH, KW, SH, SW, PH, PW, DH, DW."""
        _, C, H, W = shape
        kernel = w.shape[2:]
        windows = (*kernel, *self.stride, *self.padding, *self.dilation)
        return (w.shape[0] // C, C, H, W, *size, *windows)

    def launch(self, direction, elements, args, O, defines=()):
        """Run a kernel with a thread per element."""
        channels = O if self.shapes[0][1] == O else 1  # M = 1 has lanes
        launch_each(self.file, f"depthwise_{direction}", elements, args, dtype=args[0].dtype,
                    channels=channels, defines=defines)  # fmt: skip

    def pixels(self, width):
        """How many neighbours of a row of the output a thread makes."""
        return 1

    def correlate(self, x, weights, bias, add, y, geometry, code):
        """Fill y (N, OH, OW, O) from x (N, H, W, C) and weights (KH, KW, O)."""
        (_, _, OW, O), pixels = y.shape, self.pixels(y.shape[2])
        elements = y.size // OW * -(-OW // pixels)
        args = (x, weights, bias, add, y, elements, *geometry, code)
        self.launch("forward", elements, args, O, (("PIXELS", pixels),))

    def forward(self, x, w, b, add):
        self.save(x, w)
        size = output_size(x.shape[2:], w.shape[2:], self.stride, self.padding, self.dilation)
        y = empty(x, (x.shape[0], *size, w.shape[0]), x.dtype)
        bias = None if b is None else xp(x).ascontiguousarray(b)
        add = None if add is None else nhwc(add)
        geometry, code = self.geometry(x.shape, w, size), CODES[self.in_kernel]
        self.correlate(nhwc(x), cells(w), bias, add, y, geometry, code)
        return self.finish(nchw(y))

    def backward(self, dy):
        x, w, *kept = self.saved
        dz = self.back_to_z(dy, kept)
        dzh, geometry = nhwc(dz), self.geometry(x.shape, w, dz.shape[2:])
        dx = dw = db = None
        if self.needs[0]:
            dx = nchw(self.input_gradient(dzh, w, geometry))
        if self.needs[1]:
            dw = self.weight_gradient(nhwc(x), dzh, w, geometry)
        if self.needs[2]:
            db = self.column_sum(rows(dz))
        return dx, dw, db, dz

    def input_gradient(self, dz, w, geometry):
        """dx (N, H, W, C)."""
        N, C, H, W = self.shapes[0]
        dx = empty(dz, (N, H, W, C), dz.dtype)
        self.launch("input_gradient", dx.size, (dz, cells(w), dx, dx.size, *geometry), len(w))
        return dx

    column_sum = staticmethod(column_sum)

    def weight_gradient(self, x, dz, w, geometry):
        """dw (O, 1, KH, KW), from sums over parts of the rows of dz (N, OH, OW, O)."""
        N, OH, OW, O = dz.shape
        rows_of_part = max(1, PART // (OW * O))
        P = min(max(1, N * OH // rows_of_part), MOST_PARTS)
        parts = empty(x, (P, *w.shape[2:], O), x.dtype)
        dw = empty(x, parts.shape[1:], x.dtype)
        KH, KW = w.shape[2:]
        elements = P * KH * -(-KW // CELLS) * O
        args = (x, dz, parts, elements, N * OH, P, *geometry)
        self.launch("weight_gradient_parts", elements, args, O)
        self.launch("weight_gradient_join", dw.size, (parts, dw, dw.size, P), O)
        return dw.transpose(2, 0, 1)[:, None]


CELLS = 3  # of a kernel's row, as in the file: a thread of the weight gradient has so many
PART = 2**15  # numbers of dz in a part of a depthwise weight gradient,
MOST_PARTS = 256  # of which there are so many at most


def cells(w):
    """Depthwise filters w (O, 1, KH, KW) as (KH, KW, O)."""
    return xp(w).ascontiguousarray(w[:, 0].transpose(1, 2, 0))


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
