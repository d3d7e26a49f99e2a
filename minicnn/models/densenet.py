"""DenseNet: every layer sees what all layers before it found (Huang, Liu, van der Maaten, 2016).

A ResNet adds a layer's output to what went before; here it is laid beside it. A layer adds only k
channels ("growth rate", 32) to a common store that all later layers of the block read: a block of L
layers has L (L + 1) / 2 connections. Nothing is computed twice, and the gradient reaches each layer
directly.

    x0 -.-> layer 1 -> x1 -.-> layer 2 -> x2 -.-> layer 3 ...
        '-----------------'-'-----------------'-> each reads x0, x1, x2, ... joined

    layer       BN, ReLU, 1x1 conv to 4k  ->  BN, ReLU, 3x3 conv to k
    transition  BN, ReLU, 1x1 conv to half the channels, mean over 2x2

    224 -> 7x7/2 -> pool -> block -> transition -> block -> transition -> block -> transition
        -> block -> BN, ReLU -> mean -> fc          layers in the blocks of 121: 6, 12, 24, 16

Variants. These are the paper's nets for ImageNet ("DenseNet-BC": bottlenecks, and channels halved
in the transitions), as in torchvision. Joining copies: a block keeps each joined map, so its memory
grows with the square of its layers, as it does in other plain implementations.
"""

from __future__ import annotations

from minicnn import functional as F
from minicnn.models.blocks import check_size, classifier
from minicnn.models.registry import Model
from minicnn.nn import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    MaxPool2d,
    Module,
    ReLU,
    Sequential,
)


class DenseLayer(Module):
    """What one layer adds to the store: `growth` channels, by a 1x1 and a 3x3 convolution.

    Parameters
    ----------
    in_channels, growth : int
    bottleneck : int
        The 1x1 convolution gives `bottleneck * growth` channels.
    dropout : float
        Probability, at the end.
    """

    def __init__(self, in_channels, growth, bottleneck, dropout):
        super().__init__()
        between = bottleneck * growth
        self.norm1 = BatchNorm2d(in_channels)
        self.conv1 = Conv2d(in_channels, between, 1, bias=False)
        self.norm2 = BatchNorm2d(between)
        self.conv2 = Conv2d(between, growth, 3, padding=1, bias=False)
        self.dropout = Dropout(dropout)

    def forward(self, x):
        x = self.conv1(F.relu(self.norm1(x)))
        x = self.conv2(F.relu(self.norm2(x)))
        return self.dropout(x)


class DenseBlock(Module):
    """Layers that each read the input and what all layers before them added.

    Parameters
    ----------
    layers : int
        How many.
    in_channels, growth, bottleneck, dropout
        Of the block, and as in `DenseLayer`. Out come in_channels + layers * growth.
    """

    def __init__(self, layers, in_channels, growth, bottleneck, dropout):
        super().__init__()
        for k in range(layers):
            layer = DenseLayer(in_channels + k * growth, growth, bottleneck, dropout)
            setattr(self, f"denselayer{k + 1}", layer)

    def forward(self, x):
        for _, layer in self.children():
            x = F.cat([x, layer(x)], dim=1)
        return x


class Transition(Sequential):
    """Between two blocks: fewer channels, half the height and width."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.norm = BatchNorm2d(in_channels)
        self.relu = ReLU()
        self.conv = Conv2d(in_channels, out_channels, 1, bias=False)
        self.pool = AvgPool2d(2)


class DenseNet(Module):
    """Dense blocks with transitions between them.

    Parameters
    ----------
    growth_rate : int
        Channels that a layer adds, k.
    block_config : sequence of int
        Layers in each block.
    num_init_features : int
        Channels before the first block.
    num_classes, in_channels : int
    bn_size : int
        A layer's 1x1 convolution gives `bn_size * growth_rate` channels.
    drop_rate : float
        Probability of dropout after each layer.
    """

    def __init__(
        self,
        growth_rate=32,
        block_config=(6, 12, 24, 16),
        num_init_features=64,
        num_classes=1000,
        in_channels=3,
        bn_size=4,
        drop_rate=0.0,
    ):
        super().__init__()
        # The stem leaves a quarter of the image, rounded up; a transition halves, rounding down.
        self.smallest = 4 * 2 ** (len(block_config) - 1) - 3
        channels = num_init_features
        self.features = net = Sequential()
        net.conv0 = Conv2d(in_channels, channels, 7, stride=2, padding=3, bias=False)
        net.norm0 = BatchNorm2d(channels)
        net.relu0 = ReLU()
        net.pool0 = MaxPool2d(3, stride=2, padding=1)
        for k, layers in enumerate(block_config, 1):
            if k > 1:
                setattr(net, f"transition{k - 1}", Transition(channels, channels // 2))
                channels //= 2
            block = DenseBlock(layers, channels, growth_rate, bn_size, drop_rate)
            setattr(net, f"denseblock{k}", block)
            channels += layers * growth_rate
        net.norm5 = BatchNorm2d(channels)
        self.avgpool = AdaptiveAvgPool2d(1)
        self.classifier = classifier(channels, num_classes)

    def forward(self, x):
        check_size(self, x)
        x = F.relu(self.features(x))
        return self.classifier(self.avgpool(x).flatten(1))


# ---------------------------------------------------------------------------
# Builders and registry
# ---------------------------------------------------------------------------
def densenet121(**settings) -> DenseNet:
    """DenseNet with 121 weighted layers; settings are `DenseNet`'s."""
    return DenseNet(32, (6, 12, 24, 16), 64, **settings)


def densenet169(**settings) -> DenseNet:
    """DenseNet with 169 weighted layers; settings are `DenseNet`'s."""
    return DenseNet(32, (6, 12, 32, 32), 64, **settings)


def densenet201(**settings) -> DenseNet:
    """DenseNet with 201 weighted layers; settings are `DenseNet`'s."""
    return DenseNet(32, (6, 12, 48, 32), 64, **settings)


def densenet161(**settings) -> DenseNet:
    """DenseNet with 161 weighted layers and a growth of 48; settings are `DenseNet`'s."""
    return DenseNet(48, (6, 12, 36, 24), 96, **settings)


PAPER = "Huang et al., Densely connected convolutional networks, 2016"
SIZES = (3, 224, 224), (3, 64, 64)
WEIGHTS = "torchvision, IMAGENET1K_V1"
MODELS = [
    Model(densenet121, PAPER, *SIZES, 7_978_856, "torchvision", 74.434, 91.972, WEIGHTS),
    Model(densenet169, PAPER, *SIZES, 14_149_480, "torchvision", 75.600, 92.806, WEIGHTS),
    Model(densenet201, PAPER, *SIZES, 20_013_928, "torchvision", 76.896, 93.370, WEIGHTS),
    Model(densenet161, PAPER, *SIZES, 28_681_000, "torchvision", 77.138, 93.560, WEIGHTS),
]
