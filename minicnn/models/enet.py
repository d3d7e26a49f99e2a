"""ENet: a class for every pixel, in real time (Paszke, Chaurasia, Kim, Culurciello, 2016).

Most of the work of a segmentation net is done where images are large: so ENet makes them small at
once, keeps few channels, and has a large encoder and a small decoder. All blocks but the first are
residual bottlenecks with C/4 channels inside and a PReLU (a slope for each channel) behind all:

    x ------------------.            kinds of the middle convolution:
    1x1, BN, PReLU      |            3x3; 3x3 with dilation 2, 4, 8, 16; 5x1 then 1x5
    middle, BN, PReLU   |            smaller: the 1x1 is 2x2/2, and the way around is a max pool
    1x1, BN, dropout    |                     that remembers its places, and zeros for new channels
    + <-----------------'            larger: the middle is transposed, and the way around a 1x1 and
    PReLU                                    an unpooling to the remembered places

    image 512 -> first block, 16 @256 -> stage 1, 64 @128 -> stages 2 and 3, 128 @64      encoder
              -> stage 4, 64 @128 -> stage 5, 16 @256 -> transposed 2x2/2, classes @512   decoder

Dilated convolutions see far without making the image smaller; 5x1 then 1x5 costs 10/25 of 5x5.
`enet` is the net of the paper. `enet_classifier` is its encoder with a mean and a dense layer, as
the comparisons of nets by cost (Canziani, Paszke, Culurciello, 2016) have it. Neither torchvision
nor timm has them. Implementations differ in details that the paper leaves open: here dropout is in
the decoder, too, PReLU everywhere, and C/4 is a quarter of the output's channels.
"""

from __future__ import annotations

from minicnn import functional as F
from minicnn.models.blocks import classifier, conv
from minicnn.models.registry import Model
from minicnn.nn import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Dropout2d,
    MaxPool2d,
    MaxUnpool2d,
    Module,
    PReLU,
    Sequential,
    ZeroPadShortcut,
    init,
)

FIRST = 16  # channels of the first block
# Stages 2 and 3: dilation of a 3x3, or "5x1" for the pair 5x1, 1x5.
MIDDLES = (1, 2, "5x1", 4, 1, 8, "5x1", 16)


# ---------------------------------------------------------------------------
# Blocks
# ---------------------------------------------------------------------------
class InitialBlock(Module):
    """3x3/2 convolution and 2x2 max pooling of the image, side by side: 16 channels."""

    def __init__(self, in_channels):
        super().__init__()
        if not 0 < in_channels < FIRST:
            raise ValueError(
                f"ENet: in_channels must be 1 to {FIRST - 1}, since the first block hands the "
                f"pooled image on beside its filters, {FIRST} channels in all, but got "
                f"{in_channels}"
            )
        self.conv = conv(in_channels, FIRST - in_channels, 3, stride=2)
        self.pool = MaxPool2d(2, ceil_mode=True)
        self.bn = BatchNorm2d(FIRST)
        self.prelu = PReLU(FIRST)

    def forward(self, x):
        return self.prelu(self.bn(F.cat([self.conv(x), self.pool(x)], dim=1)))


def _normalized(layer, channels):
    """A convolution, BN and PReLU."""
    return Sequential(layer, BatchNorm2d(channels), PReLU(channels))


def _middle(channels, kind):
    """The middle convolution: "5x1", or a 3x3 of the dilation that `kind` says."""
    if kind == "5x1":
        layer = Sequential(conv(channels, channels, (5, 1)), conv(channels, channels, (1, 5)))
    else:
        layer = conv(channels, channels, 3, dilation=kind)
    return _normalized(layer, channels)


class ENetBottleneck(Module):
    """A bottleneck that keeps height, width and channels.

    Parameters
    ----------
    channels : int
    dropout : float
        Probability that a whole channel of the branch becomes 0, in training.
    kind : 1, 2, 4, ... or "5x1"
        Dilation of the 3x3, or 5x1 and 1x5.
    """

    def __init__(self, channels, dropout, kind=1):
        super().__init__()
        inner = channels // 4
        self.reduce = _normalized(conv(channels, inner, 1), inner)
        self.middle = _middle(inner, kind)
        self.expand = Sequential(
            conv(inner, channels, 1), BatchNorm2d(channels), Dropout2d(dropout)
        )
        self.prelu = PReLU(channels)

    def forward(self, x):
        return self.prelu(x + self.expand(self.middle(self.reduce(x))))


class DownBottleneck(Module):
    """A bottleneck that halves height and width (a half goes up); returns where the maxima were.

    Parameters
    ----------
    in_channels, out_channels : int
    dropout : float
    """

    def __init__(self, in_channels, out_channels, dropout):
        super().__init__()
        inner = out_channels // 4
        smaller = Conv2d(  # the odd row and column at the end count, as in the pooling
            in_channels, inner, 2, 2, padding=((0, 1), (0, 1)), bias=False,
            initializer=init.he_fan_out_normal_,
        )  # fmt: skip
        self.reduce = _normalized(smaller, inner)
        self.middle = _middle(inner, 1)
        self.expand = Sequential(
            conv(inner, out_channels, 1), BatchNorm2d(out_channels), Dropout2d(dropout)
        )
        self.pool = MaxPool2d(2, return_indices=True, ceil_mode=True)
        self.widen = ZeroPadShortcut(in_channels, out_channels, zeros="after")
        self.prelu = PReLU(out_channels)

    def forward(self, x):
        y = self.expand(self.middle(self.reduce(x)))
        pooled, places = self.pool(x)
        return self.prelu(self.widen(pooled) + y), places


