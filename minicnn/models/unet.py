"""U-Net: down to what there is, up to where it is (Ronneberger, Fischer, Brox, 2015).

A net that classifies loses the places on the way down. U-Net goes up again, and at every size joins
what it had there on the way down: coarse knows what, fine knows where.

    572 -> 3x3, 3x3: 64 -----------------crop-----------------> join -> 3x3, 3x3: 64 -> 1x1 -> 388
              | pool                                              ^ 2x2/2 transposed
              3x3, 3x3: 128 ------------crop----------> join -> 3x3, 3x3: 128
                  | pool                                  ^
                  3x3, 3x3: 256 -------crop----> join -> 3x3, 3x3: 256
                      | pool                       ^
                      3x3, 3x3: 512 --crop-> join -> 3x3, 3x3: 512
                          | pool               ^
                          3x3, 3x3: 1024 ------'

Variants. `unet` is the paper's: no padding, so that the map is smaller than the image and large
images are cut into overlapping tiles. `unet_small` pads, so that the map has the image's size, has
a batch normalization behind each 3x3, and is thin: for small images on a CPU. Neither torchvision
nor timm has them.
"""

from __future__ import annotations

from minicnn import functional as F
from minicnn.functional.arguments import as_count
from minicnn.models.blocks import conv
from minicnn.models.registry import Model
from minicnn.nn import BatchNorm2d, Conv2d, ConvTranspose2d, MaxPool2d, Module, ReLU, Sequential


def _pair(in_channels, channels, same):
    """Two 3x3 convolutions: padded and normalized, or as in the paper."""
    layers = []
    for C in (in_channels, channels):
        if same:
            layers += [conv(C, channels, 3), BatchNorm2d(channels), ReLU()]
        else:
            layers += [Conv2d(C, channels, 3), ReLU()]
    return Sequential(*layers)


def _crop(x, size):
    """The middle of x, `size` pixels high and wide."""
    (H, W), (h, w) = x.shape[2:], size
    top, left = (H - h) // 2, (W - w) // 2
    return x[:, :, top : top + h, left : left + w]


class UNet(Module):
    """Scores of every class for every pixel.

    Parameters
    ----------
    num_classes, in_channels : int
    channels : int
        Of the first convolutions; twice as many at each step down.
    steps : int
        How often the image is halved.
    same : bool
        Whether the map has the image's size (padding, and batch normalization); if not, it lacks
        the border that the convolutions cut off.

    Raises
    ------
    ValueError
        If an image cannot be halved that often: with `same` its height and width must be multiples
        of 2^steps, and without, even before every pooling (the paper's 572 is).
    """

    def __init__(self, num_classes=2, in_channels=1, channels=64, steps=4, same=False):
        super().__init__()
        self.steps = as_count("UNet", "steps", steps)
        self.same = bool(same)
        widths = [channels << k for k in range(self.steps + 1)]
        for k, (C, width) in enumerate(zip((in_channels, *widths), widths)):
            setattr(self, f"down{k}", _pair(C, width, same))
        self.pool = MaxPool2d(2)
        for k in reversed(range(self.steps)):
            setattr(self, f"up{k}", ConvTranspose2d(widths[k + 1], widths[k], 2, 2))
            setattr(self, f"join{k}", _pair(widths[k + 1], widths[k], same))
        self.last = Conv2d(channels, num_classes, 1)

    def forward(self, x):
        self._check(x.shape)
        kept = []
        for k in range(self.steps):
            x = getattr(self, f"down{k}")(x)
            kept.append(x)
            x = self.pool(x)
        x = getattr(self, f"down{self.steps}")(x)
        for k in reversed(range(self.steps)):
            x = getattr(self, f"up{k}")(x)
            x = F.cat([_crop(kept[k], x.shape[2:]), x], dim=1)
            x = getattr(self, f"join{k}")(x)
        return self.last(x)

    def output_size(self, size) -> int:
        """Pixels of the map's side, for an image's side; 0 if the image does not fit."""
        cut = 0 if self.same else 4  # by two 3x3 convolutions
        for _ in range(self.steps):
            size -= cut
            if size < 2 or size % 2:
                return 0
            size //= 2
        size -= cut
        for _ in range(self.steps):
            size = 2 * size - cut
        return max(size, 0)

    def _check(self, shape):
        for side in shape[2:]:
            if not self.output_size(side):
                larger = side + 1
                while not self.output_size(larger):
                    larger += 1
                raise ValueError(
                    f"UNet: height and width must be even before each of the {self.steps} "
                    f"poolings, and leave a pixel, but the image is {shape}: for {side} take "
                    f"{larger}, or cut or pad it"
                )


def unet(**settings) -> UNet:
    """U-Net as published; settings are `UNet`'s."""
    return UNet(**settings)


def unet_small(num_classes=2, in_channels=3, channels=16, steps=3) -> UNet:
    """A small U-Net whose map has the image's size."""
    return UNet(num_classes, in_channels, channels, steps, same=True)


# ---------------------------------------------------------------------------
# Registry
# ---------------------------------------------------------------------------
PAPER = (
    "Ronneberger, Fischer, Brox, U-Net: convolutional networks for biomedical image segmentation, "
    "2015"
)
MODELS = [
    Model(
        unet, PAPER, (1, 572, 572), (1, 188, 188), 31_030_658,
        "by the layer sizes of the paper's Figure 1", task="segmentation",
    ),
    Model(
        unet_small, PAPER, (3, 64, 64), (3, 96, 48), 482_754,
        "by the layer sizes: the paper's net with 16 channels, 3 poolings, no biases before BN",
        task="segmentation",
    ),
]  # fmt: skip
