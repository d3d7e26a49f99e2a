"""SqueezeNet: AlexNet's accuracy with a fiftieth of its parameters (Iandola et al., 2016).

Three rules: take 1x1 filters where 3x3 are not needed; give the 3x3 filters few channels to look
at; pool late, so that the maps stay large. A Fire module follows the first two:

    x -> squeeze: 1x1, S maps -> .-> expand1x1: E maps -.
                                 '-> expand3x3: E maps -'- joined -> 2E maps     (S = E / 4)

    224 -> 7x7/2, 96 -> pool -> fire 128, 128, 256 -> pool -> fire 256, 384, 384, 512 -> pool
        -> fire 512 -> dropout -> 1x1, one map for each class -> mean over the map

No dense layers: each class has a map, and its score is the map's mean.

Variants. `squeezenet1_0` is the paper's net: 1,248,424 parameters. `squeezenet1_1`, which the
authors published later, begins with 64 filters of 3x3 and pools earlier: 1,235,496 parameters, but
2.4 times fewer operations, and as accurate. Both are as in torchvision, whose first convolution
gives 109 x 109 on 224 pixels; the paper's 111 x 111 is what 227 pixels give. The paper's nets with
a way around some of the modules (bypass) are not here.
"""

from __future__ import annotations

from minicnn import functional as F
from minicnn.models.blocks import check_size
from minicnn.models.registry import Model
from minicnn.nn import AdaptiveAvgPool2d, Conv2d, Dropout, MaxPool2d, Module, ReLU, Sequential, init


class Fire(Module):
    """A squeezing 1x1 convolution, then 1x1 and 3x3 side by side, each with a ReLU.

    Parameters
    ----------
    in_channels, squeezed, expanded : int
        Channels in, S, and E; 2 E come out.
    """

    def __init__(self, in_channels, squeezed, expanded):
        super().__init__()
        he = init.he_uniform_
        self.squeeze = Conv2d(in_channels, squeezed, 1, initializer=he)
        self.expand1x1 = Conv2d(squeezed, expanded, 1, initializer=he)
        self.expand3x3 = Conv2d(squeezed, expanded, 3, padding=1, initializer=he)

    def forward(self, x):
        x = F.relu(self.squeeze(x))
        return F.relu(F.cat([self.expand1x1(x), self.expand3x3(x)], dim=1))


class SqueezeNet(Module):
    """Fire modules between poolings.

    Parameters
    ----------
    first : int
        Filters of the first convolution.
    kernel : int
        Their height and width.
    stages : sequence of sequences of int
        E of the Fire modules that follow each pooling; S is E / 4.
    num_classes, in_channels : int
    dropout : float
        Probability before the last convolution.
    """

    def __init__(self, first, kernel, stages, num_classes=1000, in_channels=3, dropout=0.5):
        super().__init__()
        self.smallest = kernel + 14  # three poolings to come need 8 x 8
        he = init.he_uniform_
        layers = [Conv2d(in_channels, first, kernel, stride=2, initializer=he), ReLU()]
        channels = first
        for stage in stages:
            layers.append(MaxPool2d(3, stride=2, ceil_mode=True))
            for expanded in stage:
                layers.append(Fire(channels, expanded // 4, expanded))
                channels = 2 * expanded
        self.features = Sequential(*layers)
        last = Conv2d(channels, num_classes, 1, initializer=lambda w: init.normal_(w, std=0.01))
        self.classifier = Sequential(Dropout(dropout), last, ReLU(), AdaptiveAvgPool2d(1))

    def forward(self, x):
        check_size(self, x)
        return self.classifier(self.features(x)).flatten(1)


# ---------------------------------------------------------------------------
# Builders and registry
# ---------------------------------------------------------------------------
def squeezenet1_0(**settings) -> SqueezeNet:
    """SqueezeNet as published; settings are `SqueezeNet`'s."""
    return SqueezeNet(96, 7, ((64, 64, 128), (128, 192, 192, 256), (256,)), **settings)


def squeezenet1_1(**settings) -> SqueezeNet:
    """SqueezeNet 1.1, with 2.4 times fewer operations; settings are `SqueezeNet`'s."""
    return SqueezeNet(64, 3, ((64, 64), (128, 128), (192, 192, 256, 256)), **settings)


PAPER = (
    "Iandola et al., SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model "
    "size, 2016"
)
WEIGHTS = "torchvision, IMAGENET1K_V1"
MODELS = [
    Model(
        squeezenet1_0, PAPER, (3, 224, 224), (3, 96, 96), 1_248_424, "torchvision",
        58.092, 80.420, WEIGHTS,
    ),
    Model(
        squeezenet1_1, PAPER, (3, 224, 224), (3, 96, 96), 1_235_496, "torchvision",
        58.178, 80.624, WEIGHTS,
    ),
]  # fmt: skip
