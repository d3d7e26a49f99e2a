"""VGG: nothing but 3x3 convolutions, and many of them (Simonyan and Zisserman, 2014).

Two 3x3 convolutions see 5x5 pixels, three see 7x7, with fewer weights (27 C^2 against 49 C^2) and
a ReLU after each. So large filters are not needed, and depth can be studied alone: a net has five
stages of convolutions that keep the size, each ended by a pooling that halves it, and three dense
layers.

    stage   pixels   maps   convolutions in column  A (VGG-11)   B (13)   D (16)   E (19)
      1      224      64                               1           2        2        2
      2      112     128                               1           2        2        2
      3       56     256                               2           2        3        4
      4       28     512                               2           2        3        4
      5       14     512                               2           2        3        4
              7   -> 4096 -> 4096 -> 1000, dropout after the first two

Column A also comes with a local response normalization (`vgg11_lrn`), which the paper finds of no
use. C (`vgg16_c`) has 1x1 convolutions where D has 3x3: nonlinear, but no wider view; D is better.

Variants. The `_bn` nets, with batch normalization after each convolution, are later than the paper
and torchvision's. The paper started the deep nets from the weights of a trained A; He's
initialisation, as used here, makes that unnecessary. Layer names are torchvision's; C and A-LRN,
which it lacks, follow the same rule.
"""

from __future__ import annotations

from minicnn.models.alexnet import ConvThenDense, paper_norm
from minicnn.models.blocks import classifier
from minicnn.models.registry import Model
from minicnn.nn import BatchNorm2d, Conv2d, Dropout, MaxPool2d, ReLU, Sequential

WIDTHS = (64, 128, 256, 512, 512)
COLUMNS = {  # 3x3 convolutions in each stage
    "A": (1, 1, 2, 2, 2),
    "B": (2, 2, 2, 2, 2),
    "D": (2, 2, 3, 3, 3),
    "E": (2, 2, 4, 4, 4),
}


class VGG(ConvThenDense):
    """A net of 3x3 convolutions in five stages.

    Parameters
    ----------
    column : "A", "A-LRN", "B", "C", "D" or "E"
        Of the paper's Table 1.
    num_classes, in_channels : int
    batch_norm : bool
        Whether each convolution is followed by a batch normalization.
    dropout : float
        Probability, in the two hidden dense layers.

    Raises
    ------
    ValueError
        If there is no such column, or images of fewer than 32 x 32 pixels come in.
    """

    smallest = 32

    def __init__(self, column, num_classes=1000, in_channels=3, batch_norm=False, dropout=0.5):
        super().__init__(
            Sequential(*_stages(column, in_channels, batch_norm)),
            7,
            Sequential(
                classifier(512 * 7 * 7, 4096), ReLU(), Dropout(dropout),
                classifier(4096, 4096), ReLU(), Dropout(dropout),
                classifier(4096, num_classes),
            ),
        )  # fmt: skip


def _stages(column, channels, batch_norm):
    """The layers of all stages, one after the other."""
    counts = COLUMNS.get({"A-LRN": "A", "C": "D"}.get(column, column))
    if counts is None:
        raise ValueError(
            f"VGG: column expects 'A', 'A-LRN', 'B', 'C', 'D' or 'E', but got {column!r}"
        )
    for width, count in zip(WIDTHS, counts):
        for k in range(count):
            kernel = 1 if column == "C" and k == 2 else 3
            yield Conv2d(channels, width, kernel, padding=kernel // 2)
            if batch_norm:
                yield BatchNorm2d(width)
            yield ReLU()
            channels = width
        if column == "A-LRN" and width == 64:
            yield paper_norm()
        yield MaxPool2d(2)


# ---------------------------------------------------------------------------
# Builders and registry
# ---------------------------------------------------------------------------
def vgg11(**settings) -> VGG:
    """Column A, 11 weighted layers; settings are `VGG`'s."""
    return VGG("A", **settings)


def vgg11_lrn(**settings) -> VGG:
    """Column A-LRN, local response normalization after the first convolution."""
    return VGG("A-LRN", **settings)


def vgg13(**settings) -> VGG:
    """Column B, 13 weighted layers; settings are `VGG`'s."""
    return VGG("B", **settings)


def vgg16_c(**settings) -> VGG:
    """Column C, 16 weighted layers, three of them 1x1; settings are `VGG`'s."""
    return VGG("C", **settings)


def vgg16(**settings) -> VGG:
    """Column D, 16 weighted layers; settings are `VGG`'s."""
    return VGG("D", **settings)


def vgg19(**settings) -> VGG:
    """Column E, 19 weighted layers; settings are `VGG`'s."""
    return VGG("E", **settings)


def vgg11_bn(**settings) -> VGG:
    """Column A with batch normalization; settings are `VGG`'s."""
    return VGG("A", batch_norm=True, **settings)


def vgg13_bn(**settings) -> VGG:
    """Column B with batch normalization; settings are `VGG`'s."""
    return VGG("B", batch_norm=True, **settings)


def vgg16_bn(**settings) -> VGG:
    """Column D with batch normalization; settings are `VGG`'s."""
    return VGG("D", batch_norm=True, **settings)


def vgg19_bn(**settings) -> VGG:
    """Column E with batch normalization; settings are `VGG`'s."""
    return VGG("E", batch_norm=True, **settings)


PAPER = (
    "Simonyan and Zisserman, Very deep convolutional networks for large-scale image recognition, "
    "2014"
)
SIZES = (3, 224, 224), (3, 64, 64)
WEIGHTS = "torchvision, IMAGENET1K_V1"
TABLE = "follows from the paper's Table 1, and its Table 2 in millions"
MODELS = [
    Model(vgg11, PAPER, *SIZES, 132_863_336, "torchvision", 69.020, 88.628, WEIGHTS),
    Model(vgg11_lrn, PAPER, *SIZES, 132_863_336, TABLE),
    Model(vgg13, PAPER, *SIZES, 133_047_848, "torchvision", 69.928, 89.246, WEIGHTS),
    Model(vgg16_c, PAPER, *SIZES, 133_638_952, TABLE),
    Model(vgg16, PAPER, *SIZES, 138_357_544, "torchvision", 71.592, 90.382, WEIGHTS),
    Model(vgg19, PAPER, *SIZES, 143_667_240, "torchvision", 72.376, 90.876, WEIGHTS),
    Model(vgg11_bn, PAPER, *SIZES, 132_868_840, "torchvision", 70.370, 89.810, WEIGHTS),
    Model(vgg13_bn, PAPER, *SIZES, 133_053_736, "torchvision", 71.586, 90.374, WEIGHTS),
    Model(vgg16_bn, PAPER, *SIZES, 138_365_992, "torchvision", 73.360, 91.516, WEIGHTS),
    Model(vgg19_bn, PAPER, *SIZES, 143_678_248, "torchvision", 74.218, 91.842, WEIGHTS),
]
