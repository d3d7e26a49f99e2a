"""ResNet for CIFAR-10: thin and deep, to study depth (He, Zhang, Ren, Sun, 2015, section 4.2).

    image 32 -> 3x3, 16 -> n blocks, 16 @32 -> n blocks, 32 @16 -> n blocks, 64 @8 -> mean -> fc

Each block has two 3x3 convolutions, so there are 6n + 2 weighted layers. The way around has no
weights, even where the shape changes (option A, zeros for new channels), so that a residual net has
exactly as many parameters as the plain net beside it, which lacks the additions. The plain net of
56 layers trains worse than that of 20; the residual net of 56 trains better.

These are not the nets for ImageNet on small images: `resnet` has 18 layers or more, a 7x7 stem, a
pooling, four stages and 40 times as many parameters. Published weights come with zeros around the
channels (zeros="around", the default) or after them; see `ZeroPadShortcut`.
"""

from __future__ import annotations

from minicnn.functional.arguments import as_count
from minicnn.models.blocks import classifier, conv
from minicnn.models.registry import Model
from minicnn.models.resnet import BasicBlock, add_stages, start_as_identity
from minicnn.nn import AdaptiveAvgPool2d, BatchNorm2d, Module
from minicnn.nn.in_turn import in_turn


class CifarResNet(Module):
    """A residual net for images of 32x32 pixels; any from 1 pixel up will do.

    Parameters
    ----------
    depth : int
        Weighted layers: 6n + 2.
    num_classes, in_channels : int
    shortcut : "A", "B", "C" or None
        The way around; None makes it a plain net.
    zero_init_residual : bool
        Whether every block starts as the identity.

    Raises
    ------
    ValueError
        If the depth is not 6n + 2.
    """

    def __init__(
        self, depth, num_classes=10, in_channels=3, shortcut="A", zero_init_residual=False
    ):
        super().__init__()
        n, rest = divmod(as_count("CifarResNet", "depth", depth) - 2, 6)
        if rest or n < 1:
            raise ValueError(
                f"CifarResNet: depth must be 6n + 2 (three stages of n blocks of two layers, and "
                f"two layers around them), but got {depth}; use 20, 32, 44, 56, 110, ..."
            )
        self.conv1 = conv(in_channels, 16, 3)
        self.bn1 = BatchNorm2d(16)
        channels = add_stages(self, BasicBlock, 16, 16, (n, n, n), shortcut=shortcut)
        self.avgpool = AdaptiveAvgPool2d(1)
        self.linear = classifier(channels, num_classes)
        if zero_init_residual:
            start_as_identity(self)

    def features(self, x):
        """What the last stage makes of images: (N, 64, H/4, W/4)."""
        x = in_turn([self.conv1, self.bn1], x, "relu")
        return self.layer3(self.layer2(self.layer1(x)))

    def forward(self, x):
        return self.linear(self.avgpool(self.features(x)).flatten(1))


# ---------------------------------------------------------------------------
# Builders and registry
# ---------------------------------------------------------------------------
def _builder(depth, kind):
    """A builder for a net of this depth, residual or plain."""
    shortcut = "A" if kind == "resnet" else None

    def build(**settings) -> CifarResNet:
        return CifarResNet(depth, **{"shortcut": shortcut, **settings})

    build.__name__ = build.__qualname__ = f"cifar_{kind}{depth}"
    name = "residual" if shortcut else "plain"
    build.__doc__ = f"The {name} net for CIFAR-10 with {depth} layers; settings: `CifarResNet`'s."
    return build


PAPER = "He, Zhang, Ren, Sun, Deep residual learning for image recognition, 2015"
SIZES = (3, 32, 32), (3, 40, 40)
COUNT = "97,216 n - 21,926 by the paper's layer sizes, for 6n + 2 layers; its Table 6 rounds it"


def _model(depth, kind, top1=None):
    published = {} if top1 is None else {"top1": top1, "accuracy_source": "the paper, Table 6"}
    count = 97_216 * (depth // 6) - 21_926
    return Model(
        _builder(depth, kind), PAPER, *SIZES, count, COUNT, dataset="CIFAR-10, test", **published
    )


MODELS = [
    *(
        _model(depth, "resnet", round(100 - error, 2))
        for depth, error in (
            (20, 8.75), (32, 7.51), (44, 7.17), (56, 6.97), (110, 6.43), (1202, 7.93),
        )
    ),
    *(_model(depth, "plain") for depth in (20, 32, 44, 56, 110)),
]  # fmt: skip
