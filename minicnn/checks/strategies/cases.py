"""A call of a function, and the arrays and settings that several strategies draw."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minicnn import functional
from minicnn.tensor import Tensor

LISTS = ("cat",)  # functions whose arrays all go into a list, their first argument
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
        tensors = tensors or self.tensors(False)
        arguments = [tensors] if self.name in LISTS else tensors
        return self.function(*arguments, **self.settings)

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
        return np.array(array, order="F")
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


def pairs(low, high):
    """Draws an int, or a pair of them, each between low and high."""
    one = st.integers(low, high)
    return one | st.tuples(one, one)


def both(value):
    return value if isinstance(value, tuple) else (value, value)
