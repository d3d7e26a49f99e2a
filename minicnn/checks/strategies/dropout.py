"""Dropout."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from minicnn.checks.strategies.cases import Case, arrays


@st.composite
def _dropout(draw, name, shapes, dtype):
    x = draw(arrays(draw(shapes), dtype))
    p = draw(st.sampled_from([0.0, 0.5, 1.0]) | st.floats(0, 0.9))
    seed = draw(st.integers(0, 2**64 - 1))
    return Case(name, (x,), {"p": p, "seed": seed})


def dropout(dtype=np.float64):
    """A `dropout` of up to four axes, with a seed."""
    return _dropout("dropout", st.lists(st.integers(1, 4), max_size=4).map(tuple), dtype)


def dropout2d(dtype=np.float64):
    """A `dropout2d` with a seed."""
    return _dropout("dropout2d", st.tuples(*[st.integers(1, 4)] * 4), dtype)
