"""Activations."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from minicnn.checks.strategies.cases import Case, arrays


@st.composite
def _elementwise(draw, name, dtype, distinct):
    shape = tuple(draw(st.lists(st.integers(1, 4), max_size=4)))
    return Case(name, (draw(arrays(shape, dtype, distinct)),))


def relu(dtype=np.float64, distinct=False):
    """A `relu` of up to four axes; zeros among the values unless `distinct`."""
    return _elementwise("relu", dtype, distinct)


def tanh(dtype=np.float64):
    """A `tanh` of up to four axes."""
    return _elementwise("tanh", dtype, False)


def sigmoid(dtype=np.float64):
    """A `sigmoid` of up to four axes."""
    return _elementwise("sigmoid", dtype, False)
