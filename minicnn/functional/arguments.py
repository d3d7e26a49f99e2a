"""The rules that arguments of several functions keep, and their errors."""

from __future__ import annotations

import difflib
import operator

import numpy as np

from minicnn.layout import output_size
from minicnn.ops.epilogue import ACTIVATIONS
from minicnn.ops.operands import check_float
from minicnn.tensor import Tensor


def as_pair(name: str, argument: str, value, least: int) -> tuple[int, int]:
    """An int or a pair of ints, each at least `least`, as a pair (for H, for W)."""
    if type(value) is int and value >= least:  # as nearly always: ten times as quick
        return value, value
    if type(value) is tuple and len(value) == 2:
        a, b = value
        if type(a) is type(b) is int and a >= least and b >= least:
            return value
    rule = f"expects an int or a pair of ints (for H, for W), each at least {least}"
    values = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if any(isinstance(v, bool) or not hasattr(v, "__index__") for v in values):
        raise TypeError(f"{name}: {argument} {rule}, but got {value!r}")
    values = tuple(operator.index(v) for v in values)
    if len(values) != 2 or any(v < least for v in values):
        raise ValueError(f"{name}: {argument} {rule}, but got {value!r}")
    return values


def as_images(name, value) -> Tensor:
    """`value` as a float tensor (N, C, H, W)."""
    x = check_float(name, value)
    if x._data.ndim != 4:
        hint = "; add the batch axis with x.reshape(1, *x.shape)" if x.ndim == 3 else ""
        raise ValueError(
            f"{name}: input expects 4 dimensions (N, C, H, W), but has {x.ndim}: {x.shape}{hint}"
        )
    return x


def check_same_dtype(name, x, **others):
    """Raise unless the tensors share x's dtype."""
    dtype = x._data.dtype
    for argument, t in others.items():
        if t is not None and t._data.dtype != dtype:
            raise TypeError(
                f"{name}: input is {dtype} but {argument} is {t.dtype}; they must be equal: "
                f"convert one with .to(np.{dtype})"
            )


def as_bias(name, bias, features):
    """`bias` as a float tensor (features,), or None."""
    if bias is None:
        return None
    bias = check_float(name, bias)
    if bias.shape != (features,):
        raise ValueError(
            f"{name}: bias expects shape ({features},), one number per output (weight.shape[0]), "
            f"but has {bias.shape}"
        )
    return bias


def as_activation(name, activation):
    """`activation` as the name of one that an operation can end in, or None."""
    if activation is None:
        return None
    rule = f"activation expects None or one of {', '.join(map(repr, ACTIVATIONS))}"
    if not isinstance(activation, str):
        raise TypeError(f"{name}: {rule}, but got {activation!r}; apply a function to the output")
    if activation not in ACTIVATIONS:
        near = difflib.get_close_matches(activation.lower(), ACTIVATIONS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "apply another function to the output"
        raise ValueError(f"{name}: {rule}, but got {activation!r}; {hint}")
    return activation


def as_added(name, add, x, shape):
    """`add` as a float tensor of the output's shape and x's dtype, or None."""
    if add is None:
        return None
    add = check_float(name, add)
    if add.shape != shape:
        raise ValueError(
            f"{name}: add expects the output's shape {shape}, but has {add.shape}; give the "
            "branches the same number of channels and the same strides"
        )
    check_same_dtype(name, x, add=add)
    return add


def check_fit(name, x, kernel, stride, padding, dilation=(1, 1)):
    """The output's (OH, OW); raises unless the kernel fits into the padded input at least once."""
    size = output_size(x.shape[2:], kernel, stride, padding, dilation)
    if size[0] < 1 or size[1] < 1:
        spread = "" if dilation == (1, 1) else f" with dilation {dilation}"
        raise ValueError(
            f"{name}: a kernel of {kernel}{spread} does not fit into an input of {x.shape[2:]} "
            f"with padding {padding}; use a smaller kernel, a larger input or more padding"
        )
    return size


def as_count(name, argument, value) -> int:
    """`value` as an int of at least 1."""
    if type(value) is int and value >= 1:  # as nearly always
        return value
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name}: {argument} expects an int, but got {value!r}")
    if value < 1:
        raise ValueError(f"{name}: {argument} expects 1 or more, but got {value}")
    return int(value)


def as_number(name, argument, value, rule, holds) -> float:
    """`value` as a float for which `holds(value)` is true; `rule` says it in words."""
    if type(value) is float and holds(value):  # as nearly always
        return value
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.number)):
        raise TypeError(f"{name}: {argument} expects a number {rule}, but got {value!r}")
    if not holds(value):
        raise ValueError(f"{name}: {argument} expects a number {rule}, but got {value}")
    return float(value)
