"""Normalization as kernels."""

from __future__ import annotations

from minicnn.backends import xp
from minicnn.backends.cuda.epilogue import CODES, FROM_OUTPUT, InKernel
from minicnn.backends.launch import empty, launch, launch_each
from minicnn.layout import from_rows, nchw, nhwc, rows

FILE = "normalization/batch_norm.cu"
ROWS_OF_PART = 512  # rows that one block adds up
MOST_PARTS = 512


def parts_of(kernel, x, width, args):
    """Sums over parts of the rows of x (R, C), `width` numbers a channel: (P, width, C)."""
    (R, C), lib = x.shape, xp(x)
    P = min(max(-(-R // ROWS_OF_PART), 1), MOST_PARTS)
    parts = lib.empty((P, width, C), x.dtype)
    grid = (-(-C // 32), P)
    launch(FILE, f"{kernel}_parts", grid, (32, 8), (*args, parts, R, C), dtype=x.dtype)
    return parts


def joined(kernel, parts, width, args):
    """The sums over all rows, with what else the kernel makes of them: (width, C)."""
    P, _, C = parts.shape
    sums = xp(parts).empty((width, C), parts.dtype)
    launch(FILE, f"{kernel}_join", (C,), (32,), (parts, sums, P, C, *args), dtype=parts.dtype)
    return sums


class Moments:
    """Welford's update in every thread, then Chan's rule to join them."""

    def forward(self, x):
        x = contiguous_rows(x)
        if not len(x):
            return xp(x).zeros((2, x.shape[1]), x.dtype)
        return self.joined(self.parts_of("moments", x, 3, (x,)), x)

    parts_of = staticmethod(parts_of)

    @staticmethod
    def joined(parts, x):
        """Mean and variance (2, C)."""
        return joined("moments", parts, 2, (x,))


class BatchNorm(InKernel):
    """One pass forward; a pass of sums and a pass to apply them backward."""

    def forward(self, x, moments, w, b, add):
        rows_of_x, C = contiguous_rows(x), x.shape[1]
        w, b = (None if t is None else xp(x).ascontiguousarray(t) for t in (w, b))
        add = None if add is None else contiguous_rows(add)
        channels, y = empty(x, (4, C), x.dtype), empty(x, rows_of_x.shape, x.dtype)
        self.save(rows_of_x, channels)
        args = (moments, w, b, channels, C, x.dtype.type(self.eps))
        launch_each(FILE, "batch_norm_channels", C, args, dtype=x.dtype)
        args = (rows_of_x, channels, add, y, y.size, C, CODES[self.in_kernel])
        launch_each(FILE, "batch_norm_apply", y.size, args, dtype=x.dtype, channels=C)
        return self.finish(from_rows(y, x.shape), keep=add is not None)

    def backward(self, dy):
        x, channels, *kept = self.saved
        y, dz, code = None, None, CODES[None]
        if self.activation in FROM_OUTPUT:
            code = CODES[self.activation]
            if kept:
                y = contiguous_rows(kept[0])
            dz = empty(dy, x.shape, dy.dtype) if self.needs[4] else None
        else:
            dy = self.back_to_z(dy, kept)
        dys, (R, C) = contiguous_rows(dy), x.shape
        parts = self.parts_of("batch_norm_sums", x, 2, (dys, y, x, channels, code))
        share = x.dtype.type(1 / R if self.training and R else 0)
        sums = self.joined(parts, channels, share)
        dx = empty(dy, dys.shape, dy.dtype)
        args = (dys, y, x, channels, sums, dx, dz, dx.size, C, code)
        launch_each(FILE, "batch_norm_gradient", dx.size, args, dtype=dx.dtype, channels=C)
        dadd = dy if dz is None else from_rows(dz, dy.shape)
        return from_rows(dx, dy.shape), None, sums[1], sums[0], dadd

    parts_of = staticmethod(parts_of)

    @staticmethod
    def joined(parts, channels, share):
        """The sums of dz and of dz xhat, and what they take from dx (4, C)."""
        return joined("batch_norm_sums", parts, 4, (channels, share))


def contiguous_rows(x):
    """x (N, C, ...) as (R, C) in row-major memory."""
    return xp(x).ascontiguousarray(rows(x))


class LocalResponseNorm:
    """A thread per element, forward and backward."""

    file = "normalization/local_response_norm.cu"

    def forward(self, x):
        x = nhwc(x)
        y, s = xp(x).empty(x.shape, x.dtype), xp(x).empty(x.shape, x.dtype)
        args = (x, y, s, *self.numbers(x), x.dtype.type(self.k))
        launch_each(self.file, "local_response_norm_forward", x.size, args, dtype=x.dtype)
        self.save(x, y, s)
        return nchw(y)

    def backward(self, dy):
        dy, dx = nhwc(dy), xp(dy).empty(self.saved[0].shape, dy.dtype)
        args = (dy, *self.saved, dx, *self.numbers(dy))
        launch_each(self.file, "local_response_norm_backward", dx.size, args, dtype=dx.dtype)
        return nchw(dx)

    def numbers(self, x):
        """How many elements and channels there are, and the function's settings, for a kernel."""
        real = x.dtype.type
        return x.size, x.shape[3], self.size, real(self.alpha / self.size), real(self.beta)


OPERATIONS = (Moments, BatchNorm, LocalResponseNorm)
