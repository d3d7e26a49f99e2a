"""LeNet-5: convolutions and poolings in turn, then dense layers (LeCun et al., 1998).

    image 32x32 -> C1 6@28x28 -> S2 6@14x14 -> C3 16@10x10 -> S4 16@5x5 -> C5 120 -> F6 84 -> 10

A small filter is slid over the whole image, so it learns a feature once and finds it everywhere;
pooling then gives up where exactly it was. Two forms are here:

`LeNet`
    The form that textbooks teach: ReLU, max pooling, dense layers 120-84-10. 61,706 parameters.
`LeNet5_1998`
    The paper's: trainable subsampling, scaled tanh, C3 connected by a table, distances to drawn
    digits (RBF) as output. 60,000 trainable parameters.
"""

from __future__ import annotations

import numpy as np

from minicnn import functional as F
from minicnn.models.registry import Model
from minicnn.nn import Conv2d, Linear, MaxPool2d, Module, Parameter, init
from minicnn.tensor import Tensor


class LeNet(Module):
    """LeNet-5 as it is taught today: ReLU and max pooling.

    Parameters
    ----------
    num_classes, in_channels : int
    image_size : int
        Height and width of the images, in pixels.
    padding : int
        Of the first convolution: 2 makes 28x28 images (MNIST) as good as the paper's 32x32.

    Raises
    ------
    ValueError
        If the image is too small to leave a pixel after the second pooling.
    """

    def __init__(self, num_classes=10, in_channels=1, image_size=28, padding=2):
        super().__init__()
        size = ((image_size + 2 * padding - 4) // 2 - 4) // 2
        if size < 1:
            raise ValueError(
                f"LeNet: an image_size of {image_size} with padding {padding} leaves nothing after "
                "two convolutions and poolings; use at least 16 - 2 * padding"
            )
        self.image_size = image_size
        self.conv1 = Conv2d(in_channels, 6, 5, padding=padding)
        self.pool1 = MaxPool2d(2)
        self.conv2 = Conv2d(6, 16, 5)
        self.pool2 = MaxPool2d(2)
        self.fc1 = Linear(16 * size * size, 120)
        self.fc2 = Linear(120, 84)
        self.fc3 = Linear(84, num_classes)

    def forward(self, x):
        x = self.pool1(F.relu(self.conv1(x)))
        x = self.pool2(F.relu(self.conv2(x)))
        x = x.flatten(1)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


# ---------------------------------------------------------------------------
# The form of 1998
# ---------------------------------------------------------------------------
C3_TABLE = (  # which maps of S2 each map of C3 is connected to (the paper's Table I)
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)  # fmt: skip

# Digits on a 7 x 12 grid, in the manner of the paper's Figure 3 (these are drawn anew).
GLYPHS = """
..###.. ...##.. ..###.. .#####. ....##. .#####. ..###.. ####### ..###.. ..###..
.##.##. ..###.. .##.##. ##...## ...###. .##.... .##.##. .....## .##.##. .##.##.
##...## .####.. ##...## .....## ..####. .##.... ##...## ....##. ##...## ##...##
##...## ...##.. .....## .....## .##.##. .##.... ##..... ....##. ##...## ##...##
##...## ...##.. .....## ....##. ##..##. .####.. ##..... ...##.. .##.##. ##...##
##...## ...##.. ....##. ..###.. ##..##. .....## #####.. ...##.. ..###.. .##.###
##...## ...##.. ...##.. ....##. ##..##. .....## ##..##. ..##... .##.##. ..##.##
##...## ...##.. ..##... .....## ####### .....## ##...## ..##... ##...## .....##
##...## ...##.. .##.... .....## ....##. .....## ##...## .##.... ##...## .....##
##...## ...##.. ##..... .....## ....##. ##...## ##...## .##.... ##...## ##...##
.##.##. ...##.. ##..... ##...## ....##. .##.##. .##.##. ##..... .##.##. .##.##.
..###.. ..####. ####### .#####. ....##. ..###.. ..###.. ##..... ..###.. ..###..
"""


def glyphs() -> np.ndarray:
    """The ten drawn digits as float32 vectors of +1 (ink) and -1: (10, 84)."""
    rows = [line.split() for line in GLYPHS.split("\n") if line]
    digits = ["".join(row[d] for row in rows) for d in range(10)]
    return np.array([[1 if c == "#" else -1 for c in digit] for digit in digits], np.float32)


def _lecun_1998_(tensor, fan_in):
    """The paper's initialisation: uniform in +-2.4 / fan_in."""
    return init.uniform_(tensor, -2.4 / fan_in, 2.4 / fan_in)


class Subsample2d(Module):
    """Sum of each 2 x 2 window, times one trainable weight per map, plus one trainable bias."""

    def __init__(self, channels):
        super().__init__()
        self.weight = _lecun_1998_(Parameter(np.empty(channels, np.float32)), 4)
        self.bias = Parameter(np.zeros(channels, np.float32))

    def forward(self, x):
        total = F.avg_pool2d(x, 2) * 4
        return total * self.weight.reshape(1, -1, 1, 1) + self.bias.reshape(1, -1, 1, 1)


class TableConv2d(Module):
    """Convolution in which each output map sees only the input maps that a table names.

    Attributes
    ----------
    filters : Parameter (connections, KH, KW)
        One filter for each connection, in the table's order.
    bias : Parameter (O,)
    """

    def __init__(self, in_channels, table, kernel_size):
        super().__init__()
        self.table = table
        count = sum(len(maps) for maps in table)
        self.filters = Parameter(np.empty((count, kernel_size, kernel_size), np.float32))
        self.bias = Parameter(np.zeros(len(table), np.float32))
        self.places = np.zeros((len(table), in_channels), np.int64)
        self.connected = np.zeros((len(table), in_channels, 1, 1), bool)
        values, k = np.empty(self.filters.shape, np.float32), 0
        for o, maps in enumerate(table):
            fan_in = len(maps) * kernel_size**2
            for c in maps:
                block = Tensor(values[k])
                _lecun_1998_(block, fan_in)
                self.places[o, c], self.connected[o, c] = k, True
                k += 1
        self.filters.assign_(values)

    def forward(self, x):
        weight = self.filters[self.places] * self.connected  # (O, C, KH, KW), 0 where not connected
        return F.conv2d(x, weight, self.bias)

    def extra_repr(self):
        return f"{self.places.shape[1]}, {len(self.table)}, connections={len(self.filters)}"


class RBF(Module):
    """Squared Euclidean distance to fixed vectors: y[n,k] = sum over j of (x[n,j] - centre[k,j])^2.

    Returns -y, so that the nearest class has the highest score and cross-entropy can be used.
    """

    def __init__(self, centres):
        super().__init__()
        self.centres = centres

    def forward(self, x):
        difference = x.reshape(len(x), 1, -1) - Tensor(self.centres).to(x.dtype).to(x.device)
        return -((difference * difference).sum(dim=2))

    def extra_repr(self):
        return f"{self.centres.shape[1]}, {self.centres.shape[0]}"


class LeNet5_1998(Module):  # noqa: N801 - the year belongs to the name
    """LeNet-5 as published: subsampling, scaled tanh, C3's table, RBF output.

    Takes 32x32 images (28x28 with padding 2), one channel, ten classes.

    Parameters
    ----------
    output : "rbf" or "linear"
        Distances to drawn digits (fixed), or a trained dense layer in their place.
    padding : int
        Of the first convolution: 2 for 28x28 images.
    """

    def __init__(self, output="rbf", padding=2):
        super().__init__()
        if output not in ("rbf", "linear"):
            raise ValueError(f"LeNet5_1998: output expects 'rbf' or 'linear', but got {output!r}")
        self.image_size = 32 - 2 * padding
        self.c1 = Conv2d(1, 6, 5, padding=padding, initializer=lambda w: _lecun_1998_(w, 25))
        self.s2 = Subsample2d(6)
        self.c3 = TableConv2d(6, C3_TABLE, 5)
        self.s4 = Subsample2d(16)
        self.c5 = Conv2d(16, 120, 5, initializer=lambda w: _lecun_1998_(w, 400))
        self.f6 = Linear(120, 84, initializer=lambda w: _lecun_1998_(w, 120))
        self.output = RBF(glyphs()) if output == "rbf" else Linear(84, 10)

    def forward(self, x):
        for layer in (self.c1, self.s2, self.c3, self.s4, self.c5):
            x = F.scaled_tanh(layer(x))
        return self.output(F.scaled_tanh(self.f6(x.flatten(1))))


# ---------------------------------------------------------------------------
# Registry
# ---------------------------------------------------------------------------
PAPER = "LeCun et al., Gradient-based learning applied to document recognition, 1998"
MODELS = [
    Model(
        LeNet, PAPER, (1, 28, 28), (1, 28, 28), 61_706,
        "the paper's layer sizes with full connections: 156 + 2,416 + 48,120 + 10,164 + 850",
    ),
    Model(
        LeNet5_1998, PAPER, (1, 28, 28), (1, 28, 28), 60_000,
        "the paper, section II.B: 60,000 trainable parameters",
    ),
]  # fmt: skip
