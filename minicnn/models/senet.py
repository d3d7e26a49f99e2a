"""SENet: channels weighed by what the whole image holds (Hu, Shen, Sun, 2017).

A convolution sees a few pixels. Squeeze-and-excitation lets every channel know of the whole image,
for a tenth more parameters and hardly more operations; see `blocks.SqueezeExcitation`. It fits into
any block, behind the last normalization and before the sum:

    x -----------------------.
    1x1, 3x3, 1x1            |         mean over H, W -> fc, C/16 -> ReLU -> fc, C -> sigmoid
    times a number a channel |  <----'
    + <----------------------'
    ReLU

SENet-154, which won the last ILSVRC in 2017, has ResNet-152's bottlenecks with 64 groups, first 1x1
convolutions half as wide, 3x3 projections, and three 3x3 convolutions as stem.

Variants. timm has these nets twice, with weights for each. The `legacy_` ones are the authors': the
stride in the first 1x1 convolution (but for SENet-154 and SE-ResNeXt), a first pooling without
padding that rounds up, and names of their own. The others are `resnet`'s with blocks of this file.
"""

from __future__ import annotations

from minicnn.models.blocks import SqueezeExcitation, classifier, conv, named
from minicnn.models.registry import Model
from minicnn.models.resnet import Bottleneck, ResNet, add_stages
from minicnn.nn import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Dropout,
    MaxPool2d,
    Module,
    ReLU,
    Sequential,
)
from minicnn.nn.in_turn import in_turn

REDUCTION = 16  # of channels, where an image is squeezed most
SENET154 = {"groups": 64, "width_per_group": 4, "squeeze": 2, "projection_size": 3}


