"""Dropout layers."""

from __future__ import annotations

from minicnn import functional as F
from minicnn.functional.dropout import as_probability
from minicnn.nn.module import Module


class _Dropout(Module):
    """What the dropout layers share: the probability p of a zero, and that evaluation has none."""

    def __init__(self, p=0.5):
        super().__init__()
        self.p = as_probability(type(self).__name__, p)

    def extra_repr(self):
        return f"p={self.p}"


class Dropout(_Dropout):
    """`functional.dropout` as a layer: in training mode, a new mask at every call.

    `minicnn.manual_seed` restarts the masks.
    """

    def forward(self, x):
        return F.dropout(x, self.p, self.training)


class Dropout2d(_Dropout):
    """`functional.dropout2d` as a layer: in training mode, a new mask at every call.

    `minicnn.manual_seed` restarts the masks.
    """

    def forward(self, x):
        return F.dropout2d(x, self.p, self.training)
