"""Stochastic gradient descent."""

from __future__ import annotations

from minicnn.backends import drawing, xp
from minicnn.optim.optimizer import Optimizer


class SGDUpdate:
    """What a step does to one parameter: the readable drawing; a backend may replace it.

    g = grad + weight_decay * w;  v = momentum * v + g;  w = w - lr * v, or with Nesterov's form
    w = w - lr * (g + momentum * v).
    """

    @classmethod
    def step(cls, w, g, v, lr, momentum, weight_decay, nesterov):
        """The new w and v; v is None before the first step, and stays so without momentum."""
        if weight_decay:
            g = g + weight_decay * w
        if momentum:
            if v is None:
                v = xp(g).array(g)
            else:
                v *= momentum
                v += g
            g = g + momentum * v if nesterov else v
        return w - lr * g, v


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum and weight decay as in PyTorch.

    g = grad + weight_decay * w;  v = momentum * v + g;  w = w - lr * v
    (Nesterov: w = w - lr * (g + momentum * v)). v starts at the first g.

    Parameters
    ----------
    parameters : iterable of Tensor, or list of dict
        What is learnt, or groups of it (see `Optimizer`); a parameter without a gradient is left
        alone in a step.
    lr : float
        Learning rate, 0 or more.
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
        super().__init__(
            parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov
        )

    def check(self, settings):
        checked = {
            "lr": self._number(settings, "lr"),
            "momentum": self._number(settings, "momentum", 1.0),
            "weight_decay": self._number(settings, "weight_decay"),
            "nesterov": bool(settings["nesterov"]),
        }
        if checked["nesterov"] and not checked["momentum"]:
            raise ValueError("SGD: nesterov=True needs a momentum over 0, but it is 0")
        return checked

    def update(self, p, state, group):
        w, v = drawing(SGDUpdate, p.device).step(
            p._data, p.grad._data, state.get("momentum_buffer"),
            group["lr"], group["momentum"], group["weight_decay"], group["nesterov"],
        )  # fmt: skip
        if v is not None:
            state["momentum_buffer"] = v
        p.assign_(w)

    @property
    def velocity(self) -> list:
        """v of each parameter; None before its first step and without momentum."""
        return [self.state[p].get("momentum_buffer") for p in self.parameters]
