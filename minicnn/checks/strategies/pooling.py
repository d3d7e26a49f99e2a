"""Poolings."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from minicnn.checks.strategies.cases import Case, arrays, both, pairs


@st.composite
def _pool2d(draw, name, dtype, distinct):
    N, C = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    kernel = draw(pairs(1, 4))
    stride = draw(st.none() | pairs(1, 4))
    padding = tuple(draw(st.integers(0, k // 2)) for k in both(kernel))
    size = [
        draw(st.integers(max(1, k - 2 * p), 7)) for k, p in zip(both(kernel), padding, strict=True)
    ]
    x = draw(arrays((N, C, *size), dtype, distinct))
    settings = {"kernel_size": kernel, "stride": stride, "padding": padding}
    return Case(name, (x,), settings)


def max_pool2d(dtype=np.float64, distinct=False):
    """A `max_pool2d`: windows of any shape, overlapping or not, padded; ties unless `distinct`."""
    return _pool2d("max_pool2d", dtype, distinct)


def avg_pool2d(dtype=np.float64):
    """An `avg_pool2d`, windows as for `max_pool2d`."""
    return _pool2d("avg_pool2d", dtype, False)
