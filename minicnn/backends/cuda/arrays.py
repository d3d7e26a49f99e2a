"""How the kernels want arrays to lie in memory."""

from __future__ import annotations

from minicnn.layout import nhwc


def contiguous(x):
    """x in memory order that a kernel can run through: 4-D channels-last, else row-major."""
    if x.ndim == 4:
        return nhwc(x)
    return x if x.flags.c_contiguous else x.copy(order="C")
