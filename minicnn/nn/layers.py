"""The layers: each holds settings and parameters, and calls the function of the same name."""

from __future__ import annotations

import numpy as np

from minicnn import functional as F
from minicnn.nn import init
from minicnn.nn.module import Module, Parameter


def _count(name, argument, value) -> int:
    """`value` as an int of at least 1."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name}: {argument} expects an int, but got {value!r}")
    if value < 1:
        raise ValueError(f"{name}: {argument} expects 1 or more, but got {value}")
    return int(value)


class Conv2d(Module):
    """`functional.conv2d` with its own filters.

    Parameters
    ----------
    in_channels, out_channels : int
        C and O.
    kernel_size : int or pair (KH, KW)
    stride, padding : int or pair
    bias : bool
        Whether an output channel has a bias (it starts at 0).
    initializer : function
        Fills the weight; He's by default, for the ReLU that usually follows. See `nn.init`.

    Attributes
    ----------
    weight : Parameter (O, C, KH, KW)
    bias : Parameter (O,), or None
    """

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        bias=True,
        initializer=init.he_normal_,
    ):
        super().__init__()
        self.in_channels = _count("Conv2d", "in_channels", in_channels)
        self.out_channels = _count("Conv2d", "out_channels", out_channels)
        self.kernel_size = F.as_pair("Conv2d", "kernel_size", kernel_size, 1)
        self.stride = F.as_pair("Conv2d", "stride", stride, 1)
        self.padding = F.as_pair("Conv2d", "padding", padding, 0)
        shape = (self.out_channels, self.in_channels, *self.kernel_size)
        self.weight = initializer(Parameter(np.empty(shape, np.float32)))
        self.bias = Parameter(np.zeros(self.out_channels, np.float32)) if bias else None

    def forward(self, x):
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding)

    def extra_repr(self):
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        text += f", stride={self.stride}" if self.stride != (1, 1) else ""
        text += f", padding={self.padding}" if self.padding != (0, 0) else ""
        return text + (", bias=False" if self.bias is None else "")


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

    Attributes
    ----------
    weight : Parameter (O, I)
    bias : Parameter (O,), or None
    """

    def __init__(self, in_features, out_features, bias=True, initializer=init.he_normal_):
        super().__init__()
        self.in_features = _count("Linear", "in_features", in_features)
        self.out_features = _count("Linear", "out_features", out_features)
        self.weight = initializer(
            Parameter(np.empty((self.out_features, self.in_features), np.float32))
        )
        self.bias = Parameter(np.zeros(self.out_features, np.float32)) if bias else None

    def forward(self, x):
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self):
        bias = ", bias=False" if self.bias is None else ""
        return f"{self.in_features}, {self.out_features}{bias}"


class _Pool2d(Module):
    """What the pooling layers share: a window, its stride, its padding."""

    def __init__(self, kernel_size, stride=None, padding=0):
        super().__init__()
        name = type(self).__name__
        self.kernel_size = F.as_pair(name, "kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else F.as_pair(name, "stride", stride, 1)
        self.padding = F.as_pair(name, "padding", padding, 0)

    def extra_repr(self):
        text = f"kernel_size={self.kernel_size}, stride={self.stride}"
        return text + (f", padding={self.padding}" if self.padding != (0, 0) else "")


class MaxPool2d(_Pool2d):
    """`functional.max_pool2d` as a layer."""

    def forward(self, x):
        return F.max_pool2d(x, self.kernel_size, self.stride, self.padding)


class AvgPool2d(_Pool2d):
    """`functional.avg_pool2d` as a layer."""

    def forward(self, x):
        return F.avg_pool2d(x, self.kernel_size, self.stride, self.padding)


class ReLU(Module):
    """`functional.relu` as a layer."""

    def forward(self, x):
        return F.relu(x)


class Tanh(Module):
    """`functional.tanh` as a layer."""

    def forward(self, x):
        return F.tanh(x)


class Sigmoid(Module):
    """`functional.sigmoid` as a layer."""

    def forward(self, x):
        return F.sigmoid(x)


class Flatten(Module):
    """(N, C, H, W) to (N, C*H*W): the axes from start_dim on made one."""

    def __init__(self, start_dim: int = 1):
        super().__init__()
        self.start_dim = start_dim

    def forward(self, x):
        return x.flatten(self.start_dim)

    def extra_repr(self):
        return "" if self.start_dim == 1 else f"start_dim={self.start_dim}"


class CrossEntropyLoss(Module):
    """`functional.cross_entropy` as a layer."""

    def forward(self, x, target):
        return F.cross_entropy(x, target)
