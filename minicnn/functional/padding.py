"""Padding by other numbers than a convolution's own zeros."""

from __future__ import annotations

import operator

from minicnn.ops.operands import check_float
from minicnn.ops.padding import MODES, Pad
from minicnn.tensor import Tensor


def pad(input, pad, mode="constant", value=0.0) -> Tensor:
    """Rows and columns put around an image (or, below 0, cut off).

    ========= =========================== =======================
    mode      1 2 3 4 padded by 2         what it does
    ========= =========================== =======================
    constant  v v 1 2 3 4 v v             one value
    replicate 1 1 1 2 3 4 4 4             repeats the edge
    reflect   3 2 1 2 3 4 3 2             mirrors, edge not repeated
    circular  3 4 1 2 3 4 1 2             starts again
    ========= =========================== =======================

    Gradients of the padding go to the pixels that were copied.

    Parameters
    ----------
    input : Tensor (..., H, W)
        Two dimensions or more.
    pad : (left, right) or (left, right, top, bottom), in pixels
        PyTorch's order: the last axis first.
    mode : str
    value : float
        For mode "constant".

    Returns
    -------
    Tensor (..., H + top + bottom, W + left + right)

    Raises
    ------
    ValueError, TypeError
        If an argument breaks the rules above, more is cut off than there is, or a copying mode has
        too few pixels to copy (reflect needs fewer than the size, circular at most the size).
    """
    x = check_float("pad", input)
    if not isinstance(pad, (tuple, list)) or len(pad) not in (2, 4):
        raise ValueError(
            f"pad: pad expects (left, right) or (left, right, top, bottom), but got {pad!r}"
        )
    if any(isinstance(p, bool) or not hasattr(p, "__index__") for p in pad):
        raise TypeError(f"pad: pad expects ints, but got {pad!r}")
    if mode not in MODES:
        raise ValueError(f"pad: mode expects one of {', '.join(MODES)}, but got {mode!r}")
    if x.ndim < len(pad) // 2:
        raise ValueError(
            f"pad: {len(pad)} numbers need {len(pad) // 2} axes, but input has {x.ndim}"
        )
    left, right, top, bottom = (*map(operator.index, pad), 0, 0)[:4]
    sides = ((top, bottom), (left, right)) if len(pad) == 4 else ((left, right),)
    for side, size in zip(sides, x.shape[-len(sides) :]):
        _check_side(side, size, mode, x.shape)
    return Pad.apply(x, sides=sides, mode=mode, value=float(value))


def _check_side(side, size, mode, shape):
    """Raise unless an axis of this size can be padded so."""
    if size == 0 or size + sum(side) < 1 or -min(side) > size:
        raise ValueError(f"pad: {side} leaves nothing of an axis of {size} pixels: {shape}")
    most = {"reflect": size - 1, "circular": size}.get(mode)
    if most is not None and max(side) > most:
        raise ValueError(
            f"pad: mode {mode!r} can add at most {most} pixels to an axis of {size}, but got {side}"
        )
