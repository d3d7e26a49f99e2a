"""The way around a residual block, where the block changes the shape (He et al., 2015).

A block's output is F(x) + x. Where F makes fewer pixels or more channels, x must follow:

======== ===================================================== =====================================
option   how                                                   here
======== ===================================================== =====================================
A        every s-th pixel, zeros for the channels to come      `ZeroPadShortcut`: no parameters
B        a projection where the shape changes                  a 1x1 `Conv2d` with the block's
                                                               stride, and a `BatchNorm2d`
======== ===================================================== =====================================
"""

from __future__ import annotations

from minicnn import functional as F
from minicnn.backends import xp
from minicnn.functional.arguments import as_count, as_images
from minicnn.nn.module import Module
from minicnn.tensor import Tensor


class ZeroPadShortcut(Module):
    """Option A: every `stride`-th pixel of x, and channels of zeros up to `out_channels`.

    Parameters
    ----------
    in_channels, out_channels : int
        C and O, with O at least C.
    stride : int
        Of the block.
    zeros : "around" or "after"
        Where the O - C channels of zeros stand: half before x's channels and half after (the odd
        one after), or all after. The paper does not say; nets for CIFAR are seen with both.

    References
    ----------
    He et al., "Deep residual learning for image recognition", 2015, section 3.3.
    """

    def __init__(self, in_channels, out_channels, stride=1, zeros="around"):
        super().__init__()
        name = "ZeroPadShortcut"
        self.in_channels = as_count(name, "in_channels", in_channels)
        self.out_channels = as_count(name, "out_channels", out_channels)
        self.stride = as_count(name, "stride", stride)
        if self.out_channels < self.in_channels:
            raise ValueError(
                f"{name}: out_channels must be at least in_channels, but got {out_channels} for "
                f"{in_channels}; to have fewer channels, project with a 1x1 Conv2d"
            )
        if zeros not in ("around", "after"):
            raise ValueError(f"{name}: zeros expects 'around' or 'after', but got {zeros!r}")
        self.zeros = zeros

    def forward(self, x):
        x = as_images("ZeroPadShortcut", x)
        if x.shape[1] != self.in_channels:
            raise ValueError(
                f"ZeroPadShortcut: input expects shape (N, {self.in_channels}, H, W), but has "
                f"{x.shape}"
            )
        x = x[:, :, :: self.stride, :: self.stride]
        missing = self.out_channels - self.in_channels
        before = missing // 2 if self.zeros == "around" else 0
        parts = [self._channels(x, before), x, self._channels(x, missing - before)]
        return F.cat([part for part in parts if part.shape[1]], dim=1)

    def _channels(self, x, count):
        """`count` channels of zeros beside x."""
        N, _, H, W = x.shape
        return Tensor(xp(x.data).zeros((N, count, H, W), x.dtype))

    def extra_repr(self):
        text = f"{self.in_channels}, {self.out_channels}, stride={self.stride}"
        return text + ("" if self.zeros == "around" else f", zeros={self.zeros!r}")
