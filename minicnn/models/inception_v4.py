"""Inception-v4: Inception-v3 made regular and larger (Szegedy, Ioffe, Vanhoucke, Alemi, 2016).

Does Inception need the residual connections of ResNet? The paper builds two nets of equal cost to
find out: this one, which has none, and Inception-ResNet-v2 (see `inception_resnet`). They end at
the same accuracy; the residual one gets there in fewer epochs.

    at 35 pixels, x4        at 17, x7               at 8, x3
    1x1                     1x1                     1x1
    1x1 3x3                 1x1 1x7 7x1             1x1 (1x3 | 3x1)
    1x1 3x3 3x3             1x1 7x1 1x7 7x1 1x7     1x1 3x1 1x3 (1x3 | 3x1)
    mean 1x1                mean 1x1                mean 1x1

Rows are paths, joined along the channels. Between the stages, and twice in the stem, a pooling and
convolutions of stride 2 stand side by side, as in v3.

Variants. Layer names are timm's, whose weights come from the authors' TensorFlow code.
"""

from __future__ import annotations

from minicnn import functional as F
from minicnn.models.blocks import Branches, check_size, classifier
from minicnn.models.inception_v3 import unit
from minicnn.models.registry import Model
from minicnn.nn import AdaptiveAvgPool2d, AvgPool2d, Dropout, MaxPool2d, Module, Sequential


def chain(channels, *steps) -> Sequential:
    """Units one after the other; a step is what follows in_channels in `unit`."""
    layers = []
    for step in steps:
        layers.append(unit(channels, *step))
        channels = step[0]
    return Sequential(*layers)


def pooled(channels, out_channels) -> Sequential:
    """Means over 3 x 3 pixels, those outside not counted, and a 1x1 convolution."""
    pool = AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    return Sequential(pool, unit(channels, out_channels, 1))


def stem(in_channels) -> list[Module]:
    """From 299 x 299 to 35 x 35 x 384."""
    return [
        unit(in_channels, 32, 3, stride=2),
        unit(32, 32, 3, padding=0),
        unit(32, 64, 3),
        Branches(maxpool=MaxPool2d(3, stride=2), conv=unit(64, 96, 3, stride=2)),
        Branches(
            branch0=chain(160, (64, 1), (96, 3, 1, 0)),
            branch1=chain(160, (64, 1), (64, (1, 7)), (64, (7, 1)), (96, 3, 1, 0)),
        ),
        Branches(conv=unit(192, 192, 3, stride=2), maxpool=MaxPool2d(3, stride=2)),
    ]


def module_35() -> Branches:
    """384 channels at 35 x 35."""
    return Branches(
        branch0=unit(384, 96, 1),
        branch1=chain(384, (64, 1), (96, 3)),
        branch2=chain(384, (64, 1), (96, 3), (96, 3)),
        branch3=pooled(384, 96),
    )


def reduction_35(channels, first, second, third) -> Branches:
    """From 35 x 35 to 17 x 17; 384 channels, `third`, and those that were there."""
    return Branches(
        branch0=unit(channels, 384, 3, stride=2),
        branch1=chain(channels, (first, 1), (second, 3), (third, 3, 2)),
        branch2=MaxPool2d(3, stride=2),
    )


def module_17() -> Branches:
    """1,024 channels at 17 x 17."""
    wide, tall = (1, 7), (7, 1)
    return Branches(
        branch0=unit(1024, 384, 1),
        branch1=chain(1024, (192, 1), (224, wide), (256, tall)),
        branch2=chain(1024, (192, 1), (192, tall), (224, wide), (224, tall), (256, wide)),
        branch3=pooled(1024, 128),
    )


def reduction_17() -> Branches:
    """From 17 x 17 x 1,024 to 8 x 8 x 1,536."""
    return Branches(
        branch0=chain(1024, (192, 1), (192, 3, 2)),
        branch1=chain(1024, (256, 1), (256, (1, 7)), (320, (7, 1)), (320, 3, 2)),
        branch2=MaxPool2d(3, stride=2),
    )


class Module8(Module):
    """1,536 channels at 8 x 8; two of the four paths fork at their end."""

    def __init__(self):
        super().__init__()
        wide, tall = (1, 3), (3, 1)
        self.branch0 = unit(1536, 256, 1)
        self.branch1_0 = unit(1536, 384, 1)
        self.branch1_1a = unit(384, 256, wide)
        self.branch1_1b = unit(384, 256, tall)
        self.branch2_0 = unit(1536, 384, 1)
        self.branch2_1 = unit(384, 448, tall)
        self.branch2_2 = unit(448, 512, wide)
        self.branch2_3a = unit(512, 256, wide)
        self.branch2_3b = unit(512, 256, tall)
        self.branch3 = pooled(1536, 256)

    def forward(self, x):
        one = self.branch1_0(x)
        two = self.branch2_2(self.branch2_1(self.branch2_0(x)))
        ends = [self.branch0(x), self.branch1_1a(one), self.branch1_1b(one)]
        ends += [self.branch2_3a(two), self.branch2_3b(two), self.branch3(x)]
        return F.cat(ends, dim=1)


class InceptionV4(Module):
    """Inception-v4, for images of 299 pixels.

    Parameters
    ----------
    num_classes, in_channels : int
    dropout : float
        Probability before the last dense layer.
    """

    smallest = 75

    def __init__(self, num_classes=1000, in_channels=3, dropout=0.2):
        super().__init__()
        self.features = Sequential(
            *stem(in_channels),
            *(module_35() for _ in range(4)),
            reduction_35(384, 192, 224, 256),
            *(module_17() for _ in range(7)),
            reduction_17(),
            *(Module8() for _ in range(3)),
        )
        self.global_pool = AdaptiveAvgPool2d(1)
        self.head_drop = Dropout(dropout)
        self.last_linear = classifier(1536, num_classes)

    def forward(self, x):
        check_size(self, x)
        x = self.global_pool(self.features(x)).flatten(1)
        return self.last_linear(self.head_drop(x))


def inception_v4(**settings) -> InceptionV4:
    """Inception-v4; settings are `InceptionV4`'s."""
    return InceptionV4(**settings)


PAPER = (
    "Szegedy et al., Inception-v4, Inception-ResNet and the impact of residual connections on "
    "learning, 2016"
)
TABLE = "the paper's Table 2: single crop, validation images that are not blacklisted"
MODELS = [
    Model(
        inception_v4, PAPER, (3, 299, 299), (3, 96, 96), 42_679_816, "timm", 80.0, 95.0, TABLE,
    ),
]  # fmt: skip
