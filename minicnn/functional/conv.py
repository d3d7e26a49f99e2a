"""Convolution and its kin."""

from __future__ import annotations

import math

import numpy as np

from minicnn.backends.algorithm import check_algorithm, use_algorithm
from minicnn.functional.arguments import (
    as_activation,
    as_added,
    as_bias,
    as_count,
    as_images,
    as_pair,
    check_fit,
    check_same_dtype,
)
from minicnn.functional.padding import MODES, pad
from minicnn.layout import output_size
from minicnn.ops.conv import Col2Im, Conv2d, ConvTranspose2d, DepthwiseConv2d, Im2Col
from minicnn.ops.operands import check_float
from minicnn.tensor import Tensor, no_grad


# ---------------------------------------------------------------------------
# Argument rules
# ---------------------------------------------------------------------------
def as_padding(name, padding, kernel, stride, dilation):
    """Padding in any of its forms as ((top, bottom), (left, right))."""
    if type(padding) is int and padding >= 0:  # as nearly always
        return (padding, padding), (padding, padding)
    if type(padding) is tuple and list(map(type, padding)) == [int, int]:
        top, left = as_pair(name, "padding", padding, 0)
        return (top, top), (left, left)
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "same":
        if stride != (1, 1):
            raise ValueError(
                f"{name}: padding 'same' keeps the size only with stride 1, but stride is "
                f"{stride}; give the padding in pixels"
            )
        spare = [d * (k - 1) for k, d in zip(kernel, dilation)]
        return tuple((s // 2, s - s // 2) for s in spare)
    if isinstance(padding, str):
        raise ValueError(f"{name}: padding expects 'same', 'valid' or pixels, but got {padding!r}")
    if isinstance(padding, (tuple, list)) and any(isinstance(p, (tuple, list)) for p in padding):
        if len(padding) != 2:
            raise ValueError(
                f"{name}: padding expects ((top, bottom), (left, right)), but got {padding!r}"
            )
        return tuple(as_pair(name, "padding", side, 0) for side in padding)
    return tuple((p, p) for p in as_pair(name, "padding", padding, 0))


def _filters(name, weight):
    """`weight` as a float tensor of four dimensions, none of size 0."""
    w = check_float(name, weight)
    shape = w._data.shape
    if len(shape) != 4 or 0 in shape:
        raise ValueError(
            f"{name}: weight expects 4 dimensions, none of size 0, but has shape {shape}"
        )
    return w


def _padded(name, x, padding, mode):
    """x with its padding around it."""
    mode = "constant" if mode == "zeros" else mode
    if mode not in MODES:
        raise ValueError(
            f"{name}: padding_mode expects one of {', '.join(MODES)} (or 'zeros'), but got {mode!r}"
        )
    (top, bottom), (left, right) = padding
    return pad(x, (left, right, top, bottom), mode)


# ---------------------------------------------------------------------------
# Convolution
# ---------------------------------------------------------------------------
def conv2d(
    input,
    weight,
    bias=None,
    stride=1,
    padding=0,
    dilation=1,
    groups=1,
    padding_mode="zeros",
    *,
    activation=None,
    add=None,
    algorithm=None,
) -> Tensor:
    """Convolution, as networks use the word: cross-correlation with O filters.

    z[n,o,i,j] = bias[o] + sum over (c,u,v) of
    input[n, c, i*SH + u*DH - PH, j*SW + v*DW - PW] * weight[o,c,u,v], where reading outside gives
    0. With G groups, output o sees only the C/G input channels of its group. The output is
    y = activation(z + add): what often comes next anyway, without another walk through memory.

    Parameters
    ----------
    input : Tensor (N, C, H, W)
    weight : Tensor (O, C/G, KH, KW)
    bias : Tensor (O,), optional
    stride : int or pair (SH, SW), in pixels
    padding : int, pair, ((top, bottom), (left, right)), "same" or "valid"
        In pixels; "same" keeps H and W (stride 1; where the sum is odd, the extra row or column is
        at the bottom or right), "valid" is 0.
    dilation : int or pair (DH, DW)
        Distance of the kernel's cells, in pixels.
    groups : int
        G. With G = C, each channel has filters of its own (depthwise).
    padding_mode : "zeros", "replicate", "reflect" or "circular"
        What the padding holds; see `pad`.
    activation : "relu", "relu6", "silu" or "hardswish", optional
    add : Tensor (N, O, OH, OW), optional
        Added before the activation: the shortcut of a residual block.
    algorithm : str, optional
        How it is computed, forward and backward: as `with use_algorithm(algorithm):` around this
        call. The numbers differ by rounding only.

    Returns
    -------
    Tensor (N, O, OH, OW)
        OH = floor((H + 2 PH - DH*(KH - 1) - 1) / SH) + 1; OW likewise. Rows and columns that no
        whole window covers are not looked at.

    Raises
    ------
    ValueError
        If shapes do not fit together, or a stride or dilation is under 1 or a padding under 0, or
        there is no activation of that name, or the backend that runs has no such algorithm.
    TypeError
        If a tensor is not float32 or float64, or the dtypes differ.

    References
    ----------
    LeCun et al., "Gradient-based learning applied to document recognition", 1998. Forward as im2col
    and a matrix product: Chellapilla, Puri, Simard, "High performance convolutional neural networks
    for document processing", 2006. Groups: Krizhevsky, Sutskever, Hinton, 2012. Dilation: Yu and
    Koltun, 2016.
    """
    if algorithm is not None:
        with use_algorithm(algorithm):
            return conv2d(
                input, weight, bias, stride, padding, dilation, groups, padding_mode,
                activation=activation, add=add,
            )  # fmt: skip
    name = "conv2d"
    x, w = as_images(name, input), _filters(name, weight)
    (N, C, _, _), (O, channels, KH, KW) = x._data.shape, w._data.shape
    kernel = KH, KW
    b = as_bias(name, bias, O)
    check_same_dtype(name, x, weight=w, bias=b)
    groups = as_count(name, "groups", groups)
    stride = as_pair(name, "stride", stride, 1)
    dilation = as_pair(name, "dilation", dilation, 1)
    padding = as_padding(name, padding, kernel, stride, dilation)
    if channels * groups != C:
        product = "weight.shape[1]" if groups == 1 else f"weight.shape[1] * {groups} groups"
        raise ValueError(
            f"{name}: weight expects {channels * groups} input channels ({product}), but input "
            f"has {C}: {x.shape}"
        )
    if O % groups:
        raise ValueError(
            f"{name}: weight has {O} filters (weight.shape[0]), which {groups} groups "
            "cannot share equally; use a multiple"
        )
    (top, bottom), (left, right) = padding
    if padding_mode in ("zeros", "constant") and top == bottom and left == right:
        padding = top, left
    else:
        x, padding = _padded(name, x, padding, padding_mode), (0, 0)
    size = check_fit(name, x, kernel, stride, padding, dilation)
    if add is not None:
        add = as_added(name, add, x, (N, O, *size))
    if activation is not None:
        activation = as_activation(name, activation)
    check_algorithm(name, x._data)
    operation = DepthwiseConv2d if groups == C > 1 else Conv2d
    return operation.apply(
        x, w, b, add, stride=stride, padding=padding, dilation=dilation, groups=groups,
        activation=activation,
    )  # fmt: skip


def partial_conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1) -> Tensor:
    """Convolution that counts only the cells inside the image: at the border it is rescaled.

    y = conv2d(input, weight) * KH KW / (cells of the window inside the image) + bias. A window that
    lies inside whole is as in `conv2d`; at the border nothing fades: the mean of a constant image
    stays constant.

    Parameters, Returns and Raises are those of `conv2d`; a window must have a cell inside.

    References
    ----------
    Liu et al., "Partial convolution based padding", 2018.
    """
    y = conv2d(input, weight, None, stride, padding, dilation, groups)
    x, w = as_images("conv2d", input), _filters("conv2d", weight)
    bias = as_bias("partial_conv2d", bias, w.shape[0])
    with no_grad():
        one = np.ones((1, 1, *x.shape[2:]), x.dtype)
        kernel = np.ones((1, 1, *w.shape[2:]), x.dtype)
        inside = conv2d(one, kernel, None, stride, padding, dilation).numpy()
    if not inside.all():
        raise ValueError(
            f"partial_conv2d: with padding {padding} a window of {w.shape[2:]} lies outside the "
            f"image {x.shape[2:]} whole; use less padding"
        )
    y = y * Tensor(math.prod(w.shape[2:]) / inside).to(y.device)
    return y if bias is None else y + bias.reshape(1, -1, 1, 1)


def conv_transpose2d(
    input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
) -> Tensor:
    """Transposed convolution: the adjoint of `conv2d`, which makes images larger.

    y[n, o, i*SH + u*DH - PH, j*SW + v*DW - PW] adds up input[n,c,i,j] * weight[c,o,u,v] over
    (c,i,j,u,v): every input pixel stamps its filter on the output. Then bias[o] is added.

    Parameters
    ----------
    input : Tensor (N, C, H, W)
    weight : Tensor (C, O/G, KH, KW)
    bias : Tensor (O,), optional
    stride, dilation : int or pair
    padding : int or pair
        Rows and columns cut off each side of the output, in pixels.
    output_padding : int or pair
        Rows and columns added at the bottom and right; smaller than stride or dilation.
    groups : int

    Returns
    -------
    Tensor (N, O, OH, OW)
        OH = (H - 1) SH - 2 PH + DH*(KH - 1) + output_padding + 1; OW likewise.

    Raises
    ------
    ValueError, TypeError
        As `conv2d`.

    References
    ----------
    Zeiler, Krishnan, Taylor, Fergus, "Deconvolutional networks", 2010.
    """
    name = "conv_transpose2d"
    x, w = as_images(name, input), _filters(name, weight)
    groups = as_count(name, "groups", groups)
    stride, dilation = as_pair(name, "stride", stride, 1), as_pair(name, "dilation", dilation, 1)
    padding = as_pair(name, "padding", padding, 0)
    extra = as_pair(name, "output_padding", output_padding, 0)
    if x.shape[1] != w.shape[0]:
        raise ValueError(
            f"{name}: weight expects {w.shape[0]} input channels (weight.shape[0]), but input has "
            f"{x.shape[1]}: {x.shape}"
        )
    if w.shape[0] % groups:
        raise ValueError(
            f"{name}: {w.shape[0]} input channels cannot be shared equally by {groups} groups"
        )
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation)):
        raise ValueError(
            f"{name}: output_padding must be smaller than stride or dilation, but is {extra} with "
            f"stride {stride} and dilation {dilation}"
        )
    b = as_bias(name, bias, w.shape[1] * groups)
    check_same_dtype(name, x, weight=w, bias=b)
    size = tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + e + 1
        for n, s, p, d, k, e in zip(x.shape[2:], stride, padding, dilation, w.shape[2:], extra)
    )
    if min(size) < 1:
        raise ValueError(
            f"{name}: padding {padding} cuts everything off: the output would be {size}; use less"
        )
    check_algorithm(name, x._data)
    return ConvTranspose2d.apply(
        x, w, b, stride=stride, padding=padding, dilation=dilation, groups=groups, size=size
    )


