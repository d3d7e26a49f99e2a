"""Unpooling: what a maximum pooling took away, put back as zeros."""

from __future__ import annotations

from minicnn.functional.arguments import as_pair
from minicnn.functional.pooling import as_filled_images
from minicnn.ops.operands import beside
from minicnn.ops.pooling import MaxUnpool2d
from minicnn.tensor import Tensor


def max_unpool2d(input, indices, kernel_size, stride=None, padding=0, output_size=None) -> Tensor:
    """Put values back where `max_pool2d` found them, zeros elsewhere.

    y[n, c, p, q] = input[n,c,h,w] where indices[n,c,h,w] = p*OW + q. Where indices name a place
    twice (windows that overlapped), the last value in row-major order stays, and it alone gets the
    gradient.

    Parameters
    ----------
    input : Tensor (N, C, H, W)
    indices : integer Tensor (N, C, H, W)
        From `max_pool2d(..., return_indices=True)`.
    kernel_size, stride, padding
        Those of the pooling. They only tell the output's size.
    output_size : (OH, OW) or (N, C, OH, OW), optional
        Pooling rounds, so images of several sizes have a pooled image of (H, W): this says which
        it was. Less than a stride away from what is returned without it.

    Returns
    -------
    Tensor (N, C, OH, OW)
        OH = (H - 1) SH + KH - 2 PH, OW likewise, if output_size does not say otherwise.

    Raises
    ------
    ValueError, TypeError
        If an argument breaks the rules above.

    References
    ----------
    Zeiler, Fergus, "Visualizing and understanding convolutional networks", 2013.
    """
    name = "max_unpool2d"
    x = as_filled_images(name, input)
    kernel = as_pair(name, "kernel_size", kernel_size, 1)
    stride = kernel if stride is None else as_pair(name, "stride", stride, 1)
    padding = as_pair(name, "padding", padding, 0)
    size = tuple(
        (n - 1) * s + k - 2 * p for n, k, s, p in zip(x.shape[2:], kernel, stride, padding)
    )
    if output_size is not None:
        size = _unpooled_size(name, output_size, size, stride)
    if min(size) < 1:
        raise ValueError(
            f"{name}: an input of {x.shape[2:]} with kernel_size {kernel}, stride {stride} and "
            f"padding {padding} gives an output of {size}; use the numbers of the pooling"
        )
    return MaxUnpool2d.apply(x, _as_indices(name, indices, x, size), size=size)


def _unpooled_size(name, output_size, default, stride):
    """`output_size` as a pair, checked against the sizes that the pooling can have started from."""
    wanted = tuple(output_size) if isinstance(output_size, (tuple, list)) else output_size
    if isinstance(wanted, tuple) and len(wanted) == 4:
        wanted = wanted[2:]
    if not isinstance(wanted, tuple):
        raise TypeError(f"{name}: output_size expects (OH, OW), but got {output_size!r}")
    wanted = as_pair(name, "output_size", wanted, 1)
    if any(abs(o - n) >= s for o, n, s in zip(wanted, default, stride)):
        raise ValueError(
            f"{name}: output_size must be less than the stride {stride} away from {default}, but "
            f"got {wanted}; a pooling of such an image would have another size"
        )
    return wanted


def _as_indices(name, indices, x, size):
    """`indices` as an integer tensor like x, within images of `size`."""
    t = beside(indices, x)
    if t.dtype.kind not in "iu":
        raise TypeError(
            f"{name}: indices expects integers, as max_pool2d gives them with "
            f"return_indices=True, but is {t.dtype}"
        )
    if t.shape != x.shape:
        raise ValueError(
            f"{name}: indices expects the shape of input, {x.shape}, but has {t.shape}"
        )
    last = size[0] * size[1] - 1
    if t.size and (t.data.min() < 0 or t.data.max() > last):
        wrong = int(t.data.min() if t.data.min() < 0 else t.data.max())
        raise ValueError(
            f"{name}: indices expects places 0 to {last} in an output of {size}, but holds "
            f"{wrong}; give the output_size that the pooling started from"
        )
    return t
