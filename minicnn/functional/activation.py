"""Activations."""

from __future__ import annotations

from minicnn.ops.activation import ReLU, Sigmoid, Tanh
from minicnn.ops.arithmetic import check_float
from minicnn.tensor import Tensor


def relu(input) -> Tensor:
    """Rectified linear unit: y = max(input, 0), any shape; the slope at 0 is taken as 0.

    Raises TypeError unless input is float32 or float64. Nair and Hinton, 2010.
    """
    return ReLU.apply(check_float("relu", input))


def tanh(input) -> Tensor:
    """Hyperbolic tangent, any shape.

    Raises TypeError unless input is float32 or float64.
    """
    return Tanh.apply(check_float("tanh", input))


def sigmoid(input) -> Tensor:
    """Logistic function: y = 1 / (1 + e^-input), any shape.

    Raises TypeError unless input is float32 or float64.
    """
    return Sigmoid.apply(check_float("sigmoid", input))
