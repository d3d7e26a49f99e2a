"""Initialisation: random weights whose signals neither fade nor explode through the layers.

`fan_in` is the number of inputs one output is computed from, `fan_out` the number of outputs one
input takes part in: for Linear I and O, for Conv2d C*KH*KW and O*KH*KW.

======= ====================== ============= =====================================================
scheme  variance               suits         source
======= ====================== ============= =====================================================
LeCun   1 / fan_in             scaled tanh   LeCun, Bottou, Orr, Mueller: Efficient BackProp, 1998
Xavier  2 / (fan_in + fan_out) tanh, sigmoid Glorot and Bengio, 2010
He      2 / fan_in             ReLU          He, Zhang, Ren, Sun, 2015
======= ====================== ============= =====================================================
"""

from __future__ import annotations

import math

import numpy as np

from minicnn.functional.dropout import stream
from minicnn.layout import channels_last
from minicnn.tensor import Tensor

_generator = None  # made when first needed: numpy.random takes 20 ms to import


def manual_seed(seed: int) -> None:
    """Restart the random numbers: the same seed, the same first weights and dropout masks.

    There are two streams, one for the initialisation of layers and one for dropout, so that neither
    changes what the other gives.

    Raises
    ------
    TypeError, ValueError
        If seed is not an int of 0 or more.
    """
    global _generator
    if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool):
        raise TypeError(f"manual_seed: expects an int, but got {seed!r}")
    if seed < 0:
        raise ValueError(f"manual_seed: expects a seed of 0 or more, but got {seed}")
    _generator = np.random.default_rng(seed)
    stream.restart(int(seed))


def _random():
    """The generator of all initialisers, seeded with 0 unless `manual_seed` was called."""
    global _generator
    if _generator is None:
        _generator = np.random.default_rng(0)
    return _generator


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight (O, I) or (O, C, KH, KW)."""
    if len(shape) < 2:
        raise ValueError(
            f"init: fans are defined for weights of two dimensions or more, but got shape {shape}"
        )
    cells = math.prod(shape[2:])
    return shape[1] * cells, shape[0] * cells


def uniform_(tensor: Tensor, low: float, high: float) -> Tensor:
    """Overwrite with numbers uniform in [low, high)."""
    return _fill(tensor, _random().uniform(low, high, tensor.shape))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Overwrite with normal numbers of this mean and standard deviation."""
    return _fill(tensor, _random().normal(mean, std, tensor.shape))


def constant_(tensor: Tensor, value: float) -> Tensor:
    """Overwrite with one value."""
    return _fill(tensor, np.full(tensor.shape, value))


def _fill(tensor, values):
    return tensor.assign_(channels_last(values.astype(tensor.dtype)))


def _variance_scheme(name, source, variance):
    """The pair of initialisers (uniform, normal) of a scheme that fixes the variance."""

    def uniform(tensor: Tensor) -> Tensor:
        bound = math.sqrt(3 * variance(*fans(tensor.shape)))  # U(-a, a) has variance a^2 / 3
        return uniform_(tensor, -bound, bound)

    def normal(tensor: Tensor) -> Tensor:
        return normal_(tensor, 0.0, math.sqrt(variance(*fans(tensor.shape))))

    for function, kind in ((uniform, "uniform"), (normal, "normal")):
        function.__name__ = f"{name}_{kind}_"
        function.__doc__ = f"Overwrite with {kind} numbers of {source}'s variance (see the module)."
    return uniform, normal


lecun_uniform_, lecun_normal_ = _variance_scheme("lecun", "LeCun", lambda i, o: 1 / i)
xavier_uniform_, xavier_normal_ = _variance_scheme("xavier", "Glorot", lambda i, o: 2 / (i + o))
he_uniform_, he_normal_ = _variance_scheme("he", "He", lambda i, o: 2 / i)
