"""Pooling."""

from __future__ import annotations

import operator
from functools import lru_cache

import numpy as np

from minicnn.functional.arguments import as_images, as_pair
from minicnn.ops.pooling import (
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    AvgPool2d,
    MaxPool2d,
    PoolIndices,
)
from minicnn.ops.pooling_windows import pooled_size
from minicnn.tensor import Tensor


# ---------------------------------------------------------------------------
# Windows of a given size
# ---------------------------------------------------------------------------
def max_pool2d(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
):
    """Largest value of each window, each channel by itself.

    y[n,c,i,j] = max over (u,v) of input[n, c, i*SH + u*DH - PH, j*SW + v*DW - PW]; padding counts
    as -infinity, so it never wins, and a NaN does. The gradient goes to the first maximum of the
    window in row-major order.

    Parameters
    ----------
    input : Tensor (N, C, H, W)
    kernel_size : int or pair (KH, KW), in pixels
    stride : int or pair (SH, SW), in pixels; kernel_size if left out
    padding : int or pair (PH, PW), in pixels on each side, at most half the kernel
    dilation : int or pair (DH, DW), the distance of neighbouring cells of a window in pixels
    ceil_mode : bool
        Whether a last window may hang over the end (it must begin before the image's end).
    return_indices : bool
        Whether to return also where the maxima are, for `max_unpool2d`. They are searched for in a
        pass of their own.

    Returns
    -------
    Tensor (N, C, OH, OW)
        OH = floor((H + 2 PH - DH (KH - 1) - 1) / SH) + 1, OW likewise; with ceil_mode the fraction
        is rounded up.
    indices : Tensor (N, C, OH, OW), int64, if asked for
        h*W + w of the maximum at (h, w) of the image (H, W) without padding.

    Raises
    ------
    ValueError, TypeError
        If an argument breaks the rules above, or a window would see no pixel at all.

    References
    ----------
    Ranzato et al., "Unsupervised learning of invariant feature hierarchies with applications to
    object recognition", 2007.
    """
    x, settings = _pool("max_pool2d", input, kernel_size, stride, padding, ceil_mode, dilation)
    return _maximum("max_pool2d", MaxPool2d, x, return_indices, settings)


def avg_pool2d(
    input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
    divisor_override=None,
) -> Tensor:  # fmt: skip
    """Mean of each window, each channel by itself.

    y[n,c,i,j] = 1/D sum over (u,v) of input[n, c, i*SH + u - PH, j*SW + v - PW]; padding counts as
    zeros.

    Parameters
    ----------
    input, kernel_size, stride, padding, ceil_mode
        As for `max_pool2d`.
    count_include_pad : bool
        Whether D counts the window's cells in the padding, so that it is KH KW; else D counts the
        cells inside the image only. Cells beyond the padding (ceil_mode) never count.
    divisor_override : int, optional
        D for every window, any number but 0.

    Returns
    -------
    Tensor (N, C, OH, OW)
        OH and OW as for `max_pool2d`.

    Raises
    ------
    ValueError, TypeError
        If an argument breaks the rules above.

    References
    ----------
    LeCun et al., "Gradient-based learning applied to document recognition", 1998 (subsampling).
    """
    x, settings = _pool("avg_pool2d", input, kernel_size, stride, padding, ceil_mode)
    settings["count_include_pad"] = as_bool("avg_pool2d", "count_include_pad", count_include_pad)
    settings["divisor_override"] = as_divisor("avg_pool2d", divisor_override)
    return AvgPool2d.apply(x, **settings)


def _pool(name, input, kernel_size, stride, padding, ceil_mode, dilation=None):
    """(x, settings): the arguments the poolings share, checked."""
    x = as_filled_images(name, input)
    kernel = as_pair(name, "kernel_size", kernel_size, 1)
    settings = {
        "kernel": kernel,
        "stride": kernel if stride is None else as_pair(name, "stride", stride, 1),
        "padding": as_pair(name, "padding", padding, 0),
        "ceil_mode": as_bool(name, "ceil_mode", ceil_mode),
    }
    if dilation is not None:
        settings["dilation"] = as_pair(name, "dilation", dilation, 1)
    if any(2 * p > k for p, k in zip(settings["padding"], kernel)):
        raise ValueError(
            f"{name}: padding may be at most half the kernel, so that no window lies in the "
            f"padding alone, but got padding {settings['padding']} with kernel_size {kernel}"
        )
    _check_windows(name, x.shape[2:], **{"dilation": (1, 1)} | settings)
    return x, settings


