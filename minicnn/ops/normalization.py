"""Normalization: numbers brought to a common scale.

Batch normalization is two operations, as it is two passes over memory: `Moments` finds each
channel's mean and variance, `BatchNorm` applies them. In evaluation the second runs alone, on the
running statistics.
"""

from __future__ import annotations

from minicnn.backends import xp
from minicnn.layout import from_rows, nchw, nhwc, rows
from minicnn.tensor import Function


# ---------------------------------------------------------------------------
# Batch normalization
# ---------------------------------------------------------------------------
class Moments(Function):
    """Each channel's mean and (biased) variance over the R rows of a batch: (2, C).

    mean = 1/R sum of x, var = 1/R sum of (x - mean)^2. With s a first, rounded mean,
    mean = s + mean(x - s) and var = mean((x - s)^2) - mean(x - s)^2: nothing large is subtracted
    from anything large, as in mean(x^2) - mean(x)^2, where a mean of 10^4 leaves no digit of a
    variance of 1. Not differentiated: `BatchNorm` has the whole gradient.
    """

    def forward(self, x):
        x, lib = rows(x), xp(x)
        if not len(x):
            return lib.zeros((2, x.shape[1]), x.dtype)
        shift = x.mean(axis=0)
        d = x - shift
        rest = d.mean(axis=0)
        return lib.stack([shift + rest, (d * d).mean(axis=0) - rest * rest])


class BatchNorm(Function):
    """Each channel normalized, then scaled and shifted: y = w xhat + b.

    xhat = (x - mean) / sqrt(var + eps); b and w get db = sum of dy and dw = sum of dy xhat. In
    evaluation mean and var are constants, and dx = w / sqrt(var + eps) dy. In training they
    are the batch's own and move with x, which takes from dy what shifts or stretches the batch:
    dx = w / sqrt(var + eps) (dy - mean(dy) - xhat mean(dy xhat)).
    """

    def forward(self, x, moments, w, b):
        mean, var = moments
        factor = 1 / xp(x).sqrt(var + self.eps)
        xhat = (rows(x) - mean) * factor
        self.save(xhat, factor, w)
        y = xhat if w is None else xhat * w
        return from_rows(y if b is None else y + b, x.shape)

    def backward(self, dy):
        xhat, factor, w = self.saved
        dy, shape = rows(dy), dy.shape
        db, dw = dy.sum(axis=0), (dy * xhat).sum(axis=0)
        dx = dy
        if self.training:
            R = max(len(dy), 1)
            dx = dy - db / R - xhat * (dw / R)
        dx = dx * (factor if w is None else factor * w)
        return from_rows(dx, shape), None, dw, db


# ---------------------------------------------------------------------------
# Local response normalization
# ---------------------------------------------------------------------------
class LocalResponseNorm(Function):
    """Every activation damped by the activity of its neighbouring channels.

    y[c] = x[c] s[c]^-beta with s[c] = k + alpha/size sum of x[c']^2 over the `size` channels
    c - size//2 <= c' <= c + (size-1)//2. With g = dy s^-beta, the gradient is
    dx[c] = g[c] - 2 alpha beta / size x[c] sum of g[c'] x[c'] / s[c'] over the c' whose window
    holds c: the mirrored window.
    """

    def forward(self, x):
        x = nhwc(x)
        before, after = self.reach()
        s = self.k + self.alpha / self.size * channel_sums(x * x, before, after)
        self.save(x, s)
        return nchw(x * s**-self.beta)

    def backward(self, dy):
        x, s = self.saved
        before, after = self.reach()
        g = nhwc(dy) * s**-self.beta
        spread = channel_sums(g * x / s, after, before)
        return nchw(g - 2 * self.alpha * self.beta / self.size * x * spread)

    def reach(self):
        """How many channels the window holds before and after its own."""
        return self.size // 2, (self.size - 1) // 2


def channel_sums(x, before, after):
    """For each c, the sum of x (N, H, W, C) over the channels c - before to c + after."""
    C = x.shape[3]
    padded = xp(x).pad(x, ((0, 0), (0, 0), (0, 0), (before, after)))
    return sum(padded[..., start : start + C] for start in range(before + after + 1))
