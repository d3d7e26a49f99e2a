"""Activations: one function applied to every element; softmax, to every row."""

from __future__ import annotations

import math

from minicnn.backends import xp
from minicnn.ops.erf import erfc
from minicnn.ops.operands import unbroadcast
from minicnn.tensor import Function


# ---------------------------------------------------------------------------
# Straight pieces. What a NaN goes in, a NaN comes out.
# ---------------------------------------------------------------------------
class ReLU(Function):
    """y = max(x, 0). The gradient passes where x > 0; the slope at 0 is taken as 0."""

    out = None  # where y goes, if a fused operation wants it in an array of its own

    def forward(self, x):
        y = xp(x).maximum(x, 0, out=self.out)
        self.save(y)
        return y

    def backward(self, dy):
        (y,) = self.saved
        return dy * (y > 0)

    def choose(self, x):
        """Which elements pass."""
        return x > 0

    def replay(self, passes, x):
        """Those, and 0 for the others."""
        return x * passes


class LeakyReLU(Function):
    """y = x where x > 0, else s x, with s the `negative_slope`; the slope at 0 is taken as s."""

    def forward(self, x):
        slope = xp(x).where(x > 0, x.dtype.type(1), x.dtype.type(self.negative_slope))
        self.save(slope)
        return slope * x

    def backward(self, dy):
        (slope,) = self.saved
        return slope * dy

    def choose(self, x):
        """Which elements pass whole."""
        return x > 0

    def replay(self, passes, x):
        """Those, and the others times the slope."""
        return xp(x).where(passes, x, x.dtype.type(self.negative_slope) * x)


class PReLU(Function):
    """y = x where x > 0, else a x; a learnt number a for all channels (axis 1), or one for each.

    The slope at 0 is taken as a. da = sum of dy x over the elements that a was multiplied with.
    """

    def along_channels(self, a):
        """a, standing along axis 1 of x."""
        return a.reshape(() if a.size == 1 else (-1, *[1] * (len(self.shapes[0]) - 2)))

    def forward(self, x, a):
        a = self.along_channels(a)
        positive = x > 0
        slope = xp(x).where(positive, x.dtype.type(1), a)
        self.save(x, positive, slope, a.shape)
        return slope * x

    def backward(self, dy):
        x, positive, slope, a_shape = self.saved
        dx = slope * dy if self.needs[0] else None
        if not self.needs[1]:
            return dx, None
        da = unbroadcast(dy * xp(dy).where(positive, x.dtype.type(0), x), a_shape)
        return dx, da.reshape(self.shapes[1])

    def choose(self, x, a):
        """Which elements pass whole."""
        return x > 0

    def replay(self, passes, x, a):
        """Those, and the others times a."""
        return xp(x).where(passes, x, self.along_channels(a) * x)


class ReLU6(Function):
    """y = min(max(x, 0), 6). The gradient passes where 0 < x < 6, which is where 0 < y < 6."""

    out = None  # as for ReLU

    def forward(self, x):
        y = _clip(x, 0, 6, self.out)
        self.save(y)
        return y

    def backward(self, dy):
        (y,) = self.saved
        return dy * ((y > 0) & (y < 6))

    def choose(self, x):
        """The piece each element is on: 0, 1 or 2."""
        return _piece(x, 0, 6)

    def replay(self, piece, x):
        """0, x or 6."""
        return xp(x).where(piece == 1, x, (6 * (piece == 2)).astype(x.dtype))


class Hardsigmoid(Function):
    """y = min(max(x + 3, 0), 6) / 6, a sigmoid of three straight pieces.

    The slope is 1/6 where -3 < x < 3, else 0.
    """

    def forward(self, x):
        self.save((x > -3) & (x < 3))
        return _clip(x + 3, 0, 6) / 6

    def backward(self, dy):
        (inside,) = self.saved
        return dy * inside / 6

    def choose(self, x):
        """The piece each element is on: 0, 1 or 2."""
        return _piece(x, -3, 3)

    def replay(self, piece, x):
        """0, (x + 3) / 6 or 1."""
        return xp(x).where(piece == 1, (x + 3) / 6, (piece == 2).astype(x.dtype))


class Hardswish(Function):
    """y = x hardsigmoid(x). The slope is 0 for x <= -3, x/3 + 1/2 up to x < 3, then 1."""

    def forward(self, x):
        self.save(x)
        return x * (_clip(x + 3, 0, 6) / 6)

    def backward(self, dy):
        (x,) = self.saved
        parabola = _clip(x, -3, 3) / 3 + 0.5
        return dy * xp(x).where(x < 3, parabola * (x > -3), x.dtype.type(1))

    def choose(self, x):
        """The piece each element is on: 0, 1 or 2."""
        return _piece(x, -3, 3)

    def replay(self, piece, x):
        """0, x (x + 3) / 6 or x."""
        return xp(x).where(piece == 1, x * (x + 3) / 6, x * (piece == 2))


