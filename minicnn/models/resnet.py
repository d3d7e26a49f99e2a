"""ResNet: blocks that add to what they are given (He, Zhang, Ren, Sun, 2015).

Very deep plain nets train worse than shallow ones, though a deeper net could copy the shallower and
leave the rest alone. So a block learns only the difference F(x) to its input, and doing nothing,
F = 0, is easy. The gradient finds the way around open, too.

    basic block (18, 34 layers)             bottleneck (50 layers and more)
      x ---------------------.                x ---------------------.
      3x3 conv, BN, ReLU     |                1x1 conv, BN, ReLU     |   fewer channels
      3x3 conv, BN           |                3x3 conv, BN, ReLU     |
      + <--------------------' x, or a        1x1 conv, BN           |   four times as many
      ReLU                     projection     + <--------------------'
                               of it          ReLU

    image 224 -> 7x7/2, 64 -> max pool /2 -> 4 stages of blocks: 56, 28, 14, 7 pixels -> mean -> fc

Each stage has half the height and width and twice the channels of the one before.

Variants. The paper's bottleneck makes the image smaller in its first 1x1 convolution, which leaves
three of four pixels unread; torchvision does it in the 3x3, and so do the builders here, but for
`resnet50_2015`. `plain18` and `plain34` are the paper's nets without the way around. The nets for
CIFAR are another design: see `resnet_cifar`; ResNet-200 is from the next paper: `preact_resnet`.
"""

from __future__ import annotations

from minicnn.models.blocks import classifier, conv
from minicnn.models.registry import Model
from minicnn.nn import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    MaxPool2d,
    Module,
    Sequential,
    ZeroPadShortcut,
    init,
)
from minicnn.nn.in_turn import in_turn


# ---------------------------------------------------------------------------
# Blocks
# ---------------------------------------------------------------------------
def _projection(in_channels, out_channels, stride, size):
    """Option B: a convolution, 1x1 as a rule, and a batch normalization."""
    kernel = size if stride > 1 else 1
    return Sequential(conv(in_channels, out_channels, kernel, stride), BatchNorm2d(out_channels))


