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


class SoftTargetCrossEntropy:
    """y[n] = -(sum over k of q[n,k] ln p[n,k]); a term with q = 0 is left out."""

    def forward(self, x, q):
        N, K = x.shape
        y, log_p = np.zeros(N, x.dtype), np.zeros_like(x)
        for n in range(N):
            row = [float(x[n, k]) for k in range(K)]
            m = max(row)
            total = sum(math.exp(value - m) for value in row)
            for k in range(K):
                log_p[n, k] = row[k] - m - math.log(total)
            y[n] = -sum(float(q[n, k] * log_p[n, k]) for k in range(K) if q[n, k] != 0)
        self.save(log_p, q)
        return y

    def backward(self, dy):
        log_p, q = self.saved
        dx, dq = np.zeros_like(log_p), np.zeros_like(q)
        for n, k in indices(*q.shape):
            dx[n, k] = dy[n] * (math.exp(log_p[n, k]) * sum(q[n]) - q[n, k])
            dq[n, k] = -dy[n] * log_p[n, k]
        return dx, dq


class NegativeLogLikelihood:
    """y[n] = -w[n] x[n,t[n]], and 0 where w[n] is 0."""

    def forward(self, x, t, w):
        y = np.zeros(len(t), x.dtype)
        for n in range(len(t)):
            if w[n] != 0:
                y[n] = -w[n] * x[n, t[n]]
        self.save(t, w)
        return y

    def backward(self, dy):
        t, w = self.saved
        dx = np.zeros(self.shapes[0], dy.dtype)
        for n in range(len(t)):
            dx[n, t[n]] = -w[n] * dy[n]
        return dx, None, None


class SquaredError:
    """(x - t)^2."""

    def forward(self, x, t):
        y = np.zeros(x.shape, x.dtype)
        for k in np.ndindex(x.shape):
            y[k] = (x[k] - t[k]) ** 2
        self.save(x, t)
        return y

    def backward(self, dy):
        x, t = self.saved
        dx, dt = np.zeros(x.shape, x.dtype), np.zeros(x.shape, x.dtype)
        for k in np.ndindex(x.shape):
            dx[k] = 2 * (x[k] - t[k]) * dy[k]
            dt[k] = -dx[k]
        return dx, dt


class CapsuleMargin:
    """y[n] = sum over k of max(0, M - x)^2 where class k is there, else D max(0, x - m)^2."""

    def forward(self, x, t):
        y = np.zeros(len(x), x.dtype)
        for n, k in indices(*x.shape):
            if t[n, k]:
                y[n] += max(0, self.m_plus - x[n, k]) ** 2
            else:
                y[n] += self.down_weight * max(0, x[n, k] - self.m_minus) ** 2
        self.save(x, t)
        return y

    def backward(self, dy):
        x, t = self.saved
        dx = np.zeros_like(x)
        for n, k in indices(*x.shape):
            if t[n, k]:
                dx[n, k] = -2 * dy[n] * max(0, self.m_plus - x[n, k])
            else:
                dx[n, k] = 2 * dy[n] * self.down_weight * max(0, x[n, k] - self.m_minus)
        return dx, None


OPERATIONS = (
    SoftmaxCrossEntropy, SoftTargetCrossEntropy, NegativeLogLikelihood, SquaredError, CapsuleMargin,
)  # fmt: skip
