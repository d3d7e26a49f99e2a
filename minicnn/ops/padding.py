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
        for axis, index, inside in reversed(list(self.axes(self.shapes[0]))):
            shape = list(dy.shape)
            shape[axis] = self.shapes[0][axis]
            dx = lib.moveaxis(lib.zeros(shape, dy.dtype), axis, 0)
            lib.add.at(dx, index[inside], lib.moveaxis(dy, axis, 0)[inside])
            dy = lib.moveaxis(dx, 0, axis)
        return dy

    def axes(self, shape):
        """(axis, source of each place, whether it has one) for each padded axis."""
        for axis, side in zip(range(-len(self.sides), 0), self.sides):
            index = sources(shape[axis], side, self.mode)
            yield axis, index, index >= 0
