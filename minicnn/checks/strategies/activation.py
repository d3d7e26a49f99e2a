"""Activations."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from minicnn.checks.strategies.cases import Case, arrays


def _shapes(least=0):
    return st.lists(st.integers(1, 4), min_size=least, max_size=4).map(tuple)


@st.composite
def _elementwise(draw, name, dtype, distinct=False, centres=(0,), settings=None):
    """A case of `name`; values lie around one of `centres`, where the function has its kinks."""
    x = draw(arrays(draw(_shapes()), dtype, distinct))
    x += draw(st.sampled_from(centres))  # in place: this keeps the memory order
    return Case(name, (x,), draw(st.fixed_dictionaries({}, optional=settings or {})))


def relu(dtype=np.float64, distinct=False):
    """A `relu` of up to four axes; zeros among the values unless `distinct`."""
    return _elementwise("relu", dtype, distinct)


def leaky_relu(dtype=np.float64, distinct=False):
    """A `leaky_relu` of up to four axes, slopes of either sign."""
    settings = {"negative_slope": st.floats(-2, 2, width=16)}
    return _elementwise("leaky_relu", dtype, distinct, settings=settings)


@st.composite
def prelu(draw, dtype=np.float64, distinct=False):
    """A `prelu` of up to four axes, with one slope or one per channel."""
    shape = draw(_shapes())
    channels = shape[1] if len(shape) > 1 else 1
    x = draw(arrays(shape, dtype, distinct))
    return Case("prelu", (x, draw(arrays((draw(st.sampled_from((1, channels))),), dtype))))


def relu6(dtype=np.float64, distinct=False):
    """A `relu6` of up to four axes; the kinks at 0 and 6 among the values unless `distinct`."""
    return _elementwise("relu6", dtype, distinct, centres=(0, 6))


def hardsigmoid(dtype=np.float64, distinct=False):
    """A `hardsigmoid` of up to four axes; kinks (-3, 3) among the values unless `distinct`."""
    return _elementwise("hardsigmoid", dtype, distinct, centres=(-3, 0, 3))


def hardswish(dtype=np.float64, distinct=False):
    """A `hardswish` of up to four axes; kinks (-3, 3) among the values unless `distinct`."""
    return _elementwise("hardswish", dtype, distinct, centres=(-3, 0, 3))


def tanh(dtype=np.float64):
    """A `tanh` of up to four axes."""
    return _elementwise("tanh", dtype)


def scaled_tanh(dtype=np.float64):
    """A `scaled_tanh` of up to four axes."""
    return _elementwise("scaled_tanh", dtype)


def sigmoid(dtype=np.float64):
    """A `sigmoid` of up to four axes."""
    return _elementwise("sigmoid", dtype)


def silu(dtype=np.float64):
    """A `silu` of up to four axes."""
    return _elementwise("silu", dtype)


def gelu(dtype=np.float64):
    """A `gelu` of up to four axes, exact or approximate."""
    return _elementwise("gelu", dtype, settings={"approximate": st.sampled_from(("none", "tanh"))})


@st.composite
def _along(draw, name, dtype):
    shape = draw(_shapes(least=1) | st.tuples(st.integers(1, 3), st.integers(31, 40)))
    dim = draw(st.integers(-len(shape), len(shape) - 1))
    return Case(name, (draw(arrays(shape, dtype)),), {"dim": dim})


def softmax(dtype=np.float64):
    """A `softmax` of up to four axes along any of them; rows longer than a warp among them."""
    return _along("softmax", dtype)


def log_softmax(dtype=np.float64):
    """A `log_softmax` of up to four axes along any of them."""
    return _along("log_softmax", dtype)
