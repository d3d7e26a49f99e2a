"""What `check` compares a course's small functions with: those that are no operation of a net."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from minicnn import layout
from minicnn.checks.plain import Plain
from minicnn.checks.strategies import arrays

LUMA = (0.299, 0.587, 0.114)  # shares of red, green and blue in what the eye calls bright


# ---------------------------------------------------------------------------
# The functions
# ---------------------------------------------------------------------------
def grey(x):
    """Colour images (N, 3, H, W) in grey (N, 1, H, W): 0.299 red + 0.587 green + 0.114 blue."""
    return np.tensordot(LUMA, x, (0, 1))[:, None]


def standardize(x, mean, std):
    """(x - mean) / std of images (N, C, H, W), with a mean and a std for each channel (C,)."""
    return (x - mean[:, None, None]) / std[:, None, None]


def output_size(size, kernel, stride=1, padding=0):
    """How often a kernel fits: floor((size + 2 padding - kernel) / stride) + 1."""
    return layout.output_size((size,), (kernel,), (stride,), (padding,), (1,))[0]


def conv_parameters(in_channels, out_channels, kernel, bias=True):
    """Numbers that a convolution of kernel x kernel learns."""
    return out_channels * (in_channels * kernel * kernel + bool(bias))


def receptive_field(layers):
    """Pixels along one axis that an output sees through layers (L, 2) of (kernel, stride)."""
    size, jump = 1, 1
    for kernel, stride in layers.tolist():
        size += (kernel - 1) * jump
        jump *= stride
    return size


def sgd_step(w, dw, v, lr, momentum):
    """v = momentum v + dw;  w = w - lr v. Returns the new (w, v)."""
    v = momentum * v + dw
    return w - lr * v, v


# ---------------------------------------------------------------------------
# Their arguments
# ---------------------------------------------------------------------------
def _images(draw, C):
    return draw(arrays((draw(st.integers(1, 3)), C, *(draw(st.integers(1, 4)) for _ in "HW"))))


@st.composite
def _grey(draw):
    return {"x": _images(draw, 3)}


@st.composite
def _standardize(draw):
    C = draw(st.integers(1, 4))
    values = {name: draw(arrays((C,))) for name in ("mean", "std")}
    return {"x": _images(draw, C), **values}


@st.composite
def _output_size(draw):
    kernel, padding = draw(st.integers(1, 7)), draw(st.integers(0, 3))
    size = draw(st.integers(max(1, kernel - 2 * padding), 30))
    return {"size": size, "kernel": kernel, "stride": draw(st.integers(1, 5)), "padding": padding}


@st.composite
def _conv_parameters(draw):
    numbers = {"in_channels": 9, "out_channels": 9, "kernel": 7}
    args = {name: draw(st.integers(1, most)) for name, most in numbers.items()}
    return {**args, "bias": draw(st.booleans())}


@st.composite
def _receptive_field(draw):
    layer = st.tuples(st.integers(1, 7), st.integers(1, 3))
    return {"layers": np.array(draw(st.lists(layer, min_size=1, max_size=5)), np.int64)}


@st.composite
def _sgd_step(draw):
    shape = tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
    values = {name: draw(arrays(shape)) for name in ("w", "dw", "v")}
    rates = {"lr": draw(st.sampled_from([0.5, 0.25, 2.0]))}
    return {**values, **rates, "momentum": draw(st.sampled_from([0.5, 0.0, 0.75]))}


# ---------------------------------------------------------------------------
# As references
# ---------------------------------------------------------------------------
COURSE = {
    reference.name: reference
    for reference in (
        Plain(conv_parameters, _conv_parameters),
        Plain(grey, _grey),
        Plain(output_size, _output_size),
        Plain(receptive_field, _receptive_field),
        Plain(sgd_step, _sgd_step, ("w", "v")),
        Plain(standardize, _standardize),
    )
}
