"""What `check` compares a course's small functions with: those that are no operation of a net."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

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


def conv_summary(in_channels, height, width, out_channels, kernel, stride=1, padding=0):
    """(OH, OW, parameters, multiplications) of a convolution of kernel x kernel with biases."""
    OH, OW = (output_size(n, kernel, stride, padding) for n in (height, width))
    weights = out_channels * in_channels * kernel * kernel
    return OH, OW, weights + out_channels, weights * OH * OW


def dense_parameters(sizes):
    """Numbers that dense layers learn, from sizes[0] inputs to sizes[-1] outputs."""
    return int(((sizes[:-1] + 1) * sizes[1:]).sum())


def accuracy(x, t):
    """Share of the rows of scores x (N, K) whose largest one is that of the right class t (N,)."""
    return np.mean(x.argmax(axis=1) == t)


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


def running_statistics(x, mean, var, momentum=0.1):
    """Running mean and variance (C,) moved towards those of a batch x (N, C, H, W).

    new = (1 - momentum) old + momentum batch, where the batch's variance is taken with 1/(R - 1).
    """
    found = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3), ddof=1)
    return tuple((1 - momentum) * a + momentum * b for a, b in zip((mean, var), found))


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
def _conv_summary(draw):
    args = draw(_output_size())
    height = args.pop("size")
    counts = {name: draw(st.integers(1, 9)) for name in ("in_channels", "out_channels")}
    return {**counts, "height": height, "width": height + draw(st.integers(0, 5)), **args}


@st.composite
def _dense_parameters(draw):
    return {"sizes": np.array(draw(st.lists(st.integers(1, 30), min_size=2, max_size=5)))}


@st.composite
def _accuracy(draw):
    N, K = draw(st.integers(1, 6)), draw(st.integers(2, 5))
    classes = hnp.arrays(np.int64, N, elements=st.integers(0, K - 1))
    return {"x": draw(arrays((N, K))), "t": draw(classes)}


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


@st.composite
def _running_statistics(draw):
    C = draw(st.integers(1, 3))
    shape = (draw(st.integers(2, 3)), C, *(draw(st.integers(1, 3)) for _ in "HW"))
    args = {"x": draw(arrays(shape)), "mean": draw(arrays((C,))), "var": draw(arrays((C,)))}
    return {**args, "momentum": draw(st.sampled_from([0.1, 0.5, 0.25, 1.0]))}


# ---------------------------------------------------------------------------
# As references
# ---------------------------------------------------------------------------
COURSE = {
    reference.name: reference
    for reference in (
        Plain(accuracy, _accuracy),
        Plain(conv_parameters, _conv_parameters),
        Plain(conv_summary, _conv_summary, ("OH", "OW", "parameters", "multiplications")),
        Plain(dense_parameters, _dense_parameters),
        Plain(grey, _grey),
        Plain(output_size, _output_size),
        Plain(receptive_field, _receptive_field),
        Plain(running_statistics, _running_statistics, ("mean", "var")),
        Plain(sgd_step, _sgd_step, ("w", "v")),
        Plain(standardize, _standardize),
    )
}
