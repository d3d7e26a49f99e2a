"""Convolutions."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from minicnn.checks.strategies.cases import Case, arrays, both, pairs


@st.composite
def conv2d(draw, dtype=np.float64):
    """A `conv2d`: ragged sizes, non-square kernels, strides to 3, paddings to 2, bias or none."""
    N, C, O = draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride, padding = draw(pairs(1, 3)), draw(pairs(0, 2))
    size = [
        draw(st.integers(max(1, k - 2 * p), 7)) for k, p in zip(kernel, both(padding), strict=True)
    ]
    x = draw(arrays((N, C, *size), dtype))
    w = draw(arrays((O, C, *kernel), dtype))
    b = draw(st.none() | arrays((O,), dtype))
    return Case("conv2d", (x, w, b), {"stride": stride, "padding": padding})
