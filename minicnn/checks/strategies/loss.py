"""Losses."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minicnn.checks.strategies.cases import Case, arrays


@st.composite
def cross_entropy(draw, dtype=np.float64):
    """A `cross_entropy` of up to 5 rows and 40 classes (more than a warp has lanes)."""
    N, K = draw(st.integers(1, 5)), draw(st.integers(1, 6) | st.integers(31, 40))
    x = draw(arrays((N, K), dtype))
    t = draw(hnp.arrays(np.int64, N, elements=st.integers(0, K - 1)))
    return Case("cross_entropy", (x, t))
