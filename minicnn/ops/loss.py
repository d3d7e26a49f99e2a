"""Losses."""

from __future__ import annotations

from minicnn.backends import xp
from minicnn.tensor import Function


class SoftmaxCrossEntropy(Function):
    """Mean of -log p[n, t[n]] over rows n; p is the softmax of x (N, K), t (N,) the classes.

    log p = x - m - log(sum of e^(x - m)), with m the row's largest x, so that nothing overflows.
    The gradient of both steps together is plain: dx = (p - onehot(t)) / N.
    """

    def forward(self, x, t):
        z = x - x.max(axis=1, keepdims=True)
        log_p = z - xp(x).log(xp(x).exp(z).sum(axis=1, keepdims=True))
        self.save(log_p, t)
        return -log_p[xp(x).arange(len(t)), t].mean()

    def backward(self, dy):
        log_p, t = self.saved
        dx = xp(dy).exp(log_p)
        dx[xp(dy).arange(len(t)), t] -= 1
        return dx * (dy / len(t)), None
