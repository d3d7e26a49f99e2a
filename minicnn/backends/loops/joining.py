"""Joining and channel shuffle, as nested loops."""

from __future__ import annotations

import numpy as np

from minicnn.backends.loops.windows import indices


class Cat:
    """y's element at `place` along `dim` is of the input that reaches there."""

    def forward(self, *xs):
        shape = list(xs[0].shape)
        shape[self.dim] = sum(x.shape[self.dim] for x in xs)
        y = np.zeros(shape, xs[0].dtype)
        for k, x in enumerate(xs):
            for place in indices(*x.shape):
                y[self.moved(place, k)] = x[place]
        return y

    def backward(self, dy):
        grads = [np.zeros(shape, dy.dtype) for shape in self.shapes]
        for k, dx in enumerate(grads):
            for place in indices(*dx.shape):
                dx[place] = dy[self.moved(place, k)]
        return tuple(grads)

    def moved(self, place, k):
        """Where the element at `place` of input k is in the output."""
        before = sum(shape[self.dim] for shape in self.shapes[:k])
        return *place[: self.dim], place[self.dim] + before, *place[self.dim + 1 :]


class ChannelShuffle:
    """Channel k of group g becomes channel g of the k-th deal."""

    def forward(self, x):
        y = np.zeros(x.shape, x.dtype)
        for n, c, h, w in indices(*x.shape):
            y[n, self.dealt(c), h, w] = x[n, c, h, w]
        return y

    def backward(self, dy):
        dx = np.zeros(dy.shape, dy.dtype)
        for n, c, h, w in indices(*dy.shape):
            dx[n, c, h, w] = dy[n, self.dealt(c), h, w]
        return dx

    def dealt(self, c):
        """Where channel c goes to."""
        g, k = divmod(c, self.shapes[0][1] // self.groups)
        return k * self.groups + g


OPERATIONS = (Cat, ChannelShuffle)
