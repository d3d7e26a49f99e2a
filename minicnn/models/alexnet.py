"""AlexNet: the net that brought deep learning to ImageNet (Krizhevsky, Sutskever, Hinton, 2012).

LeNet's plan, made large: five convolutions, three dense layers, 60 million parameters. New: ReLU in
place of tanh, because it does not saturate and learns several times faster; dropout in the dense
layers; local response normalization; two GPUs, each with half of the maps.

    227 -> 11x11/4, 96  -> LRN -> pool 3x3/2    55 pixels, pooled to 27
        ->  5x5,   256  -> LRN -> pool 3x3/2    27, pooled to 13     two towers
        ->  3x3,   384                          13                   both see both
        ->  3x3,   384                          13                   two towers
        ->  3x3,   256         -> pool 3x3/2    13, pooled to 6      two towers
        -> 4096 -> 4096 -> 1000                 dropout before the first two

A tower sees the maps of its own GPU only, but in the third convolution: that is a convolution in
two groups. Normalization comes before the pooling, and runs over all 96 or 256 maps.

Variants. `alexnet_2012` is the paper's net: 60,965,224 parameters, or 62,378,344 on one GPU
(`groups=1`). The paper says 224 pixels, but its sizes are those of 227. `alexnet` is torchvision's,
the one column of Krizhevsky's "One weird trick for parallelizing convolutional neural networks"
(2014): 64-192-384-256-256 maps, no groups, no normalization, 61,100,840 parameters.
"""

from __future__ import annotations

from functools import partial

from minicnn.models.blocks import check_size, classifier
from minicnn.models.registry import Model
from minicnn.nn import (
    AdaptiveAvgPool2d,
    Conv2d,
    Dropout,
    LocalResponseNorm,
    MaxPool2d,
    Module,
    ReLU,
    Sequential,
    init,
)

paper_norm = partial(LocalResponseNorm, 5, alpha=5e-4, beta=0.75, k=2.0)  # alpha/5 is the paper's


class ConvThenDense(Module):
    """Convolutions, then dense layers: the plan of AlexNet, ZFNet and VGG.

    Parameters
    ----------
    features : Module
        Convolutions and poolings.
    pooled : int
        Height and width that the dense layers expect. Images of the size the net was made for
        arrive so; maps of other sizes are averaged or repeated to that size.
    classifier : Module
        Dense layers.

    Attributes
    ----------
    smallest : int
        Fewest pixels of an image, each way.

    Raises
    ------
    ValueError
        If called with smaller images.
    """

    smallest = 1

    def __init__(self, features, pooled, classifier):
        super().__init__()
        self.features = features
        self.avgpool = AdaptiveAvgPool2d(pooled)
        self.classifier = classifier

    def forward(self, x):
        check_size(self, x)
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def dense_layers(inputs, num_classes, dropout) -> Sequential:
    """The end of AlexNet and ZFNet: two hidden layers of 4,096, dropout before each."""
    return Sequential(
        Dropout(dropout), classifier(inputs, 4096), ReLU(),
        Dropout(dropout), classifier(4096, 4096), ReLU(),
        classifier(4096, num_classes),
    )  # fmt: skip


class AlexNet2012(ConvThenDense):
    """AlexNet as published: two towers by grouped convolution, local response normalization.

    Parameters
    ----------
    num_classes, in_channels : int
    groups : int
        2 for the paper's towers, 1 for one GPU.
    dropout : float
        Probability, in the two hidden dense layers.
    """

    smallest = 67

    def __init__(self, num_classes=1000, in_channels=3, groups=2, dropout=0.5):
        conv = partial(Conv2d, initializer=partial(init.normal_, std=0.01))
        features = Sequential(
            conv(in_channels, 96, 11, stride=4), ReLU(), paper_norm(), MaxPool2d(3, 2),
            conv(96, 256, 5, padding=2, groups=groups), ReLU(), paper_norm(), MaxPool2d(3, 2),
            conv(256, 384, 3, padding=1), ReLU(),
            conv(384, 384, 3, padding=1, groups=groups), ReLU(),
            conv(384, 256, 3, padding=1, groups=groups), ReLU(), MaxPool2d(3, 2),
        )  # fmt: skip
        dense = dense_layers(256 * 6 * 6, num_classes, dropout)
        super().__init__(features, 6, dense)
        # Biases of 1 give these ReLUs positive inputs to start with (section 5 of the paper).
        for layer in (features[4], features[10], features[12], dense[1], dense[4]):
            init.constant_(layer.bias, 1)


class AlexNet(ConvThenDense):
    """AlexNet in one column, as of 2014.

    Parameters
    ----------
    num_classes, in_channels : int
    dropout : float
        Probability, in the two hidden dense layers.
    """

    smallest = 63

    def __init__(self, num_classes=1000, in_channels=3, dropout=0.5):
        features = Sequential(
            Conv2d(in_channels, 64, 11, stride=4, padding=2), ReLU(), MaxPool2d(3, 2),
            Conv2d(64, 192, 5, padding=2), ReLU(), MaxPool2d(3, 2),
            Conv2d(192, 384, 3, padding=1), ReLU(),
            Conv2d(384, 256, 3, padding=1), ReLU(),
            Conv2d(256, 256, 3, padding=1), ReLU(), MaxPool2d(3, 2),
        )  # fmt: skip
        super().__init__(features, 6, dense_layers(256 * 6 * 6, num_classes, dropout))


# ---------------------------------------------------------------------------
# Builders and registry
# ---------------------------------------------------------------------------
def alexnet_2012(**settings) -> AlexNet2012:
    """AlexNet as published in 2012; settings are `AlexNet2012`'s."""
    return AlexNet2012(**settings)


def alexnet(**settings) -> AlexNet:
    """AlexNet as torchvision has it; settings are `AlexNet`'s."""
    return AlexNet(**settings)


MODELS = [
    Model(
        alexnet_2012,
        "Krizhevsky et al., ImageNet classification with deep convolutional neural networks, 2012",
        (3, 227, 227), (3, 128, 128), 60_965_224,
        "follows from the paper's layer sizes; the paper says 60 million",
    ),
    Model(
        alexnet,
        "Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014",
        (3, 224, 224), (3, 96, 96), 61_100_840, "torchvision",
        56.522, 79.066, "torchvision, IMAGENET1K_V1",
    ),
]  # fmt: skip
