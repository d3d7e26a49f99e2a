"""Shapes without numbers: every operation gives an array of the right shape, and computes nothing.

    with use_backend("shapes"):
        y = model(blank((1, 3, 224, 224)))       # y.shape, in no time and no memory

A blank array holds one 0, repeated with strides of 0 bytes; 4-D ones have no memory order to keep.
Each operation has a rule: from the shapes of its inputs and its settings, the shape of its output.
Backward needs none: a gradient has its input's shape. An operation that has no rule here is
computed, on zeros. Values that a net looks at on its way are 0, so nothing can be trained, and what
depends on values (but for zeros) is not to be trusted.
"""

from __future__ import annotations

import math

import numpy as np

from minicnn.layout import output_size


def blank(shape, dtype=np.float32) -> np.ndarray:
    """An array of zeros without memory: one element, seen again and again. Read-only."""
    return np.broadcast_to(np.zeros((), dtype), shape)


class Blank:
    """What takes the place of every operation: its shape, by its rule."""

    backend = "shapes"

    def forward(self, *arrays):
        self.dtypes = [None if a is None else a.dtype for a in arrays]
        shape = self.rule(*[None if a is None else a.shape for a in arrays])
        return blank(shape, self.result(self.dtypes[0]))

    def backward(self, dy):
        zipped = zip(self.shapes, self.dtypes, self.needs)
        return tuple(blank(s, d) if wanted else None for s, d, wanted in zipped)

    def lay_out(self, array):
        """As it is: with strides of 0 there is no order to bring it into."""
        return array

    def result(self, dtype):
        """The output's dtype, from the first input's."""
        return {"Cast": getattr(self, "dtype", None), "PoolIndices": np.int64}.get(self.name, dtype)


# ---------------------------------------------------------------------------
# Rules: the output's shape, from the operation and its inputs' shapes
# ---------------------------------------------------------------------------
def same(op, x, *_):
    return x


def broadcast(op, *shapes):
    return np.broadcast_shapes(*shapes)


def matmul(op, a, b):
    return *np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1]


def linear(op, x, w, *_):
    return *x[:-1], w[0]


def convolution(op, x, w, *_):
    return x[0], w[0], *output_size(x[2:], w[2:], op.stride, op.padding, op.dilation)


def transposed_convolution(op, x, w, b):
    return x[0], w[1] * op.groups, *op.size


def im2col(op, x):
    size = output_size(x[2:], op.kernel, op.stride, op.padding, op.dilation)
    return x[0] * math.prod(size), math.prod(op.kernel) * x[1]


def to_shape(op, *_):
    return op.shape


def to_size(op, x, *_):
    return *x[:2], *op.size


def pool(op, x):
    return *x[:2], *op.output_size(x)


def pool_indices(op, x):
    if "size" in op.settings:
        return to_size(op, x)
    window = op.pool()
    window.__dict__.update(op.settings)
    return pool(window, x)


def pad(op, x):
    fixed = len(x) - len(op.sides)
    return *x[:fixed], *(n + sum(side) for n, side in zip(x[fixed:], op.sides))


def cat(op, *xs):
    shape = list(xs[0])
    shape[op.dim] = sum(x[op.dim] for x in xs)
    return tuple(shape)


def permute(op, x):
    return tuple(x[k] for k in op.dims)


def index(op, x):
    return blank(x, bool)[op.key].shape


def reduction(op, x):
    if op.keepdim:
        return tuple(1 if k in op.dims else n for k, n in enumerate(x))
    return tuple(n for k, n in enumerate(x) if k not in op.dims)


def moments(op, x):
    return 2, x[1]


def one_number(op, *_):
    return ()


def one_a_row(op, x, *_):
    return x[:1]


RULES = {
    same: (
        "Negate Exp Log Cast ReLU LeakyReLU PReLU ReLU6 Hardsigmoid Hardswish Tanh ScaledTanh "
        "Sigmoid SiLU GELU GELUTanh Softmax LogSoftmax BatchNorm LocalResponseNorm Dropout "
        "Dropout2d ChannelShuffle SquaredError"
    ),
    broadcast: "Add Subtract Multiply Divide Power",
    matmul: "MatMul",
    linear: "Linear",
    convolution: "Conv2d DepthwiseConv2d",
    transposed_convolution: "ConvTranspose2d",
    im2col: "Im2Col",
    to_shape: "Col2Im Reshape",
    to_size: (
        "AdaptiveAvgPool2d AdaptiveMaxPool2d MaxUnpool2d UpsampleNearest2d UpsampleBilinear2d"
    ),
    pool: "MaxPool2d AvgPool2d",
    pool_indices: "PoolIndices",
    pad: "Pad",
    cat: "Cat",
    permute: "Permute",
    index: "Index",
    reduction: "Sum Mean Max",
    moments: "Moments",
    one_number: "SoftmaxCrossEntropy",
    one_a_row: "SoftTargetCrossEntropy NegativeLogLikelihood CapsuleMargin",
}

OPERATIONS = {
    name: type(name, (Blank,), {"rule": rule})
    for rule, names in RULES.items()
    for name in names.split()
}
