"""GoogLeNet, the first Inception: filters of several sizes side by side (Szegedy et al., 2014).

How large should a filter be? A module tries 1x1, 3x3, 5x5 and a pooling at once, and joins what
they give. As it stands it can only grow deeper and dearer; so 1x1 convolutions first bring the
number of channels down.

    naive             x                    with reductions         x
          .------.----+---.------.               .-------.---------+---.--------.
         1x1    3x3      5x5    pool            1x1     1x1           1x1      pool
          |      |        |      |               |      3x3           5x5      1x1
          '------'--join--'------'               '-------'----join-----'--------'

On a map of 28 x 28 x 256: 672 channels for 854,196,224 multiplications, or 480 for 271,351,808.
There are nine modules, then a mean over the image and one dense layer: 6,998,552 parameters, about
a ninth of AlexNet's (the paper says a twelfth). In training, two more classifiers stand on the way
and bring the gradient to the early layers.

    224 -> 7x7/2 -> pool -> LRN -> 1x1 -> 3x3 -> LRN -> pool -> 3a 3b -> pool
        -> 4a 4b 4c 4d 4e -> pool -> 5a 5b -> mean -> fc
           aux1     aux2

Variants. `googlenet_2014` is the paper's net. `googlenet` is torchvision's: a batch normalization
after each convolution and no LRN, a last pooling of 2x2, and 3x3 convolutions in the branch that
the paper gives 5x5, as in the TensorFlow net that the weights come from; 13,004,888 parameters with
both heads, 6,624,904 without.
"""

from __future__ import annotations

from collections import namedtuple
from functools import partial

from minicnn import functional as F
from minicnn.models.alexnet import paper_norm
from minicnn.models.blocks import BasicConv2d, Branches, centred, check_size, classifier
from minicnn.models.registry import Model
from minicnn.nn import AdaptiveAvgPool2d, Conv2d, Dropout, MaxPool2d, Module, Sequential

GoogLeNetOutputs = namedtuple("GoogLeNetOutputs", "logits aux_logits2 aux_logits1")
GoogLeNetOutputs.__doc__ += ": scores in training mode; see `blocks.auxiliary_loss`."

# The paper's Table 1: 1x1, 1x1 and 3x3, 1x1 and 5x5, 1x1 after the pooling.
MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


# ---------------------------------------------------------------------------
# Blocks
# ---------------------------------------------------------------------------
plain_conv = partial(BasicConv2d, batch_norm=False)


class NaiveInception(Branches):
    """1x1, 3x3, 5x5 and a pooling on the same input: its channels come out again, and more.

    Parameters
    ----------
    in_channels, ch1x1, ch3x3, ch5x5 : int
        Channels in, and out of each convolution. Out of all: their sum with in_channels.
    """

    def __init__(self, in_channels, ch1x1, ch3x3, ch5x5):
        super().__init__(
            branch1=Conv2d(in_channels, ch1x1, 1),
            branch2=Conv2d(in_channels, ch3x3, 3, padding=1),
            branch3=Conv2d(in_channels, ch5x5, 5, padding=2),
            branch4=MaxPool2d(3, stride=1, padding=1),
        )

    def forward(self, x):
        return F.relu(super().forward(x))


