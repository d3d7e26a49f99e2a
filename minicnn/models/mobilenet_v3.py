"""MobileNet v3: found by search and by hand (Howard et al., 2019).

The blocks are MobileNet v2's, with squeeze-and-excitation in some of them and a new activation in
the later ones; how wide each is, and which kernel it has, was searched for. `hardswish`,
x ReLU6(x + 3) / 6, stands for x sigmoid(x), which costs more on a phone.

    x, C ---------------------------------.
    1x1, expanded, BN, activation         |
    3x3 or 5x5 depthwise, BN, activation  |
    squeeze-and-excitation (some)         |     gate: hardsigmoid
    1x1, C', BN                           |
    + <-----------------------------------'     where the stride is 1 and C' = C

    image 224 -> 3x3/2, 16 -> 15 (large) or 11 (small) blocks -> 1x1 @7 -> mean -> fc -> fc

The last layers are cheap, too: the widest 1x1 convolution comes after the mean, as a dense layer.
It is torchvision's net, and the paper's. EfficientNet has the same block.
"""

from __future__ import annotations

from minicnn.functional.arguments import as_number
from minicnn.models.blocks import (
    ConvBNActivation,
    SqueezeExcitation,
    StochasticDepth,
    classifier,
    make_divisible,
)
from minicnn.models.registry import Model
from minicnn.nn import (
    AdaptiveAvgPool2d,
    Dropout,
    Hardsigmoid,
    Hardswish,
    Module,
    ReLU,
    Sequential,
    Sigmoid,
)

# The paper's Tables 1 and 2: kernel, expanded channels, channels, squeezed?, activation, stride
LARGE = (
    (3, 16, 16, False, ReLU, 1),
    (3, 64, 24, False, ReLU, 2),
    (3, 72, 24, False, ReLU, 1),
    (5, 72, 40, True, ReLU, 2),
    (5, 120, 40, True, ReLU, 1),
    (5, 120, 40, True, ReLU, 1),
    (3, 240, 80, False, Hardswish, 2),
    (3, 200, 80, False, Hardswish, 1),
    (3, 184, 80, False, Hardswish, 1),
    (3, 184, 80, False, Hardswish, 1),
    (3, 480, 112, True, Hardswish, 1),
    (3, 672, 112, True, Hardswish, 1),
    (5, 672, 160, True, Hardswish, 2),
    (5, 960, 160, True, Hardswish, 1),
    (5, 960, 160, True, Hardswish, 1),
)
SMALL = (
    (3, 16, 16, True, ReLU, 2),
    (3, 72, 24, False, ReLU, 2),
    (3, 88, 24, False, ReLU, 1),
    (5, 96, 40, True, Hardswish, 2),
    (5, 240, 40, True, Hardswish, 1),
    (5, 240, 40, True, Hardswish, 1),
    (5, 120, 48, True, Hardswish, 1),
    (5, 144, 48, True, Hardswish, 1),
    (5, 288, 96, True, Hardswish, 2),
    (5, 576, 96, True, Hardswish, 1),
    (5, 576, 96, True, Hardswish, 1),
)
NORM = {"eps": 0.001, "momentum": 0.01}


class MBConv(Module):
    """1x1 to more channels, depthwise, squeeze-and-excitation, 1x1 to fewer, and a way around.

    Parameters
    ----------
    in_channels, expanded, out_channels : int
        Where expanded = in_channels there is no first 1x1 convolution.
    kernel_size, stride : int
        Of the depthwise convolution.
    activation : class of Module
        Made without arguments.
    squeezed : int
        Channels inside squeeze-and-excitation; 0 for none.
    squeeze_activation, scale : classes of Module
        Those of `SqueezeExcitation`.
    drop : float
        Probability that the block does nothing to a sample, in training (stochastic depth).
    **norm
        Settings of the batch normalizations.
    """

    def __init__(
        self,
        in_channels,
        expanded,
        out_channels,
        kernel_size,
        stride,
        activation,
        squeezed=0,
        squeeze_activation=ReLU,
        scale=Sigmoid,
        drop=0.0,
        **norm,
    ):
        super().__init__()
        layers = []
        if expanded != in_channels:
            layers.append(ConvBNActivation(in_channels, expanded, 1, activation=activation, **norm))
        layers.append(
            ConvBNActivation(
                expanded, expanded, kernel_size, stride, expanded, activation=activation, **norm
            )
        )
        if squeezed:
            layers.append(SqueezeExcitation(expanded, squeezed, squeeze_activation, scale))
        layers.append(ConvBNActivation(expanded, out_channels, 1, activation=None, **norm))
        self.block = Sequential(*layers)
        self.stochastic_depth = StochasticDepth(drop)
        self.around = stride == 1 and in_channels == out_channels

    def forward(self, x):
        y = self.block(x)
        return self.stochastic_depth(y) + x if self.around else y


class MobileNetV3(Module):
    """MobileNet v3 for images of about 224 pixels; any from 1 pixel up will do.

    Parameters
    ----------
    blocks : tuple of tuples
        LARGE or SMALL.
    last : int
        Channels of the dense layer before the last.
    num_classes, in_channels : int
    width : float
        Times the number of channels, which are then made multiples of 8.
    dropout : float
        Probability of a zero before the last dense layer, in training.
    """

    def __init__(self, blocks, last, num_classes=1000, in_channels=3, width=1.0, dropout=0.2):
        super().__init__()
        width = as_number("MobileNetV3", "width", width, "above 0", lambda value: value > 0)
        channels, last = make_divisible(16 * width), make_divisible(last * width)
        layers = [ConvBNActivation(in_channels, channels, 3, 2, activation=Hardswish, **NORM)]
        for kernel, expanded, out_channels, squeeze, activation, stride in blocks:
            expanded = make_divisible(expanded * width)
            out_channels = make_divisible(out_channels * width)
            squeezed = make_divisible(expanded // 4) if squeeze else 0
            layers.append(MBConv(
                channels, expanded, out_channels, kernel, stride, activation, squeezed,
                scale=Hardsigmoid, **NORM,
            ))  # fmt: skip
            channels = out_channels
        layers.append(ConvBNActivation(channels, 6 * channels, 1, activation=Hardswish, **NORM))
        self.features = Sequential(*layers)
        self.avgpool = AdaptiveAvgPool2d(1)
        self.classifier = Sequential(
            classifier(6 * channels, last), Hardswish(), Dropout(dropout),
            classifier(last, num_classes),
        )  # fmt: skip

    def forward(self, x):
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def mobilenet_v3_large(**settings) -> MobileNetV3:
    """MobileNet v3, the large one; settings are `MobileNetV3`'s."""
    return MobileNetV3(LARGE, 1280, **settings)


def mobilenet_v3_small(**settings) -> MobileNetV3:
    """MobileNet v3, the small one; settings are `MobileNetV3`'s."""
    return MobileNetV3(SMALL, 1024, **settings)


PAPER = "Howard et al., Searching for MobileNetV3, 2019"
SIZES = (3, 224, 224), (3, 96, 96)
WEIGHTS = "torchvision, IMAGENET1K_V1, 224 centre crop"
MODELS = [
    Model(mobilenet_v3_large, PAPER, *SIZES, 5_483_032, "torchvision", 74.042, 91.340, WEIGHTS),
    Model(mobilenet_v3_small, PAPER, *SIZES, 2_542_856, "torchvision", 67.668, 87.402, WEIGHTS),
]