# ---------------------------------------------------------------------------
# Blocks
# ---------------------------------------------------------------------------
class SEBottleneck(Bottleneck):
    """`resnet.Bottleneck` with squeeze-and-excitation; parameters are those of `Bottleneck`."""

    attention = "se"  # what the module is called

    def __init__(self, in_channels, channels, stride=1, **settings):
        super().__init__(in_channels, channels, stride, **settings)
        C = channels * self.expansion
        setattr(self, self.attention, SqueezeExcitation(C, C // REDUCTION))

    def residual(self, x, **end):
        return in_turn([getattr(self, self.attention)], super().residual(x), **end)


class LegacySEBottleneck(SEBottleneck):
    """`SEBottleneck` with the authors' name for the module."""

    attention = "se_module"


# ---------------------------------------------------------------------------
# The nets
# ---------------------------------------------------------------------------
class SENet154(ResNet):
    """A `ResNet` that begins with three 3x3 convolutions."""

    def stem(self, in_channels):
        """Set conv1 and bn1."""
        self.conv1 = Sequential(
            conv(in_channels, 64, 3, stride=2), BatchNorm2d(64), ReLU(),
            conv(64, 64, 3), BatchNorm2d(64), ReLU(),
            conv(64, 128, 3),
        )  # fmt: skip
        self.bn1 = BatchNorm2d(128)


class LegacySENet(Module):
    """The authors' nets, for images of about 224 pixels; 5 is the least.

    Parameters
    ----------
    counts : sequence of four ints
        Blocks in each stage.
    num_classes, in_channels : int
    deep_stem : bool
        Three 3x3 convolutions in place of a 7x7.
    dropout : float
        Probability of a zero before the dense layer, in training.
    **settings
        Handed to every block.
    """

    def __init__(
        self,
        counts,
        num_classes=1000,
        in_channels=3,
        deep_stem=False,
        dropout=0.0,
        **settings,
    ):
        super().__init__()
        channels = 128 if deep_stem else 64
        self.layer0 = _deep_stem(in_channels) if deep_stem else _stem(in_channels)
        self.pool0 = MaxPool2d(3, stride=2, ceil_mode=True)
        channels = add_stages(self, LegacySEBottleneck, channels, 64, counts, **settings)
        self.avgpool = AdaptiveAvgPool2d(1)
        self.dropout = Dropout(dropout)
        self.last_linear = classifier(channels, num_classes)

    def features(self, x):
        """What the last stage makes of images: (N, 2048, H/32, W/32)."""
        x = self.pool0(self.layer0(x))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def forward(self, x):
        return self.last_linear(self.dropout(self.avgpool(self.features(x)).flatten(1)))


def _stem(in_channels):
    return named(conv1=conv(in_channels, 64, 7, stride=2), bn1=BatchNorm2d(64), relu1=ReLU())


def _deep_stem(in_channels):
    return named(
        conv1=conv(in_channels, 64, 3, stride=2), bn1=BatchNorm2d(64), relu1=ReLU(),
        conv2=conv(64, 64, 3), bn2=BatchNorm2d(64), relu2=ReLU(),
        conv3=conv(64, 128, 3), bn3=BatchNorm2d(128), relu3=ReLU(),
    )  # fmt: skip


# ---------------------------------------------------------------------------
# Builders
# ---------------------------------------------------------------------------
def seresnet50(**settings) -> ResNet:
    """ResNet-50 with squeeze-and-excitation; settings are `ResNet`'s."""
    return ResNet(SEBottleneck, (3, 4, 6, 3), **settings)


def senet154(**settings) -> SENet154:
    """SENet-154; settings are `ResNet`'s."""
    return SENet154(SEBottleneck, (3, 8, 36, 3), **{**SENET154, **settings})


def legacy_seresnet50(**settings) -> LegacySENet:
    """The authors' SE-ResNet-50; settings are `LegacySENet`'s."""
    return LegacySENet((3, 4, 6, 3), **{"stride_in": "1x1", **settings})


def legacy_seresnet101(**settings) -> LegacySENet:
    """The authors' SE-ResNet-101; settings are `LegacySENet`'s."""
    return LegacySENet((3, 4, 23, 3), **{"stride_in": "1x1", **settings})


def legacy_seresnet152(**settings) -> LegacySENet:
    """The authors' SE-ResNet-152; settings are `LegacySENet`'s."""
    return LegacySENet((3, 8, 36, 3), **{"stride_in": "1x1", **settings})


def legacy_seresnext50_32x4d(**settings) -> LegacySENet:
    """The authors' SE-ResNeXt-50; settings are `LegacySENet`'s."""
    return LegacySENet((3, 4, 6, 3), **{"groups": 32, "width_per_group": 4, **settings})


def legacy_seresnext101_32x4d(**settings) -> LegacySENet:
    """The authors' SE-ResNeXt-101; settings are `LegacySENet`'s."""
    return LegacySENet((3, 4, 23, 3), **{"groups": 32, "width_per_group": 4, **settings})


def legacy_senet154(**settings) -> LegacySENet:
    """The authors' SENet-154; settings are `LegacySENet`'s."""
    return LegacySENet((3, 8, 36, 3), **{**SENET154, "deep_stem": True, "dropout": 0.2, **settings})


# ---------------------------------------------------------------------------
# Registry
# ---------------------------------------------------------------------------
PAPER = "Hu, Shen, Sun, Squeeze-and-excitation networks, 2017"
SIZES = (3, 224, 224), (3, 96, 96)
TABLES = "the paper's tables of errors, 224 centre crop"
MODELS = [
    Model(seresnet50, PAPER, *SIZES, 28_088_024, "timm"),
    Model(senet154, PAPER, *SIZES, 115_088_984, "timm"),
    Model(legacy_seresnet50, PAPER, *SIZES, 28_088_024, "timm", 76.71, 93.38, TABLES),
    Model(legacy_seresnet101, PAPER, *SIZES, 49_326_872, "timm", 77.62, 93.93, TABLES),
    Model(legacy_seresnet152, PAPER, *SIZES, 66_821_848, "timm", 78.43, 94.27, TABLES),
    Model(legacy_seresnext50_32x4d, PAPER, *SIZES, 27_559_896, "timm", 78.90, 94.51, TABLES),
    Model(legacy_seresnext101_32x4d, PAPER, *SIZES, 48_955_416, "timm", 79.30, 94.99, TABLES),
    Model(legacy_senet154, PAPER, *SIZES, 115_088_984, "timm", 81.32, 95.53, TABLES),
]
