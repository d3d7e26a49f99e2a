"""ResNeXt: many narrow paths in place of one (Xie, Girshick, Dollar, Tu, He, 2016).

A bottleneck is cut into C paths that are computed apart and added up. All have one shape, so that
C, the cardinality, is one number more to choose beside depth and width, and at equal cost more
paths do better.

    256 -> 1x1, 4 -> 3x3, 4 -> 1x1, 256 |
    256 -> 1x1, 4 -> 3x3, 4 -> 1x1, 256 | -> sum, + x     32 paths of 4 channels: "32x4d"
    ...                                 |

Paths that start and end in common 1x1 convolutions are a grouped convolution, and that is how it is
computed: 1x1 to 128 channels, 3x3 in 32 groups, 1x1 to 256. The tests show the two to be equal. The
blocks are `resnet`'s bottlenecks.
"""

from __future__ import annotations

from minicnn.models.registry import Model
from minicnn.models.resnet import ResNet, resnet50, resnet101


def resnext50_32x4d(**settings) -> ResNet:
    """ResNeXt-50 with 32 paths, in the first stage of 4 channels; settings are `ResNet`'s."""
    return resnet50(groups=32, width_per_group=4, **settings)


def resnext101_32x8d(**settings) -> ResNet:
    """ResNeXt-101 with 32 paths, in the first stage of 8 channels; settings are `ResNet`'s."""
    return resnet101(groups=32, width_per_group=8, **settings)


def resnext101_64x4d(**settings) -> ResNet:
    """ResNeXt-101 with 64 paths, in the first stage of 4 channels; settings are `ResNet`'s."""
    return resnet101(groups=64, width_per_group=4, **settings)


# ---------------------------------------------------------------------------
# Registry
# ---------------------------------------------------------------------------
PAPER = (
    "Xie, Girshick, Dollar, Tu, He, Aggregated residual transformations for deep neural networks, "
    "2016"
)
SIZES = (3, 224, 224), (3, 96, 96)
WEIGHTS = "torchvision, IMAGENET1K_V1, 224 centre crop"
NEWER = "torchvision, IMAGENET1K_V1 (its recipe of 2021), 224 centre crop of 232"
MODELS = [
    Model(resnext50_32x4d, PAPER, *SIZES, 25_028_904, "torchvision", 77.618, 93.698, WEIGHTS),
    Model(resnext101_32x8d, PAPER, *SIZES, 88_791_336, "torchvision", 79.312, 94.526, WEIGHTS),
    Model(resnext101_64x4d, PAPER, *SIZES, 83_455_272, "torchvision", 83.246, 96.454, NEWER),
]
