"""Pooling layers."""

from __future__ import annotations

from minicnn import functional as F
from minicnn.functional.arguments import as_pair
from minicnn.functional.pooling import as_adaptive_size, as_bool, as_divisor
from minicnn.nn.module import Module


class _Pool2d(Module):
    """What the pooling layers share: a window, its stride, its padding."""

    def __init__(self, kernel_size, stride=None, padding=0, ceil_mode=False):
        super().__init__()
        name = type(self).__name__
        self.kernel_size = as_pair(name, "kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else as_pair(name, "stride", stride, 1)
        self.padding = as_pair(name, "padding", padding, 0)
        self.ceil_mode = as_bool(name, "ceil_mode", ceil_mode)

    def extra_repr(self):
        text = f"kernel_size={self.kernel_size}, stride={self.stride}"
        text += f", padding={self.padding}" if self.padding != (0, 0) else ""
        return text + (", ceil_mode=True" if self.ceil_mode else "")


class MaxPool2d(_Pool2d):
    """`functional.max_pool2d` as a layer; with `return_indices` it returns a pair."""

    def __init__(
        self,
        kernel_size,
        stride=None,
        padding=0,
        dilation=1,
        return_indices=False,
        ceil_mode=False,
    ):
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.dilation = as_pair("MaxPool2d", "dilation", dilation, 1)
        self.return_indices = as_bool("MaxPool2d", "return_indices", return_indices)

    def forward(self, x):
        return F.max_pool2d(
            x,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )

    def extra_repr(self):
        text = super().extra_repr()
        return text + (f", dilation={self.dilation}" if self.dilation != (1, 1) else "")


class AvgPool2d(_Pool2d):
    """`functional.avg_pool2d` as a layer."""

    def __init__(
        self,
        kernel_size,
        stride=None,
        padding=0,
        ceil_mode=False,
        count_include_pad=True,
        divisor_override=None,
    ):
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = as_bool("AvgPool2d", "count_include_pad", count_include_pad)
        self.divisor_override = as_divisor("AvgPool2d", divisor_override)

    def forward(self, x):
        return F.avg_pool2d(
            x,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self):
        text = super().extra_repr()
        text += "" if self.count_include_pad else ", count_include_pad=False"
        divisor = self.divisor_override
        return text + (f", divisor_override={divisor}" if divisor is not None else "")


class _AdaptivePool2d(Module):
    """What the adaptive pooling layers share: the size of their output."""

    def __init__(self, output_size):
        super().__init__()
        self.output_size = as_adaptive_size(type(self).__name__, output_size)

    def extra_repr(self):
        return f"output_size={self.output_size}"


class AdaptiveAvgPool2d(_AdaptivePool2d):
    """`functional.adaptive_avg_pool2d` as a layer; AdaptiveAvgPool2d(1) pools globally."""

    def forward(self, x):
        return F.adaptive_avg_pool2d(x, self.output_size)


class AdaptiveMaxPool2d(_AdaptivePool2d):
    """`functional.adaptive_max_pool2d` as a layer; with `return_indices` it returns a pair."""

    def __init__(self, output_size, return_indices=False):
        super().__init__(output_size)
        self.return_indices = as_bool("AdaptiveMaxPool2d", "return_indices", return_indices)

    def forward(self, x):
        return F.adaptive_max_pool2d(x, self.output_size, self.return_indices)


class MaxUnpool2d(_Pool2d):
    """`functional.max_unpool2d` as a layer, called with an input, indices and an output size."""

    def __init__(self, kernel_size, stride=None, padding=0):
        super().__init__(kernel_size, stride, padding)

    def forward(self, x, indices, output_size=None):
        return F.max_unpool2d(x, indices, self.kernel_size, self.stride, self.padding, output_size)
