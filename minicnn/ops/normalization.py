"""Normalization: numbers brought to a common scale.

Batch normalization is two operations, as it is two passes over memory: `Moments` finds each
channel's mean and variance, `BatchNorm` applies them. In evaluation the second runs alone, on the
running statistics.
"""

from __future__ import annotations

from minicnn.backends import xp
from minicnn.layout import from_rows, nchw, nhwc, rows
from minicnn.ops.epilogue import Fused
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


class BatchNorm(Fused):
    """Each channel normalized, then scaled and shifted: z = w xhat + b; y = activation(z + add).

    xhat = (x - mean) / sqrt(var + eps); b and w get db = sum of dz and dw = sum of dz xhat. In
    evaluation mean and var are constants, and dx = w / sqrt(var + eps) dz. In training they
    are the batch's own and move with x, which takes from dz what shifts or stretches the batch:
    dx = w / sqrt(var + eps) (dz - mean(dz) - xhat mean(dz xhat)).
    """

    def forward(self, x, moments, w, b, add):
        mean, var = moments
        factor = 1 / xp(x).sqrt(var + self.eps)
        xhat = (rows(x) - mean) * factor
        self.save(xhat, factor, w)
        z = xhat * (1 if w is None else w)
        if b is not None:
            z += b
        return self.finish(from_rows(z, x.shape), add)

    def backward(self, dy):
        xhat, factor, w, *kept = self.saved
        dadd = self.back_to_z(dy, kept)
        dz = rows(dadd)
        db, dw = dz.sum(axis=0), (dz * xhat).sum(axis=0)
        dx = dz
        if self.training:
            R = max(len(dz), 1)
            dx = dz - db / R - xhat * (dw / R)
        dx = dx * (factor if w is None else factor * w)
        return from_rows(dx, dy.shape), None, dw, db, dadd


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
