"""Joining, and channel shuffle."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from minicnn.checks.strategies.cases import Case, arrays


@st.composite
def cat(draw, dtype=np.float64):
    """A `cat` of one to four tensors along any axis; its arrays are the list's tensors."""
    shape = draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
    dim = draw(st.integers(-len(shape), len(shape) - 1))
    parts = []
    for size in draw(st.lists(st.integers(0, 3), min_size=1, max_size=4).filter(any)):
        shape[dim] = size
        parts.append(draw(arrays(tuple(shape), dtype)))
    return Case("cat", tuple(parts), {"dim": dim})


@st.composite
def channel_shuffle(draw, dtype=np.float64):
    """A `channel_shuffle`: any number of groups, of any size."""
    groups, each = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    N, H, W = (draw(st.integers(1, most)) for most in (2, 3, 3))
    return Case("channel_shuffle", (draw(arrays((N, groups * each, H, W), dtype)),),
                {"groups": groups})  # fmt: skip