class UpBottleneck(Module):
    """A bottleneck that brings back the height and width that a `DownBottleneck` halved.

    Parameters
    ----------
    in_channels, out_channels : int
        out_channels as many as the `DownBottleneck` was given.
    dropout : float
    """

    def __init__(self, in_channels, out_channels, dropout):
        super().__init__()
        inner = out_channels // 4
        self.reduce = _normalized(conv(in_channels, inner, 1), inner)
        self.larger = ConvTranspose2d(
            inner, inner, 3, 2, padding=1, output_padding=1, bias=False,
            initializer=init.he_fan_out_normal_,
        )  # fmt: skip
        self.normalize = Sequential(BatchNorm2d(inner), PReLU(inner))
        self.expand = Sequential(
            conv(inner, out_channels, 1), BatchNorm2d(out_channels), Dropout2d(dropout)
        )
        self.narrow = Sequential(conv(in_channels, out_channels, 1), BatchNorm2d(out_channels))
        self.unpool = MaxUnpool2d(2)
        self.prelu = PReLU(out_channels)

    def forward(self, x, places, size):
        H, W = size
        y = self.larger(self.reduce(x))[:, :, :H, :W]  # of an odd size, one row less
        y = self.expand(self.normalize(y))
        return self.prelu(self.unpool(self.narrow(x), places, size) + y)


# ---------------------------------------------------------------------------
# The nets
# ---------------------------------------------------------------------------
class ENetEncoder(Module):
    """The first three stages: (N, C, H, W) to (N, 128, H/8, W/8).

    Called with images it returns that, and for each of its two poolings the places of the maxima
    and the size before.
    """

    def __init__(self, in_channels=3):
        super().__init__()
        self.initial = InitialBlock(in_channels)
        self.down1 = DownBottleneck(FIRST, 64, 0.01)
        self.stage1 = Sequential(*(ENetBottleneck(64, 0.01) for _ in range(4)))
        self.down2 = DownBottleneck(64, 128, 0.1)
        self.stage2 = Sequential(*(ENetBottleneck(128, 0.1, kind) for kind in MIDDLES))
        self.stage3 = Sequential(*(ENetBottleneck(128, 0.1, kind) for kind in MIDDLES))

    def forward(self, x):
        x = self.initial(x)
        first = x.shape[2:]
        x, places1 = self.down1(x)
        x = self.stage1(x)
        second = x.shape[2:]
        x, places2 = self.down2(x)
        return self.stage3(self.stage2(x)), ((places1, first), (places2, second))


class ENet(Module):
    """Scores of every class for every pixel: (N, C, H, W) to (N, K, H, W), any size from 8 up.

    Parameters
    ----------
    num_classes : int
        K; 19 in Cityscapes.
    in_channels : int
        C, at most 15.
    """

    def __init__(self, num_classes=19, in_channels=3):
        super().__init__()
        self.encoder = ENetEncoder(in_channels)
        self.up4 = UpBottleneck(128, 64, 0.1)
        self.stage4 = Sequential(ENetBottleneck(64, 0.1), ENetBottleneck(64, 0.1))
        self.up5 = UpBottleneck(64, FIRST, 0.1)
        self.stage5 = ENetBottleneck(FIRST, 0.1)
        self.fullconv = ConvTranspose2d(FIRST, num_classes, 2, 2)

    def forward(self, x):
        H, W = x.shape[2:]
        x, (first, second) = self.encoder(x)
        x = self.stage4(self.up4(x, *second))
        x = self.stage5(self.up5(x, *first))
        return self.fullconv(x)[:, :, :H, :W]


class ENetClassifier(Module):
    """ENet's encoder, a mean over the image, and a dense layer: (N, C, H, W) to (N, K).

    Parameters
    ----------
    num_classes : int
        K.
    in_channels : int
        C, at most 15.
    """

    def __init__(self, num_classes=1000, in_channels=3):
        super().__init__()
        self.encoder = ENetEncoder(in_channels)
        self.avgpool = AdaptiveAvgPool2d(1)
        self.fc = classifier(128, num_classes)

    def features(self, x):
        """What the encoder makes of images: (N, 128, H/8, W/8)."""
        return self.encoder(x)[0]

    def forward(self, x):
        return self.fc(self.avgpool(self.features(x)).flatten(1))


# ---------------------------------------------------------------------------
# Builders and registry
# ---------------------------------------------------------------------------
def enet(**settings) -> ENet:
    """ENet; settings are `ENet`'s."""
    return ENet(**settings)


def enet_classifier(**settings) -> ENetClassifier:
    """ENet's encoder as a classifier; settings are `ENetClassifier`'s."""
    return ENetClassifier(**settings)


PAPER = (
    "Paszke, Chaurasia, Kim, Culurciello, ENet: a deep neural network architecture for real-time "
    "semantic segmentation, 2016"
)
MODELS = [
    Model(
        enet, PAPER, (3, 512, 512), (3, 90, 121), 363_954,
        "by the layer sizes of the paper's Table 1, for 19 classes; the paper says 0.37M",
        task="segmentation",
    ),
    Model(
        enet_classifier, PAPER, (3, 224, 224), (3, 90, 121), 466_519,
        "337,519 of the encoder by the paper's Table 1, and 129,000 of the dense layer",
    ),
]  # fmt: skip
