"""Convolution layers."""

from __future__ import annotations

import numpy as np

from minicnn import functional as F
from minicnn.functional.arguments import as_count, as_pair
from minicnn.nn import init
from minicnn.nn.module import Module, Parameter


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
        self.in_channels = as_count("Conv2d", "in_channels", in_channels)
        self.out_channels = as_count("Conv2d", "out_channels", out_channels)
        self.kernel_size = as_pair("Conv2d", "kernel_size", kernel_size, 1)
        self.stride = as_pair("Conv2d", "stride", stride, 1)
        self.padding = as_pair("Conv2d", "padding", padding, 0)
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
