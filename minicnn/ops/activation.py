"""Activations: one function applied to every element."""

from __future__ import annotations

from minicnn.backends import xp
from minicnn.tensor import Function


class ReLU(Function):
    """y = max(x, 0). The gradient passes where x > 0; the slope at 0 is taken as 0."""

    def forward(self, x):
        y = xp(x).maximum(x, 0)
        self.save(y)
        return y

    def backward(self, dy):
        (y,) = self.saved
        return dy * (y > 0)


class Tanh(Function):
    """y = tanh x; dx = dy (1 - y^2)."""

    def forward(self, x):
        y = xp(x).tanh(x)
        self.save(y)
        return y

    def backward(self, dy):
        (y,) = self.saved
        return dy * (1 - y * y)


class Sigmoid(Function):
    """y = 1 / (1 + e^-x) = (1 + tanh(x/2)) / 2, which never overflows; dx = dy y (1 - y)."""

    def forward(self, x):
        y = (xp(x).tanh(x * 0.5) + 1) * 0.5
        self.save(y)
        return y

    def backward(self, dy):
        (y,) = self.saved
        return dy * y * (1 - y)
