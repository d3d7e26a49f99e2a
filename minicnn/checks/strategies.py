"""Hypothesis strategies: arguments of minicnn's functions, drawn over their whole range.

Each strategy named after a function of `minicnn.functional` draws a `Case` of it: arrays of small,
odd, ragged shapes in any memory order, with kernels, strides and paddings that need not divide
anything. A failing case shrinks to the smallest one. Use them for your own functions, too:

    @given(strategies.max_pool2d())
    def test_mine(case):
        expected = case.run().numpy()
        assert np.allclose(my_max_pool2d(*case.arrays, **case.settings), expected)
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minicnn import functional
from minicnn.tensor import Tensor

MEMORY_ORDERS = ("C", "channels-last", "Fortran", "every second", "reversed")


@dataclass
class Case:
    """One call of a function of `minicnn.functional`.

    Attributes
    ----------
    name : str
        The function's name.
    arrays : tuple
        Its array arguments in order; None for one left out; integers for class numbers.
    settings : dict
        Its other arguments, by name.
    """

    name: str
    arrays: tuple
    settings: dict = field(default_factory=dict)

    @property
    def function(self):
        """The function of `minicnn.functional`."""
        return getattr(functional, self.name)

    def tensors(self, requires_grad=True):
        """The arrays as tensors; the float ones want a gradient, if asked for."""
        return [
            None if a is None else Tensor(a, requires_grad=requires_grad and a.dtype.kind == "f")
            for a in self.arrays
        ]

    def run(self, tensors=None):
        """Call the function (on these tensors, or on fresh ones) and return its Tensor."""
        return self.function(*(tensors or self.tensors(False)), **self.settings)

    def astype(self, dtype) -> Case:
        """The same case with its float arrays in another dtype, memory order kept."""
        floats = [a is not None and a.dtype.kind == "f" for a in self.arrays]
        arrays = [a.astype(dtype) if f else a for a, f in zip(self.arrays, floats, strict=True)]
        return Case(self.name, tuple(arrays), self.settings)

    def __repr__(self):
        shown = ["None" if a is None else f"{a.dtype}{list(a.shape)}" for a in self.arrays]
        shown += [f"{key}={value}" for key, value in self.settings.items()]
        return f"{self.name}({', '.join(shown)})"


def in_memory_order(array: np.ndarray, order: str) -> np.ndarray:
    """An array equal to `array` whose memory is laid out as `order` (see MEMORY_ORDERS) says."""
    if order == "channels-last" and array.ndim == 4:
        return np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    if order == "Fortran":
        return np.asfortranarray(array)
    if order == "every second" and array.ndim:
        wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
        wide[..., ::2] = array
        return wide[..., ::2]
    if order == "reversed" and array.ndim:
        return np.ascontiguousarray(array[::-1])[::-1]
    return np.array(array, order="C")


@st.composite
def arrays(draw, shape, dtype=np.float64, distinct=False):
    """An array of this shape, values within +-4, in any memory order.

    With `distinct`, no two values are closer than 0.01 and none is closer than that to 0, so that
    maxima and ReLU are differentiable there.
    """
    size = int(np.prod(shape))
    if distinct:
        seed = draw(st.integers(0, 2**32 - 1))
        values = np.random.default_rng(seed).permutation(np.arange(size) * 2 + 1 - size + size % 2)
        values = values * 0.01 + 0.005
    else:
        elements = st.floats(-4, 4, width=16)
        values = draw(hnp.arrays(np.float64, size, elements=elements))
    order = draw(st.sampled_from(MEMORY_ORDERS))
    return in_memory_order(values.reshape(shape).astype(dtype), order)


def _pairs(low, high):
    """An int, or a pair of them, each between low and high."""
    one = st.integers(low, high)
    return one | st.tuples(one, one)


def _both(value):
    return value if isinstance(value, tuple) else (value, value)


@st.composite
def conv2d(draw, dtype=np.float64):
    """A `conv2d`: ragged sizes, non-square kernels, strides to 3, paddings to 2, bias or none."""
    N, C, O = draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride, padding = draw(_pairs(1, 3)), draw(_pairs(0, 2))
    size = [
        draw(st.integers(max(1, k - 2 * p), 7)) for k, p in zip(kernel, _both(padding), strict=True)
    ]
    x = draw(arrays((N, C, *size), dtype))
    w = draw(arrays((O, C, *kernel), dtype))
    b = draw(st.none() | arrays((O,), dtype))
    return Case("conv2d", (x, w, b), {"stride": stride, "padding": padding})


@st.composite
def _pool2d(draw, name, dtype, distinct):
    N, C = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    kernel = draw(_pairs(1, 4))
    stride = draw(st.none() | _pairs(1, 4))
    padding = tuple(draw(st.integers(0, k // 2)) for k in _both(kernel))
    size = [
        draw(st.integers(max(1, k - 2 * p), 7)) for k, p in zip(_both(kernel), padding, strict=True)
    ]
    x = draw(arrays((N, C, *size), dtype, distinct))
    settings = {"kernel_size": kernel, "stride": stride, "padding": padding}
    return Case(name, (x,), settings)


def max_pool2d(dtype=np.float64, distinct=False):
    """A `max_pool2d`: windows of any shape, overlapping or not, padded; ties unless `distinct`."""
    return _pool2d("max_pool2d", dtype, distinct)


def avg_pool2d(dtype=np.float64):
    """An `avg_pool2d`, windows as for `max_pool2d`."""
    return _pool2d("avg_pool2d", dtype, False)


@st.composite
def linear(draw, dtype=np.float64):
    """A `linear` on rows with up to two leading axes, with or without bias."""
    leading = draw(st.lists(st.integers(1, 3), max_size=2))
    features, outputs = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    x = draw(arrays((*leading, features), dtype))
    w = draw(arrays((outputs, features), dtype))
    b = draw(st.none() | arrays((outputs,), dtype))
    return Case("linear", (x, w, b))


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


@st.composite
def cross_entropy(draw, dtype=np.float64):
    """A `cross_entropy` of up to 5 rows and 40 classes (more than a warp has lanes)."""
    N, K = draw(st.integers(1, 5)), draw(st.integers(1, 6) | st.integers(31, 40))
    x = draw(arrays((N, K), dtype))
    t = draw(hnp.arrays(np.int64, N, elements=st.integers(0, K - 1)))
    return Case("cross_entropy", (x, t))
