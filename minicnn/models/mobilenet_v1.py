"""MobileNet: channels filtered one by one, then mixed pixel by pixel (Howard et al., 2017).

A 3x3 convolution does two things at once. Done one after the other they cost 1/N + 1/9 as much, for
N filters: about a ninth.

    3x3 convolution      3x3 depthwise: one filter a channel -> BN, ReLU
                    ->   1x1 (pointwise): all channels, one pixel -> BN, ReLU

    image 224 -> 3x3/2, 32 -> 13 such pairs, 64 to 1024 channels, 112 to 7 pixels -> mean -> fc

Two numbers make it smaller still: `width` times the channels (the paper: 1, 0.75, 0.5, 0.25), and
the size of the images.

Variants. The paper says ReLU; the authors' code has ReLU6, and so have timm's `mobilenetv1_100` and
the net here, whose names are timm's.
"""

from __future__ import annotations

from minicnn.functional.arguments import as_number
from minicnn.models.blocks import classifier, conv, make_divisible
from minicnn.models.registry import Model
from minicnn.nn import AdaptiveAvgPool2d, BatchNorm2d, Module, ReLU6, Sequential

STAGES = ((1, 64), (2, 128), (2, 256), (6, 512), (2, 1024))  # pairs, and the channels they give


class DepthwiseSeparable(Module):
    """3x3 depthwise, BN, activation, 1x1, BN, activation.

    Parameters
    ----------
    in_channels, out_channels, stride : int
    activation : class of Module
        Made without arguments.
    """

    def __init__(self, in_channels, out_channels, stride=1, activation=ReLU6):
        super().__init__()
        self.conv_dw = conv(in_channels, in_channels, 3, stride, groups=in_channels)
        self.bn1 = BatchNorm2d(in_channels)
        self.act1 = activation()
        self.conv_pw = conv(in_channels, out_channels, 1)
        self.bn2 = BatchNorm2d(out_channels)
        self.act2 = activation()

    def forward(self, x):
        x = self.act1(self.bn1(self.conv_dw(x)))
        return self.act2(self.bn2(self.conv_pw(x)))


class MobileNetV1(Module):
    """MobileNet for images of about 224 pixels; any from 1 pixel up will do.

    Parameters
    ----------
    num_classes, in_channels : int
    width : float
        Times the number of channels, which are then made multiples of 8.
    activation : class of Module
        ReLU6 as in the authors' code, or ReLU as in the paper.
    """

    def __init__(self, num_classes=1000, in_channels=3, width=1.0, activation=ReLU6):
        super().__init__()
        width = as_number("MobileNetV1", "width", width, "above 0", lambda value: value > 0)
        channels = make_divisible(32 * width)
        self.conv_stem = conv(in_channels, channels, 3, stride=2)
        self.bn1 = BatchNorm2d(channels)
        self.act1 = activation()
        stages = []
        for stage, (count, out_channels) in enumerate(STAGES):
            pairs, out_channels = [], make_divisible(out_channels * width)
            for k in range(count):
                stride = 2 if stage and not k else 1
                pairs.append(DepthwiseSeparable(channels, out_channels, stride, activation))
                channels = out_channels
            stages.append(Sequential(*pairs))
        self.blocks = Sequential(*stages)
        self.avgpool = AdaptiveAvgPool2d(1)
        self.classifier = classifier(channels, num_classes)

    def features(self, x):
        """What the last pair makes of images: (N, 1024 * width, H/32, W/32)."""
        return self.blocks(self.act1(self.bn1(self.conv_stem(x))))

    def forward(self, x):
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def mobilenet_v1(**settings) -> MobileNetV1:
    """MobileNet; settings are `MobileNetV1`'s."""
    return MobileNetV1(**settings)


PAPER = (
    "Howard et al., MobileNets: efficient convolutional neural networks for mobile vision "
    "applications, 2017"
)
MODELS = [
    Model(
        mobilenet_v1, PAPER, (3, 224, 224), (3, 96, 96), 4_231_976,
        "timm, mobilenetv1_100; the paper says 4.2M",
        70.6, accuracy_source="the paper, Table 4",
    ),
]  # fmt: skip
