"""Losses, one number at a time."""

from __future__ import annotations

import math

import numpy as np

from minicnn.backends.loops.windows import indices


class SoftmaxCrossEntropy:
    """Mean over rows of -log p[t]; p[k] = e^(x[k] - m) / sum of e^(x[l] - m), m the maximum."""

    def forward(self, x, t):
        N, K = x.shape
        loss, p = 0.0, np.zeros_like(x)
        for n in range(N):
            row = [float(x[n, k]) for k in range(K)]
            m = max(row)
            total = sum(math.exp(value - m) for value in row)
            for k in range(K):
                p[n, k] = math.exp(row[k] - m) / total
            loss += (math.log(total) + m - row[t[n]]) / N
        self.save(p, t)
        return np.asarray(loss, x.dtype)

    def backward(self, dy):
        p, t = self.saved
        dx = np.zeros_like(p)
        for n, k in indices(*p.shape):
            dx[n, k] = dy * (p[n, k] - (1 if k == t[n] else 0)) / len(p)
        return dx, None


OPERATIONS = (SoftmaxCrossEntropy,)
