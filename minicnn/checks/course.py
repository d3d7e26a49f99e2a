"""What `check` compares a course's small functions with: those that are no operation of a net."""

from __future__ import annotations

import inspect

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minicnn import layout
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


def overlap(a, b):
    """Shared area over covered area of boxes (N, 4) of (x, y, width, height), x, y the middle."""
    low = np.maximum(a[:, :2] - a[:, 2:] / 2, b[:, :2] - b[:, 2:] / 2)
    high = np.minimum(a[:, :2] + a[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2)
    shared = (high - low).clip(0).prod(axis=1)
    return shared / (a[:, 2:].prod(axis=1) + b[:, 2:].prod(axis=1) - shared)


def pixel_accuracy(x, t):
    """Share of the pixels whose largest score, of x (N, K, H, W), is that of their class t."""
    return (x.argmax(axis=1) == t).mean()


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


@st.composite
def _overlap(draw):
    shape = (draw(st.integers(1, 3)), 4)
    return {name: with_size(draw(arrays(shape))) for name in ("a", "b")}


@st.composite
def _pixel_accuracy(draw):
    N, K, H, W = (draw(st.integers(1, most)) for most in (2, 4, 3, 3))
    t = draw(hnp.arrays(np.int64, (N, H, W), elements=st.integers(0, K - 1)))
    return {"x": draw(arrays((N, K, H, W))), "t": t}


def with_size(boxes):
    """Boxes (N, 4) with widths and heights above 0, changed in place."""
    boxes[:, 2:] = positive(boxes[:, 2:])
    return boxes


def positive(x):
    """x with its signs taken away, and 1 in place of 0."""
    return np.where(x == 0, 1, np.abs(x))


# ---------------------------------------------------------------------------
# As references
# ---------------------------------------------------------------------------
class Plain:
    """A function of NumPy arrays and numbers, as a reference (see `references.Forward`)."""

    def __init__(self, function, draws, outputs=("y",)):
        self.name = self.base = function.__name__
        self.function, self.draws, self.outputs = function, draws, outputs
        signature = inspect.signature(function)
        self.parameters = {name: p.default for name, p in signature.parameters.items()}

    def run(self, args):
        """The outputs, a tuple of arrays."""
        value = self.function(**args)
        values = value if isinstance(value, tuple) else (value,)
        return tuple(np.array(v) for v in values)

    def draw(self, draw, taken):
        """Arguments drawn by hypothesis, those in `taken` and no others."""
        return {name: value for name, value in draw(self.draws()).items() if name in taken}

    def mend(self, args):
        """A standard deviation is above 0, and so are the sizes of a box."""
        if (std := args.get("std")) is not None:
            std[...] = positive(std)
        if self.function is overlap:
            with_size(args["a"]), with_size(args["b"])


COURSE = {
    reference.name: reference
    for reference in (
        Plain(conv_parameters, _conv_parameters),
        Plain(grey, _grey),
        Plain(output_size, _output_size),
        Plain(overlap, _overlap),
        Plain(pixel_accuracy, _pixel_accuracy),
        Plain(receptive_field, _receptive_field),
        Plain(sgd_step, _sgd_step, ("w", "v")),
        Plain(standardize, _standardize),
    )
}