class ResidualBlock(Module):
    """y = ReLU(F(x) + x): what the two kinds of block share, all but F.

    Attributes
    ----------
    shortcut : "A", "B", "C" or None
        The way around, where the shape changes: zeros for new channels (A) or a projection (B);
        projections everywhere (C); no way around at all (None, a plain net).
    downsample : Module or None
        That way, where it is not x itself; torchvision's name for it.
    """

    expansion = 1  # output channels / channels

    def _go_around(self, shortcut, in_channels, out_channels, stride, size=1):
        if shortcut not in ("A", "B", "C", None):
            raise ValueError(
                f"{type(self).__name__}: shortcut expects 'A', 'B', 'C' or None, but got "
                f"{shortcut!r}"
            )
        self.shortcut, self.downsample = shortcut, None
        changes = stride != 1 or in_channels != out_channels
        if shortcut == "A" and changes:
            self.downsample = ZeroPadShortcut(in_channels, out_channels, stride)
        elif shortcut == "C" or (shortcut == "B" and changes):
            self.downsample = _projection(in_channels, out_channels, stride, size)

    def residual(self, x, **end):
        """F(x), and the end that `in_turn` gives it: `activation` and `add`."""
        raise NotImplementedError(f"{type(self).__name__} defines no residual")

    def last_norm(self) -> BatchNorm2d:
        """The batch normalization at F's end: with a scale of 0 the block does nothing."""
        raise NotImplementedError(f"{type(self).__name__} defines no last_norm")

    def forward(self, x):
        around = x if self.downsample is None else self.downsample(x)
        if self.shortcut is None:
            return self.residual(x, activation="relu")
        return self.residual(x, add=around, activation="relu")  # ReLU(F(x) + around)


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions and a way around them.

    Parameters
    ----------
    in_channels, channels, stride : int
    shortcut : "A", "B", "C" or None
        See `ResidualBlock`.
    """

    def __init__(self, in_channels, channels, stride=1, shortcut="B"):
        super().__init__()
        self.conv1 = conv(in_channels, channels, 3, stride)
        self.bn1 = BatchNorm2d(channels)
        self.conv2 = conv(channels, channels, 3)
        self.bn2 = BatchNorm2d(channels)
        self._go_around(shortcut, in_channels, channels, stride)

    def residual(self, x, **end):
        x = in_turn([self.conv1, self.bn1], x, "relu")
        return in_turn([self.conv2, self.bn2], x, **end)

    def last_norm(self):
        return self.bn2


class Bottleneck(ResidualBlock):
    """1x1 to fewer channels, 3x3 there, 1x1 to four times as many, and a way around.

    At 256 channels that is 69,632 weights, where two 3x3 convolutions would have 1,179,648.

    Parameters
    ----------
    in_channels, channels, stride : int
        It gives 4 * channels.
    shortcut : "A", "B", "C" or None
        See `ResidualBlock`.
    groups, width_per_group : int
        The 3x3 convolution has channels * width_per_group / 64 channels in each of its groups
        (ResNeXt), or is that wide (Wide ResNet).
    stride_in : "3x3" or "1x1"
        Which convolution has the stride: torchvision's choice, or the paper's.
    squeeze : int
        The first convolution gives this many times fewer channels than the 3x3 (SENet-154: 2).
    projection_size : int
        Kernel of the way around where there is a stride (SENet-154: 3).
    """

    expansion = 4

    def __init__(
        self,
        in_channels,
        channels,
        stride=1,
        shortcut="B",
        groups=1,
        width_per_group=64,
        stride_in="3x3",
        squeeze=1,
        projection_size=1,
    ):
        super().__init__()
        if stride_in not in ("1x1", "3x3"):
            raise ValueError(f"Bottleneck: stride_in expects '1x1' or '3x3', but got {stride_in!r}")
        width = channels * width_per_group // 64 * groups
        out_channels = channels * self.expansion
        first, second = (stride, 1) if stride_in == "1x1" else (1, stride)
        self.conv1 = conv(in_channels, width // squeeze, 1, first)
        self.bn1 = BatchNorm2d(width // squeeze)
        self.conv2 = conv(width // squeeze, width, 3, second, groups)
        self.bn2 = BatchNorm2d(width)
        self.conv3 = conv(width, out_channels, 1)
        self.bn3 = BatchNorm2d(out_channels)
        self._go_around(shortcut, in_channels, out_channels, stride, projection_size)

    def residual(self, x, **end):
        x = in_turn([self.conv1, self.bn1], x, "relu")
        x = in_turn([self.conv2, self.bn2], x, "relu")
        return in_turn([self.conv3, self.bn3], x, **end)

    def last_norm(self):
        return self.bn3


# ---------------------------------------------------------------------------
# The net
# ---------------------------------------------------------------------------
def add_stages(net, block, in_channels, channels, counts, **settings) -> int:
    """Set net.layer1, net.layer2, ...: blocks, the first of each stage (but layer1) of stride 2.

    Returns the number of channels that comes out; `channels` is that of the first stage's blocks.
    """
    for stage, count in enumerate(counts):
        blocks = []
        for k in range(count):
            stride = 2 if stage and not k else 1
            blocks.append(block(in_channels, channels << stage, stride, **settings))
            in_channels = (channels << stage) * block.expansion
        setattr(net, f"layer{stage + 1}", Sequential(*blocks))
    return in_channels


def start_as_identity(net) -> None:
    """Set the last scale of every block that has a way around to 0: all it does is that way."""
    for _, module in net.named_modules():
        if isinstance(module, ResidualBlock) and module.shortcut is not None:
            init.constant_(module.last_norm().weight, 0)


class ResNet(Module):
    """A residual net for images of about 224 pixels; any from 1 pixel up will do.

    Parameters
    ----------
    block : class of ResidualBlock
    counts : sequence of four ints
        Blocks in each stage.
    num_classes, in_channels : int
    zero_init_residual : bool
        Whether every block starts as the identity (Goyal et al., 2017).
    **settings
        Handed to every block: shortcut, and for bottlenecks groups, width_per_group and so on.
    """

    def __init__(
        self,
        block,
        counts,
        num_classes=1000,
        in_channels=3,
        zero_init_residual=False,
        **settings,
    ):
        super().__init__()
        self.stem(in_channels)
        self.maxpool = MaxPool2d(3, stride=2, padding=1)
        channels = add_stages(self, block, self.bn1.num_features, 64, counts, **settings)
        self.avgpool = AdaptiveAvgPool2d(1)
        self.fc = classifier(channels, num_classes)
        if zero_init_residual:
            start_as_identity(self)

    def stem(self, in_channels):
        """Set conv1 and bn1: what comes before the first pooling."""
        self.conv1 = conv(in_channels, 64, 7, stride=2)
        self.bn1 = BatchNorm2d(64)

    def features(self, x):
        """What the last stage makes of images: (N, C, H/32, W/32)."""
        x = self.maxpool(in_turn([self.conv1, self.bn1], x, "relu"))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        return x

    def forward(self, x):
        return self.fc(self.avgpool(self.features(x)).flatten(1))


# ---------------------------------------------------------------------------
# Builders
# ---------------------------------------------------------------------------
def resnet18(**settings) -> ResNet:
    """ResNet with 18 weighted layers; settings are `ResNet`'s."""
    return ResNet(BasicBlock, (2, 2, 2, 2), **settings)


