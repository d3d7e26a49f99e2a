"""Pre-activation ResNet: normalize and activate before the convolution (He et al., 2016).

In a ResNet a ReLU stands on the way around, so that nothing but positive numbers gets past a block.
Here the way is clear from the first block to the last: x_L = x_0 + F_0(x_0) + F_1(x_1) + ..., and
the gradient reaches every block unchanged as well. Nets of 1001 layers train.

    2015                        2016
      x ----------.               x ----------.
      conv, BN    |               BN, ReLU    |
      ReLU        |               conv        |
      conv, BN    |               BN, ReLU    |
      + <---------'               conv        |
      ReLU                        + <---------'

Where the shape changes, a 1x1 convolution (alone) leads around, and it starts behind the block's
first ReLU. A last BN and ReLU stand behind the last block.

The nets for ImageNet are timm's `resnetv2_50`, ..., names and all; timm has the dense layer as a
1x1 convolution. They leave out the BN and ReLU before the first pooling, which the authors' code
has: the first block brings its own. The nets for CIFAR have 6n + 2 layers of basic blocks, or
9n + 2 of bottlenecks, and are Wide ResNet's, too (`wide_resnet`). `resnet200` is the net in the old
order that the paper compares with.
"""

from __future__ import annotations

from minicnn import functional as F
from minicnn.functional.arguments import as_count
from minicnn.models.blocks import conv, named
from minicnn.models.registry import Model
from minicnn.models.resnet import Bottleneck, ResNet
from minicnn.nn import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    MaxPool2d,
    Module,
    Sequential,
    init,
)


# ---------------------------------------------------------------------------
# Blocks
# ---------------------------------------------------------------------------
class _PreActBlock(Module):
    """y = F(a) + x with a = ReLU(BN(x)), or F(a) + projection of a where the shape changes."""

    expansion = 1

    def _go_around(self, in_channels, out_channels, stride):
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = named(conv=conv(in_channels, out_channels, 1, stride))

    def forward(self, x):
        a = F.relu(self.norm1(x))
        return self.residual(a) + (x if self.downsample is None else self.downsample(a))


class PreActBasicBlock(_PreActBlock):
    """BN, ReLU, 3x3, BN, ReLU, (dropout), 3x3, and a way around them.

    Parameters
    ----------
    in_channels, channels, stride : int
    dropout : float
        Probability of a zero between the convolutions, in training (Wide ResNet).
    """

    def __init__(self, in_channels, channels, stride=1, dropout=0.0):
        super().__init__()
        self.norm1 = BatchNorm2d(in_channels)
        self.conv1 = conv(in_channels, channels, 3, stride)
        self.norm2 = BatchNorm2d(channels)
        self.dropout = Dropout(dropout)
        self.conv2 = conv(channels, channels, 3)
        self._go_around(in_channels, channels, stride)

    def residual(self, a):
        """F of the activated input."""
        a = F.relu(self.norm2(self.conv1(a)))
        return self.conv2(self.dropout(a))


class PreActBottleneck(_PreActBlock):
    """BN, ReLU, 1x1, BN, ReLU, 3x3, BN, ReLU, 1x1, and a way around them; gives 4 * channels."""

    expansion = 4

    def __init__(self, in_channels, channels, stride=1):
        super().__init__()
        out_channels = channels * self.expansion
        self.norm1 = BatchNorm2d(in_channels)
        self.conv1 = conv(in_channels, channels, 1)
        self.norm2 = BatchNorm2d(channels)
        self.conv2 = conv(channels, channels, 3, stride)
        self.norm3 = BatchNorm2d(channels)
        self.conv3 = conv(channels, out_channels, 1)
        self._go_around(in_channels, out_channels, stride)

    def residual(self, a):
        """F of the activated input."""
        a = F.relu(self.norm2(self.conv1(a)))
        a = F.relu(self.norm3(self.conv2(a)))
        return self.conv3(a)


# ---------------------------------------------------------------------------
# The net
# ---------------------------------------------------------------------------
class PreActResNet(Module):
    """A pre-activation net; images of any size from 1 pixel up.

    Parameters
    ----------
    block : PreActBasicBlock or PreActBottleneck
    counts : sequence of int
        Blocks in each stage.
    stem : Sequential
        What turns images into the first stage's input; its `conv` tells how many channels.
    channels : int
        Of the first stage's blocks; each stage has twice as many as the one before.
    num_classes : int
    **settings
        Handed to every block.
    """

    def __init__(self, block, counts, stem, channels, num_classes, **settings):
        super().__init__()
        self.stem = stem
        self.stages = Sequential()
        in_channels = stem.conv.out_channels
        for stage, count in enumerate(counts):
            blocks = Sequential()
            for k in range(count):
                stride = 2 if stage and not k else 1
                made = block(in_channels, channels << stage, stride, **settings)
                setattr(blocks, str(k), made)
                in_channels = (channels << stage) * block.expansion
            setattr(self.stages, str(stage), named(blocks=blocks))
        self.norm = BatchNorm2d(in_channels)
        self.pool = AdaptiveAvgPool2d(1)
        last = Conv2d(
            in_channels, num_classes, 1, initializer=lambda weight: init.normal_(weight, std=0.01)
        )
        self.head = named(fc=last)

    def features(self, x):
        """What the last stage makes of images, normalized and activated."""
        return F.relu(self.norm(self.stages(self.stem(x))))

    def forward(self, x):
        return self.head(self.pool(self.features(x))).flatten(1)


