"""Layers that change the order of channels."""

from __future__ import annotations

from minicnn import functional as F
from minicnn.functional.arguments import as_count
from minicnn.nn.module import Module


class ChannelShuffle(Module):
    """`functional.channel_shuffle` as a layer."""

    def __init__(self, groups):
        super().__init__()
        self.groups = as_count("ChannelShuffle", "groups", groups)

    def forward(self, x):
        return F.channel_shuffle(x, self.groups)

    def extra_repr(self):
        return f"groups={self.groups}"
