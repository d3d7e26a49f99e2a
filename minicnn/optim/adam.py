"""Adam: steps of about the size lr, whatever the size of the gradients."""

from __future__ import annotations

import math

from minicnn.backends import drawing, xp
from minicnn.functional.arguments import as_number
from minicnn.optim.optimizer import Optimizer


class AdamUpdate:
    """What a step does to one parameter: the readable drawing; a backend may replace it."""

    @classmethod
    def step(cls, w, g, m, v, largest, t, lr, betas, eps):
        """The new w in step t = 1, 2, ...; changes m, v and (with AMSGrad) `largest` in place."""
        lib = xp(w)
        m += (1 - betas[0]) * (g - m)
        v *= betas[1]
        v += (1 - betas[1]) * g * g
        if largest is not None:
            lib.maximum(largest, v, out=largest)
            v = largest
        # m and v started at 0, and are too small by these factors.
        unbiased = lib.sqrt(v) / math.sqrt(1 - betas[1] ** t)
        return w - lr / (1 - betas[0] ** t) * m / (unbiased + eps)


class Adam(Optimizer):
    """Adam: every weight's step is its mean gradient over its root mean square gradient.

    g = grad + weight_decay * w;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;
    w = w - lr * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps) in step t = 1, 2, ...
    m and v start at 0.

    Parameters
    ----------
    parameters : iterable of Tensor, or list of dict
        What is learnt, or groups of it (see `Optimizer`); a parameter without a gradient is left
        alone in a step.
    lr : float
        Learning rate, 0 or more.
    betas : (float, float)
        b1 and b2, each in [0, 1).
    eps : float
        Over 0.
    weight_decay : float
        0 or more.
    amsgrad : bool
        Divide by the largest v so far.

    Raises
    ------
    ValueError, TypeError
        If a setting is out of range, or there is nothing to learn.

    References
    ----------
    Kingma and Ba, "Adam: a method for stochastic optimization", 2015. AMSGrad: Reddi, Kale, Kumar,
    "On the convergence of Adam and beyond", 2018.
    """

    decoupled = False  # whether weight decay goes past m and v

    def __init__(
        self, parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, amsgrad=False
    ):
        super().__init__(
            parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad
        )

    def check(self, settings):
        betas = settings["betas"]
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise TypeError(f"{self.name}: betas expects a pair of numbers, but got {betas!r}")
        rule = "of 0 or more and under 1"
        checked = [
            as_number(self.name, f"betas[{k}]", b, rule, lambda value: 0 <= value < 1)
            for k, b in enumerate(betas)
        ]
        return {
            "lr": self._number(settings, "lr"),
            "betas": tuple(checked),
            "eps": as_number(
                self.name, "eps", settings["eps"], "over 0 and finite", lambda e: 0 < e < math.inf
            ),
            "weight_decay": self._number(settings, "weight_decay"),
            "amsgrad": bool(settings["amsgrad"]),
        }

    def update(self, p, state, group):
        w, g, decay = p._data, p.grad._data, group["weight_decay"]
        names = ("exp_avg", "exp_avg_sq", *(("max_exp_avg_sq",) if group["amsgrad"] else ()))
        for name in names:
            if name not in state:
                state[name] = xp(w).zeros_like(w)
        state["step"] = state.get("step", 0) + 1
        if decay and self.decoupled:
            w = w * (1 - group["lr"] * decay)
        elif decay:
            g = g + decay * w
        w = drawing(AdamUpdate, p.device).step(
            w, g, state["exp_avg"], state["exp_avg_sq"], state.get("max_exp_avg_sq"),
            state["step"], group["lr"], group["betas"], group["eps"],
        )  # fmt: skip
        p.assign_(w)


class AdamW(Adam):
    """Adam with decoupled weight decay: w = w - lr * weight_decay * w, then Adam's step without it.

    In Adam the decay is part of the gradient, and so divided by the gradient's size: weights with
    large gradients hardly decay. Here all do alike. Parameters are as for `Adam`.

    Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.
    """

    decoupled = True

    def __init__(
        self, parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, amsgrad=False
    ):
        super().__init__(parameters, lr, betas, eps, weight_decay, amsgrad)
