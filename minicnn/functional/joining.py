"""Joining tensors, and shuffling channels."""

from __future__ import annotations

import operator
from functools import reduce

from minicnn.functional.arguments import as_count, as_images
from minicnn.ops.joining import Cat, ChannelShuffle
from minicnn.ops.operands import cast, result_dtype
from minicnn.ops.shape import check_dims
from minicnn.tensor import Tensor


def cat(tensors, dim=0) -> Tensor:
    """Tensors one behind the other along an axis; `cat([a, b], 1)` joins the channels of images.

    Each tensor gets its own part of the gradient. Mixed dtypes promote as in arithmetic.

    Parameters
    ----------
    tensors : list or tuple of Tensor
        At least one; equal shapes but for axis `dim`.
    dim : int
        The axis to join along.

    Returns
    -------
    Tensor
        Its size along `dim` is the sum of the tensors'.

    Raises
    ------
    ValueError, TypeError
        If an argument breaks the rules above.

    References
    ----------
    Joined channels: Szegedy et al., "Going deeper with convolutions", 2014 (Inception); Huang et
    al., "Densely connected convolutional networks", 2016.
    """
    xs = _as_tensors("cat", tensors)
    if not xs[0].ndim:
        raise ValueError("cat: expects tensors with an axis to join along, but got numbers; "
                         "use stack")  # fmt: skip
    axis = _as_axis("cat", dim, xs[0].ndim)
    shape = xs[0].shape
    for k, x in enumerate(xs):
        if x.ndim != len(shape) or any(x.shape[j] != n for j, n in enumerate(shape) if j != axis):
            raise ValueError(
                f"cat: shapes must be equal but for axis {axis}, but tensor 0 has {shape} and "
                f"tensor {k} has {x.shape}; crop, pad or reshape one of them"
            )
    return Cat.apply(*xs, dim=axis)


def stack(tensors, dim=0) -> Tensor:
    """Tensors of one shape side by side along a new axis.

    Parameters
    ----------
    tensors : list or tuple of Tensor
        At least one; equal shapes.
    dim : int
        Which axis of the result the new one is.

    Returns
    -------
    Tensor
        With the number of tensors as its size along `dim`.

    Raises
    ------
    ValueError, TypeError
        If an argument breaks the rules above.
    """
    xs = _as_tensors("stack", tensors)
    shape = xs[0].shape
    axis = _as_axis("stack", dim, len(shape) + 1)
    for k, x in enumerate(xs):
        if x.shape != shape:
            raise ValueError(
                f"stack: shapes must be equal, but tensor 0 has {shape} and tensor {k} has "
                f"{x.shape}; crop, pad or reshape one of them"
            )
    return Cat.apply(*[x.reshape(*shape[:axis], 1, *shape[axis:]) for x in xs], dim=axis)


def channel_shuffle(input, groups) -> Tensor:
    """Channels dealt out: the first one of every group, then the second one of every group, ...

    With K = C / groups, output[n, k*groups + g] = input[n, g*K + k]: so each group of the next
    grouped convolution sees channels of every group of the one before.

    Parameters
    ----------
    input : Tensor (N, C, H, W)
    groups : int
        A divisor of C.

    Returns
    -------
    Tensor (N, C, H, W)

    Raises
    ------
    ValueError, TypeError
        If an argument breaks the rules above.

    References
    ----------
    Zhang et al., "ShuffleNet: an extremely efficient convolutional neural network for mobile
    devices", 2017.
    """
    x = as_images("channel_shuffle", input)
    groups = as_count("channel_shuffle", "groups", groups)
    if x.shape[1] % groups:
        raise ValueError(
            f"channel_shuffle: groups must divide the number of channels, but got {groups} groups "
            f"for {x.shape[1]} channels: {x.shape}"
        )
    return ChannelShuffle.apply(x, groups=groups)


# ---------------------------------------------------------------------------
# Shared
# ---------------------------------------------------------------------------
def _as_tensors(name, tensors):
    """`tensors` as a list of tensors of one dtype."""
    if not isinstance(tensors, (list, tuple)):
        raise TypeError(
            f"{name}: tensors expects a list or tuple of tensors, but got a "
            f"{type(tensors).__name__}; write {name}([a, b])"
        )
    if not tensors:
        raise ValueError(f"{name}: tensors expects at least one tensor, but got none")
    xs = [x if isinstance(x, Tensor) else Tensor(x) for x in tensors]
    widest = reduce(lambda a, b: cast(a.detach(), result_dtype(a, b)), xs)
    return [cast(x, widest.dtype) for x in xs]


def _as_axis(name, dim, ndim):
    """`dim` as an axis from 0 to ndim - 1."""
    if isinstance(dim, bool) or not hasattr(dim, "__index__"):
        raise TypeError(f"{name}: dim expects an int, but got {dim!r}")
    return check_dims(name, operator.index(dim), ndim)[0]
