"""The fully connected layer."""

from __future__ import annotations

from minicnn.functional.arguments import as_activation, as_added, as_bias, check_same_dtype
from minicnn.ops.linear import Linear
from minicnn.ops.operands import check_float
from minicnn.tensor import Tensor


def linear(input, weight, bias=None, *, activation=None, add=None) -> Tensor:
    """Fully connected layer: y = activation(input weight' + bias + add).

    Parameters
    ----------
    input : Tensor (..., I)
    weight : Tensor (O, I)
    bias : Tensor (O,), optional
    activation : "relu", "relu6", "silu" or "hardswish", optional
    add : Tensor (..., O), optional

    Returns
    -------
    Tensor (..., O)

    Raises
    ------
    ValueError
        If shapes do not fit together, or there is no activation of that name.
    TypeError
        If a tensor is not float32 or float64, or the dtypes differ.
    """
    x, w = check_float("linear", input), check_float("linear", weight)
    if w.ndim != 2:
        raise ValueError(f"linear: weight expects 2 dimensions (O, I), but has {w.shape}")
    if x.ndim < 1 or x.shape[-1] != w.shape[1]:
        hint = "; flatten it first with x.flatten(1)" if x.ndim == 4 else ""
        raise ValueError(
            f"linear: weight expects {w.shape[1]} features (weight.shape[1]) in input's last axis, "
            f"but input has shape {x.shape}{hint}"
        )
    b = as_bias("linear", bias, w.shape[0])
    check_same_dtype("linear", x, weight=w, bias=b)
    add = as_added("linear", add, x, (*x.shape[:-1], w.shape[0]))
    return Linear.apply(x, w, b, add, activation=as_activation("linear", activation))
