"""Activations."""

from __future__ import annotations

import math
import operator

from minicnn.functional.arguments import as_number, check_same_dtype
from minicnn.ops import activation as ops
from minicnn.ops.operands import check_float
from minicnn.tensor import Tensor


# ---------------------------------------------------------------------------
# Straight pieces
# ---------------------------------------------------------------------------
def relu(input) -> Tensor:
    """Rectified linear unit: y = max(input, 0), any shape; the slope at 0 is taken as 0.

    Raises TypeError unless input is float32 or float64. Nair and Hinton, 2010.
    """
    return ops.ReLU.apply(check_float("relu", input))


def leaky_relu(input, negative_slope=0.01) -> Tensor:
    """y = input where it is positive, else negative_slope * input: no unit is ever quite dead.

    Parameters
    ----------
    input : Tensor, any shape
    negative_slope : float
        Also the slope at 0.

    Returns
    -------
    Tensor, shape of input

    Raises
    ------
    TypeError, ValueError
        If input is not float32 or float64, or negative_slope no finite number.

    Maas, Hannun, Ng, "Rectifier nonlinearities improve neural network acoustic models", 2013.
    """
    x = check_float("leaky_relu", input)
    slope = as_number(
        "leaky_relu", "negative_slope", negative_slope, "that is finite", math.isfinite
    )
    return ops.LeakyReLU.apply(x, negative_slope=slope)


def prelu(input, weight) -> Tensor:
    """Parametric ReLU: y = input where it is positive, else a * input, with a learnt slope a.

    Parameters
    ----------
    input : Tensor (N, C, ...), or any shape if there is one slope
    weight : Tensor (1,) or (C,)
        One slope for all, or one for each channel (axis 1); also the slope at 0.

    Returns
    -------
    Tensor, shape of input

    Raises
    ------
    ValueError
        If weight has another shape.
    TypeError
        If input is not float32 or float64, or weight of another dtype.

    He, Zhang, Ren, Sun, "Delving deep into rectifiers", 2015.
    """
    x, a = check_float("prelu", input), check_float("prelu", weight)
    check_same_dtype("prelu", x, weight=a)
    channels = x.shape[1] if x.ndim > 1 else 1
    if a.ndim > 1 or a.size not in (1, channels):
        rule = "(1,)" if channels == 1 else f"(1,) or ({channels},)"
        raise ValueError(
            f"prelu: weight expects shape {rule}, one slope for all or one per channel "
            f"(input.shape[1]), but has {a.shape}, with input {x.shape}"
        )
    return ops.PReLU.apply(x, a)


def relu6(input) -> Tensor:
    """y = min(max(input, 0), 6), any shape; the slope at 0 and at 6 is taken as 0.

    Raises TypeError unless input is float32 or float64. Krizhevsky, "Convolutional deep belief
    networks on CIFAR-10", 2010.
    """
    return ops.ReLU6.apply(check_float("relu6", input))


def hardsigmoid(input) -> Tensor:
    """y = min(max(input + 3, 0), 6) / 6, any shape; the slope at -3 and at 3 is taken as 0.

    Raises TypeError unless input is float32 or float64. Howard et al., "Searching for
    MobileNetV3", 2019.
    """
    return ops.Hardsigmoid.apply(check_float("hardsigmoid", input))


def hardswish(input) -> Tensor:
    """y = input * hardsigmoid(input), any shape; slope 0 at -3, 1 at 3.

    Raises TypeError unless input is float32 or float64. Howard et al., "Searching for
    MobileNetV3", 2019.
    """
    return ops.Hardswish.apply(check_float("hardswish", input))


# ---------------------------------------------------------------------------
# Smooth functions
# ---------------------------------------------------------------------------
def tanh(input) -> Tensor:
    """Hyperbolic tangent, any shape.

    Raises TypeError unless input is float32 or float64.
    """
    return ops.Tanh.apply(check_float("tanh", input))


