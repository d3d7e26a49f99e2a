"""Convolution."""

from __future__ import annotations

from minicnn.functional.arguments import as_bias, as_images, as_pair, check_fit, check_same_dtype
from minicnn.ops.arithmetic import check_float
from minicnn.ops.conv import Conv2d
from minicnn.tensor import Tensor


def conv2d(input, weight, bias=None, stride=1, padding=0) -> Tensor:
    """Convolution, as networks use the word: cross-correlation with O filters.

    y[n,o,i,j] = bias[o] + sum over (c,u,v) of
    input[n, c, i*SH + u - PH, j*SW + v - PW] * weight[o,c,u,v], where reading outside gives 0.

    Parameters
    ----------
    input : Tensor (N, C, H, W)
    weight : Tensor (O, C, KH, KW)
    bias : Tensor (O,), optional
    stride : int or pair (SH, SW), in pixels
    padding : int or pair (PH, PW), in pixels on each side

    Returns
    -------
    Tensor (N, O, OH, OW)
        OH = floor((H + 2 PH - KH) / SH) + 1; OW likewise. Rows and columns that no whole window
        covers are not looked at.

    Raises
    ------
    ValueError
        If shapes do not fit together, or a stride is under 1 or a padding under 0.
    TypeError
        If a tensor is not float32 or float64, or the dtypes differ.

    References
    ----------
    LeCun et al., "Gradient-based learning applied to document recognition", 1998. Forward as im2col
    and a matrix product: Chellapilla, Puri, Simard, "High performance convolutional neural networks
    for document processing", 2006.
    """
    x, w = as_images("conv2d", input), check_float("conv2d", weight)
    stride = as_pair("conv2d", "stride", stride, 1)
    padding = as_pair("conv2d", "padding", padding, 0)
    if w.ndim != 4 or 0 in w.shape:
        raise ValueError(
            f"conv2d: weight expects 4 dimensions (O, C, KH, KW), none of size 0, but has {w.shape}"
        )
    if x.shape[1] != w.shape[1]:
        raise ValueError(
            f"conv2d: weight expects {w.shape[1]} input channels (weight.shape[1]), but input has "
            f"{x.shape[1]}: {x.shape}"
        )
    b = as_bias("conv2d", bias, w.shape[0])
    check_same_dtype("conv2d", x, weight=w, bias=b)
    check_fit("conv2d", x, w.shape[2:], stride, padding)
    return Conv2d.apply(x, w, b, stride=stride, padding=padding)
