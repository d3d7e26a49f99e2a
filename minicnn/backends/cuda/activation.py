"""Activations as kernels: a thread per element; for softmax, a warp per row."""

from __future__ import annotations

import math

from minicnn.backends import xp
from minicnn.backends.cuda.arrays import contiguous
from minicnn.backends.cuda.reduction import column_sum
from minicnn.backends.launch import launch, launch_each
from minicnn.layout import nchw


def _as_shown(y):
    """The array a kernel has filled, in the order of axes that a person reads."""
    return nchw(y) if y.ndim == 4 else y


class _Elementwise:
    """y = f(x) by one kernel, dx from dy and the saved x by another."""

    file = "activation/smooth.cu"
    keeps_output = False  # True where the slope follows from y

    def forward(self, x):
        x = contiguous(x)
        y = xp(x).empty(x.shape, x.dtype)
        args = (x, y, *self.parameters(x.dtype), x.size)
        launch_each(self.file, f"{self.kernel}_forward", x.size, args, dtype=x.dtype)
        self.save(_as_shown(y if self.keeps_output else x))
        return _as_shown(y)

    def backward(self, dy):
        (kept,) = self.saved
        dy, kept = contiguous(dy), contiguous(kept)
        dx = xp(dy).empty(dy.shape, dy.dtype)
        args = (dy, kept, dx, *self.parameters(dy.dtype), dy.size)
        launch_each(self.file, f"{self.kernel}_backward", dy.size, args, dtype=dy.dtype)
        return _as_shown(dx)

    def parameters(self, dtype):
        """Numbers that the kernels take besides arrays."""
        return ()


class _FromOutput(_Elementwise):
    """Functions whose slope follows from y."""

    file = "activation/activation.cu"
    keeps_output = True


class ReLU(_FromOutput):
    """max(x, 0)."""

    file, kernel = "activation/relu.cu", "relu"


class ReLU6(_FromOutput):
    """min(max(x, 0), 6)."""

    file, kernel = "activation/relu.cu", "relu6"


class Tanh(_FromOutput):
    """tanh x."""

    kernel = "tanh"


class Sigmoid(_FromOutput):
    """1 / (1 + e^-x)."""

    kernel = "sigmoid"


class ScaledTanh(_Elementwise):
    """1.7159 tanh(2x/3)."""

    kernel = "scaled_tanh"


class SiLU(_Elementwise):
    """x sigmoid(x)."""

    kernel = "silu"


class GELU(_Elementwise):
    """x P(x)."""

    kernel = "gelu"


class GELUTanh(_Elementwise):
    """x P(x), P by tanh."""

    kernel = "gelu_tanh"


class _Piecewise(_Elementwise):
    """Functions of straight pieces."""

    file = "activation/piecewise.cu"


class LeakyReLU(_Piecewise):
    """x or s x."""

    kernel = "leaky_relu"

    def parameters(self, dtype):
        return (dtype.type(self.negative_slope),)


class Hardsigmoid(_Piecewise):
    """min(max(x + 3, 0), 6) / 6."""

    kernel = "hardsigmoid"


class Hardswish(_Piecewise):
    """x hardsigmoid(x)."""

    kernel = "hardswish"


class PReLU:
    """x or a x; the gradient of a is a sum of columns, as that of a bias."""

    file = "activation/prelu.cu"

    def forward(self, x, a):
        C = x.shape[1] if x.ndim > 1 else 1
        L = 1 if x.ndim == 4 else math.prod(x.shape[2:])
        x, a = contiguous(x), xp(a).ascontiguousarray(a.reshape(-1))
        y = xp(x).empty(x.shape, x.dtype)
        self.sizes = (x.size, C, L, a.size)
        launch_each(self.file, "prelu_forward", x.size, (x, a, y, *self.sizes), dtype=x.dtype)
        self.save(x, a)
        return _as_shown(y)

    def backward(self, dy):
        x, a = self.saved
        size, C, _, A = self.sizes
        dy, lib = contiguous(dy), xp(dy)
        dx, share = lib.empty(dy.shape, dy.dtype), lib.empty((size // max(C, 1), C), dy.dtype)
        args = (dy, x, a, dx, share, *self.sizes)
        launch_each(self.file, "prelu_backward", size, args, dtype=dy.dtype)
        da = column_sum(share)
        da = da if A == C else column_sum(da.reshape(C, 1))
        return _as_shown(dx), da.reshape(self.shapes[1])


class _Along:
    """One function for every row along axis `dim`, whichever axis that is in memory."""

    file = "activation/softmax.cu"

    def forward(self, x):
        axis = self.dim if x.ndim != 4 else (0, 3, 1, 2)[self.dim]
        x = contiguous(x)
        self.sizes = (math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :]))
        y = xp(x).empty(x.shape, x.dtype)
        self._launch("forward", (x, y))
        self.save(y)
        return _as_shown(y)

    def backward(self, dy):
        (y,) = self.saved
        dy = contiguous(dy)
        dx = xp(dy).empty(dy.shape, dy.dtype)
        self._launch("backward", (dy, y, dx))
        return _as_shown(dx)

    def _launch(self, direction, arrays):
        rows = self.sizes[0] * self.sizes[2]
        launch(self.file, f"{self.kernel}_{direction}", (-(-rows // 4),), (128,),
               (*arrays, *self.sizes), dtype=arrays[0].dtype)  # fmt: skip


class Softmax(_Along):
    """e^x / sum of e^x."""

    kernel = "softmax"


class LogSoftmax(_Along):
    """x - ln(sum of e^x)."""

    kernel = "log_softmax"


OPERATIONS = (
    ReLU, Tanh, Sigmoid, ScaledTanh, SiLU, GELU, GELUTanh, LeakyReLU, ReLU6, Hardsigmoid, Hardswish,
    PReLU, Softmax, LogSoftmax,
)  # fmt: skip
