"""Convolution layers."""

from __future__ import annotations

import numpy as np

from minicnn import functional as F
from minicnn.functional.arguments import as_activation, as_count, as_pair
from minicnn.functional.conv import as_padding
from minicnn.functional.padding import MODES
from minicnn.layout import nchw
from minicnn.nn import init
from minicnn.nn.module import Module, Parameter


class _Conv(Module):
    """What the convolution layers share: their settings, and a weight and a bias."""

    def _setup(self, in_channels, out_channels, kernel_size, stride, dilation, groups):
        name = type(self).__name__
        self.in_channels = as_count(name, "in_channels", in_channels)
        self.out_channels = as_count(name, "out_channels", out_channels)
        self.kernel_size = as_pair(name, "kernel_size", kernel_size, 1)
        self.stride = as_pair(name, "stride", stride, 1)
        self.dilation = as_pair(name, "dilation", dilation, 1)
        self.groups = as_count(name, "groups", groups)
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ValueError(
                f"{name}: groups must divide in_channels and out_channels, but {self.groups} "
                f"groups were asked for with {self.in_channels} and {self.out_channels}"
            )

    def _make(self, outer, inner, bias, initializer):
        filters = np.empty((outer, *self.kernel_size, inner // self.groups), np.float32)
        self.weight = initializer(Parameter(nchw(filters)))
        self.bias = Parameter(np.zeros(self.out_channels, np.float32)) if bias else None

    def extra_repr(self):
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        for setting, plain in (
            ("stride", (1, 1)), ("padding", (0, 0)), ("output_padding", (0, 0)),
            ("dilation", (1, 1)), ("groups", 1), ("padding_mode", "zeros"), ("activation", None),
        ):  # fmt: skip
            value = getattr(self, setting, plain)
            text += f", {setting}={value!r}" if value != plain else ""
        return text + (", bias=False" if self.bias is None else "")


class Conv2d(_Conv):
    """`functional.conv2d` with its own filters.

    Parameters
    ----------
    in_channels, out_channels : int
        C and O.
    kernel_size : int or pair (KH, KW)
    stride, padding, dilation, groups, padding_mode
        As in `functional.conv2d`.
    bias : bool
        Whether an output channel has a bias (it starts at 0).
    initializer : function
        Fills the weight; He's by default, for the ReLU that usually follows. See `nn.init`.
    activation : "relu", "relu6", "silu" or "hardswish", optional
        What the layer ends in; its call takes an `add`, too: `layer(x, add=shortcut)`.

    Attributes
    ----------
    weight : Parameter (O, C/G, KH, KW)
    bias : Parameter (O,), or None
    """

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups=1,
        bias=True,
        padding_mode="zeros",
        initializer=init.he_normal_,
        activation=None,
    ):
        super().__init__()
        self._setup(in_channels, out_channels, kernel_size, stride, dilation, groups)
        sides = as_padding("Conv2d", padding, self.kernel_size, self.stride, self.dilation)
        plain = not isinstance(padding, str) and all(a == b for a, b in sides)
        self.padding = tuple(a for a, _ in sides) if plain else padding
        if padding_mode not in ("zeros", *MODES):
            raise ValueError(
                f"Conv2d: padding_mode expects 'zeros', 'replicate', 'reflect' or 'circular', but "
                f"got {padding_mode!r}"
            )
        self.padding_mode = padding_mode
        self.activation = as_activation("Conv2d", activation)
        self._make(self.out_channels, self.in_channels, bias, initializer)

    def forward(self, x, add=None, activation=None):
        return F.conv2d(
            x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups,
            self.padding_mode, activation=activation or self.activation, add=add,
        )  # fmt: skip


class ConvTranspose2d(_Conv):
    """`functional.conv_transpose2d` with its own filters.

    Parameters and attributes are those of `Conv2d`, with output_padding, and a weight of shape
    (C, O/G, KH, KW).
    """

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        output_padding=0,
        groups=1,
        bias=True,
        dilation=1,
        initializer=init.he_normal_,
    ):
        super().__init__()
        self._setup(in_channels, out_channels, kernel_size, stride, dilation, groups)
        self.padding = as_pair("ConvTranspose2d", "padding", padding, 0)
        self.output_padding = as_pair("ConvTranspose2d", "output_padding", output_padding, 0)
        self._make(self.in_channels, self.out_channels, bias, initializer)

    def forward(self, x):
        return F.conv_transpose2d(
            x, self.weight, self.bias, self.stride, self.padding, self.output_padding, self.groups,
            self.dilation,
        )  # fmt: skip
