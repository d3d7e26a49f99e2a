"""Losses: from a net's outputs and what they should be, one number a row that should be small.

The functions in `minicnn.functional` add these numbers up, or take their mean.
"""

from __future__ import annotations

from minicnn.backends import xp
from minicnn.tensor import Function


class SoftmaxCrossEntropy(Function):
    """Mean of -log p[n, t[n]] over rows n; p is the softmax of x (N, K), t (N,) the classes.

    log p = x - m - log(sum of e^(x - m)), with m the row's largest x, so that nothing overflows.
    The gradient of both steps together is plain: dx = (p - onehot(t)) / N.
    """

    def forward(self, x, t):
        log_p = _log_softmax(x)
        self.save(log_p, t)
        return -log_p[xp(x).arange(len(t)), t].mean()

    def backward(self, dy):
        log_p, t = self.saved
        dx = xp(dy).exp(log_p)
        dx[xp(dy).arange(len(t)), t] -= 1
        return dx * (dy / len(t)), None


class SoftTargetCrossEntropy(Function):
    """y[n] = -(sum over k of q[n,k] log p[n,k]), p the softmax of x (N, K), q (N, K) any numbers.

    q holds the wanted probabilities, times the weights of the classes if there are any. 0 log 0
    counts as 0. dx[n,k] = dy[n] (p[n,k] sum(q[n]) - q[n,k]); dq[n,k] = -dy[n] log p[n,k].
    """

    def forward(self, x, q):
        log_p = _log_softmax(x)
        self.save(log_p, q)
        return -(q * xp(x).where(q == 0, 0 * q, log_p)).sum(axis=1)

    def backward(self, dy):
        log_p, q = self.saved
        dy = dy[:, None]
        dx = dq = None
        if self.needs[0]:
            dx = dy * (xp(dy).exp(log_p) * q.sum(axis=1, keepdims=True) - q)
        if self.needs[1]:
            dq = -dy * log_p
        return dx, dq


def _log_softmax(x):
    z = x - x.max(axis=1, keepdims=True)
    return z - xp(x).log(xp(x).exp(z).sum(axis=1, keepdims=True))


class NegativeLogLikelihood(Function):
    """y[n] = -w[n] x[n, t[n]], x (N, K) logarithms of probabilities, t (N,) the classes.

    A row of weight 0 gives 0, also where x is -infinity. dx[n, t[n]] = -w[n] dy[n].
    """

    def forward(self, x, t, w):
        picked = x[xp(x).arange(len(t)), t]
        self.save(t, w)
        return -w * xp(x).where(w == 0, 0 * w, picked)

    def backward(self, dy):
        t, w = self.saved
        dx = xp(dy).zeros(self.shapes[0], dy.dtype)
        dx[xp(dy).arange(len(t)), t] = -w * dy
        return dx, None, None


class SquaredError(Function):
    """y = (x - t)^2; dx = 2 (x - t) dy = -dt."""

    def forward(self, x, t):
        difference = x - t
        self.save(difference)
        return difference * difference

    def backward(self, dy):
        (difference,) = self.saved
        dx = 2 * difference * dy
        return dx, -dx


class CapsuleMargin(Function):
    """y[n] = sum over k of max(0, M - x)^2 where class k is there, else D max(0, x - m)^2.

    x (N, K) are the lengths of the class capsules, t (N, K) tells which classes are there. A class
    that is there shall have a length of M = `m_plus` or more, any other `m_minus` or less; D is
    the `down_weight` of the many that are not there. dx = -2 max(0, M - x) or 2 D max(0, x - m).
    """

    def forward(self, x, t):
        lib = xp(x)
        short = lib.maximum(self.m_plus - x, 0) * t
        long = lib.maximum(x - self.m_minus, 0) * ~t
        self.save(short, long)
        return (short * short + self.down_weight * (long * long)).sum(axis=1)

    def backward(self, dy):
        short, long = self.saved
        return 2 * dy[:, None] * (self.down_weight * long - short), None
