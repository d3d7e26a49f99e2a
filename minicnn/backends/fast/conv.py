"""Convolution, by one of the algorithms of this folder: see `convolution` for the choice."""

from __future__ import annotations

from minicnn.backends.algorithm import current_algorithm
from minicnn.backends.fast.convolution import NUMPY
from minicnn.backends.fast.ending import Ending, InTiles, column_sum
from minicnn.backends.geometry import Geometry
from minicnn.layout import nchw, nhwc

TINY = 2**16  # products: so few are made before there is any plan for them


class Conv2d(InTiles):
    """The algorithm that is asked for, or the best for the shape; "im2col" is the readable one."""

    as_in_memory = staticmethod(nhwc)
    algorithms = NUMPY

    def sizes(self, x, w):
        """Every size of this convolution."""
        windows = (self.stride, self.padding, self.dilation)
        return Geometry.of(x.shape, w.shape, *windows, self.groups)

    def forward(self, x, w, b, add):
        self.algorithm = current_algorithm()  # backward may come when another one is asked for
        g = self.sizes(x, w)
        if self.algorithm == "auto" and _is_tiny(g):
            self.algorithm = "im2col"
        if self.algorithm == "im2col":
            return super().forward(x, w, b, add)
        self.save(x, w)
        how = self.algorithms.find(self.algorithm, g, x.dtype)
        end = Ending(b, None if add is None else nhwc(add), self.in_tiles)
        return self.ended(nchw(how.forward(nhwc(x), nhwc(w), g, end)))

    def backward(self, dy):
        if self.algorithm == "im2col":
            return super().backward(dy)
        x, w, *kept = self.saved
        dz, db = self.before_the_end(dy, kept)
        g, dx, dw = self.sizes(x, w), None, None
        how = self.algorithms.find(self.algorithm, g, x.dtype)
        if self.needs[0]:
            dx = nchw(how.input_gradient(dz, nhwc(w), g))
        if self.needs[1]:
            dw = nchw(how.weight_gradient(nhwc(x), dz, g))
        return dx, dw, db, nchw(dz)


def _is_tiny(g):
    """Whether the readable drawing is as fast as any: with one group, and windows to copy."""
    return g.pixels * g.O * g.window <= TINY and g.G == 1 and g.kernel != (1, 1)


class DepthwiseConv2d(Conv2d):
    """The same, with a group for each channel."""


class ConvTranspose2d:
    """The input gradient of a convolution whose image is y; its gradients are the other two."""

    algorithms = NUMPY

    def sizes(self, x, w):
        """Every size of that convolution."""
        shape = (len(x), w.shape[1] * self.groups, *self.size)
        windows = (self.stride, self.padding, self.dilation)
        return Geometry.of(shape, w.shape, *windows, self.groups, x.shape[2:])

    def forward(self, x, w, b):
        self.algorithm = current_algorithm()
        if self.algorithm == "im2col":
            return super().forward(x, w, b)
        self.save(x, w)
        g = self.sizes(x, w)
        how = self.algorithms.find(self.algorithm, g, x.dtype)
        y = how.input_gradient(nhwc(x), nhwc(w), g)
        if b is not None:
            y += b
        return nchw(y)

    def backward(self, dy):
        if self.algorithm == "im2col":
            return super().backward(dy)
        x, w = self.saved
        g, dyh = self.sizes(x, w), nhwc(dy)
        how = self.algorithms.find(self.algorithm, g, x.dtype)
        return (
            nchw(how.forward(dyh, nhwc(w), g, Ending())) if self.needs[0] else None,
            nchw(how.weight_gradient(dyh, nhwc(x), g)) if self.needs[1] else None,
            column_sum(dyh) if self.needs[2] else None,
        )


OPERATIONS = (Conv2d, DepthwiseConv2d, ConvTranspose2d)