def _piece(x, low, high):
    """0 up to `low`, 1 between, 2 from `high` on."""
    return (x > low).astype("int8") + (x >= high)


def _clip(x, low, high, out=None):
    """x, moved to the nearer bound where it lies outside."""
    return xp(x).minimum(xp(x).maximum(x, low, out=out), high, out=out)


# ---------------------------------------------------------------------------
# Smooth functions
# ---------------------------------------------------------------------------
class Tanh(Function):
    """y = tanh x; dx = dy (1 - y^2)."""

    def forward(self, x):
        y = xp(x).tanh(x)
        self.save(y)
        return y

    def backward(self, dy):
        (y,) = self.saved
        return dy * (1 - y * y)


class ScaledTanh(Function):
    """y = A tanh(2x/3), A = 1.7159; dx = dy 2/3 (A - y^2/A)."""

    def forward(self, x):
        y = 1.7159 * xp(x).tanh(x * (2 / 3))
        self.save(y)
        return y

    def backward(self, dy):
        (y,) = self.saved
        return dy * (1.7159 - y * y / 1.7159) * (2 / 3)


class Sigmoid(Function):
    """y = 1 / (1 + e^-x); dx = dy y (1 - y)."""

    def forward(self, x):
        y = _sigmoid(x)
        self.save(y)
        return y

    def backward(self, dy):
        (y,) = self.saved
        return dy * y * (1 - y)


class SiLU(Function):
    """y = x s, with s = 1 / (1 + e^-x); dx = dy s (1 + x (1 - s))."""

    def forward(self, x):
        s = _sigmoid(x)
        self.save(x, s)
        return x * s

    def backward(self, dy):
        x, s = self.saved
        return dy * s * (1 + x * (1 - s))


def _sigmoid(x):
    """1 / (1 + e^-x), written e^x / (1 + e^x) where x < 0, so that nothing overflows."""
    e = xp(x).exp(-abs(x))
    return xp(x).where(x < 0, e, x.dtype.type(1)) / (1 + e)


class GELU(Function):
    """y = x P(x), with P(x) = erfc(-x / sqrt 2) / 2 the share of a normal distribution below x.

    dx = dy (P(x) + x p(x)), with the density p(x) = e^(-x^2 / 2) / sqrt(2 pi).
    """

    def forward(self, x):
        share = erfc(x * -math.sqrt(0.5)) * 0.5
        self.save(x, share)
        return x * share

    def backward(self, dy):
        x, share = self.saved
        u = _clip(x, -40, 40)  # the density is 0 beyond, and u^2 cannot overflow
        density = xp(x).exp(u * u * -0.5) / math.sqrt(2 * math.pi)
        return dy * (share + x * density)


class GELUTanh(Function):
    """y = x (1 + tanh v) / 2, with v = c (x + 0.044715 x^3) and c = sqrt(2 / pi): nearly GELU.

    dx = dy ((1 + tanh v) / 2 + x (1 - tanh^2 v) / 2 * c (1 + 0.134145 x^2)).
    """

    def forward(self, x):
        u = _clip(x, -20, 20)  # tanh v is 1 or -1 beyond, and u^3 cannot overflow
        t = xp(x).tanh(math.sqrt(2 / math.pi) * (u + 0.044715 * u * u * u))
        self.save(x, u, t)
        return x * ((1 + t) * 0.5)

    def backward(self, dy):
        x, u, t = self.saved
        dv = math.sqrt(2 / math.pi) * (1 + 0.134145 * u * u)
        return dy * ((1 + t) * 0.5 + x * ((1 - t * t) * 0.5) * dv)


# ---------------------------------------------------------------------------
# Along one axis
# ---------------------------------------------------------------------------
class Softmax(Function):
    """y[k] = e^x[k] / (sum of e^x[l]) along axis `dim`: positive numbers whose sum is 1.

    The largest x is taken off first, which changes nothing but that e^x cannot overflow.
    Every y depends on every x: dx[k] = y[k] (dy[k] - sum of dy[l] y[l]).
    """

    def forward(self, x):
        y = xp(x).exp(x - x.max(axis=self.dim, keepdims=True))
        y = y / y.sum(axis=self.dim, keepdims=True)
        self.save(y)
        return y

    def backward(self, dy):
        (y,) = self.saved
        return y * (dy - (dy * y).sum(axis=self.dim, keepdims=True))


class LogSoftmax(Function):
    """y[k] = x[k] - ln(sum of e^x[l]) along axis `dim`: the logarithm of softmax.

    Where softmax rounds to 0 it is still exact. dx[k] = dy[k] - e^y[k] (sum of dy[l]).
    """

    def forward(self, x):
        z = x - x.max(axis=self.dim, keepdims=True)
        y = z - xp(x).log(xp(x).exp(z).sum(axis=self.dim, keepdims=True))
        self.save(y)
        return y

    def backward(self, dy):
        (y,) = self.saved
        return dy - xp(dy).exp(y) * dy.sum(axis=self.dim, keepdims=True)
