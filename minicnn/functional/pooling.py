"""Pooling."""

from __future__ import annotations

from minicnn.functional.arguments import as_images, as_pair, check_fit
from minicnn.ops.pooling import AvgPool2d, MaxPool2d
from minicnn.tensor import Tensor


def _pool(operation, name, input, kernel_size, stride, padding) -> Tensor:
    """Check the arguments the poolings share, and run one."""
    x = as_images(name, input)
    kernel = as_pair(name, "kernel_size", kernel_size, 1)
    stride = kernel if stride is None else as_pair(name, "stride", stride, 1)
    padding = as_pair(name, "padding", padding, 0)
    if any(2 * p > k for p, k in zip(padding, kernel)):
        raise ValueError(
            f"{name}: padding may be at most half the kernel, so that no window lies in the "
            f"padding alone, but got padding {padding} with kernel_size {kernel}"
        )
    check_fit(name, x, kernel, stride, padding)
    return operation.apply(x, kernel=kernel, stride=stride, padding=padding)


def max_pool2d(input, kernel_size, stride=None, padding=0) -> Tensor:
    """Largest value of each window, each channel by itself.

    y[n,c,i,j] = max over (u,v) of input[n, c, i*SH + u - PH, j*SW + v - PW]; padding counts as
    -infinity. The gradient goes to the first maximum of the window in row-major order.

    Parameters
    ----------
    input : Tensor (N, C, H, W)
    kernel_size : int or pair (KH, KW), in pixels
    stride : int or pair (SH, SW), in pixels; kernel_size if left out
    padding : int or pair (PH, PW), in pixels on each side, at most half the kernel

    Returns
    -------
    Tensor (N, C, OH, OW)
        OH = floor((H + 2 PH - KH) / SH) + 1; OW likewise.

    Raises
    ------
    ValueError, TypeError
        If an argument breaks the rules above.
    """
    return _pool(MaxPool2d, "max_pool2d", input, kernel_size, stride, padding)


def avg_pool2d(input, kernel_size, stride=None, padding=0) -> Tensor:
    """Mean of each window, each channel by itself.

    y[n,c,i,j] = 1/(KH KW) sum over (u,v) of input[n, c, i*SH + u - PH, j*SW + v - PW]; padding
    counts as zeros, and is counted (PyTorch's count_include_pad=True).

    Parameters, Returns and Raises are those of `max_pool2d`.
    """
    return _pool(AvgPool2d, "avg_pool2d", input, kernel_size, stride, padding)
