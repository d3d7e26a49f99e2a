"""Optimisers: one step against the gradient."""

from __future__ import annotations

import math

import numpy as np

from minicnn.backends import xp
from minicnn.tensor import Tensor


class SGD:
    """Stochastic gradient descent, with momentum and weight decay as in PyTorch.

    g = grad + weight_decay * w;  v = momentum * v + g;  w = w - lr * v
    (Nesterov: w = w - lr * (g + momentum * v)). v starts at the first g.

    Parameters
    ----------
    parameters : iterable of Tensor
        What is learnt; a parameter without a gradient is left alone in a step.
    lr : float
        Learning rate, 0 or more; an attribute, so that a schedule can change it.
    momentum : float
        In [0, 1).
    weight_decay : float
        0 or more.
    nesterov : bool
        Needs a momentum over 0.

    Raises
    ------
    ValueError, TypeError
        If a setting is out of range, or there is nothing to learn.

    References
    ----------
    Momentum: Polyak, 1964. Nesterov's form: Sutskever, Martens, Dahl, Hinton, 2013.
    """

    def __init__(self, parameters, lr=0.01, momentum=0.0, weight_decay=0.0, nesterov=False):
        self.parameters = list(parameters)
        for p in self.parameters:
            if not isinstance(p, Tensor) or not p.requires_grad:
                raise TypeError(f"SGD: expects tensors with requires_grad=True, but got {p!r}")
        if not self.parameters:
            raise ValueError("SGD: expects at least one parameter, but got none")
        if len({id(p) for p in self.parameters}) != len(self.parameters):
            raise ValueError("SGD: a parameter is in the list twice; name each once")
        self.lr = self._number("lr", lr, math.inf)
        self.momentum = self._number("momentum", momentum, 1.0)
        self.weight_decay = self._number("weight_decay", weight_decay, math.inf)
        self.nesterov = bool(nesterov)
        if nesterov and not self.momentum:
            raise ValueError("SGD: nesterov=True needs a momentum over 0, but it is 0")
        self.velocity = [None] * len(self.parameters)

    @staticmethod
    def _number(name, value, end):
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
            raise TypeError(f"SGD: {name} expects a number, but got {value!r}")
        if not 0 <= value < end:
            limit = f"and under {end:g}" if end < math.inf else "and finite"
            raise ValueError(f"SGD: {name} expects a number of 0 or more {limit}, but got {value}")
        return float(value)

    def step(self) -> None:
        """Move every parameter that has a gradient."""
        for k, p in enumerate(self.parameters):
            if p.grad is None:
                continue
            g, lib = p.grad._data, xp(p._data)
            if self.weight_decay:
                g = g + self.weight_decay * p._data
            if self.momentum:
                v = self.velocity[k]
                if v is None:
                    v = self.velocity[k] = lib.array(g)
                else:
                    v *= self.momentum
                    v += g
                g = g + self.momentum * v if self.nesterov else v
            p.assign_(p._data - self.lr * g)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for p in self.parameters:
            p.grad = None