def resnet34(**settings) -> ResNet:
    """ResNet with 34 weighted layers; settings are `ResNet`'s."""
    return ResNet(BasicBlock, (3, 4, 6, 3), **settings)


def resnet50(**settings) -> ResNet:
    """ResNet with 50 weighted layers; settings are `ResNet`'s."""
    return ResNet(Bottleneck, (3, 4, 6, 3), **settings)


def resnet101(**settings) -> ResNet:
    """ResNet with 101 weighted layers; settings are `ResNet`'s."""
    return ResNet(Bottleneck, (3, 4, 23, 3), **settings)


def resnet152(**settings) -> ResNet:
    """ResNet with 152 weighted layers; settings are `ResNet`'s."""
    return ResNet(Bottleneck, (3, 8, 36, 3), **settings)


def resnet50_2015(**settings) -> ResNet:
    """ResNet-50 as published, the stride in the first 1x1 convolution of a block."""
    return resnet50(stride_in="1x1", **settings)


def plain18(**settings) -> ResNet:
    """The 18 layers of ResNet-18 without a way around; settings are `ResNet`'s."""
    return resnet18(shortcut=None, **settings)


def plain34(**settings) -> ResNet:
    """The 34 layers of ResNet-34 without a way around; settings are `ResNet`'s."""
    return resnet34(shortcut=None, **settings)


# ---------------------------------------------------------------------------
# Registry
# ---------------------------------------------------------------------------
PAPER = "He, Zhang, Ren, Sun, Deep residual learning for image recognition, 2015"
SIZES = (3, 224, 224), (3, 96, 96)
TORCHVISION, WEIGHTS = "torchvision", "torchvision, IMAGENET1K_V1, 224 centre crop"
MODELS = [
    Model(resnet18, PAPER, *SIZES, 11_689_512, TORCHVISION, 69.758, 89.078, WEIGHTS),
    Model(resnet34, PAPER, *SIZES, 21_797_672, TORCHVISION, 73.314, 91.420, WEIGHTS),
    Model(resnet50, PAPER, *SIZES, 25_557_032, TORCHVISION, 76.130, 92.862, WEIGHTS),
    Model(resnet101, PAPER, *SIZES, 44_549_160, TORCHVISION, 77.374, 93.546, WEIGHTS),
    Model(resnet152, PAPER, *SIZES, 60_192_808, TORCHVISION, 78.312, 94.046, WEIGHTS),
    Model(
        resnet50_2015, PAPER, *SIZES, 25_557_032,
        "torchvision's resnet50: where the stride is does not change the number",
    ),
    Model(
        plain18, PAPER, *SIZES, 11_515_688,
        "resnet18 without its three projections: 11,689,512 - 173,824",
    ),
    Model(
        plain34, PAPER, *SIZES, 21_623_848,
        "resnet34 without its three projections: 21,797,672 - 173,824",
    ),
]  # fmt: skip
