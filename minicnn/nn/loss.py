"""Losses as layers: their settings, chosen once. What the settings mean is told in `functional`."""

from __future__ import annotations

from minicnn import functional as F
from minicnn.functional.loss import REDUCTIONS
from minicnn.nn.module import Module


class _Loss(Module):
    """What the losses share: keyword settings, passed on to a function."""

    def __init__(self, **settings):
        super().__init__()
        if settings["reduction"] not in REDUCTIONS:
            raise ValueError(
                f"{type(self).__name__}: reduction expects 'none', 'mean' or 'sum', "
                f"but got {settings['reduction']!r}"
            )
        self.settings = settings

    def extra_repr(self):
        shown = {key: value for key, value in self.settings.items() if key != "weight"}
        return ", ".join(f"{key}={value!r}" for key, value in shown.items())


class CrossEntropyLoss(_Loss):
    """`functional.cross_entropy` as a layer; `weight`, if any, is a constant array (K,)."""

    def __init__(self, weight=None, *, ignore_index=-100, reduction="mean", label_smoothing=0.0):
        super().__init__(
            weight=weight,
            ignore_index=ignore_index,
            reduction=reduction,
            label_smoothing=label_smoothing,
        )

    def forward(self, x, target):
        return F.cross_entropy(x, target, **self.settings)


class NLLLoss(_Loss):
    """`functional.nll_loss` as a layer; `weight`, if any, is a constant array (K,)."""

    def __init__(self, weight=None, *, ignore_index=-100, reduction="mean"):
        super().__init__(weight=weight, ignore_index=ignore_index, reduction=reduction)

    def forward(self, x, target):
        return F.nll_loss(x, target, **self.settings)


class MSELoss(_Loss):
    """`functional.mse_loss` as a layer."""

    def __init__(self, *, reduction="mean"):
        super().__init__(reduction=reduction)

    def forward(self, x, target):
        return F.mse_loss(x, target, **self.settings)


class MarginLoss(_Loss):
    """`functional.margin_loss` as a layer: capsules' lengths against classes."""

    def __init__(self, *, m_plus=0.9, m_minus=0.1, down_weight=0.5, reduction="mean"):
        super().__init__(
            m_plus=m_plus, m_minus=m_minus, down_weight=down_weight, reduction=reduction
        )

    def forward(self, x, target):
        return F.margin_loss(x, target, **self.settings)
