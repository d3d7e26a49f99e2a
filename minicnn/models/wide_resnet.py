"""Wide ResNet: wider blocks in place of more of them (Zagoruyko, Komodakis, 2016).

A thousand thin layers run one after the other; sixteen wide ones with as many weights are computed
several times faster and err no more. WRN-d-k has d layers, its stages 16k, 32k and 64k channels.

    x ----------------------.
    BN, ReLU, 3x3, k times  |
    BN, ReLU, (dropout)     |      the pre-activated basic block: see `preact_resnet`
    3x3, k times            |
    + <---------------------'

The paper's nets for CIFAR have 6n + 4 layers, the projections of two stages counted.
`wide_resnet50_2` and `wide_resnet101_2`, for ImageNet, are the ResNets of 2015 with bottlenecks
twice as wide inside and no wider outside.
"""

from __future__ import annotations

from minicnn.models.preact_resnet import PreActBasicBlock, PreActResNet, cifar_net
from minicnn.models.registry import Model
from minicnn.models.resnet import ResNet, resnet50, resnet101


def wide_resnet50_2(**settings) -> ResNet:
    """ResNet-50 whose bottlenecks are twice as wide; settings are `ResNet`'s."""
    return resnet50(width_per_group=128, **settings)


def wide_resnet101_2(**settings) -> ResNet:
    """ResNet-101 whose bottlenecks are twice as wide; settings are `ResNet`'s."""
    return resnet101(width_per_group=128, **settings)


def wide_resnet(depth, width, dropout=0.0, **settings) -> PreActResNet:
    """WRN-depth-width for CIFAR.

    Parameters
    ----------
    depth : int
        Weighted layers: 6n + 4.
    width : int
        k of the paper.
    dropout : float
        Probability of a zero between a block's convolutions; the paper's is 0 or 0.3.
    **settings
        num_classes (10), in_channels (3).

    Raises
    ------
    ValueError
        If the depth is not 6n + 4.
    """
    return cifar_net(
        PreActBasicBlock, depth, width=width, spare=4, dropout=dropout, **settings
    )  # fmt: skip


def wrn_16_8(**settings) -> PreActResNet:
    """WRN-16-8; settings are `wide_resnet`'s."""
    return wide_resnet(16, 8, **settings)


def wrn_28_10(**settings) -> PreActResNet:
    """WRN-28-10; settings are `wide_resnet`'s."""
    return wide_resnet(28, 10, **settings)


def wrn_40_4(**settings) -> PreActResNet:
    """WRN-40-4; settings are `wide_resnet`'s."""
    return wide_resnet(40, 4, **settings)


# ---------------------------------------------------------------------------
# Registry
# ---------------------------------------------------------------------------
PAPER = "Zagoruyko, Komodakis, Wide residual networks, 2016"
IMAGENET, CIFAR = ((3, 224, 224), (3, 96, 96)), ((3, 32, 32), (3, 40, 40))
WEIGHTS = "torchvision, IMAGENET1K_V1, 224 centre crop"
ROUNDED = "by the paper's layer sizes; its tables say "
MODELS = [
    Model(wide_resnet50_2, PAPER, *IMAGENET, 68_883_240, "torchvision", 78.468, 94.086, WEIGHTS),
    Model(wide_resnet101_2, PAPER, *IMAGENET, 126_886_696, "torchvision", 78.848, 94.284, WEIGHTS),
    Model(wrn_16_8, PAPER, *CIFAR, 10_961_370, ROUNDED + "11.0M"),
    Model(
        wrn_28_10, PAPER, *CIFAR, 36_479_194, ROUNDED + "36.5M", 96.00,
        accuracy_source="the paper, version 4 (2017), without dropout", dataset="CIFAR-10, test",
    ),
    Model(wrn_40_4, PAPER, *CIFAR, 8_949_210, ROUNDED + "8.9M"),
]  # fmt: skip
