"""The public functions: what they compute, what they accept, and the error where they do not.

Names, arguments and meaning are those of `torch.nn.functional`. Each checks its arguments and hands
over to an operation in `minicnn.ops`, where the arithmetic is. Arithmetic, reshaping and reductions
are methods of `Tensor`.
"""

from __future__ import annotations

import operator

import numpy as np

from minicnn.backends import to_device
from minicnn.ops.activation import ReLU, Sigmoid, Tanh
from minicnn.ops.arithmetic import check_float
from minicnn.ops.conv import Conv2d
from minicnn.ops.linear import Linear
from minicnn.ops.loss import SoftmaxCrossEntropy
from minicnn.ops.pooling import AvgPool2d, MaxPool2d
from minicnn.ops.windows import output_size
from minicnn.tensor import Tensor

__all__ = [
    "avg_pool2d",
    "conv2d",
    "cross_entropy",
    "linear",
    "max_pool2d",
    "relu",
    "sigmoid",
    "tanh",
]


# ---------------------------------------------------------------------------
# Argument rules
# ---------------------------------------------------------------------------
def as_pair(name: str, argument: str, value, least: int) -> tuple[int, int]:
    """An int or a pair of ints, each at least `least`, as a pair (for H, for W)."""
    rule = f"expects an int or a pair of ints (for H, for W), each at least {least}"
    values = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if any(isinstance(v, bool) or not hasattr(v, "__index__") for v in values):
        raise TypeError(f"{name}: {argument} {rule}, but got {value!r}")
    values = tuple(operator.index(v) for v in values)
    if len(values) != 2 or any(v < least for v in values):
        raise ValueError(f"{name}: {argument} {rule}, but got {value!r}")
    return values


def _images(name, value) -> Tensor:
    """`value` as a float tensor (N, C, H, W)."""
    x = check_float(name, value)
    if x.ndim != 4:
        hint = "; add the batch axis with x.reshape(1, *x.shape)" if x.ndim == 3 else ""
        raise ValueError(
            f"{name}: input expects 4 dimensions (N, C, H, W), but has {x.ndim}: {x.shape}{hint}"
        )
    return x


def _same_dtype(name, x, **others):
    """Raise unless the tensors share x's dtype."""
    for argument, t in others.items():
        if t is not None and t.dtype != x.dtype:
            raise TypeError(
                f"{name}: input is {x.dtype} but {argument} is {t.dtype}; they must be equal: "
                f"convert one with .to(np.{x.dtype})"
            )


def _check_bias(name, bias, features):
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


def _check_fit(name, x, kernel, stride, padding):
    """Raise unless the kernel fits into the padded input at least once."""
    size = output_size(x.shape[2:], kernel, stride, padding)
    if size[0] < 1 or size[1] < 1:
        raise ValueError(
            f"{name}: a kernel of {kernel} does not fit into an input of {x.shape[2:]} with "
            f"padding {padding}; use a smaller kernel, a larger input or more padding"
        )


# ---------------------------------------------------------------------------
# Convolution and linear
# ---------------------------------------------------------------------------
def conv2d(input, weight, bias=None, stride=1, padding=0) -> Tensor:
    """Convolution, as networks use the word: cross-correlation with O filters.

    y[n,o,i,j] = bias[o] + sum over (c,u,v) of
    input[n, c, i*SH + u - PH, j*SW + v - PW] * weight[o,c,u,v], where reading outside gives 0.

    Parameters
    ----------
    input : Tensor (N, C, H, W)
    weight : Tensor (O, C, KH, KW)
    bias : Tensor (O,), optional
    stride : int or pair (SH, SW), in pixels
    padding : int or pair (PH, PW), in pixels on each side

    Returns
    -------
    Tensor (N, O, OH, OW)
        OH = floor((H + 2 PH - KH) / SH) + 1; OW likewise. Rows and columns that no whole window
        covers are not looked at.

    Raises
    ------
    ValueError
        If shapes do not fit together, or a stride is under 1 or a padding under 0.
    TypeError
        If a tensor is not float32 or float64, or the dtypes differ.

    References
    ----------
    LeCun et al., "Gradient-based learning applied to document recognition", 1998. Forward as im2col
    and a matrix product: Chellapilla, Puri, Simard, "High performance convolutional neural networks
    for document processing", 2006.
    """
    x, w = _images("conv2d", input), check_float("conv2d", weight)
    stride = as_pair("conv2d", "stride", stride, 1)
    padding = as_pair("conv2d", "padding", padding, 0)
    if w.ndim != 4 or 0 in w.shape:
        raise ValueError(
            f"conv2d: weight expects 4 dimensions (O, C, KH, KW), none of size 0, but has {w.shape}"
        )
    if x.shape[1] != w.shape[1]:
        raise ValueError(
            f"conv2d: weight expects {w.shape[1]} input channels (weight.shape[1]), but input has "
            f"{x.shape[1]}: {x.shape}"
        )
    b = _check_bias("conv2d", bias, w.shape[0])
    _same_dtype("conv2d", x, weight=w, bias=b)
    _check_fit("conv2d", x, w.shape[2:], stride, padding)
    return Conv2d.apply(x, w, b, stride=stride, padding=padding)