# ---------------------------------------------------------------------------
# im2col
# ---------------------------------------------------------------------------
def im2col(input, kernel_size, stride=1, padding=0, dilation=1) -> Tensor:
    """The windows of an image as the rows of a matrix, so that a convolution is one product.

    Row (n,i,j), column (u,v,c) is input[n, c, i*SH + u*DH - PH, j*SW + v*DW - PW], or 0 outside:

        image 3x3      kernel 2x2       rows: one window each
        1 2 3          [1 2] [2 3]      1 2 4 5
        4 5 6          [4 5] [5 6]      2 3 5 6
        7 8 9                           4 5 7 8
                       [4 5] [5 6]      5 6 8 9
                       [7 8] [8 9]

    `conv2d(x, w)` is `im2col(x, ...) @ filters`, each filter a column in the order (u,v,c).
    (PyTorch's `unfold` holds the same numbers with a window per column, in the order (c,u,v).)

    Parameters
    ----------
    input : Tensor (N, C, H, W)
    kernel_size, stride, padding, dilation : int or pair
        As in `conv2d`.

    Returns
    -------
    Tensor (N*OH*OW, KH*KW*C)

    Raises
    ------
    ValueError, TypeError
        As `conv2d`.
    """
    x = as_images("im2col", input)
    geometry = _geometry("im2col", kernel_size, stride, padding, dilation)
    check_fit("im2col", x, *geometry.values())
    return Im2Col.apply(x, **geometry)


