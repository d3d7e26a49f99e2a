"""The ladder of convolutions: which rungs there are, what each can compute, and which is chosen.

=============== ============================== ===================================================
rung            directions                     in a word
=============== ============================== ===================================================
naive           forward, both gradients        a thread per result, memory read as it comes
coalesced       forward, both gradients        neighbouring threads read neighbouring numbers
direct          forward, weight gradient       a thread makes 4 neighbours of a row
shared_tile     forward                        a block shares what it reads
register_tile   forward                        a thread makes 4 x 4 results
im2col          forward, both gradients        a matrix of windows, and our matrix product
implicit_gemm   forward, both gradients        the product without the matrix; 128 x 128 tiles
winograd2       forward, both gradients        3x3, stride 1: 2.25 times fewer products
winograd4       forward, both gradients        3x3, stride 1: 4 times fewer products
tf32            forward, both gradients        tensor cores, factors rounded to 10 bits
=============== ============================== ===================================================

The other gradients of direct, shared_tile and register_tile are those of coalesced. All read and
write channels-last arrays and repeat bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from minicnn.backends import xp
from minicnn.backends.algorithm import tf32_allowed
from minicnn.backends.cuda import columns, implicit_gemm, plain, tensor_cores, winograd
from minicnn.backends.cuda.ladder import OLDEST, capability, named, needed_capability
from minicnn.backends.geometry import Geometry
from minicnn.layout import nchw, nhwc

MAX_GRID = 65535


# ---------------------------------------------------------------------------
# Rungs
# ---------------------------------------------------------------------------
def any_shape(geometry):
    """No rule."""
    return None


def grid_shape(geometry):
    """The rule that a grid has at most 65535 blocks along y and z, if the geometry breaks it."""
    classes = geometry.stride[0] * geometry.stride[1]
    if max(classes, geometry.G) <= MAX_GRID:
        return None
    return (
        f"needs at most {MAX_GRID} groups, and a stride of at most {MAX_GRID} pixels in area, but "
        f"got {geometry.G} groups and stride {geometry.stride}"
    )


def tensor_core_shape(geometry):
    """The rule of 16-byte copies, if the geometry breaks it."""
    g = geometry
    if grid_shape(g):
        return grid_shape(g)
    if g.C % 4 == 0 and g.O % 4 == 0:
        return None
    return (
        "needs channels in multiples of 4 in each group, but there are "
        f"{g.C} input and {g.O} output channels"
    )


def winograd_shape(geometry):
    """Winograd's rule, if the geometry breaks it."""
    g = geometry
    if g.kernel == (3, 3) and g.stride == g.dilation == (1, 1) and g.G == 1:
        return None
    return (
        "needs a 3x3 kernel, stride 1, dilation 1 and one group, but got kernel "
        f"{g.kernel}, stride {g.stride}, dilation {g.dilation} and {g.G} groups"
    )


@dataclass(frozen=True)
class Rung:
    """A way to compute a convolution and its gradients, and what it asks for.

    The three functions take arrays as they lie in memory, and a `Geometry`. `rule` returns what
    a geometry breaks, or None.
    """

    forward: Callable
    input_gradient: Callable
    weight_gradient: Callable
    dtypes: tuple[str, ...] = ("float32",)
    rule: Callable = any_shape
    needs: tuple[int, int] = OLDEST

    def refusal(self, geometry, x) -> str | None:
        """Why this rung cannot compute a convolution of x, or None."""
        if x.dtype.name not in self.dtypes:
            return f"computes in {' or '.join(self.dtypes)}, but the arrays are {x.dtype}"
        if capability(x) < self.needs:
            wanted, there = named(self.needs), named(capability(x))
            return f"needs a GPU of {wanted} or newer, but this one is {there}"
        return self.rule(geometry)


BOTH = ("float32", "float64")


def _from_plain(name):
    return Rung(
        partial(plain.forward, name), partial(plain.input_gradient, name),
        partial(plain.weight_gradient, name), BOTH,
        grid_shape if name in plain.TILES else any_shape,
    )  # fmt: skip


def _from_module(module, **settings):
    return Rung(module.forward, module.input_gradient, module.weight_gradient, **settings)


