"""Which algorithms for convolution there are, what each can compute, and which is chosen.

========== ======================================== ===============================================
name       for                                      in a word
========== ======================================== ===============================================
im2col     every convolution                        the readable drawing: one matrix of windows
tiled      every convolution                        windows and products in tiles of 1 MB
product    1x1, padding 0, one group                a matrix product, no copy
banded     one group                                several neighbours at once; few channels
depthwise  a filter for each channel                shifted multiply-adds
winograd   3x3, stride 1, one group, float32        winograd4 under a shorter name
winograd2  the same                                 2.25 times fewer multiplications
winograd4  the same                                 4 times fewer, and less precise
========== ======================================== ===============================================

All compute forward and both gradients, and all but im2col have three functions on arrays as they
lie in memory (see `minicnn.backends.geometry.Geometry` for the sizes):

    forward(x, w, geometry, end)            y, each tile finished by `end` while it is in the cache
    input_gradient(dz, w, geometry)         dx
    weight_gradient(x, dz, geometry)        dw
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

from minicnn.backends.fast import banded, depthwise, product, tiled, winograd, winograd_tiles


# ---------------------------------------------------------------------------
# What each can compute
# ---------------------------------------------------------------------------
def any_shape(geometry, dtype):
    """No rule."""
    return None


def product_rule(geometry, dtype):
    """What `product` asks for, if the geometry breaks it."""
    g = geometry
    if g.kernel == (1, 1) and g.padding == (0, 0) and g.G == 1:
        return None
    return (
        f"needs a 1x1 kernel, padding 0 and one group, but got kernel {g.kernel}, padding "
        f"{g.padding} and {g.G} groups"
    )


def depthwise_rule(geometry, dtype):
    """What `depthwise` asks for, if the geometry breaks it."""
    g = geometry
    if g.C == g.O == 1:
        return None
    return f"needs one filter for each channel, but a group has {g.C} channels and {g.O} filters"


def banded_rule(geometry, dtype):
    """What `banded` asks for, if the geometry breaks it."""
    if geometry.G == 1:
        return None
    return f"needs one group, but there are {geometry.G}"


def winograd_rule(geometry, dtype):
    """What Winograd asks for, if the geometry breaks it."""
    g = geometry
    if dtype != np.float32:
        return f"computes in float32 only, but the arrays are {dtype}"
    if g.kernel == (3, 3) and g.stride == g.dilation == (1, 1) and g.G == 1:
        return None
    return (
        "needs a 3x3 kernel, stride 1, dilation 1 and one group, but got kernel "
        f"{g.kernel}, stride {g.stride}, dilation {g.dilation} and {g.G} groups"
    )


@dataclass(frozen=True)
class Algorithm:
    """Forward and gradients, and the rule: what a geometry breaks, or None."""

    forward: Callable
    input_gradient: Callable
    weight_gradient: Callable
    rule: Callable = any_shape


def _from(module, rule=any_shape, **settings):
    functions = (module.forward, module.input_gradient, module.weight_gradient)
    return Algorithm(*(partial(f, **settings) if settings else f for f in functions), rule)


def table(transforms):
    """The algorithms by name; `transforms` are Winograd's (see `winograd_tiles`)."""
    winograds = {
        name: _from(winograd, winograd_rule, F=F, transforms=transforms)
        for name, F in (("winograd", 4), ("winograd2", 2), ("winograd4", 4))
    }
    return {
        "tiled": _from(tiled),
        "product": _from(product, product_rule),
        "banded": _from(banded, banded_rule),
        "depthwise": _from(depthwise, depthwise_rule),
    } | winograds


# ---------------------------------------------------------------------------
# Choice
# ---------------------------------------------------------------------------
FEW_IN, FEW_OUT = 8, 24  # LeNet's: too few channels for im2col's products to be fast
ENOUGH = 16  # channels, in and out, for Winograd's products not to be too thin
COPY = 12  # to copy a number takes as long as so many multiply-adds of a large product


def cost_of_tiled(geometry):
    """About how many multiply-adds the time is worth."""
    return geometry.pixels * geometry.window * (geometry.O + COPY)


@dataclass(frozen=True)
class WinogradCost:
    """What Winograd costs where transforms are done in one way or the other, in the same unit."""

    split: float  # its work, in many small steps, takes so many times as long as in one large one
    filter: float  # to transform the filters, and to fetch the larger ones: a number of U
    transform: Callable  # (F, C, O): a tile's image and output

    def __call__(self, geometry, F):
        """For all tiles; outputs that reach over the edge are counted."""
        g, points = geometry, (F + 2) ** 2
        tiles = g.N * -(-g.output[0] // F) * -(-g.output[1] // F)
        products = points * g.C * g.O
        work = tiles * (products + self.transform(F, g.C, g.O)) + self.filter * products
        return self.split * work


def in_numpy(F, C, O):
    """NumPy's transforms: a product with a matrix each, and a copy."""
    inputs, outputs = (F + 2) ** 2, F * F
    return (inputs + COPY) * (inputs * C + outputs * O)


class Algorithms:
    """The algorithms of a backend by name, and which of them a shape gets."""

    def __init__(self, table, cost_of_winograd):
        self.table, self.cost_of_winograd = table, cost_of_winograd
        self.find = lru_cache(512)(self._find)

    def choose(self, geometry, dtype) -> str:
        """The algorithm that "auto" takes: by shape and dtype, never by timing."""
        g = geometry
        if product_rule(g, dtype) is None:
            return "product"
        if depthwise_rule(g, dtype) is None and g.G > 1:
            return "depthwise"
        if banded_rule(g, dtype) is None and g.C <= FEW_IN and g.O <= FEW_OUT:
            return "banded"
        if winograd_rule(g, dtype) is not None or min(g.C, g.O) < ENOUGH:
            return "tiled"
        costs = {"tiled": cost_of_tiled(g)}
        costs.update((f"winograd{F}", self.cost_of_winograd(g, F)) for F in (2, 4))
        return min(costs, key=costs.get)

    def _find(self, asked, geometry, dtype) -> Algorithm:
        """The algorithm of that name, or the one that "auto" chooses.

        Raises
        ------
        ValueError
            If there is none of that name, or it cannot compute this convolution.
        """
        if asked == "auto":
            return self.table[self.choose(geometry, dtype)]
        if asked not in self.table:
            names = ", ".join(map(repr, ("auto", "im2col", *self.table)))
            raise ValueError(
                f"conv2d: algorithm {asked!r} is not one of the fast backend; it has {names}"
            )
        broken = self.table[asked].rule(geometry, dtype)
        if broken:
            raise ValueError(f"conv2d: algorithm {asked!r} {broken}; use 'auto' or 'tiled'")
        return self.table[asked]


NUMPY = Algorithms(table(winograd_tiles.NUMPY), WinogradCost(1.5, 100, in_numpy))
