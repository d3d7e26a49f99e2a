"""Inception-ResNet-v2: Inception modules that add (Szegedy, Ioffe, Vanhoucke, Alemi, 2016).

The other net of the paper on Inception-v4. Its modules are cheaper, and end in a 1x1 convolution
that gives back the number of channels that came in, so that the two can be added:

    x ------------------------.       at 35 pixels, x10    at 17, x20       at 8, x10
    paths, joined             |       1x1                  1x1              1x1
    1x1 convolution, no ReLU  |       1x1 3x3              1x1 1x7 7x1      1x1 1x3 3x1
    times 0.17, 0.1 or 0.2    |       1x1 3x3 3x3
    + <-----------------------'
    ReLU

What is added is made small first: without that, nets of more than 1,000 filters "died" early in the
training. There is no batch normalization after the addition, to save memory.

Variants. Layer names are timm's, whose weights come from the authors' TensorFlow code. That code
keeps the stem of Inception-v3, where the paper's figures show v4's; its last module adds the whole
of what it computes, and has no ReLU.
"""

from __future__ import annotations

from minicnn import functional as F
from minicnn.models.blocks import Branches, check_size, classifier
from minicnn.models.inception_v3 import unit
from minicnn.models.inception_v4 import PAPER, TABLE, chain, pooled, reduction_35
from minicnn.models.registry import Model
from minicnn.nn import AdaptiveAvgPool2d, Conv2d, Dropout, MaxPool2d, Module, Sequential


class ResidualInception(Branches):
    """y = ReLU(x + scale * conv2d(paths joined)).

    Parameters
    ----------
    channels, joined : int
        Of x, and of the joined paths.
    scale : float
        Keeps what is added small (section 3.3 of the paper).
    relu : bool
        False in the net's last module.
    **branches : Module
    """

    def __init__(self, channels, joined, scale, relu=True, **branches):
        super().__init__(**branches)
        self.conv2d = Conv2d(joined, channels, 1)
        self.scale, self.relu = scale, relu

    def forward(self, x):
        y = x + self.scale * self.conv2d(super().forward(x))
        return F.relu(y) if self.relu else y


def block35() -> ResidualInception:
    """320 channels at 35 x 35."""
    return ResidualInception(
        320, 128, 0.17,
        branch0=unit(320, 32, 1),
        branch1=chain(320, (32, 1), (32, 3)),
        branch2=chain(320, (32, 1), (48, 3), (64, 3)),
    )  # fmt: skip


def block17() -> ResidualInception:
    """1,088 channels at 17 x 17."""
    return ResidualInception(
        1088, 384, 0.1,
        branch0=unit(1088, 192, 1),
        branch1=chain(1088, (128, 1), (160, (1, 7)), (192, (7, 1))),
    )  # fmt: skip


def block8(scale=0.2, relu=True) -> ResidualInception:
    """2,080 channels at 8 x 8."""
    return ResidualInception(
        2080, 448, scale, relu,
        branch0=unit(2080, 192, 1),
        branch1=chain(2080, (192, 1), (224, (1, 3)), (256, (3, 1))),
    )  # fmt: skip


class InceptionResNetV2(Module):
    """Inception-ResNet-v2, for images of 299 pixels.

    Parameters
    ----------
    num_classes, in_channels : int
    dropout : float
        Probability before the last dense layer.
    """

    smallest = 75

    def __init__(self, num_classes=1000, in_channels=3, dropout=0.2):
        super().__init__()
        self.conv2d_1a = unit(in_channels, 32, 3, stride=2)
        self.conv2d_2a = unit(32, 32, 3, padding=0)
        self.conv2d_2b = unit(32, 64, 3)
        self.maxpool_3a = MaxPool2d(3, stride=2)
        self.conv2d_3b = unit(64, 80, 1)
        self.conv2d_4a = unit(80, 192, 3, padding=0)
        self.maxpool_5a = MaxPool2d(3, stride=2)
        self.mixed_5b = Branches(
            branch0=unit(192, 96, 1),
            branch1=chain(192, (48, 1), (64, 5)),
            branch2=chain(192, (64, 1), (96, 3), (96, 3)),
            branch3=pooled(192, 64),
        )
        self.repeat = Sequential(*(block35() for _ in range(10)))
        self.mixed_6a = reduction_35(320, 256, 256, 384)
        self.repeat_1 = Sequential(*(block17() for _ in range(20)))
        self.mixed_7a = Branches(
            branch0=chain(1088, (256, 1), (384, 3, 2)),
            branch1=chain(1088, (256, 1), (288, 3, 2)),
            branch2=chain(1088, (256, 1), (288, 3), (320, 3, 2)),
            branch3=MaxPool2d(3, stride=2),
        )
        self.repeat_2 = Sequential(*(block8() for _ in range(9)))
        self.block8 = block8(scale=1.0, relu=False)
        self.conv2d_7b = unit(2080, 1536, 1)
        self.global_pool = AdaptiveAvgPool2d(1)
        self.head_drop = Dropout(dropout)
        self.classif = classifier(1536, num_classes)

    def forward(self, x):
        check_size(self, x)
        x = self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(x)))
        x = self.conv2d_4a(self.conv2d_3b(self.maxpool_3a(x)))
        x = self.repeat(self.mixed_5b(self.maxpool_5a(x)))
        x = self.repeat_1(self.mixed_6a(x))
        x = self.block8(self.repeat_2(self.mixed_7a(x)))
        x = self.global_pool(self.conv2d_7b(x)).flatten(1)
        return self.classif(self.head_drop(x))


def inception_resnet_v2(**settings) -> InceptionResNetV2:
    """Inception-ResNet-v2; settings are `InceptionResNetV2`'s."""
    return InceptionResNetV2(**settings)


MODELS = [
    Model(
        inception_resnet_v2, PAPER, (3, 299, 299), (3, 96, 96), 55_843_464, "timm", 80.1, 95.1,
        TABLE,
    ),
]  # fmt: skip
