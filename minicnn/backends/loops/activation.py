"""Activations, one number at a time."""

from __future__ import annotations

import math

import numpy as np

from minicnn.backends.loops.windows import indices


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


# ---------------------------------------------------------------------------
# Straight pieces
# ---------------------------------------------------------------------------
class ReLU(_Elementwise):
    """max(x, 0); slope 1 where x > 0, else 0."""

    def value(self, x):
        return x if x > 0 or math.isnan(x) else 0.0

    def slope(self, x):
        return 1.0 if x > 0 else 0.0


class LeakyReLU(_Elementwise):
    """x where x > 0, else s x; slope 1 or s."""

    def value(self, x):
        return x * self.slope(x)

    def slope(self, x):
        return 1.0 if x > 0 else self.negative_slope


class PReLU:
    """x where x > 0, else a[c] x, c the place along axis 1 (0 if there is one a)."""

    def forward(self, x, a):
        y = np.zeros_like(x)
        for k in np.ndindex(x.shape):
            y[k] = x[k] if x[k] > 0 else a.reshape(-1)[self.channel(k, a)] * x[k]
        self.save(x, a)
        return y

    def backward(self, dy):
        x, a = self.saved
        dx, da = np.zeros_like(x), np.zeros(a.size, a.dtype)
        for k in np.ndindex(x.shape):
            c = self.channel(k, a)
            if x[k] > 0:
                dx[k] = dy[k]
            else:
                dx[k] = dy[k] * a.reshape(-1)[c]
                da[c] += dy[k] * x[k]
        return dx, da.reshape(a.shape)

    def channel(self, k, a):
        return 0 if a.size == 1 else k[1]


class ReLU6(_Elementwise):
    """0, x or 6; slope 1 where 0 < x < 6, else 0."""

    def value(self, x):
        return x if math.isnan(x) else min(max(x, 0.0), 6.0)

    def slope(self, x):
        return 1.0 if 0 < x < 6 else 0.0


class Hardsigmoid(_Elementwise):
    """0, (x + 3) / 6 or 1; slope 1/6 where -3 < x < 3, else 0."""

    def value(self, x):
        return x if math.isnan(x) else min(max(x + 3, 0.0), 6.0) / 6

    def slope(self, x):
        return 1 / 6 if -3 < x < 3 else 0.0


class Hardswish(_Elementwise):
    """0, x (x + 3) / 6 or x; slope 0, x/3 + 1/2 or 1."""

    def value(self, x):
        return x if math.isnan(x) else x * (min(max(x + 3, 0.0), 6.0) / 6)

    def slope(self, x):
        return 0.0 if x <= -3 else x / 3 + 0.5 if x < 3 else 1.0


# ---------------------------------------------------------------------------
# Smooth functions
# ---------------------------------------------------------------------------
class Tanh(_Elementwise):
    """tanh x; slope 1 - tanh^2 x."""

    def value(self, x):
        return math.tanh(x)

    def slope(self, x):
        return 1 - math.tanh(x) ** 2


class ScaledTanh(_Elementwise):
    """1.7159 tanh(2x/3); slope 1.7159 (2/3) (1 - tanh^2(2x/3))."""

    def value(self, x):
        return 1.7159 * math.tanh(2 * x / 3)

    def slope(self, x):
        return 1.7159 * 2 / 3 * (1 - math.tanh(2 * x / 3) ** 2)


class Sigmoid(_Elementwise):
    """1 / (1 + e^-x), written so that the exponential never overflows; slope y (1 - y)."""

    def value(self, x):
        return _sigmoid(x)

    def slope(self, x):
        return _sigmoid(x) * _sigmoid(-x)


class SiLU(_Elementwise):
    """x s(x) with s the sigmoid; slope s(x) + x s(x) s(-x)."""

    def value(self, x):
        return x * _sigmoid(x)

    def slope(self, x):
        return _sigmoid(x) + x * _sigmoid(x) * _sigmoid(-x)


def _sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


class GELU(_Elementwise):
    """x P(x), P(x) = (1 + erf(x / sqrt 2)) / 2; slope P(x) + x P'(x)."""

    def value(self, x):
        return x * (1 + math.erf(x / math.sqrt(2))) / 2

    def slope(self, x):
        density = math.exp(-min(abs(x), 40.0) ** 2 / 2) / math.sqrt(2 * math.pi)
        return (1 + math.erf(x / math.sqrt(2))) / 2 + x * density


class GELUTanh(_Elementwise):
    """x (1 + tanh v) / 2, v = sqrt(2/pi) (x + 0.044715 x^3); the slope by the product rule."""

    def value(self, x):
        return x * ((1 + self.tanh(x)) / 2)

    def slope(self, x):
        t = self.tanh(x)
        if abs(t) == 1:
            return (1 + t) / 2
        dv = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
        return (1 + t) / 2 + x * (1 - t * t) / 2 * dv

    def tanh(self, x):
        return math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))


# ---------------------------------------------------------------------------
# Along one axis
# ---------------------------------------------------------------------------
class _Along:
    """One function for every row along axis `dim`."""

    def forward(self, x):
        y = np.zeros_like(x)
        for row in self.rows(x.shape):
            values = [float(x[k]) for k in row]
            for k, value in zip(row, self.values(values)):
                y[k] = value
        self.save(y)
        return y

    def backward(self, dy):
        (y,) = self.saved
        dx = np.zeros_like(y)
        for row in self.rows(y.shape):
            for k, value in zip(row, self.gradients([y[k] for k in row], [dy[k] for k in row])):
                dx[k] = value
        return dx

    def rows(self, shape):
        """For each row, the indices of its elements."""
        before, after = shape[: self.dim], shape[self.dim + 1 :]
        for k in indices(*before):
            for m in indices(*after):
                yield [(*k, i, *m) for i in range(shape[self.dim])]


class Softmax(_Along):
    """y[k] = e^(x[k] - m) / sum of e^(x[l] - m), m the row's maximum."""

    def values(self, x):
        m = max(x)
        total = sum(math.exp(value - m) for value in x)
        return [math.exp(value - m) / total for value in x]

    def gradients(self, y, dy):
        dot = sum(p * d for p, d in zip(y, dy))
        return [p * (d - dot) for p, d in zip(y, dy)]


class LogSoftmax(_Along):
    """y[k] = x[k] - m - ln(sum of e^(x[l] - m)), m the row's maximum."""

    def values(self, x):
        m = max(x)
        log_total = math.log(sum(math.exp(value - m) for value in x))
        return [value - m - log_total for value in x]

    def gradients(self, y, dy):
        return [d - math.exp(log_p) * sum(dy) for log_p, d in zip(y, dy)]


OPERATIONS = (
    ReLU, LeakyReLU, PReLU, ReLU6, Hardsigmoid, Hardswish, Tanh, ScaledTanh, Sigmoid, SiLU, GELU,
    GELUTanh, Softmax, LogSoftmax,
)  # fmt: skip
