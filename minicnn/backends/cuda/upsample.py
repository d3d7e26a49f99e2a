"""Resampling as kernels: what each output reads is worked out here once, for an axis at a time."""

from __future__ import annotations

import numpy as np

from minicnn.backends import xp
from minicnn.backends.launch import launch_each
from minicnn.layout import nchw, nhwc

FILE = "upsample/upsample.cu"


class _Upsample2d:
    """A thread per output forward, a gather per input backward. Each gives its `kernel_name`."""

    def forward(self, x):
        N, C, _, _ = x.shape
        y = xp(x).empty((N, *self.size, C), x.dtype)
        self.launch("forward", y, nhwc(x), y, *self.tables()[0])
        return nchw(y)

    def backward(self, dy):
        N, C, H, W = self.shapes[0]
        dx = xp(dy).empty((N, H, W, C), dy.dtype)
        self.launch("backward", dx, nhwc(dy), dx, *self.tables()[1])
        return nchw(dx)

    def launch(self, direction, out, source, target, *tables):
        """Run a kernel with a thread per element of `out`; floating tables in its dtype."""
        lib = xp(out)
        tables = [lib.asarray(t, out.dtype if t.dtype.kind == "f" else t.dtype) for t in tables]
        args = (source, target, *tables, out.size, *self.shapes[0][1:], *self.size)
        launch_each(FILE, f"{self.kernel_name}_{direction}", out.size, args, dtype=out.dtype)

    def first(self, place, axis):
        """For each pixel, and one past the last, the first output whose place is not before it."""
        return np.searchsorted(place, np.arange(self.last(axis) + 2)).astype(np.int32)


class UpsampleNearest2d(_Upsample2d):
    """Every output reads one pixel."""

    kernel_name = "nearest"

    def tables(self):
        """The tables of the forward kernel, and of the backward kernel."""
        places = [self.places(axis) for axis in (0, 1)]
        return places, [self.first(place, axis) for axis, place in enumerate(places)]


class UpsampleBilinear2d(_Upsample2d):
    """Every output reads four pixels."""

    kernel_name = "bilinear"

    def tables(self):
        """The tables of the forward kernel, and of the backward kernel."""
        low, t = zip(*[self.places(axis) for axis in (0, 1)])
        first = [self.first(place, axis) for axis, place in enumerate(low)]
        return (*low, *t), (*first, *t)


OPERATIONS = (UpsampleNearest2d, UpsampleBilinear2d)
