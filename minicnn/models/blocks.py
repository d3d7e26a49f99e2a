"""Blocks that papers took over from each other."""

from __future__ import annotations

import numpy as np

from minicnn import functional as F
from minicnn.backends import xp
from minicnn.functional.arguments import as_pair
from minicnn.functional.dropout import as_probability
from minicnn.nn import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Conv2d,
    Linear,
    Module,
    ReLU,
    Sequential,
    Sigmoid,
    init,
)
from minicnn.nn.in_turn import in_turn
from minicnn.tensor import Tensor


def conv(in_channels, out_channels, kernel_size=3, stride=1, groups=1, dilation=1) -> Conv2d:
    """A convolution with a batch normalization to come: no bias, the size kept at stride 1.

    The bias would be undone by the normalization. Padding is (kernel - 1) / 2 * dilation.
    """
    kernel = as_pair("conv", "kernel_size", kernel_size, 1)
    padding = tuple((k - 1) // 2 * dilation for k in kernel)
    return Conv2d(
        in_channels, out_channels, kernel, stride, padding, dilation, groups,
        bias=False, initializer=init.he_fan_out_normal_,
    )  # fmt: skip


def named(**modules: Module) -> Sequential:
    """Modules one after the other, as in a Sequential, but with names in place of numbers."""
    sequence = Sequential()
    for name, module in modules.items():
        setattr(sequence, name, module)
    return sequence


class ConvBNActivation(Sequential):
    """Convolution, batch normalization, activation: "0", "1", "2" (an activation has no weights).

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, groups, dilation
        As in `conv`.
    activation : class of Module, or None
        Made without arguments.
    **norm
        Settings of the batch normalization: eps, momentum.
    """

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size=3,
        stride=1,
        groups=1,
        dilation=1,
        activation=ReLU,
        **norm,
    ):
        layers = [
            conv(in_channels, out_channels, kernel_size, stride, groups, dilation),
            BatchNorm2d(out_channels, **norm),
        ]
        super().__init__(*layers, *([activation()] if activation else []))


class SqueezeExcitation(Module):
    """Each channel times a number from 0 to 1 that is worked out from the means of all channels.

        x (N, C, H, W) -> mean over H, W -> fc1: C -> S, ReLU -> fc2: S -> C, sigmoid -> times x

    Squeeze: one number a channel for the whole image. Excite: which channels matter in this one.

    Parameters
    ----------
    channels, squeezed : int
        C and S.
    activation, scale : classes of Module
        In place of ReLU and sigmoid; made without arguments.

    References
    ----------
    Hu, Shen, Sun, "Squeeze-and-excitation networks", 2017.
    """

    def __init__(self, channels, squeezed, activation=ReLU, scale=Sigmoid):
        super().__init__()
        self.avgpool = AdaptiveAvgPool2d(1)
        self.fc1 = Conv2d(channels, squeezed, 1, initializer=init.he_fan_out_normal_)
        self.activation = activation()
        self.fc2 = Conv2d(squeezed, channels, 1, initializer=init.he_fan_out_normal_)
        self.scale = scale()

    def forward(self, x):
        importance = self.fc2(self.activation(self.fc1(self.avgpool(x))))
        return x * self.scale(importance)


class StochasticDepth(Module):
    """In training, a sample's whole branch becomes 0 with probability p, else it is divided by 1-p.

    Parameters
    ----------
    p : float

    References
    ----------
    Huang et al., "Deep networks with stochastic depth", 2016.
    """

    def __init__(self, p):
        super().__init__()
        self.p = as_probability("StochasticDepth", p)

    def forward(self, x):
        if not self.training or not self.p:
            return x
        ones = Tensor(xp(x.data).ones((x.shape[0], 1, 1, 1), x.dtype))
        return x * F.dropout(ones, self.p, training=True)

    def extra_repr(self):
        return f"p={self.p}"


def classifier(in_features, num_classes, std=0.01) -> Linear:
    """The last dense layer: all classes about equally likely at first."""
    return Linear(
        in_features, num_classes, initializer=lambda weight: init.normal_(weight, std=std)
    )


def make_divisible(channels, divisor=8) -> int:
    """The nearest multiple of `divisor` (a half goes up), at least `divisor` and 90% of `channels`.

    Hardware likes such numbers of channels; MobileNets and what came of them are scaled so.
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


# ---------------------------------------------------------------------------
# Paths side by side
# ---------------------------------------------------------------------------
class BasicConv2d(Module):
    """Convolution, batch normalization, ReLU, named as in the Inception nets: `conv`, `bn`.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding
        Of the convolution; padding is 0 unless given.
    batch_norm : bool
        Whether there is a normalization; without it the convolution has a bias.
    """

    def __init__(
        self, in_channels, out_channels, kernel_size, stride=1, padding=0, batch_norm=True
    ):
        super().__init__()
        self.conv = Conv2d(
            in_channels, out_channels, kernel_size, stride, padding, bias=not batch_norm
        )
        self.bn = BatchNorm2d(out_channels, eps=1e-3) if batch_norm else None

    def forward(self, x):
        return in_turn([self.conv] if self.bn is None else [self.conv, self.bn], x, "relu")


class Branches(Module):
    """Modules that all see the same image; what they give is joined along the channels.

    Parameters
    ----------
    **branches : Module
        By name, in the order of their channels.
    """

    def __init__(self, **branches):
        super().__init__()
        self.branches = tuple(branches)
        for name, branch in branches.items():
            setattr(self, name, branch)

    def forward(self, x):
        return F.cat([getattr(self, name)(x) for name in self.branches], dim=1)


# ---------------------------------------------------------------------------
# What comes in, and what goes out
# ---------------------------------------------------------------------------
def check_size(net, x) -> None:
    """Raise unless the images x (N, C, H, W) have `net.smallest` pixels each way, or more."""
    if min(x.shape[-2:], default=0) < net.smallest:
        raise ValueError(
            f"{type(net).__name__}: expects images of at least {net.smallest} x {net.smallest} "
            f"pixels, but got {tuple(x.shape)}; scale them up, or take a net for small images"
        )


def centred(x) -> Tensor:
    """Images x (N, 3, H, W) with ImageNet's mean and deviation taken out, brought to -1 to 1.

    For weights that were made with pixel / 0.5 - 1, where the images come as
    (pixel - mean) / deviation, pixels from 0 to 1.
    """
    constants = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).reshape(2, 1, 3, 1, 1)
    mean, deviation = (Tensor(c).to(x.dtype).to(x.device) for c in constants)
    return (x * deviation + (mean - 0.5)) / 0.5


def auxiliary_loss(scores, target, weight=0.3) -> Tensor:
    """Cross-entropy of the net's scores, plus `weight` times that of every auxiliary head's.

    loss(scores[0]) + weight * (loss(scores[1]) + ...)

    For nets with auxiliary heads, as `Trainer(model, optimizer, loss=auxiliary_loss)`.

    Parameters
    ----------
    scores : tuple of Tensor (N, K), or Tensor (N, K)
        What the net gives in training mode, the net's own scores first; or, in evaluation mode,
        those alone.
    target : integer array (N,)
    weight : float
        0.3 is the paper's.

    References
    ----------
    Szegedy et al., "Going deeper with convolutions", 2014, section 5.
    """
    if isinstance(scores, Tensor):
        return F.cross_entropy(scores, target)
    main, *heads = (F.cross_entropy(head, target) for head in scores)
    return main + weight * sum(heads)
