"""MobileNet v2: from few channels to many and back (Sandler et al., 2018).

A ResNet's bottleneck is wide outside and thin inside, since its 3x3 convolution is what costs. A
depthwise convolution costs little: so the block is thin outside and wide inside, and the way around
joins the thin ends. What comes out is not activated: a ReLU on few channels would lose too much.

    x, C --------------------------.
    1x1, 6C, BN, ReLU6             |
    3x3 depthwise, BN, ReLU6       |
    1x1, C', BN (nothing behind)   |
    + <----------------------------'   where the stride is 1 and C' = C

    image 224 -> 3x3/2, 32 -> 17 blocks, 16 to 320 channels -> 1x1, 1280 @7 -> mean -> fc

It is torchvision's net, and the paper's.
"""

from __future__ import annotations

from minicnn.functional.arguments import as_number
from minicnn.models.blocks import ConvBNActivation, classifier, conv, make_divisible
from minicnn.models.registry import Model
from minicnn.nn import AdaptiveAvgPool2d, BatchNorm2d, Dropout, Module, ReLU6, Sequential

STAGES = (  # the paper's Table 2: expansion, channels, blocks, stride of the first
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(Module):
    """1x1 to more channels, 3x3 depthwise, 1x1 to fewer, and a way around where it fits.

    Parameters
    ----------
    in_channels, out_channels, stride : int
    expansion : int
        Channels inside, as a multiple of in_channels; with 1 there is no first 1x1 convolution.
    """

    def __init__(self, in_channels, out_channels, stride, expansion):
        super().__init__()
        width = in_channels * expansion
        layers = []
        if expansion != 1:
            layers.append(ConvBNActivation(in_channels, width, 1, activation=ReLU6))
        layers += [
            ConvBNActivation(width, width, 3, stride, groups=width, activation=ReLU6),
            conv(width, out_channels, 1),
            BatchNorm2d(out_channels),
        ]
        self.conv = Sequential(*layers)
        self.around = stride == 1 and in_channels == out_channels

    def forward(self, x):
        y = self.conv(x)
        return x + y if self.around else y


class MobileNetV2(Module):
    """MobileNet v2 for images of about 224 pixels; any from 1 pixel up will do.

    Parameters
    ----------
    num_classes, in_channels : int
    width : float
        Times the number of channels, which are then made multiples of 8; below 1 the last
        convolution keeps its 1280.
    dropout : float
        Probability of a zero before the dense layer, in training.
    """

    def __init__(self, num_classes=1000, in_channels=3, width=1.0, dropout=0.2):
        super().__init__()
        width = as_number("MobileNetV2", "width", width, "above 0", lambda value: value > 0)
        channels, last = make_divisible(32 * width), make_divisible(1280 * max(1.0, width))
        layers = [ConvBNActivation(in_channels, channels, 3, 2, activation=ReLU6)]
        for expansion, out_channels, count, first_stride in STAGES:
            out_channels = make_divisible(out_channels * width)
            for k in range(count):
                stride = 1 if k else first_stride
                layers.append(InvertedResidual(channels, out_channels, stride, expansion))
                channels = out_channels
        layers.append(ConvBNActivation(channels, last, 1, activation=ReLU6))
        self.features = Sequential(*layers)
        self.avgpool = AdaptiveAvgPool2d(1)
        self.classifier = Sequential(Dropout(dropout), classifier(last, num_classes))

    def forward(self, x):
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def mobilenet_v2(**settings) -> MobileNetV2:
    """MobileNet v2; settings are `MobileNetV2`'s."""
    return MobileNetV2(**settings)


PAPER = "Sandler et al., MobileNetV2: inverted residuals and linear bottlenecks, 2018"
MODELS = [
    Model(
        mobilenet_v2, PAPER, (3, 224, 224), (3, 96, 96), 3_504_872, "torchvision",
        71.878, 90.286, "torchvision, IMAGENET1K_V1, 224 centre crop",
    ),
]  # fmt: skip
