"""Pooling as kernels: a thread per output forward, a gather per input backward."""

from __future__ import annotations

from minicnn.backends import xp
from minicnn.backends.launch import empty, launch_each
from minicnn.layout import nchw, nhwc


class _Pool2d:
    """What the poolings share. Each gives its `file`, its `kernel_name`, and `numbers`."""

    lanes = False  # whether a thread can take several channels

    def numbers(self, shape):
        """The numbers that describe the windows on x (N, C, H, W): C, H, W, OH, OW first."""
        raise NotImplementedError(f"{type(self).__name__} defines no numbers")

    def launch(self, direction, out, *arrays):
        """Run a kernel with a thread per element of `out`, which is one of `arrays`."""
        args = (*arrays, out.size, *self.numbers(self.shapes[0]))
        name, channels = f"{self.kernel_name}_{direction}", out.shape[3] if self.lanes else 1
        launch_each(self.file, name, out.size, args, dtype=out.dtype, channels=channels)

    def empty_output(self, x):
        """y (N, OH, OW, C)."""
        C, _, _, OH, OW = self.numbers(x.shape)[:5]
        return empty(x, (len(x), OH, OW, C), x.dtype)

    def empty_gradient(self, dy):
        """dx (N, H, W, C)."""
        N, C, H, W = self.shapes[0]
        return empty(dy, (N, H, W, C), dy.dtype)


class _Max(_Pool2d):
    """Winners forward, a gather from the windows won backward."""

    may_forget = False  # whether the kernel can leave the winners out, where nobody needs them

    def forward(self, x):
        y = self.empty_output(x)
        wanted = any(self.needs) or not self.may_forget
        winner = empty(x, y.shape, "int32") if wanted else None
        self.launch("forward", y, nhwc(x), y, winner)
        self.save(winner)
        return nchw(y)

    def backward(self, dy):
        (winner,) = self.saved
        dx = self.empty_gradient(dy)
        self.launch("backward", dx, nhwc(dy), winner, dx)
        return nchw(dx)


class _Avg(_Pool2d):
    """Window sums forward, a gather of shares backward."""

    def forward(self, x):
        y = self.empty_output(x)
        self.launch("forward", y, nhwc(x), y)
        return nchw(y)

    def backward(self, dy):
        dx = self.empty_gradient(dy)
        self.launch("backward", dx, nhwc(dy), dx)
        return nchw(dx)


class MaxPool2d(_Max):
    """The largest x of each window."""

    file, kernel_name, lanes = "pooling/max_pool.cu", "max_pool", True
    may_forget = True

    def numbers(self, shape):
        size = self.output_size(shape)
        return (*shape[1:], *size, *self.kernel, *self.stride, *self.padding, *self.dilation)


class AvgPool2d(_Avg):
    """The mean of each window."""

    file, kernel_name, lanes = "pooling/avg_pool.cu", "avg_pool", True

    def numbers(self, shape):
        size = self.output_size(shape)
        border = self.padding if self.count_include_pad else (0, 0)
        lie = (*self.kernel, *self.stride, *self.padding)
        return (*shape[1:], *size, *lie, *border, self.divisor_override or 0)


class _Adaptive:
    """Windows that follow from the two sizes."""

    file = "pooling/adaptive_pool.cu"

    def numbers(self, shape):
        return (*shape[1:], *self.size)


class AdaptiveMaxPool2d(_Adaptive, _Max):
    """The largest x of each of `size` windows."""

    kernel_name = "adaptive_max"


class AdaptiveAvgPool2d(_Adaptive, _Avg):
    """The mean of each of `size` windows."""

    kernel_name = "adaptive_avg"


class MaxUnpool2d:
    """Places claimed first, then a gather; see the kernel."""

    file = "pooling/max_unpool.cu"

    def forward(self, x, place):
        (N, C, _, _), lib = x.shape, xp(x)
        place = nhwc(place).astype("int32")
        owner = lib.full((N, *self.size, C), -1, "int32")
        y = lib.empty(owner.shape, x.dtype)
        self.launch("claim", x, place, owner)
        self.launch("forward", y, nhwc(x), owner, y)
        self.save(place, owner)
        return nchw(y)

    def backward(self, dy):
        place, owner = self.saved
        dx = xp(dy).empty(place.shape, dy.dtype)
        self.launch("backward", dx, nhwc(dy), place, owner, dx)
        return nchw(dx), None

    def launch(self, name, threads, *arrays):
        """Run a kernel with a thread per element of the array `threads`."""
        _, C, H, W = self.shapes[0]
        args = (*arrays, threads.size, C, H * W, self.size[0] * self.size[1])
        launch_each(self.file, f"max_unpool_{name}", threads.size, args, dtype=threads.dtype)


OPERATIONS = (MaxPool2d, AvgPool2d, AdaptiveMaxPool2d, AdaptiveAvgPool2d, MaxUnpool2d)