def linear(input, weight, bias=None) -> Tensor:
    """Fully connected layer: y = input weight' + bias.

    Parameters
    ----------
    input : Tensor (..., I)
    weight : Tensor (O, I)
    bias : Tensor (O,), optional

    Returns
    -------
    Tensor (..., O)

    Raises
    ------
    ValueError
        If shapes do not fit together.
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
    b = _check_bias("linear", bias, w.shape[0])
    _same_dtype("linear", x, weight=w, bias=b)
    return Linear.apply(x, w, b)


# ---------------------------------------------------------------------------
# Pooling
# ---------------------------------------------------------------------------
def _pool(operation, name, input, kernel_size, stride, padding) -> Tensor:
    """Check the arguments the poolings share, and run one."""
    x = _images(name, input)
    kernel = as_pair(name, "kernel_size", kernel_size, 1)
    stride = kernel if stride is None else as_pair(name, "stride", stride, 1)
    padding = as_pair(name, "padding", padding, 0)
    if any(2 * p > k for p, k in zip(padding, kernel)):
        raise ValueError(
            f"{name}: padding may be at most half the kernel, so that no window lies in the "
            f"padding alone, but got padding {padding} with kernel_size {kernel}"
        )
    _check_fit(name, x, kernel, stride, padding)
    return operation.apply(x, kernel=kernel, stride=stride, padding=padding)


def max_pool2d(input, kernel_size, stride=None, padding=0) -> Tensor:
    """Largest value of each window, each channel by itself.

    y[n,c,i,j] = max over (u,v) of input[n, c, i*SH + u - PH, j*SW + v - PW]; padding counts as
    -infinity. The gradient goes to the first maximum of the window in row-major order.

    Parameters
    ----------
    input : Tensor (N, C, H, W)
    kernel_size : int or pair (KH, KW), in pixels
    stride : int or pair (SH, SW), in pixels; kernel_size if left out
    padding : int or pair (PH, PW), in pixels on each side, at most half the kernel

    Returns
    -------
    Tensor (N, C, OH, OW)
        OH = floor((H + 2 PH - KH) / SH) + 1; OW likewise.

    Raises
    ------
    ValueError, TypeError
        If an argument breaks the rules above.
    """
    return _pool(MaxPool2d, "max_pool2d", input, kernel_size, stride, padding)


def avg_pool2d(input, kernel_size, stride=None, padding=0) -> Tensor:
    """Mean of each window, each channel by itself.

    y[n,c,i,j] = 1/(KH KW) sum over (u,v) of input[n, c, i*SH + u - PH, j*SW + v - PW]; padding
    counts as zeros, and is counted (PyTorch's count_include_pad=True).

    Parameters, Returns and Raises are those of `max_pool2d`.
    """
    return _pool(AvgPool2d, "avg_pool2d", input, kernel_size, stride, padding)


# ---------------------------------------------------------------------------
# Activations
# ---------------------------------------------------------------------------
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


# ---------------------------------------------------------------------------
# Losses
# ---------------------------------------------------------------------------
def cross_entropy(input, target) -> Tensor:
    """Mean softmax cross-entropy of scores against class numbers.

    L = 1/N sum over n of -log p[n, target[n]], with p[n,k] = e^input[n,k] / sum over l of
    e^input[n,l].

    Parameters
    ----------
    input : Tensor (N, K)
        Scores (logits), not probabilities.
    target : integer Tensor or array (N,)
        The right class of each row, 0 to K - 1.

    Returns
    -------
    Tensor ()
        The mean loss in nats.

    Raises
    ------
    ValueError
        If shapes do not fit together, N is 0, or a class is out of range.
    TypeError
        If input is not float32 or float64, or target holds no integers.
    """
    x = check_float("cross_entropy", input)
    t = target if isinstance(target, Tensor) else Tensor(target)
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(
            f"cross_entropy: input expects scores (N, K), none of size 0, but has {x.shape}"
        )
    if t.dtype.kind not in "iu":
        raise TypeError(
            f"cross_entropy: target expects integer class numbers, but is {t.dtype}; "
            "convert it with .to(np.int64)"
        )
    if t.shape != x.shape[:1]:
        raise ValueError(
            f"cross_entropy: target expects one class per row of input, shape ({x.shape[0]},), "
            f"but has {t.shape}"
        )
    classes = Tensor._wrap(to_device(t._data, x.device).astype(np.int64, copy=False))
    low, high = int(classes._data.min()), int(classes._data.max())
    if low < 0 or high >= x.shape[1]:
        raise ValueError(
            f"cross_entropy: target expects classes 0 to {x.shape[1] - 1} (input.shape[1] - 1), "
            f"but holds {low if low < 0 else high}"
        )
    return SoftmaxCrossEntropy.apply(x, classes)