@lru_cache(1024)
def _check_windows(name, size, kernel, stride, padding, dilation, ceil_mode):
    """Raise unless there is a window, and every window sees a pixel."""
    count = pooled_size(size, kernel, stride, padding, dilation, ceil_mode)
    if min(count) < 1:
        dilated = f" and dilation {dilation}" if dilation != (1, 1) else ""
        raise ValueError(
            f"{name}: a kernel of {kernel} does not fit into an input of {size} with "
            f"padding {padding}{dilated}; use a smaller kernel, a larger input or more padding"
        )
    for n, o, s, p, d in zip(size, count, stride, padding, dilation):
        starts = np.arange(o) * s - p
        first_inside = np.where(starts < 0, starts % d, starts)  # the first cell not before pixel 0
        if (first_inside >= n).any():
            raise ValueError(
                f"{name}: every window must see a pixel, but with padding {padding} and dilation "
                f"{dilation} one steps over the whole input of {size}; use less of either"
            )


# ---------------------------------------------------------------------------
# Windows for an output of a given size
# ---------------------------------------------------------------------------
def adaptive_max_pool2d(input, output_size, return_indices=False):
    """Largest value of each of OH x OW windows that divide the image evenly.

    y[n,c,i,j] = max of input[n,c,h,w] over floor(i H/OH) <= h < ceil((i+1) H/OH), w likewise; a NaN
    wins. The gradient goes to the first maximum of the window in row-major order. output_size=1 is
    global max pooling.

    Parameters
    ----------
    input : Tensor (N, C, H, W)
    output_size : int or pair (OH, OW)
        None in the pair keeps that size of the input.
    return_indices : bool
        Whether to return also where the maxima are, as in `max_pool2d`.

    Returns
    -------
    Tensor (N, C, OH, OW)
    indices : Tensor (N, C, OH, OW), int64, if asked for
        h*W + w of the maximum at (h, w).

    Raises
    ------
    ValueError, TypeError
        If an argument breaks the rules above.
    """
    x, size = _adaptive("adaptive_max_pool2d", input, output_size)
    return _maximum("adaptive_max_pool2d", AdaptiveMaxPool2d, x, return_indices, {"size": size})


def adaptive_avg_pool2d(input, output_size) -> Tensor:
    """Mean of each of OH x OW windows that divide the image evenly.

    y[n,c,i,j] = mean of input[n,c,h,w] over floor(i H/OH) <= h < ceil((i+1) H/OH), w likewise.
    output_size=1 is global average pooling.

    Parameters
    ----------
    input : Tensor (N, C, H, W)
    output_size : int or pair (OH, OW)
        None in the pair keeps that size of the input.

    Returns
    -------
    Tensor (N, C, OH, OW)

    Raises
    ------
    ValueError, TypeError
        If an argument breaks the rules above.

    References
    ----------
    Global average pooling: Lin, Chen, Yan, "Network in network", 2013. Windows that follow from the
    output's size: He et al., "Spatial pyramid pooling in deep convolutional networks for visual
    recognition", 2014.
    """
    x, size = _adaptive("adaptive_avg_pool2d", input, output_size)
    return AdaptiveAvgPool2d.apply(x, size=size)


def _adaptive(name, input, output_size):
    """(x, (OH, OW)): the arguments the adaptive poolings share, checked."""
    x = as_filled_images(name, input)
    wanted = as_adaptive_size(name, output_size)
    return x, tuple(n if o is None else o for o, n in zip(wanted, x.shape[2:]))


# ---------------------------------------------------------------------------
# Shared
# ---------------------------------------------------------------------------
def _maximum(name, operation, x, return_indices, settings):
    """The pooled tensor, and its winners' places if asked for."""
    return_indices = as_bool(name, "return_indices", return_indices)
    y = operation.apply(x, **settings)
    if not return_indices:
        return y
    return y, PoolIndices.apply(x.detach(), pool=operation, **settings)


def as_filled_images(name, value):
    """`value` as a float tensor (N, C, H, W), of which only N may be 0."""
    x = as_images(name, value)
    if 0 in x.shape[1:]:
        raise ValueError(f"{name}: input expects no size 0 but for the batch, but has {x.shape}")
    return x


def as_bool(name, argument, value):
    """`value`, if it is a bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: {argument} expects True or False, but got {value!r}")
    return bool(value)


def as_divisor(name, value):
    """`value` as an int that is not 0, or None."""
    if value is None:
        return None
    rule = "divisor_override expects an int other than 0, or None"
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name}: {rule}, but got {value!r}")
    if not value:
        raise ValueError(f"{name}: {rule}, but got {value!r}")
    return operator.index(value)


def as_adaptive_size(name, value):
    """`value` as a pair of ints or None, each int at least 1."""
    if not isinstance(value, (tuple, list)):
        return as_pair(name, "output_size", value, 1)
    checked = as_pair(name, "output_size", [1 if v is None else v for v in value], 1)
    return tuple(None if v is None else c for v, c in zip(value, checked))
