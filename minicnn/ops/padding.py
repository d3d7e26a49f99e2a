"""Padding, by one index for each row and column of the result."""

from __future__ import annotations

import numpy as np

from minicnn.backends import xp
from minicnn.tensor import Function

MODES = ("constant", "replicate", "reflect", "circular")


def sources(size, side, mode):
    """For each place of a padded axis, which of the axis's `size` places it copies; -1 for none."""
    place = np.arange(-side[0], size + side[1])
    if mode == "replicate":
        return place.clip(0, size - 1)
    if mode == "circular":
        return place % size
    if mode == "reflect":
        place = np.abs(place)
        return np.where(place < size, place, 2 * (size - 1) - place)
    return np.where((place >= 0) & (place < size), place, -1)


def rounds(index):
    """(places, their sources), again and again until all have been named, no source twice at once.

    So sums over the copies of a pixel are added in one order, on a GPU, too.
    """
    left = np.flatnonzero(index >= 0)
    while left.size:
        targets, first = np.unique(index[left], return_index=True)
        yield left[first], targets
        left = np.delete(left, first)


class Pad(Function):
    """y[.., i, j] = x[.., sources(i), sources(j)], or the value where there is no source.

    Backward, every pixel gets the sum of the gradients of its copies.
    """

    def forward(self, x):
        for axis, index, inside in self.axes(x.shape):
            x = x.take(index, axis=axis)  # where there is no source, -1 takes the last for now
            if not inside.all():
                xp(x).moveaxis(x, axis, 0)[~inside] = self.value
        return x

    def backward(self, dy):
        lib = xp(dy)
        for axis, index, _ in reversed(list(self.axes(self.shapes[0]))):
            shape = list(dy.shape)
            shape[axis] = self.shapes[0][axis]
            dx, dy = lib.moveaxis(lib.zeros(shape, dy.dtype), axis, 0), lib.moveaxis(dy, axis, 0)
            for places, targets in rounds(index):
                dx[lib.asarray(targets)] += dy[lib.asarray(places)]
            dy = lib.moveaxis(dx, 0, axis)
        return dy

    def axes(self, shape):
        """(axis, source of each place, whether it has one) for each padded axis."""
        for axis, side in zip(range(-len(self.sides), 0), self.sides):
            index = sources(shape[axis], side, self.mode)
            yield axis, index, index >= 0
