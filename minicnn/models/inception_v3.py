"""Inception-v3: large filters taken apart (Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, 2015).

What a 5x5 sees, two 3x3 see with 28% fewer weights. A 7x7 becomes 1x7 and 7x1, a 3x3 becomes 1x3
beside 3x1. Each row is a path; their ends are joined along the channels:

    at 35 pixels, x3        at 17, x4                  at 8, x2
    1x1                     1x1                        1x1
    1x1 5x5                 1x1 1x7 7x1                1x1 (1x3 | 3x1)
    1x1 3x3 3x3             1x1 7x1 1x7 7x1 1x7        1x1 3x3 (1x3 | 3x1)
    mean 1x1                mean 1x1                   mean 1x1

    35 to 17: 3x3/2                17 to 8: 1x1 3x3/2
              1x1 3x3 3x3/2                 1x1 1x7 7x1 3x3/2
              max pool/2                    max pool/2

Between the stages a pooling and convolutions of stride 2 stand side by side, so that what the net
knows never has to squeeze through a small map. Also from the paper: batch normalization in the
auxiliary head, and label smoothing (`CrossEntropyLoss(label_smoothing=0.1)`).

Variants. The net here is torchvision's, whose weights come from TensorFlow: 27,161,264 parameters
with the auxiliary head, 23,834,568 without. At 35 pixels it has a 5x5 where the paper's Figure 5
has a 3x3. "Inception-v2" is, in this paper, the net without some of its additions; elsewhere it is
GoogLeNet with batch normalization.
"""

from __future__ import annotations

from collections import namedtuple

from minicnn import functional as F
from minicnn.models.blocks import BasicConv2d, centred, check_size, classifier
from minicnn.models.registry import Model
from minicnn.nn import AdaptiveAvgPool2d, AvgPool2d, Dropout, MaxPool2d, Module

InceptionOutputs = namedtuple("InceptionOutputs", "logits aux_logits")
InceptionOutputs.__doc__ += ": scores in training mode; see `blocks.auxiliary_loss`."


