"""Activations as kernels: a thread per element."""

from __future__ import annotations

from minicnn.backends import xp
from minicnn.backends.cuda.arrays import contiguous
from minicnn.backends.launch import launch_each
from minicnn.layout import nchw


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


OPERATIONS = (ReLU, Tanh, Sigmoid)