class Inception(Branches):
    """The module with 1x1 reductions.

    Parameters
    ----------
    in_channels, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj : int
        Channels in; of the four branches' convolutions, "red" being the reduction before.
    kernel : int
        Of the third branch: 5 in the paper, 3 in torchvision's net.
    conv : function
        Makes a convolution with its activation, from in_channels, out_channels, kernel_size.
    """

    def __init__(
        self,
        in_channels,
        ch1x1,
        ch3x3red,
        ch3x3,
        ch5x5red,
        ch5x5,
        pool_proj,
        kernel=5,
        conv=plain_conv,
    ):
        super().__init__(
            branch1=conv(in_channels, ch1x1, 1),
            branch2=Sequential(
                conv(in_channels, ch3x3red, 1),
                conv(ch3x3red, ch3x3, 3, padding=1),
            ),
            branch3=Sequential(
                conv(in_channels, ch5x5red, 1),
                conv(ch5x5red, ch5x5, kernel, padding=kernel // 2),
            ),
            branch4=Sequential(
                MaxPool2d(3, stride=1, padding=1),
                conv(in_channels, pool_proj, 1),
            ),
        )


class HeadPool(Module):
    """The paper's pooling before a head, 14 x 14 to 4 x 4: means over 5 x 5 pixels, stride 3.

    Maps of other sizes, from images of other sizes, become 4 x 4 by adaptive pooling.
    """

    def forward(self, x):
        if x.shape[2:] == (14, 14):
            return F.avg_pool2d(x, 5, stride=3)
        return F.adaptive_avg_pool2d(x, 4)


class InceptionAux(Module):
    """A classifier halfway: pooling to 4x4, a 1x1 convolution, two dense layers.

    Parameters
    ----------
    in_channels, num_classes : int
    conv : function
        As in `Inception`.
    dropout : float
        Probability between the dense layers.
    """

    def __init__(self, in_channels, num_classes, conv, dropout):
        super().__init__()
        self.pool = AdaptiveAvgPool2d(4)
        self.conv = conv(in_channels, 128, 1)
        self.fc1 = classifier(128 * 4 * 4, 1024)
        self.fc2 = classifier(1024, num_classes)
        self.dropout = Dropout(dropout)

    def forward(self, x):
        x = self.conv(self.pool(x)).flatten(1)
        return self.fc2(self.dropout(F.relu(self.fc1(x))))


# ---------------------------------------------------------------------------
# Nets
# ---------------------------------------------------------------------------
class GoogLeNet(Module):
    """GoogLeNet with batch normalization, as in torchvision.

    In training mode, if it has auxiliary heads, it returns `GoogLeNetOutputs`: three tensors of
    scores, for `auxiliary_loss`. In evaluation mode it returns the scores (N, num_classes).

    Parameters
    ----------
    num_classes, in_channels : int
    aux_logits : bool
        Whether there are auxiliary heads.
    transform_input : bool
        Whether to undo ImageNet's normalization: see `centred`. The weights that torchvision
        publishes want it.
    dropout, dropout_aux : float
        Probabilities, before the last dense layer and in the heads.
    batch_norm : bool
        Whether each convolution is followed by a batch normalization.
    kernel : int
        Of the third branch: 3, or the paper's 5.
    """

    smallest = 15

    def __init__(
        self,
        num_classes=1000,
        in_channels=3,
        aux_logits=True,
        transform_input=False,
        dropout=0.2,
        dropout_aux=0.7,
        batch_norm=True,
        kernel=3,
    ):
        super().__init__()
        self.transform_input = transform_input
        conv = partial(BasicConv2d, batch_norm=batch_norm)
        pool = partial(MaxPool2d, stride=2, ceil_mode=True)
        self.conv1 = conv(in_channels, 64, 7, stride=2, padding=3)
        self.maxpool1 = pool(3)
        self.conv2 = conv(64, 64, 1)
        self.conv3 = conv(64, 192, 3, padding=1)
        self.maxpool2 = pool(3)
        self.maxpool3 = pool(3)
        self.maxpool4 = pool(2)
        channels, out = 192, {}  # before a module, and after each by name
        for name, sizes in MODULES.items():
            module = Inception(channels, *sizes, kernel=kernel, conv=conv)
            setattr(self, f"inception{name}", module)
            channels = out[name] = sizes[0] + sizes[2] + sizes[4] + sizes[5]
        self.aux1 = InceptionAux(out["4a"], num_classes, conv, dropout_aux) if aux_logits else None
        self.aux2 = InceptionAux(out["4d"], num_classes, conv, dropout_aux) if aux_logits else None
        self.avgpool = AdaptiveAvgPool2d(1)
        self.dropout = Dropout(dropout)
        self.fc = classifier(channels, num_classes)

    def forward(self, x):
        check_size(self, x)
        x = centred(x) if self.transform_input else x
        x = self.maxpool1(self.conv1(x))
        x = self.maxpool2(self.conv3(self.conv2(x)))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        x = at_4a = self.inception4a(x)
        x = at_4d = self.inception4d(self.inception4c(self.inception4b(x)))
        x = self.maxpool4(self.inception4e(x))
        x = self.avgpool(self.inception5b(self.inception5a(x)))
        logits = self.fc(self.dropout(x.flatten(1)))
        if not self.training or self.aux1 is None:
            return logits
        return GoogLeNetOutputs(logits, self.aux2(at_4d), self.aux1(at_4a))


class GoogLeNet2014(GoogLeNet):
    """GoogLeNet as published: 5x5 convolutions, local response normalization.

    Returns what `GoogLeNet` does. For the normalization the paper gives no settings: AlexNet's are
    taken.

    Parameters
    ----------
    num_classes, in_channels, aux_logits, dropout, dropout_aux
        As in `GoogLeNet`.
    """

    smallest = 31

    def __init__(
        self, num_classes=1000, in_channels=3, aux_logits=True, dropout=0.4, dropout_aux=0.7
    ):
        super().__init__(
            num_classes, in_channels, aux_logits, False, dropout, dropout_aux,
            batch_norm=False, kernel=5,
        )  # fmt: skip
        self.maxpool1 = Sequential(self.maxpool1, paper_norm())
        self.maxpool2 = Sequential(paper_norm(), self.maxpool2)
        self.maxpool4 = MaxPool2d(3, stride=2, ceil_mode=True)
        for head in (self.aux1, self.aux2) if aux_logits else ():
            head.pool = HeadPool()


# ---------------------------------------------------------------------------
# Builders and registry
# ---------------------------------------------------------------------------
def googlenet_2014(**settings) -> GoogLeNet2014:
    """GoogLeNet as published in 2014; settings are `GoogLeNet2014`'s."""
    return GoogLeNet2014(**settings)


def googlenet(**settings) -> GoogLeNet:
    """GoogLeNet as torchvision has it; settings are `GoogLeNet`'s."""
    return GoogLeNet(**settings)


PAPER = "Szegedy et al., Going deeper with convolutions, 2014"
MODELS = [
    Model(
        googlenet_2014, PAPER, (3, 224, 224), (3, 128, 128), 13_378_280,
        "follows from the paper's Table 1; with both auxiliary heads, 6,998,552 without",
    ),
    Model(
        googlenet, PAPER, (3, 224, 224), (3, 96, 96), 13_004_888,
        "torchvision; with both auxiliary heads, 6,624,904 without",
        69.778, 89.530, "torchvision, IMAGENET1K_V1",
    ),
]  # fmt: skip