def unit(in_channels, out_channels, kernel_size, stride=1, padding=None) -> BasicConv2d:
    """A convolution with its normalization and ReLU; with stride 1 padded to keep the size."""
    if padding is None:
        sides = kernel_size if isinstance(kernel_size, tuple) else (kernel_size, kernel_size)
        padding = tuple((k - 1) // 2 if stride == 1 else 0 for k in sides)
    return BasicConv2d(in_channels, out_channels, kernel_size, stride, padding)


# ---------------------------------------------------------------------------
# Blocks
# ---------------------------------------------------------------------------
class Mixed(Module):
    """Paths that start at the same map, each a chain of convolutions; their ends are joined.

    The convolutions are named as in torchvision: by their path, and their place in it if there are
    several (`branch5x5_1`, `branch5x5_2`); those of a fork also by a letter (`branch3x3_2a`).

    Parameters
    ----------
    in_channels : int
    pool : Module
        Where the path `branch_pool` begins.
    **paths : list of (out_channels, kernel_size) or (out_channels, kernel_size, stride)
        By name; the convolutions in their order. A list of two in place of one: a fork.
    """

    def __init__(self, in_channels, pool, **paths):
        super().__init__()
        self.pool = pool
        self.paths = {name: self._add(name, in_channels, steps) for name, steps in paths.items()}

    def _add(self, path, channels, steps):
        """Make a path's convolutions; returns their names, in a list for each step."""
        names = []
        for k, step in enumerate(steps, 1):
            name = f"{path}_{k}" if len(steps) > 1 else path
            fork = step if isinstance(step, list) else [step]
            names.append([name + letter for letter in ("ab" if len(fork) > 1 else [""])])
            for label, sizes in zip(names[-1], fork):
                setattr(self, label, unit(channels, *sizes))
            channels = fork[0][0]
        return names

    def forward(self, x):
        ends = []
        for path, steps in self.paths.items():
            end = [self.pool(x) if path == "branch_pool" else x]
            for names in steps:
                end = [getattr(self, name)(end[0]) for name in names]
            ends += end
        return F.cat(ends, dim=1)


def mixed_35(in_channels, pooled) -> Mixed:
    """A module for maps of 35 x 35: 224 channels and `pooled`."""
    return Mixed(
        in_channels,
        AvgPool2d(3, stride=1, padding=1),
        branch1x1=[(64, 1)],
        branch5x5=[(48, 1), (64, 5)],
        branch3x3dbl=[(64, 1), (96, 3), (96, 3)],
        branch_pool=[(pooled, 1)],
    )


def mixed_17(between) -> Mixed:
    """A module for maps of 17 x 17: 768 channels, `between` of them inside the chains."""
    wide, tall = (between, (1, 7)), (between, (7, 1))
    return Mixed(
        768,
        AvgPool2d(3, stride=1, padding=1),
        branch1x1=[(192, 1)],
        branch7x7=[(between, 1), wide, (192, (7, 1))],
        branch7x7dbl=[(between, 1), tall, wide, tall, (192, (1, 7))],
        branch_pool=[(192, 1)],
    )


def mixed_8(in_channels) -> Mixed:
    """A module for maps of 8 x 8: 2,048 channels."""
    fork = [(384, (1, 3)), (384, (3, 1))]
    return Mixed(
        in_channels,
        AvgPool2d(3, stride=1, padding=1),
        branch1x1=[(320, 1)],
        branch3x3=[(384, 1), fork],
        branch3x3dbl=[(448, 1), (384, 3), fork],
        branch_pool=[(192, 1)],
    )


def reduce_35() -> Mixed:
    """From 35 x 35 x 288 to 17 x 17 x 768."""
    return Mixed(
        288,
        MaxPool2d(3, stride=2),
        branch3x3=[(384, 3, 2)],
        branch3x3dbl=[(64, 1), (96, 3), (96, 3, 2)],
        branch_pool=[],
    )


def reduce_17() -> Mixed:
    """From 17 x 17 x 768 to 8 x 8 x 1,280."""
    return Mixed(
        768,
        MaxPool2d(3, stride=2),
        branch3x3=[(192, 1), (320, 3, 2)],
        branch7x7x3=[(192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2)],
        branch_pool=[],
    )


class InceptionAux(Module):
    """The classifier at 17 x 17 pixels: means over 5 x 5, stride 3; 1x1, 5x5, dense layer."""

    def __init__(self, in_channels, num_classes):
        super().__init__()
        self.conv0 = unit(in_channels, 128, 1)
        self.conv1 = unit(128, 768, 5, padding=0)
        self.avgpool = AdaptiveAvgPool2d(1)
        self.fc = classifier(768, num_classes)

    def forward(self, x):
        # Smaller maps, from smaller images, are brought to the 5 x 5 that conv1 needs.
        if min(x.shape[2:]) < 17:
            x = F.adaptive_avg_pool2d(x, 5)
        else:
            x = F.avg_pool2d(x, 5, stride=3)
        x = self.conv1(self.conv0(x))
        return self.fc(self.avgpool(x).flatten(1))


# ---------------------------------------------------------------------------
# The net
# ---------------------------------------------------------------------------
class InceptionV3(Module):
    """Inception-v3, for images of 299 pixels.

    In training mode, if it has the auxiliary head, it returns `InceptionOutputs`: two tensors of
    scores, for `auxiliary_loss`. In evaluation mode it returns the scores (N, num_classes).

    Parameters
    ----------
    num_classes, in_channels : int
    aux_logits : bool
        Whether there is an auxiliary head.
    transform_input : bool
        Whether to undo ImageNet's normalization: see `blocks.centred`. The weights that torchvision
        publishes want it.
    dropout : float
        Probability before the last dense layer.
    """

    smallest = 75

    def __init__(
        self, num_classes=1000, in_channels=3, aux_logits=True, transform_input=False, dropout=0.5
    ):
        super().__init__()
        self.transform_input = transform_input
        self.Conv2d_1a_3x3 = unit(in_channels, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = unit(32, 32, 3, padding=0)
        self.Conv2d_2b_3x3 = unit(32, 64, 3)
        self.maxpool1 = MaxPool2d(3, stride=2)
        self.Conv2d_3b_1x1 = unit(64, 80, 1)
        self.Conv2d_4a_3x3 = unit(80, 192, 3, padding=0)
        self.maxpool2 = MaxPool2d(3, stride=2)
        self.Mixed_5b = mixed_35(192, 32)
        self.Mixed_5c = mixed_35(256, 64)
        self.Mixed_5d = mixed_35(288, 64)
        self.Mixed_6a = reduce_35()
        self.Mixed_6b = mixed_17(128)
        self.Mixed_6c = mixed_17(160)
        self.Mixed_6d = mixed_17(160)
        self.Mixed_6e = mixed_17(192)
        self.AuxLogits = InceptionAux(768, num_classes) if aux_logits else None
        self.Mixed_7a = reduce_17()
        self.Mixed_7b = mixed_8(1280)
        self.Mixed_7c = mixed_8(2048)
        self.avgpool = AdaptiveAvgPool2d(1)
        self.dropout = Dropout(dropout)
        self.fc = classifier(2048, num_classes)

    def forward(self, x):
        check_size(self, x)
        x = centred(x) if self.transform_input else x
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(self.maxpool1(x)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(self.maxpool2(x))))
        x = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))
        x = at_17 = self.Mixed_6e(self.Mixed_6d(x))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        logits = self.fc(self.dropout(self.avgpool(x).flatten(1)))
        if not self.training or self.AuxLogits is None:
            return logits
        return InceptionOutputs(logits, self.AuxLogits(at_17))


def inception_v3(**settings) -> InceptionV3:
    """Inception-v3; settings are `InceptionV3`'s."""
    return InceptionV3(**settings)


MODELS = [
    Model(
        inception_v3,
        "Szegedy et al., Rethinking the Inception architecture for computer vision, 2015",
        (3, 299, 299), (3, 96, 96), 27_161_264,
        "torchvision; with the auxiliary head, 23,834,568 without",
        77.294, 93.450, "torchvision, IMAGENET1K_V1",
    ),
]  # fmt: skip