def col2im(input, size, kernel_size, stride=1, padding=0, dilation=1) -> Tensor:
    """The adjoint of `im2col`: each pixel is the sum of its copies in the rows.

    It is what backpropagation through `im2col` needs: where windows overlap, gradients add up.

    Parameters
    ----------
    input : Tensor (N*OH*OW, KH*KW*C)
    size : tuple (N, C, H, W)
        Of the image.
    kernel_size, stride, padding, dilation : int or pair
        Those of the `im2col`.

    Returns
    -------
    Tensor (N, C, H, W)

    Raises
    ------
    ValueError, TypeError
        If input is not what `im2col` makes of an image of this size, or as `conv2d`.
    """
    col = check_float("col2im", input)
    geometry = _geometry("col2im", kernel_size, stride, padding, dilation)
    if not isinstance(size, (tuple, list)) or len(size) != 4:
        raise ValueError(f"col2im: size expects (N, C, H, W), but got {size!r}")
    N, C, H, W = size = tuple(as_count("col2im", "size", n) for n in size)
    kernel = geometry["kernel"]
    OH, OW = output_size((H, W), *geometry.values())
    expected = (N * OH * OW, math.prod(kernel) * C)
    if OH < 1 or OW < 1 or col.shape != expected:
        raise ValueError(
            f"col2im: an image {size} with kernel {kernel} has a matrix of shape {expected}, but "
            f"input has {col.shape}"
        )
    return Col2Im.apply(col, shape=size, **geometry)


def _geometry(name, kernel_size, stride, padding, dilation):
    return {
        "kernel": as_pair(name, "kernel_size", kernel_size, 1),
        "stride": as_pair(name, "stride", stride, 1),
        "padding": as_pair(name, "padding", padding, 0),
        "dilation": as_pair(name, "dilation", dilation, 1),
    }
