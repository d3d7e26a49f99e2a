"""Upsampling layer."""

from __future__ import annotations

from minicnn import functional as F
from minicnn.functional.upsample import as_resampling
from minicnn.nn.module import Module


class Upsample(Module):
    """`functional.interpolate` as a layer."""

    def __init__(self, size=None, scale_factor=None, mode="nearest", align_corners=None):
        super().__init__()
        self.size, self.scale_factor, self.mode, _ = as_resampling(
            "Upsample", size, scale_factor, mode, align_corners
        )
        self.align_corners = align_corners

    def forward(self, x):
        return F.interpolate(x, self.size, self.scale_factor, self.mode, self.align_corners)

    def extra_repr(self):
        text = f"scale_factor={self.scale_factor}" if self.size is None else f"size={self.size}"
        text += f", mode={self.mode!r}"
        aligned = self.align_corners
        return text if aligned is None else f"{text}, align_corners={aligned}"
