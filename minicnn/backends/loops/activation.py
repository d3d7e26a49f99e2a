"""Activations, one number at a time."""

from __future__ import annotations

import math

import numpy as np


class _Elementwise:
    """One function for every element, and its slope times dy for every gradient."""

    def forward(self, x):
        y = np.zeros_like(x)
        for k in np.ndindex(x.shape):
            y[k] = self.value(float(x[k]))
        self.save(x)
        return y

    def backward(self, dy):
        (x,) = self.saved
        dx = np.zeros_like(x)
        for k in np.ndindex(x.shape):
            dx[k] = dy[k] * x.dtype.type(self.slope(float(x[k])))
        return dx


class ReLU(_Elementwise):
    """max(x, 0); slope 1 where x > 0, else 0."""

    def value(self, x):
        return x if x > 0 or math.isnan(x) else 0.0

    def slope(self, x):
        return 1.0 if x > 0 else 0.0


class Tanh(_Elementwise):
    """tanh x; slope 1 - tanh^2 x."""

    def value(self, x):
        return math.tanh(x)

    def slope(self, x):
        return 1 - math.tanh(x) ** 2


class Sigmoid(_Elementwise):
    """1 / (1 + e^-x), written so that the exponential never overflows; slope y (1 - y)."""

    def value(self, x):
        return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))

    def slope(self, x):
        return self.value(x) * self.value(-x)


OPERATIONS = (ReLU, Tanh, Sigmoid)
