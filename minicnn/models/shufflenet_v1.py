"""ShuffleNet: 1x1 convolutions in groups, and a shuffle between them (Zhang et al., 2017).

In small nets most of the work is in the 1x1 convolutions. In groups they cost less, but then a
group never hears of the others. So the channels are dealt out anew after the first: see
`functional.channel_shuffle`, which is a transposed table.

    stride 1                                stride 2
      x -----------------------------.        x --------------------------------.
      1x1 in groups, C/4, BN, ReLU   |        1x1 in groups, BN, ReLU           |
      shuffle                        |        shuffle                           3x3 mean /2
      3x3 depthwise, BN              |        3x3 depthwise /2, BN              |
      1x1 in groups, C, BN           |        1x1 in groups, BN                 |
      + <----------------------------'        join <----------------------------'
      ReLU                                    ReLU

    image 224 -> 3x3/2, 24 -> max pool /2 -> 4, 8 and 4 blocks @28, 14, 7 -> mean -> fc

With more groups the same work pays for more channels: 144, 200, 240, 272 or 384 in the first stage
for 1, 2, 3, 4 or 8 groups. The first 1x1 convolution of all is in one group: it has 24 channels.
Neither torchvision nor timm has the net; the form is the paper's.
"""

from __future__ import annotations

from minicnn import functional as F
from minicnn.functional.arguments import as_number
from minicnn.models.blocks import ConvBNActivation, classifier, conv, make_divisible
from minicnn.models.registry import Model
from minicnn.nn import AdaptiveAvgPool2d, AvgPool2d, BatchNorm2d, MaxPool2d, Module, Sequential

CHANNELS = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}  # the paper's Table 1: groups, first stage
COUNTS = (4, 8, 4)


class ShuffleUnit(Module):
    """One block, of either kind.

    Parameters
    ----------
    in_channels, out_channels : int
        Equal where the stride is 1; where it is 2 the input's channels are some of the output's.
    stride : 1 or 2
    groups : int
        Of the 1x1 convolutions.
    first_groups : int, optional
        Of the first one, where that is different.
    """

    def __init__(self, in_channels, out_channels, stride, groups, first_groups=None):
        super().__init__()
        width, new = out_channels // 4, out_channels - (in_channels if stride > 1 else 0)
        self.groups = groups
        self.conv1 = conv(in_channels, width, 1, groups=first_groups or groups)
        self.bn1 = BatchNorm2d(width)
        self.conv2 = conv(width, width, 3, stride, groups=width)
        self.bn2 = BatchNorm2d(width)
        self.conv3 = conv(width, new, 1, groups=groups)
        self.bn3 = BatchNorm2d(new)
        self.shortcut = AvgPool2d(3, stride=2, padding=1) if stride > 1 else None

    def forward(self, x):
        y = F.channel_shuffle(F.relu(self.bn1(self.conv1(x))), self.groups)
        y = self.bn3(self.conv3(self.bn2(self.conv2(y))))
        if self.shortcut is None:
            return F.relu(x + y)
        return F.relu(F.cat([self.shortcut(x), y], dim=1))


class ShuffleNetV1(Module):
    """ShuffleNet for images of about 224 pixels; any from 1 pixel up will do.

    Parameters
    ----------
    groups : 1, 2, 3, 4 or 8
        g of the paper.
    width : float
        s of the paper, times the number of channels, which are then made multiples of what the
        groups need: 0.25, 0.5, 1, 1.5, 2.
    num_classes, in_channels : int

    Raises
    ------
    ValueError
        If there is no such g.
    """

    def __init__(self, groups=3, width=1.0, num_classes=1000, in_channels=3):
        super().__init__()
        if groups not in CHANNELS:
            raise ValueError(f"ShuffleNetV1: groups expects 1, 2, 3, 4 or 8, but got {groups!r}")
        width = as_number("ShuffleNetV1", "width", width, "above 0", lambda value: value > 0)
        first = make_divisible(24 * width, groups)
        channels = make_divisible(CHANNELS[groups] * width, 4 * groups)
        self.conv1 = ConvBNActivation(in_channels, first, 3, 2)
        self.maxpool = MaxPool2d(3, stride=2, padding=1)
        for k, count in enumerate(COUNTS):
            units = [ShuffleUnit(first, channels, 2, groups, first_groups=None if k else 1)]
            units += [ShuffleUnit(channels, channels, 1, groups) for _ in range(count - 1)]
            setattr(self, f"stage{k + 2}", Sequential(*units))
            first, channels = channels, 2 * channels
        self.avgpool = AdaptiveAvgPool2d(1)
        self.fc = classifier(first, num_classes)

    def features(self, x):
        """What the last stage makes of images: (N, C, H/32, W/32)."""
        x = self.maxpool(self.conv1(x))
        return self.stage4(self.stage3(self.stage2(x)))

    def forward(self, x):
        return self.fc(self.avgpool(self.features(x)).flatten(1))


# ---------------------------------------------------------------------------
# Builders and registry
# ---------------------------------------------------------------------------
def shufflenet_v1_g1(**settings) -> ShuffleNetV1:
    """ShuffleNet with one group (so the shuffle does nothing); settings are `ShuffleNetV1`'s."""
    return ShuffleNetV1(1, **settings)


def shufflenet_v1_g3(**settings) -> ShuffleNetV1:
    """ShuffleNet with 3 groups; settings are `ShuffleNetV1`'s."""
    return ShuffleNetV1(3, **settings)


def shufflenet_v1_g8(**settings) -> ShuffleNetV1:
    """ShuffleNet with 8 groups; settings are `ShuffleNetV1`'s."""
    return ShuffleNetV1(8, **settings)


PAPER = (
    "Zhang, Zhou, Lin, Sun, ShuffleNet: an extremely efficient convolutional neural network for "
    "mobile devices, 2017"
)
SIZES = (3, 224, 224), (3, 96, 96)
SOURCE = "by the layer sizes of the paper's Table 1; the authors' later code says "
MODELS = [
    Model(shufflenet_v1_g1, PAPER, *SIZES, 1_531_936, "by the layer sizes of the paper's Table 1"),
    Model(shufflenet_v1_g3, PAPER, *SIZES, 1_865_728, SOURCE + "1.9M"),
    Model(shufflenet_v1_g8, PAPER, *SIZES, 2_434_768, SOURCE + "2.4M"),
]
