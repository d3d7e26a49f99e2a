"""MnasNet: found by a search that measures each net on a phone (Tan et al., 2018).

A controller proposes nets; each is trained briefly and timed on a real phone, and is rewarded for
accuracy and speed together. Counting operations is no good for that: nets of equal count can differ
in time by half. The blocks are MobileNet v2's, with 3x3 or 5x5 kernels and expansion 3 or 6, one
choice for each stage.

    image 224 -> 3x3/2, 32 -> depthwise, 1x1, 16 -> 6 stages of blocks, 24 to 320 channels
              -> 1x1, 1280 @7 -> mean -> fc

Variants. This is MnasNet-B1, torchvision's net: no squeeze-and-excitation, which A1 has. `width` of
0.5, 0.75, 1.0 and 1.3 scales all channels up to the last 1x1 convolution.
"""

from __future__ import annotations

from minicnn.functional.arguments import as_number
from minicnn.models.blocks import classifier, conv, make_divisible
from minicnn.models.registry import Model
from minicnn.nn import AdaptiveAvgPool2d, BatchNorm2d, Dropout, Module, ReLU, Sequential

STAGES = (  # the paper's Figure 7: channels, kernel, stride of the first, expansion, blocks
    (24, 3, 2, 3, 3),
    (40, 5, 2, 3, 3),
    (80, 5, 2, 6, 3),
    (96, 3, 1, 6, 2),
    (192, 5, 2, 6, 4),
    (320, 3, 1, 6, 1),
)
MOMENTUM = 1 - 0.9997  # TensorFlow's decay of 0.9997, as the newest batch's share


def _norm(channels):
    return BatchNorm2d(channels, momentum=MOMENTUM)


class InvertedResidual(Module):
    """1x1 to more channels, depthwise, 1x1 to fewer, and a way around where it fits.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride : int
    expansion : int
        Channels inside, as a multiple of in_channels.
    """

    def __init__(self, in_channels, out_channels, kernel_size, stride, expansion):
        super().__init__()
        width = in_channels * expansion
        self.layers = Sequential(
            conv(in_channels, width, 1), _norm(width), ReLU(),
            conv(width, width, kernel_size, stride, groups=width), _norm(width), ReLU(),
            conv(width, out_channels, 1), _norm(out_channels),
        )  # fmt: skip
        self.around = stride == 1 and in_channels == out_channels

    def forward(self, x):
        y = self.layers(x)
        return y + x if self.around else y


class MNASNet(Module):
    """MnasNet-B1 for images of about 224 pixels; any from 1 pixel up will do.

    Parameters
    ----------
    width : float
        Times the number of channels, which are then made multiples of 8.
    num_classes, in_channels : int
    dropout : float
        Probability of a zero before the dense layer, in training.
    """

    def __init__(self, width, num_classes=1000, in_channels=3, dropout=0.2):
        super().__init__()
        width = as_number("MNASNet", "width", width, "above 0", lambda value: value > 0)
        first, channels = make_divisible(32 * width), make_divisible(16 * width)
        layers = [
            conv(in_channels, first, 3, stride=2), _norm(first), ReLU(),
            conv(first, first, 3, groups=first), _norm(first), ReLU(),
            conv(first, channels, 1), _norm(channels),
        ]  # fmt: skip
        for out_channels, kernel, first_stride, expansion, count in STAGES:
            blocks, out_channels = [], make_divisible(out_channels * width)
            for k in range(count):
                stride = 1 if k else first_stride
                blocks.append(InvertedResidual(channels, out_channels, kernel, stride, expansion))
                channels = out_channels
            layers.append(Sequential(*blocks))
        self.layers = Sequential(*layers, conv(channels, 1280, 1), _norm(1280), ReLU())
        self.avgpool = AdaptiveAvgPool2d(1)
        self.classifier = Sequential(Dropout(dropout), classifier(1280, num_classes))

    def features(self, x):
        """What the last convolution makes of images: (N, 1280, H/32, W/32)."""
        return self.layers(x)

    def forward(self, x):
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def mnasnet0_5(**settings) -> MNASNet:
    """MnasNet-B1, half as wide; settings are `MNASNet`'s."""
    return MNASNet(0.5, **settings)


def mnasnet0_75(**settings) -> MNASNet:
    """MnasNet-B1, three quarters as wide; settings are `MNASNet`'s."""
    return MNASNet(0.75, **settings)


def mnasnet1_0(**settings) -> MNASNet:
    """MnasNet-B1; settings are `MNASNet`'s."""
    return MNASNet(1.0, **settings)


def mnasnet1_3(**settings) -> MNASNet:
    """MnasNet-B1, 1.3 times as wide; settings are `MNASNet`'s."""
    return MNASNet(1.3, **settings)


PAPER = "Tan et al., MnasNet: platform-aware neural architecture search for mobile, 2018"
SIZES = (3, 224, 224), (3, 96, 96)
WEIGHTS = "torchvision, IMAGENET1K_V1, 224 centre crop"
NEWER = "torchvision, IMAGENET1K_V1 (its recipe of 2021), 224 centre crop of 232"
MODELS = [
    Model(mnasnet0_5, PAPER, *SIZES, 2_218_512, "torchvision", 67.734, 87.490, WEIGHTS),
    Model(mnasnet0_75, PAPER, *SIZES, 3_170_208, "torchvision", 71.180, 90.496, NEWER),
    Model(mnasnet1_0, PAPER, *SIZES, 4_383_312, "torchvision", 73.456, 91.510, WEIGHTS),
    Model(mnasnet1_3, PAPER, *SIZES, 6_282_256, "torchvision", 76.506, 93.522, NEWER),
]
