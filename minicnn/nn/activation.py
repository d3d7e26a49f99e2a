"""Activations as layers."""

from __future__ import annotations

from minicnn import functional as F
from minicnn.nn.module import Module


class ReLU(Module):
    """`functional.relu` as a layer."""

    def forward(self, x):
        return F.relu(x)


class Tanh(Module):
    """`functional.tanh` as a layer."""

    def forward(self, x):
        return F.tanh(x)


class Sigmoid(Module):
    """`functional.sigmoid` as a layer."""

    def forward(self, x):
        return F.sigmoid(x)
