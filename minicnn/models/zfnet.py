"""ZFNet: AlexNet, after looking inside it (Zeiler and Fergus, 2013).

The authors ran feature maps backwards through the net (a "deconvnet") to see what in the image had
excited them. AlexNet's first filters turned out to hold very high and very low frequencies and
little between, and its stride of 4 made aliasing patterns one layer on. Hence smaller first filters
and a smaller stride:

    224 -> 7x7/2, 96  -> pool 3x3/2 -> LRN    110 pixels, pooled to 55
        -> 5x5/2, 256 -> pool 3x3/2 -> LRN     26, pooled to 13
        -> 3x3,   384                          13
        -> 3x3,   384                          13
        -> 3x3,   256 -> pool 3x3/2            13, pooled to 6
        -> 4096 -> 4096 -> 1000                dropout before the first two

Variants. `zfnet` has 62,357,608 parameters. The paper also tries 512, 1024 and 512 maps in the last
three convolutions, here `zfnet_512`: 107,627,624. Lectures call that one "AlexNet, but with 7x7 and
stride 2, and 512, 1024, 512 maps"; yet if the second convolution kept AlexNet's stride of 1, the
first dense layer alone would have 13*13*512*4096 = 354 million weights. The poolings count a last,
incomplete window (`ceil_mode`): 110 -> 55 and 26 -> 13. Normalization comes after the pooling.
The paper draws all first weights with a deviation of 0.01; here those of the convolutions are He's.
"""

from __future__ import annotations

from functools import partial

from minicnn.models.alexnet import ConvThenDense, dense_layers, paper_norm
from minicnn.models.registry import Model
from minicnn.nn import Conv2d, MaxPool2d, ReLU, Sequential


class ZFNet(ConvThenDense):
    """AlexNet with a finer first look at the image.

    Parameters
    ----------
    num_classes, in_channels : int
    maps : sequence of three ints
        Channels of the last three convolutions.
    dropout : float
        Probability, in the two hidden dense layers.
    """

    smallest = 47

    def __init__(self, num_classes=1000, in_channels=3, maps=(384, 384, 256), dropout=0.5):
        pool = partial(MaxPool2d, 3, 2, ceil_mode=True)
        third, fourth, fifth = maps
        features = Sequential(
            Conv2d(in_channels, 96, 7, stride=2, padding=1), ReLU(), pool(), paper_norm(),
            Conv2d(96, 256, 5, stride=2), ReLU(), pool(), paper_norm(),
            Conv2d(256, third, 3, padding=1), ReLU(),
            Conv2d(third, fourth, 3, padding=1), ReLU(),
            Conv2d(fourth, fifth, 3, padding=1), ReLU(), pool(),
        )  # fmt: skip
        super().__init__(features, 6, dense_layers(fifth * 36, num_classes, dropout))


# ---------------------------------------------------------------------------
# Builders and registry
# ---------------------------------------------------------------------------
def zfnet(**settings) -> ZFNet:
    """ZFNet with 384, 384, 256 maps; settings are `ZFNet`'s."""
    return ZFNet(**settings)


def zfnet_512(**settings) -> ZFNet:
    """ZFNet with 512, 1024, 512 maps; settings are `ZFNet`'s."""
    return ZFNet(maps=(512, 1024, 512), **settings)


PAPER = "Zeiler and Fergus, Visualizing and understanding convolutional networks, 2013"
SOURCE = "follows from the paper's layer sizes"
MODELS = [
    Model(zfnet, PAPER, (3, 224, 224), (3, 96, 96), 62_357_608, SOURCE),
    Model(zfnet_512, PAPER, (3, 224, 224), (3, 96, 96), 107_627_624, SOURCE),
]
