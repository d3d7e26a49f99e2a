"""A call of a function, and the arrays and settings that several strategies draw."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minicnn import functional
from minicnn.ops.epilogue import ACTIVATIONS
from minicnn.tensor import Tensor

LISTS = ("cat",)  # functions whose arrays all go into a list, their first argument
BEFORE_ADD = {"batch_norm": 5, "conv2d": 3, "linear": 3}  # arrays; one more is `add`, by name
KINKS = {"relu": (0,), "relu6": (0, 6), "hardswish": (-3, 3)}
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
        if self.name in LISTS:
            return self.function(tensors, **self.settings)
        count = BEFORE_ADD.get(self.name, len(tensors))
        add = dict(zip(["add"], tensors[count:]))
        return self.function(*tensors[:count], **add, **self.settings)

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


@st.composite
def fused(draw, cases, distinct=False, exact=False):
    """A case of `cases` with an activation, an `add`, both or neither.

    With `exact`, all numbers are eighths, so that the function's sums are exact in any order and
    hit the activation's kinks. Without, or with `distinct`, no sum is closer than 0.01 to a kink.
    """
    case, activation = draw(cases), draw(st.sampled_from([None, *ACTIVATIONS]))
    z = case.run().numpy()
    add = draw(st.none() | arrays(z.shape))
    for a in (*case.arrays, add) if exact else ():
        if a is not None:
            a[...] = np.rint(a * 8) / 8  # in place: the memory order stays
    z = case.run().numpy()
    for kink in KINKS.get(activation, ()) if distinct or not exact else ():
        near = np.abs(z - kink if add is None else z + add - kink) < 0.01
        if near.any():
            add = np.zeros(z.shape) if add is None else add
            add[near] += 0.02
    settings = case.settings | ({} if activation is None else {"activation": activation})
    return Case(case.name, (*case.arrays, add), settings)


def pairs(low, high):
    """Draws an int, or a pair of them, each between low and high."""
    one = st.integers(low, high)
    return one | st.tuples(one, one)


def both(value):
    return value if isinstance(value, tuple) else (value, value)
