"""Joining tensors, and changing the order of channels: elements move, none changes."""

from __future__ import annotations

from minicnn.backends import xp
from minicnn.layout import nchw, nhwc
from minicnn.tensor import Function


class Cat(Function):
    """The inputs one behind the other along axis `dim`. Each gets its own part of the gradient."""

    def forward(self, *xs):
        if xs[0].ndim != 4:
            return xp(xs[0]).concatenate(xs, axis=self.dim)
        axis = (0, 3, 1, 2)[self.dim]  # where that axis is in memory
        return nchw(xp(xs[0]).concatenate([nhwc(x) for x in xs], axis=axis))

    def backward(self, dy):
        grads, start = [], 0
        for shape, wanted in zip(self.shapes, self.needs):
            stop = start + shape[self.dim]
            part = (slice(None),) * self.dim + (slice(start, stop),)
            grads.append(dy[part] if wanted else None)
            start = stop
        return tuple(grads)


class ChannelShuffle(Function):
    """The groups' channels dealt out in turn: the first of every group, the second of every group.

    With K = C / groups channels in a group, channel g*K + k of x becomes channel k*groups + g of y:
    a (groups, K) table of channels, transposed. Dealing out into K groups undoes it.
    """

    def forward(self, x):
        return shuffle(x, self.groups)

    def backward(self, dy):
        return shuffle(dy, dy.shape[1] // self.groups)


def shuffle(x, groups):
    """x (N, C, H, W) with its table (groups, C / groups) of channels transposed."""
    N, C, H, W = x.shape
    table = nhwc(x).reshape(N, H, W, groups, C // groups)
    return nchw(table.swapaxes(3, 4).reshape(N, H, W, C))
