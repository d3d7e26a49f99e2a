"""Activations as layers."""

from __future__ import annotations

import math

import numpy as np

from minicnn import functional as F
from minicnn.functional.arguments import as_count, as_number
from minicnn.nn.module import Module, Parameter


class ReLU(Module):
    """`functional.relu` as a layer."""

    def forward(self, x):
        return F.relu(x)


class LeakyReLU(Module):
    """`functional.leaky_relu` as a layer."""

    def __init__(self, negative_slope=0.01):
        super().__init__()
        self.negative_slope = as_number(
            "LeakyReLU", "negative_slope", negative_slope, "that is finite", math.isfinite
        )

    def forward(self, x):
        return F.leaky_relu(x, self.negative_slope)

    def extra_repr(self):
        return f"negative_slope={self.negative_slope}"


class PReLU(Module):
    """`functional.prelu` with its own slopes.

    Parameters
    ----------
    num_parameters : int
        1 for one slope, or the number of channels C for one each.
    init : float
        Where the slopes start.

    Attributes
    ----------
    weight : Parameter (num_parameters,)
        Do not decay it: the decay would make it a ReLU (He et al., 2015).
    """

    def __init__(self, num_parameters=1, init=0.25):
        super().__init__()
        self.num_parameters = as_count("PReLU", "num_parameters", num_parameters)
        init = as_number("PReLU", "init", init, "that is finite", math.isfinite)
        self.weight = Parameter(np.full(self.num_parameters, init, np.float32))

    def forward(self, x):
        return F.prelu(x, self.weight)

    def extra_repr(self):
        return f"num_parameters={self.num_parameters}"


class ReLU6(Module):
    """`functional.relu6` as a layer."""

    def forward(self, x):
        return F.relu6(x)


class Hardsigmoid(Module):
    """`functional.hardsigmoid` as a layer."""

    def forward(self, x):
        return F.hardsigmoid(x)


class Hardswish(Module):
    """`functional.hardswish` as a layer."""

    def forward(self, x):
        return F.hardswish(x)


class Tanh(Module):
    """`functional.tanh` as a layer."""

    def forward(self, x):
        return F.tanh(x)


class ScaledTanh(Module):
    """`functional.scaled_tanh` as a layer."""

    def forward(self, x):
        return F.scaled_tanh(x)


class Sigmoid(Module):
    """`functional.sigmoid` as a layer."""

    def forward(self, x):
        return F.sigmoid(x)


class SiLU(Module):
    """`functional.silu` as a layer; papers call it swish, too."""

    def forward(self, x):
        return F.silu(x)


class GELU(Module):
    """`functional.gelu` as a layer."""

    def __init__(self, approximate="none"):
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise ValueError(f"GELU: approximate expects 'none' or 'tanh', but got {approximate!r}")
        self.approximate = approximate

    def forward(self, x):
        return F.gelu(x, self.approximate)

    def extra_repr(self):
        return f"approximate={self.approximate!r}"


class _Softmax(Module):
    """What the softmaxes share: an axis."""

    def __init__(self, dim):
        super().__init__()
        if isinstance(dim, bool) or not isinstance(dim, (int, np.integer)):
            raise TypeError(f"{type(self).__name__}: dim expects an int, but got {dim!r}")
        self.dim = int(dim)

    def extra_repr(self):
        return f"dim={self.dim}"


class Softmax(_Softmax):
    """`functional.softmax` as a layer. Not before CrossEntropyLoss, which has it inside."""

    def forward(self, x):
        return F.softmax(x, self.dim)


class LogSoftmax(_Softmax):
    """`functional.log_softmax` as a layer, for NLLLoss."""

    def forward(self, x):
        return F.log_softmax(x, self.dim)
