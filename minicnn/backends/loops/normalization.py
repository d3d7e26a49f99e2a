"""Normalization, one number at a time."""

from __future__ import annotations

import math

import numpy as np

from minicnn.backends.loops.windows import indices


def values(c, shape):
    """The indices (n, c, ...) of channel c's numbers in an array (N, C, ...)."""
    N, _, *size = shape
    for n, *rest in indices(N, *size):
        yield n, c, *rest


class Moments:
    """mean[c] = sum of channel c's x / R; var[c] = sum of (x - mean[c])^2 / R."""

    def forward(self, x):
        C = x.shape[1]
        moments = np.zeros((2, C), x.dtype)
        R = x.size // C
        for c in range(C if R else 0):
            mean = sum(float(x[k]) for k in values(c, x.shape)) / R
            moments[0, c] = mean
            moments[1, c] = sum((float(x[k]) - mean) ** 2 for k in values(c, x.shape)) / R
        return moments


class BatchNorm:
    """z = w[c] xhat + b[c] with xhat = (x - mean[c]) / sqrt(var[c] + eps), for x of channel c.

    Then y = activation(z + add).
    """

    def forward(self, x, moments, w, b, add):
        self.save(x, moments, w)
        z = np.zeros_like(x)
        for c in range(x.shape[1]):
            for k in values(c, x.shape):
                z[k] = self.normalized(x[k], moments[:, c]) * (1 if w is None else w[c])
                z[k] += 0 if b is None else b[c]
        return self.finish(z, add)

    def normalized(self, value, moments):
        return (float(value) - float(moments[0])) / math.sqrt(float(moments[1]) + self.eps)

    def backward(self, dy):
        x, moments, w, *kept = self.saved
        dz = self.back_to_z(dy, kept)
        C, R = x.shape[1], x.size // x.shape[1]
        dx, dw, db = np.zeros_like(x), np.zeros(C, x.dtype), np.zeros(C, x.dtype)
        for c in range(C):
            xhat = {k: self.normalized(x[k], moments[:, c]) for k in values(c, x.shape)}
            sum_dz = sum(float(dz[k]) for k in xhat)
            sum_dz_xhat = sum(float(dz[k]) * xhat[k] for k in xhat)
            slope = (1 if w is None else float(w[c])) / math.sqrt(float(moments[1, c]) + self.eps)
            for k in xhat:
                # In training, x also moves the mean and the variance that it is compared with.
                through = (sum_dz + xhat[k] * sum_dz_xhat) / R if self.training else 0
                dx[k] = slope * (float(dz[k]) - through)
            dw[c], db[c] = sum_dz_xhat, sum_dz
        return dx, None, dw, db, dz


class LocalResponseNorm:
    """y[c] = x[c] s[c]^-beta, s[c] = k + alpha/size sum of x[c']^2 over c - size//2 <= c' <= ..."""

    def forward(self, x):
        s = np.zeros_like(x)
        for n, c, h, w in indices(*x.shape):
            total = sum(float(x[n, j, h, w]) ** 2 for j in self.window(c, x.shape[1]))
            s[n, c, h, w] = self.k + self.alpha / self.size * total
        self.save(x, s)
        y = np.zeros_like(x)
        for k in indices(*x.shape):
            y[k] = float(x[k]) * float(s[k]) ** -self.beta
        return y

    def window(self, c, C):
        """The channels that damp channel c."""
        return range(max(c - self.size // 2, 0), min(c + (self.size - 1) // 2 + 1, C))

    def backward(self, dy):
        x, s = self.saved
        dx = np.zeros_like(x)
        for n, c, h, w in indices(*x.shape):
            g, y, power = float(dy[n, c, h, w]), float(x[n, c, h, w]), float(s[n, c, h, w])
            dx[n, c, h, w] += g * power**-self.beta
            for j in self.window(c, x.shape[1]):  # dy[c] / dx[j] through s[c]
                slope = 2 * self.alpha / self.size * float(x[n, j, h, w])
                dx[n, j, h, w] -= g * y * self.beta * power ** (-self.beta - 1) * slope
        return dx


OPERATIONS = (Moments, BatchNorm, LocalResponseNorm)