def _from_winograd(F):
    return Rung(
        partial(winograd.forward, F=F), partial(winograd.input_gradient, F=F),
        partial(winograd.weight_gradient, F=F), rule=winograd_shape,
    )  # fmt: skip


RUNGS = {
    **{name: _from_plain(name) for name in plain.RUNGS},
    "im2col": _from_module(columns, dtypes=BOTH),
    "implicit_gemm": _from_module(implicit_gemm, rule=grid_shape),
    "winograd2": _from_winograd(2),
    "winograd4": _from_winograd(4),
    "tf32": _from_module(
        tensor_cores, rule=tensor_core_shape, needs=needed_capability("conv/tf32_forward.cu")
    ),
}


# ---------------------------------------------------------------------------
# Choice
# ---------------------------------------------------------------------------
FEW_CHANNELS = 8
ENOUGH_CHANNELS = 64  # from here on Winograd's savings outweigh its transforms,
ENOUGH_TILES = 128  # and these fill a block's rows


def choose(geometry, x, of_input=False) -> str:
    """The rung that "auto" takes: by shape, dtype and compute capability, never by timing.

    `of_input` for an input gradient: of an image with few channels a tile would be nearly empty.
    """
    if x.dtype != np.float32 or (of_input and geometry.G == 1 and geometry.C < FEW_CHANNELS):
        return "im2col"
    if tf32_allowed() and RUNGS["tf32"].refusal(geometry, x) is None:
        return "tf32"
    g = geometry
    down, right = winograd.across(g.output, 4)
    full = g.output[0] * g.output[1] >= 8 * down * right  # tiles are half full at least
    many = min(g.C, g.O) >= ENOUGH_CHANNELS and g.N * down * right >= ENOUGH_TILES
    if many and full and RUNGS["winograd4"].refusal(g, x) is None:
        return "winograd4"
    return "implicit_gemm" if RUNGS["implicit_gemm"].refusal(g, x) is None else "im2col"


def rung(algorithm, geometry, x, of_input=False) -> Rung:
    """The rung of that name, or the one that "auto" chooses.

    Raises
    ------
    ValueError
        If there is no such rung, or it cannot compute this convolution.
    """
    if algorithm == "auto":
        return RUNGS[choose(geometry, x, of_input)]
    if algorithm not in RUNGS:
        names = ", ".join(map(repr, ("auto", *RUNGS)))
        raise ValueError(f"conv2d: algorithm expects one of {names}, but got {algorithm!r}")
    refusal = RUNGS[algorithm].refusal(geometry, x)
    if refusal:
        raise ValueError(f"conv2d: algorithm {algorithm!r} {refusal}; use 'auto' or 'im2col'")
    return RUNGS[algorithm]


# ---------------------------------------------------------------------------
# The three directions, for arrays in NCHW shape
# ---------------------------------------------------------------------------
def forward(
    x, w, bias=None, add=None, *, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1,
    activation=None, algorithm="auto", output=None,
):  # fmt: skip
    """activation(conv(x, w) + bias + add) for x (N, C, H, W) and w (O, C/G, KH, KW).

    `output` is (OH, OW) if fewer windows are wanted than fit.
    """
    geometry = Geometry.of(x.shape, w.shape, stride, padding, dilation, groups, output)
    how = rung(algorithm, geometry, x)
    bias = None if bias is None else xp(x).ascontiguousarray(bias)
    add = None if add is None else nhwc(add)
    return nchw(how.forward(nhwc(x), nhwc(w), bias, add, geometry, activation=activation))


def input_gradient(
    dy, w, shape, *, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1, algorithm="auto"
):
    """The gradient of an x of that shape (N, C, H, W), from dy (N, O, OH, OW)."""
    geometry = Geometry.of(shape, w.shape, stride, padding, dilation, groups, dy.shape[2:])
    how = rung(algorithm, geometry, dy, of_input=True)
    return nchw(how.input_gradient(nhwc(dy), nhwc(w), geometry))


def weight_gradient(
    x, dy, shape, *, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1, algorithm="auto"
):
    """The gradient of a w of that shape (O, C/G, KH, KW)."""
    geometry = Geometry.of(x.shape, shape, stride, padding, dilation, groups, dy.shape[2:])
    how = rung(algorithm, geometry, x)
    return nchw(how.weight_gradient(nhwc(x), nhwc(dy), geometry))