def scaled_tanh(input) -> Tensor:
    """y = 1.7159 tanh(2/3 input), any shape: 1 stays 1 and -1 stays -1. Not in PyTorch.

    Targets of 1 and -1 lie where the curve bends most, not in its flat ends.
    Raises TypeError unless input is float32 or float64. LeCun, Bottou, Bengio, Haffner,
    "Gradient-based learning applied to document recognition", 1998, Appendix A.
    """
    return ops.ScaledTanh.apply(check_float("scaled_tanh", input))


def sigmoid(input) -> Tensor:
    """Logistic function: y = 1 / (1 + e^-input), any shape.

    Raises TypeError unless input is float32 or float64.
    """
    return ops.Sigmoid.apply(check_float("sigmoid", input))


def silu(input) -> Tensor:
    """y = input * sigmoid(input), any shape. Papers call it swish, too; here, as in PyTorch, silu.

    Raises TypeError unless input is float32 or float64. Elfwing, Uchibe, Doya, "Sigmoid-weighted
    linear units", 2017; Ramachandran, Zoph, Le, "Searching for activation functions", 2017.
    """
    return ops.SiLU.apply(check_float("silu", input))


def gelu(input, approximate="none") -> Tensor:
    """y = input * P(input), with P(x) the share of a standard normal distribution that is below x.

    P(x) = (1 + erf(x / sqrt 2)) / 2; with approximate="tanh" (within 0.0005 of it)
    P(x) = (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.

    Parameters
    ----------
    input : Tensor, any shape
    approximate : "none" or "tanh"

    Returns
    -------
    Tensor, shape of input

    Raises
    ------
    ValueError
        If approximate is neither.
    TypeError
        If input is not float32 or float64.

    Hendrycks and Gimpel, "Gaussian error linear units", 2016.
    """
    x = check_float("gelu", input)
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate expects 'none' or 'tanh', but got {approximate!r}")
    return (ops.GELU if approximate == "none" else ops.GELUTanh).apply(x)


# ---------------------------------------------------------------------------
# Along one axis
# ---------------------------------------------------------------------------
def softmax(input, dim) -> Tensor:
    """y[k] = e^input[k] / (sum of e^input[l]) along axis dim: positive numbers whose sum is 1.

    Parameters
    ----------
    input : Tensor, any shape
        Scores; large ones do not overflow.
    dim : int
        The axis of k and l: 1 for scores (N, K), -1 for the last. There is no default.

    Returns
    -------
    Tensor, shape of input

    Raises
    ------
    ValueError
        If input has no such axis.
    TypeError
        If input is not float32 or float64, or dim no int.
    """
    return _along(ops.Softmax, "softmax", input, dim)


def log_softmax(input, dim) -> Tensor:
    """y[k] = input[k] - ln(sum of e^input[l]) along axis dim: the logarithm of `softmax`.

    More exact than softmax(input, dim).log(), which is -infinity where softmax rounds to 0.
    Parameters, Returns and Raises are those of `softmax`.
    """
    return _along(ops.LogSoftmax, "log_softmax", input, dim)


def _along(operation, name, input, dim) -> Tensor:
    """Check what the softmaxes share, and run one."""
    x = check_float(name, input)
    if isinstance(dim, bool) or not hasattr(dim, "__index__"):
        raise TypeError(f"{name}: dim expects an int, but got {dim!r}")
    dim, axes = operator.index(dim), max(x.ndim, 1)  # a number counts as a row of one
    if not -axes <= dim < axes:
        raise ValueError(
            f"{name}: dim expects {-axes} to {axes - 1} for input of shape {x.shape}, but got {dim}"
        )
    if x.ndim == 0:
        return operation.apply(x.reshape(1), dim=0).reshape(())
    if x.size == 0:
        return x * 1  # no row, or rows of nothing
    return operation.apply(x, dim=dim % x.ndim)
