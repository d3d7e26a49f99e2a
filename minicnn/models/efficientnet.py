"""EfficientNet: depth, width and resolution grown together (Tan, Le, 2019).

A net gets better by more layers, more channels or larger images, and each alone soon stops paying.
So all three grow by one number phi, from a small net that was found by search:

    depth 1.2^phi, width 1.1^phi, resolution 1.15^phi

Operations grow with depth * width^2 * resolution^2, so by 1.2 * 1.1^2 * 1.15^2 = 1.92, about 2, for
each step of phi. B0 has 5,288,548 parameters and B7 66,347,960.

    image -> 3x3/2 -> 7 stages of MBConv blocks -> 1x1 -> mean -> fc      MBConv: see `mobilenet_v3`

Variants. The factors that were published (`SCALES`) are rounded and not quite those powers: B7 has
width 2.0, depth 3.1 and 600 pixels, where phi = 7 would give 1.95, 3.58 and 596. The nets are
torchvision's and the paper's; torchvision tests B2 with 288 pixels.
"""

from __future__ import annotations

import math

from minicnn.functional.arguments import as_number
from minicnn.functional.dropout import as_probability
from minicnn.models.blocks import ConvBNActivation, classifier, make_divisible
from minicnn.models.mobilenet_v3 import MBConv
from minicnn.models.registry import Model
from minicnn.nn import AdaptiveAvgPool2d, Dropout, Module, Sequential, SiLU

STAGES = (  # the paper's Table 1: expansion, kernel, stride of the first, channels, blocks
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
SCALES = {  # the authors' code: width, depth, pixels, dropout
    "b0": (1.0, 1.0, 224, 0.2),
    "b1": (1.0, 1.1, 240, 0.2),
    "b2": (1.1, 1.2, 260, 0.3),
    "b3": (1.2, 1.4, 300, 0.3),
    "b4": (1.4, 1.8, 380, 0.4),
    "b5": (1.6, 2.2, 456, 0.4),
    "b6": (1.8, 2.6, 528, 0.5),
    "b7": (2.0, 3.1, 600, 0.5),
}
ALPHA, BETA, GAMMA = 1.2, 1.1, 1.15


def compound_scale(phi) -> tuple[float, float, float]:
    """(depth, width, resolution): alpha^phi, beta^phi, gamma^phi, the factors beside B0."""
    return ALPHA**phi, BETA**phi, GAMMA**phi


class EfficientNet(Module):
    """EfficientNet, for images of any size from 1 pixel up.

    Parameters
    ----------
    width, depth : float
        Times the channels (then made multiples of 8) and the blocks of each stage (rounded up).
    num_classes, in_channels : int
    dropout : float
        Probability of a zero before the dense layer, in training.
    stochastic_depth : float
        Probability that a block does nothing to a sample, in training; it grows from 0 at the
        first block to nearly this at the last.
    **norm
        Settings of the batch normalizations; torchvision has eps=0.001, momentum=0.01 from B5 on.
    """

    def __init__(
        self,
        width=1.0,
        depth=1.0,
        num_classes=1000,
        in_channels=3,
        dropout=0.2,
        stochastic_depth=0.2,
        **norm,
    ):
        super().__init__()
        width = as_number("EfficientNet", "width", width, "above 0", lambda value: value > 0)
        depth = as_number("EfficientNet", "depth", depth, "above 0", lambda value: value > 0)
        drop = as_probability("EfficientNet", stochastic_depth)
        counts = [math.ceil(count * depth) for *_, count in STAGES]
        drops = iter([drop * k / sum(counts) for k in range(sum(counts))])
        channels = make_divisible(32 * width)
        layers = [ConvBNActivation(in_channels, channels, 3, 2, activation=SiLU, **norm)]
        for (expansion, kernel, first_stride, out_channels, _), count in zip(STAGES, counts):
            blocks, out_channels = [], make_divisible(out_channels * width)
            for k in range(count):
                blocks.append(MBConv(
                    channels, channels * expansion, out_channels, kernel, 1 if k else first_stride,
                    SiLU, max(1, channels // 4), SiLU, drop=next(drops), **norm,
                ))  # fmt: skip
                channels = out_channels
            layers.append(Sequential(*blocks))
        layers.append(ConvBNActivation(channels, 4 * channels, 1, activation=SiLU, **norm))
        self.features = Sequential(*layers)
        self.avgpool = AdaptiveAvgPool2d(1)
        self.classifier = Sequential(Dropout(dropout), classifier(4 * channels, num_classes))

    def forward(self, x):
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


# ---------------------------------------------------------------------------
# Builders and registry
# ---------------------------------------------------------------------------
def _builder(size):
    """The builder of one size."""
    width, depth, _, dropout = SCALES[size]
    norm = {"eps": 0.001, "momentum": 0.01} if size >= "b5" else {}

    def build(**settings) -> EfficientNet:
        return EfficientNet(width, depth, **{"dropout": dropout, **norm, **settings})

    build.__name__ = build.__qualname__ = f"efficientnet_{size}"
    build.__doc__ = f"EfficientNet-{size.upper()}; settings are `EfficientNet`'s."
    return build


PAPER = "Tan, Le, EfficientNet: rethinking model scaling for convolutional neural networks, 2019"
PUBLISHED = {  # parameters; torchvision's top-1, top-5
    "b0": (5_288_548, 77.692, 93.532),
    "b1": (7_794_184, 78.642, 94.186),
    "b2": (9_109_994, 80.608, 95.310),
    "b3": (12_233_232, 82.008, 96.054),
    "b4": (19_341_616, 83.384, 96.594),
    "b5": (30_389_784, 83.444, 96.628),
    "b6": (43_040_704, 84.008, 96.916),
    "b7": (66_347_960, 84.122, 96.908),
}


def _model(size):
    """The registry's entry of one size."""
    pixels = SCALES[size][2]
    parameters, top1, top5 = PUBLISHED[size]
    tested = 288 if size == "b2" else pixels
    return Model(
        _builder(size), PAPER, (3, pixels, pixels), (3, 96, 96), parameters, "torchvision",
        top1, top5, f"torchvision, IMAGENET1K_V1, {tested} centre crop",
    )  # fmt: skip


MODELS = [_model(size) for size in SCALES]
