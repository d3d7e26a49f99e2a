"""ShuffleNet v2: built for speed on a device, not for few operations (Ma et al., 2018).

Reading and writing memory costs time, too. So: as many channels out as in, few groups, few
branches, few operations that only pass over the data. Half of the channels go straight through, the
other half is worked on, and a shuffle mixes the two.

    stride 1                              stride 2
      x -- first half ---------.            x ---------------------.
      second half              |            1x1, BN, ReLU          3x3 depthwise/2, BN
      1x1, BN, ReLU            |            3x3 depthwise/2, BN    1x1, BN, ReLU
      3x3 depthwise, BN        |            1x1, BN, ReLU          |
      1x1, BN, ReLU            |            join <-----------------'
      join <-------------------'            shuffle
      shuffle

    image 224 -> 3x3/2, 24 -> max pool /2 -> 4, 8 and 4 blocks @28, 14, 7 -> 1x1 -> mean -> fc

It is torchvision's net, and the paper's.
"""

from __future__ import annotations

from minicnn import functional as F
from minicnn.models.blocks import ConvBNActivation, classifier, conv
from minicnn.models.registry import Model
from minicnn.nn import AdaptiveAvgPool2d, BatchNorm2d, MaxPool2d, Module, ReLU, Sequential

COUNTS = (4, 8, 4)


class ShuffleBlock(Module):
    """One block, of either kind.

    Parameters
    ----------
    in_channels, out_channels : int
        Even numbers, equal where the stride is 1.
    stride : 1 or 2
    """

    def __init__(self, in_channels, out_channels, stride):
        super().__init__()
        half = out_channels // 2
        if out_channels % 2 or (stride == 1 and in_channels != out_channels):
            raise ValueError(
                f"ShuffleBlock: out_channels must be even, and equal to in_channels where the "
                f"stride is 1, but got {in_channels}, {out_channels} and stride {stride}"
            )
        self.half, self.branch1 = half, None
        if stride > 1:
            self.branch1 = Sequential(
                conv(in_channels, in_channels, 3, stride, groups=in_channels),
                BatchNorm2d(in_channels),
                conv(in_channels, half, 1), BatchNorm2d(half), ReLU(),
            )  # fmt: skip
        self.branch2 = Sequential(
            conv(in_channels if stride > 1 else half, half, 1), BatchNorm2d(half), ReLU(),
            conv(half, half, 3, stride, groups=half), BatchNorm2d(half),
            conv(half, half, 1), BatchNorm2d(half), ReLU(),
        )  # fmt: skip

    def forward(self, x):
        if self.branch1 is None:
            parts = x[:, : self.half], self.branch2(x[:, self.half :])
        else:
            parts = self.branch1(x), self.branch2(x)
        return F.channel_shuffle(F.cat(parts, dim=1), 2)


class ShuffleNetV2(Module):
    """ShuffleNet v2 for images of about 224 pixels; any from 1 pixel up will do.

    Parameters
    ----------
    channels : sequence of five ints
        Of the first convolution, the three stages, and the last convolution.
    num_classes, in_channels : int
    """

    def __init__(self, channels, num_classes=1000, in_channels=3):
        super().__init__()
        first, *stages, last = channels
        self.conv1 = ConvBNActivation(in_channels, first, 3, 2)
        self.maxpool = MaxPool2d(3, stride=2, padding=1)
        for k, (count, out_channels) in enumerate(zip(COUNTS, stages)):
            blocks = [ShuffleBlock(first, out_channels, 2)]
            blocks += [ShuffleBlock(out_channels, out_channels, 1) for _ in range(count - 1)]
            setattr(self, f"stage{k + 2}", Sequential(*blocks))
            first = out_channels
        self.conv5 = ConvBNActivation(first, last, 1)
        self.avgpool = AdaptiveAvgPool2d(1)
        self.fc = classifier(last, num_classes)

    def features(self, x):
        """What the last convolution makes of images: (N, C, H/32, W/32)."""
        x = self.maxpool(self.conv1(x))
        return self.conv5(self.stage4(self.stage3(self.stage2(x))))

    def forward(self, x):
        return self.fc(self.avgpool(self.features(x)).flatten(1))


def shufflenet_v2_x0_5(**settings) -> ShuffleNetV2:
    """ShuffleNet v2, half as wide; settings: num_classes, in_channels."""
    return ShuffleNetV2((24, 48, 96, 192, 1024), **settings)


def shufflenet_v2_x1_0(**settings) -> ShuffleNetV2:
    """ShuffleNet v2; settings: num_classes, in_channels."""
    return ShuffleNetV2((24, 116, 232, 464, 1024), **settings)


def shufflenet_v2_x1_5(**settings) -> ShuffleNetV2:
    """ShuffleNet v2, 1.5 times as wide; settings: num_classes, in_channels."""
    return ShuffleNetV2((24, 176, 352, 704, 1024), **settings)


def shufflenet_v2_x2_0(**settings) -> ShuffleNetV2:
    """ShuffleNet v2, twice as wide; settings: num_classes, in_channels."""
    return ShuffleNetV2((24, 244, 488, 976, 2048), **settings)


PAPER = "Ma et al., ShuffleNet V2: practical guidelines for efficient CNN architecture design, 2018"
SIZES = (3, 224, 224), (3, 96, 96)
WEIGHTS = "torchvision, IMAGENET1K_V1, 224 centre crop"
NEWER = "torchvision, IMAGENET1K_V1 (its recipe of 2021), 224 centre crop of 232"
MODELS = [
    Model(shufflenet_v2_x0_5, PAPER, *SIZES, 1_366_792, "torchvision", 60.552, 81.746, WEIGHTS),
    Model(shufflenet_v2_x1_0, PAPER, *SIZES, 2_278_604, "torchvision", 69.362, 88.316, WEIGHTS),
    Model(shufflenet_v2_x1_5, PAPER, *SIZES, 3_503_624, "torchvision", 72.996, 91.086, NEWER),
    Model(shufflenet_v2_x2_0, PAPER, *SIZES, 7_393_996, "torchvision", 76.230, 93.006, NEWER),
]
