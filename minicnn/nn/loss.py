"""Losses as layers."""

from __future__ import annotations

from minicnn import functional as F
from minicnn.nn.module import Module


class CrossEntropyLoss(Module):
    """`functional.cross_entropy` as a layer."""

    def forward(self, x, target):
        return F.cross_entropy(x, target)
