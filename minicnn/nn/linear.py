"""The fully connected layer, and Flatten before it."""

from __future__ import annotations

import numpy as np

from minicnn import functional as F
from minicnn.functional.arguments import as_activation, as_count
from minicnn.nn import init
from minicnn.nn.module import Module, Parameter


class Linear(Module):
    """`functional.linear` with its own weights.

    Parameters
    ----------
    in_features, out_features : int
        I and O.
    bias : bool
        Whether an output has a bias (it starts at 0).
    initializer : function
        Fills the weight; He's by default. See `nn.init`.
    activation : "relu", "relu6", "silu" or "hardswish", optional
        What the layer ends in; its call takes an `add`, too.

    Attributes
    ----------
    weight : Parameter (O, I)
    bias : Parameter (O,), or None
    """

    def __init__(
        self, in_features, out_features, bias=True, initializer=init.he_normal_, activation=None
    ):
        super().__init__()
        self.in_features = as_count("Linear", "in_features", in_features)
        self.out_features = as_count("Linear", "out_features", out_features)
        self.activation = as_activation("Linear", activation)
        self.weight = initializer(
            Parameter(np.empty((self.out_features, self.in_features), np.float32))
        )
        self.bias = Parameter(np.zeros(self.out_features, np.float32)) if bias else None

    def forward(self, x, add=None, activation=None):
        activation = activation or self.activation
        return F.linear(x, self.weight, self.bias, activation=activation, add=add)

    def extra_repr(self):
        text = f"{self.in_features}, {self.out_features}"
        text += "" if self.activation is None else f", activation={self.activation!r}"
        return text + (", bias=False" if self.bias is None else "")


class Flatten(Module):
    """(N, C, H, W) to (N, C*H*W): the axes from start_dim on made one."""

    def __init__(self, start_dim: int = 1):
        super().__init__()
        self.start_dim = start_dim

    def forward(self, x):
        return x.flatten(self.start_dim)

    def extra_repr(self):
        return "" if self.start_dim == 1 else f"start_dim={self.start_dim}"