def imagenet_net(counts, num_classes=1000, in_channels=3) -> PreActResNet:
    """A net of bottlenecks for images of about 224 pixels."""
    stem = named(conv=conv(in_channels, 64, 7, stride=2), pool=MaxPool2d(3, stride=2, padding=1))
    return PreActResNet(PreActBottleneck, counts, stem, 64, num_classes)


def cifar_net(
    block, depth, num_classes=10, in_channels=3, width=1, spare=2, **settings
) -> PreActResNet:
    """A net for images of about 32 pixels: three stages with 16, 32, 64 channels times `width`.

    Parameters
    ----------
    block : PreActBasicBlock or PreActBottleneck
    depth : int
        Weighted layers: `spare`, and three stages of blocks of 2 or 3.
    num_classes, in_channels, width : int
    spare : int
        Layers that are in no block.
    **settings
        Handed to every block.

    Raises
    ------
    ValueError
        If the depth does not come out even.
    """
    layers = 9 if block is PreActBottleneck else 6
    n, rest = divmod(as_count("cifar_net", "depth", depth) - spare, layers)
    if rest or n < 1:
        raise ValueError(
            f"cifar_net: depth must be {layers}n + {spare} with {block.__name__}, but got {depth}"
        )
    channels = 16 * as_count("cifar_net", "width", width)
    stem = named(conv=conv(in_channels, 16, 3))
    return PreActResNet(block, (n, n, n), stem, channels, num_classes, **settings)


# ---------------------------------------------------------------------------
# Builders
# ---------------------------------------------------------------------------
def resnetv2_50(**settings) -> PreActResNet:
    """Pre-activation ResNet with 50 layers; settings: num_classes, in_channels."""
    return imagenet_net((3, 4, 6, 3), **settings)


def resnetv2_101(**settings) -> PreActResNet:
    """Pre-activation ResNet with 101 layers; settings: num_classes, in_channels."""
    return imagenet_net((3, 4, 23, 3), **settings)


def resnetv2_152(**settings) -> PreActResNet:
    """Pre-activation ResNet with 152 layers; settings: num_classes, in_channels."""
    return imagenet_net((3, 8, 36, 3), **settings)


def resnetv2_200(**settings) -> PreActResNet:
    """Pre-activation ResNet with 200 layers; settings: num_classes, in_channels."""
    return imagenet_net((3, 24, 36, 3), **settings)


def resnet200(**settings) -> ResNet:
    """ResNet of 2015 with 200 layers, for comparison; settings are `ResNet`'s."""
    return ResNet(Bottleneck, (3, 24, 36, 3), **settings)


def cifar_preact110(**settings) -> PreActResNet:
    """The net for CIFAR with 110 layers in basic blocks; settings: num_classes, in_channels."""
    return cifar_net(PreActBasicBlock, 110, **settings)


def cifar_preact164(**settings) -> PreActResNet:
    """The net for CIFAR with 164 layers in bottlenecks; settings: num_classes, in_channels."""
    return cifar_net(PreActBottleneck, 164, **settings)


def cifar_preact1001(**settings) -> PreActResNet:
    """The net for CIFAR with 1001 layers in bottlenecks; settings: num_classes, in_channels."""
    return cifar_net(PreActBottleneck, 1001, **settings)


# ---------------------------------------------------------------------------
# Registry
# ---------------------------------------------------------------------------
PAPER = "He, Zhang, Ren, Sun, Identity mappings in deep residual networks, 2016"
IMAGENET, CIFAR = ((3, 224, 224), (3, 96, 96)), ((3, 32, 32), (3, 40, 40))
ON_CIFAR = {"dataset": "CIFAR-10, test"}
MODELS = [
    Model(resnetv2_50, PAPER, *IMAGENET, 25_549_352, "timm, resnetv2_50"),
    Model(resnetv2_101, PAPER, *IMAGENET, 44_541_480, "timm, resnetv2_101"),
    Model(resnetv2_152, PAPER, *IMAGENET, 60_185_128, "timm, resnetv2_152"),
    Model(
        resnet200, PAPER, *IMAGENET, 64_673_832, "timm, resnet200",
        78.2, 94.0, "the paper, Table 5, 320 centre crop",
    ),
    Model(
        resnetv2_200, PAPER, *IMAGENET, 64_666_152,
        "as resnet50 and resnetv2_50: 7,680 less than resnet200's 64,673,832",
        79.3, 94.7, "the paper, Table 5, 320 centre crop",
    ),
    Model(
        cifar_preact110, PAPER, *CIFAR, 1_730_522,
        "97,216 n - 19,366 by the paper's layer sizes, for 6n + 2 layers; the paper says 1.7M",
        93.63, accuracy_source="the paper, Table 3", **ON_CIFAR,
    ),
    Model(
        cifar_preact164, PAPER, *CIFAR, 1_703_258,
        "92,736 n + 34,010 by the paper's layer sizes, for 9n + 2 layers; the paper says 1.7M",
        94.54, accuracy_source="the paper, Table 3", **ON_CIFAR,
    ),
    Model(
        cifar_preact1001, PAPER, *CIFAR, 10_327_706,
        "92,736 n + 34,010 by the paper's layer sizes, for 9n + 2 layers; the paper says 10.2M",
        95.08, accuracy_source="the paper, Table 3", **ON_CIFAR,
    ),
]  # fmt: skip
