"""Fully connected layers."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from minicnn.checks.strategies.cases import Case, arrays, fused


@st.composite
def linear(draw, dtype=np.float64):
    """A `linear` on rows with up to two leading axes, with or without bias."""
    leading = draw(st.lists(st.integers(1, 3), max_size=2))
    features, outputs = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    x = draw(arrays((*leading, features), dtype))
    w = draw(arrays((outputs, features), dtype))
    b = draw(st.none() | arrays((outputs,), dtype))
    return Case("linear", (x, w, b))


def fused_linear(dtype=np.float64, distinct=False):
    """A `linear` with activation and add; sums on the kinks among them unless `distinct`."""
    return fused(linear(dtype), distinct, exact=True)
