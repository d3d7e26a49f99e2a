"""Convolutions."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from minicnn.checks.strategies.cases import Case, arrays, both, fused, pairs
from minicnn.layout import output_size


def _sizes(draw, kernel, padding, dilation, most=7):
    """A height and a width in which the dilated kernel fits."""
    return [
        draw(st.integers(max(1, d * (k - 1) + 1 - 2 * p), max(most, d * (k - 1) + 1)))
        for k, p, d in zip(both(kernel), both(padding), both(dilation), strict=True)
    ]


def _channels(draw):
    """(groups, channels a group has, filters a group has), up to 4 channels in all."""
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    most = {1: 3, 2: 2, 3: 1}[groups]
    return groups, draw(st.integers(1, most)), draw(st.integers(1, 2))


@st.composite
def conv2d(draw, dtype=np.float64):
    """A `conv2d`: ragged sizes, non-square kernels, any stride, padding, dilation, groups."""
    groups, C, O = _channels(draw)
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride, padding, dilation = draw(pairs(1, 3)), draw(pairs(0, 2)), draw(pairs(1, 2))
    x = (draw(st.integers(1, 2)), C * groups, *_sizes(draw, kernel, padding, dilation))
    w = draw(arrays((O * groups, C, *kernel), dtype))
    b = draw(st.none() | arrays((O * groups,), dtype))
    settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return Case("conv2d", (draw(arrays(x, dtype)), w, b), settings)


def fused_conv2d(dtype=np.float64, distinct=False):
    """A `conv2d` with activation and add; sums on the kinks among them unless `distinct`."""
    return fused(conv2d(dtype), distinct, exact=True)


@st.composite
def conv_transpose2d(draw, dtype=np.float64):
    """A `conv_transpose2d` with any stride, padding, output padding, dilation and groups."""
    groups, C, O = _channels(draw)
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    stride, dilation = (tuple(draw(st.integers(1, n)) for _ in "HW") for n in (3, 2))
    extra = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation))
    size = tuple(draw(st.integers(1, 4)) for _ in "HW")
    whole = [
        (n - 1) * s + d * (k - 1) + e + 1
        for n, s, d, k, e in zip(size, stride, dilation, kernel, extra)
    ]
    padding = tuple(draw(st.integers(0, min(2, (n - 1) // 2))) for n in whole)
    x = draw(arrays((draw(st.integers(1, 2)), C * groups, *size), dtype))
    w = draw(arrays((C * groups, O, *kernel), dtype))
    b = draw(st.none() | arrays((O * groups,), dtype))
    settings = {
        "stride": stride, "padding": padding, "output_padding": extra, "groups": groups,
        "dilation": dilation,
    }  # fmt: skip
    return Case("conv_transpose2d", (x, w, b), settings)


@st.composite
def partial_conv2d(draw, dtype=np.float64):
    """A `partial_conv2d` whose every window has a cell inside the image."""
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    padding = tuple(draw(st.integers(0, k - 1)) for k in kernel)
    size = [draw(st.integers(k, 6)) for k in kernel]
    x = draw(arrays((draw(st.integers(1, 2)), 2, *size), dtype))
    w = draw(arrays((2, 2, *kernel), dtype))
    b = draw(st.none() | arrays((2,), dtype))
    return Case("partial_conv2d", (x, w, b), {"stride": draw(pairs(1, 2)), "padding": padding})


def _geometry(draw):
    """kernel_size, stride, padding, dilation, and a fitting (N, C, H, W)."""
    kernel, padding, dilation = draw(pairs(1, 3)), draw(pairs(0, 2)), draw(pairs(1, 2))
    size = _sizes(draw, kernel, padding, dilation, 5)
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 2)), *size)
    stride = draw(pairs(1, 3))
    return shape, {
        "kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation,
    }  # fmt: skip


@st.composite
def im2col(draw, dtype=np.float64):
    """An `im2col` with any kernel, stride, padding and dilation."""
    shape, settings = _geometry(draw)
    return Case("im2col", (draw(arrays(shape, dtype)),), settings)


@st.composite
def col2im(draw, dtype=np.float64):
    """A `col2im` of a matrix that fits its image."""
    shape, settings = _geometry(draw)
    kernel = both(settings["kernel_size"])
    OH, OW = output_size(shape[2:], *(both(value) for value in settings.values()))
    col = draw(arrays((shape[0] * OH * OW, kernel[0] * kernel[1] * shape[1]), dtype))
    return Case("col2im", (col,), {"size": shape, **settings})
