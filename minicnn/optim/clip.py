"""Gradients that are too large, made smaller."""

from __future__ import annotations

import math

import numpy as np

from minicnn.backends import xp
from minicnn.functional.arguments import as_number
from minicnn.layout import nhwc
from minicnn.tensor import Tensor


def grad_norm(parameters) -> float:
    """Euclidean length of all gradients together, as one vector; 0 where there are none."""
    return math.hypot(*(_norm(p.grad._data) for p in parameters if p.grad is not None))


def _norm(g) -> float:
    lib, flat = xp(g), (nhwc(g) if g.ndim == 4 else g).ravel()
    with np.errstate(over="ignore"):
        norm = float(lib.linalg.norm(flat))
    if math.isfinite(norm):
        return norm
    # Squares overflow long before the numbers do: float32 from 2e19 on.
    largest = float(abs(flat).max())
    return largest * float(lib.linalg.norm(flat / largest)) if math.isfinite(largest) else largest


def clip_grad_norm_(parameters, max_norm: float) -> float:
    """Scale all gradients by one factor, so that together they are no longer than `max_norm`.

    The direction stays. With L = `grad_norm`, g = g * min(1, max_norm / (L + 1e-6)).

    Parameters
    ----------
    parameters : iterable of Tensor
    max_norm : float
        Over 0.

    Returns
    -------
    float
        L, the length before.

    Pascanu, Mikolov, Bengio, "On the difficulty of training recurrent neural networks", 2013.
    """
    limit = _limit("clip_grad_norm_", "max_norm", max_norm)
    parameters = list(parameters)
    norm = grad_norm(parameters)
    factor = limit / (norm + 1e-6)  # PyTorch's
    if factor < 1:
        for p in parameters:
            if p.grad is not None:
                p.grad = Tensor._wrap(p.grad._data * factor)
    return norm


def clip_grad_value_(parameters, clip_value: float) -> None:
    """Cut every number of the gradients off at -clip_value and clip_value, which is over 0."""
    limit = _limit("clip_grad_value_", "clip_value", clip_value)
    for p in parameters:
        if p.grad is not None:
            p.grad = Tensor._wrap(xp(p.grad._data).clip(p.grad._data, -limit, limit))


def _limit(name, argument, value) -> float:
    return as_number(name, argument, value, "over 0", lambda limit: limit > 0)
