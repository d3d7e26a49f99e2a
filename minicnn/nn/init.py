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

The He scheme by fan_out, 2 / fan_out, keeps the gradients' size on the way back where the other
keeps the signals' on the way in; the paper finds either good, and deep nets are made with it.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from minicnn.functional.dropout import stream
from minicnn.layout import channels_last
from minicnn.tensor import Tensor

_leave_empty: ContextVar[bool] = ContextVar("minicnn_leave_empty", default=False)
_generator = None  # made when first needed: numpy.random takes 20 ms to import


@contextmanager
def empty():
    """Make layers without drawing their first weights: quick, where others will be loaded.

        with init.empty():
            model = models.build("vgg16")
        interop.load_into(model, "vgg16.safetensors")

    Until then the weights are whatever the memory held.
    """
    token = _leave_empty.set(True)
    try:
        yield
    finally:
        _leave_empty.reset(token)


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


def get_rng_state() -> dict:
    """Where both streams of random numbers stand, as numbers that JSON can hold."""
    return {
        "init": _random().bit_generator.state,
        "dropout": {"key": stream.key, "counter": stream.counter},
    }


def set_rng_state(state: dict) -> None:
    """Go on with the random numbers that came after `get_rng_state`."""
    _random().bit_generator.state = state["init"]
    stream.key, stream.counter = state["dropout"]["key"], state["dropout"]["counter"]


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
    return _fill(tensor, lambda shape: _random().uniform(low, high, shape))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Overwrite with normal numbers of this mean and standard deviation."""

    def draw(shape):  # in the tensor's own dtype: a VGG has 138 million to draw
        values = np.asarray(_random().standard_normal(shape, tensor.dtype))
        values *= std
        values += mean
        return values

    return _fill(tensor, draw)


def constant_(tensor: Tensor, value: float) -> Tensor:
    """Overwrite with one value."""
    return _fill(tensor, lambda shape: np.full(shape, value))


def _fill(tensor, draw):
    if _leave_empty.get():
        return tensor
    return tensor.assign_(channels_last(draw(tensor.shape).astype(tensor.dtype, copy=False)))


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
he_fan_out_uniform_, he_fan_out_normal_ = _variance_scheme("he_fan_out", "He", lambda i, o: 2 / o)
