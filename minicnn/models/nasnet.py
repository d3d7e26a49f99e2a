"""NASNet: cells found by a search, stacked by hand (Zoph, Vasudevan, Shlens, Le, 2017).

A controller (a recurrent net, rewarded for the accuracy of what it proposes) draws two small graphs
on CIFAR-10, where training is cheap: a cell that keeps the size and one that halves it. The net for
ImageNet is these two cells, over and over, with more channels.

A cell takes the outputs of the two cells before it, h (the last) and p (the last but one), brings
both to its width by 1x1 convolutions, adds five pairs, and joins the sums:

    normal cell "A"                               reduction cell "A" (the first three have stride 2)
      0: sep 5x5 (h) + sep 3x3 (p)                  0: sep 5x5 (h) + sep 7x7 (p)
      1: sep 5x5 (p) + sep 3x3 (p)                  1: max 3x3 (h) + sep 7x7 (p)
      2: mean 3x3 (h) + p                           2: mean 3x3 (h) + sep 5x5 (p)
      3: mean 3x3 (p) + mean 3x3 (p)                3: mean 3x3 (sum 0) + sum 1
      4: sep 3x3 (h) + h                            4: sep 3x3 (sum 0) + max 3x3/2 (h)
      out: p, 0, 1, 2, 3, 4                         out: 1, 2, 3, 4

    image -> 3x3/2 -> 2 reduction cells -> N normal cells -> reduction -> N -> reduction -> N
          -> ReLU -> mean -> fc                N = 6, 4032 features (large, 331 pixels)
                                               N = 4, 1056 features (mobile, 224 pixels)

"sep" is ReLU, depthwise, 1x1, BN, twice. Padding is TensorFlow's "same": the size is divided by the
stride and rounded up, and an odd pixel of padding goes to the end.

Variants. The names are timm's (`nasnetalarge`; timm has no mobile one). A mean here counts only
pixels of the image, as in the authors' code; timm's counts the padding, where the stride is 2. The
head in the middle, which only training uses, and the dropping of paths are left out.
"""

from __future__ import annotations

from minicnn import functional as F
from minicnn.models.blocks import classifier, conv, named
from minicnn.models.registry import Model
from minicnn.nn import AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Dropout, Module, ReLU, init

# A cell: for each pair (operation, on what) twice. h and p are inputs, numbers are earlier sums.
NORMAL = (
    (("sep5", "h"), ("sep3", "p")),
    (("sep5", "p"), ("sep3", "p")),
    (("mean", "h"), ("same", "p")),
    (("mean", "p"), ("mean", "p")),
    (("sep3", "h"), ("same", "h")),
)
REDUCTION = (
    (("sep5", "h"), ("sep7", "p")),
    (("max", "h"), ("sep7", "p")),
    (("mean", "h"), ("sep5", "p")),
    (("same", 1), ("mean", 0)),
    (("sep3", 0), ("max", "h")),
)


def _norm(channels):
    return BatchNorm2d(channels, eps=0.001)


# ---------------------------------------------------------------------------
# Operations
# ---------------------------------------------------------------------------
class SameConv2d(Conv2d):
    """A convolution without bias whose output is the image's size / stride, rounded up."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, groups=1):
        super().__init__(
            in_channels, out_channels, kernel_size, stride, groups=groups, bias=False,
            initializer=init.he_fan_out_normal_,
        )  # fmt: skip

    def forward(self, x):
        sides = []
        for n, k, s in zip(x.shape[2:], self.kernel_size, self.stride):
            spare = max((-(-n // s) - 1) * s + k - n, 0)
            sides.append((spare // 2, spare - spare // 2))
        return F.conv2d(x, self.weight, None, self.stride, tuple(sides), groups=self.groups)


class Separable(Module):
    """Depthwise and 1x1: "depthwise_conv2d" and "pointwise_conv2d"."""

    def __init__(self, in_channels, out_channels, kernel_size, stride):
        super().__init__()
        self.depthwise_conv2d = SameConv2d(
            in_channels, in_channels, kernel_size, stride, groups=in_channels
        )
        self.pointwise_conv2d = conv(in_channels, out_channels, 1)

    def forward(self, x):
        return self.pointwise_conv2d(self.depthwise_conv2d(x))


class TwiceSeparable(Module):
    """ReLU, separable convolution, BN, twice; the stride is in the first."""

    def __init__(self, in_channels, out_channels, kernel_size, stride):
        super().__init__()
        self.separable_1 = Separable(in_channels, out_channels, kernel_size, stride)
        self.bn_sep_1 = _norm(out_channels)
        self.separable_2 = Separable(out_channels, out_channels, kernel_size, 1)
        self.bn_sep_2 = _norm(out_channels)

    def forward(self, x):
        x = self.bn_sep_1(self.separable_1(F.relu(x)))
        return self.bn_sep_2(self.separable_2(F.relu(x)))


class Pool(Module):
    """3x3 maximum or mean of the pixels there are; the size / stride, rounded up."""

    def __init__(self, kind, stride):
        super().__init__()
        self.kind, self.stride = kind, stride

    def forward(self, x):
        # An even size at stride 2 lacks a pixel at the end only: the last window is cut short.
        padding = tuple(n % 2 if self.stride == 2 else 1 for n in x.shape[2:])
        if self.kind == "max":
            return F.max_pool2d(x, 3, self.stride, padding, ceil_mode=self.stride == 2)
        return F.avg_pool2d(
            x, 3, self.stride, padding, ceil_mode=self.stride == 2, count_include_pad=False
        )

    def extra_repr(self):
        return f"{self.kind}, stride={self.stride}"


def _operation(kind, in_channels, channels, stride):
    """The module of an operation's name."""
    if kind == "same":
        return None
    if kind in ("max", "mean"):
        return Pool(kind, stride)
    return TwiceSeparable(in_channels, channels, int(kind[3:]), stride)


# ---------------------------------------------------------------------------
# What brings a cell's inputs to its width
# ---------------------------------------------------------------------------
def _adjust(in_channels, channels):
    """ReLU, 1x1, BN."""
    return named(act=ReLU(), conv=conv(in_channels, channels, 1), bn=_norm(channels))


def _add_halving(cell, in_channels, channels):
    """Give a cell what `_halve` needs."""
    half = channels // 2
    cell.path_1 = named(conv=conv(in_channels, half, 1))
    cell.path_2 = named(conv=conv(in_channels, half, 1))
    cell.final_path_bn = _norm(2 * half)


def _halve(cell, x):
    """x at half its height and width: every second pixel, and those between, joined."""
    x = F.relu(x)
    between = F.pad(x, (-1, 1, -1, 1))
    halves = cell.path_1(x[:, :, ::2, ::2]), cell.path_2(between[:, :, ::2, ::2])
    return cell.final_path_bn(F.cat(halves, dim=1))


# ---------------------------------------------------------------------------
# Cells
# ---------------------------------------------------------------------------
class Cell(Module):
    """One cell.

    Parameters
    ----------
    pairs : NORMAL or REDUCTION
    channels : int
        Its width; it gives six or four times as many.
    last, before : int
        Channels of h and p.
    previous : "same", "larger" or None
        Whether p has h's size, or is twice as high and wide; None for the first cell of all, whose
        p is h as it comes.
    """

    def __init__(self, pairs, channels, last, before, previous="same"):
        super().__init__()
        self.pairs, self.previous = pairs, previous
        if previous == "same":
            self.conv_prev_1x1 = _adjust(before, channels)
        elif previous == "larger":
            _add_halving(self, before, channels)
        self.conv_1x1 = _adjust(last, channels)
        width = {"h": channels, "p": before if previous is None else channels}
        for k, pair in enumerate(pairs):
            for (kind, source), side in zip(pair, ("left", "right")):
                stride = 2 if pairs is REDUCTION and source in width else 1
                operation = _operation(kind, width.get(source, channels), channels, stride)
                setattr(self, f"comb_iter_{k}_{side}", operation)

    def forward(self, h, p):
        if self.previous == "same":
            p = self.conv_prev_1x1(p)
        elif self.previous == "larger":
            p = _halve(self, p)
        values = {"h": self.conv_1x1(h), "p": p}
        for k, pair in enumerate(self.pairs):
            left, right = (
                values[source] if kind == "same"
                else getattr(self, f"comb_iter_{k}_{side}")(values[source])
                for (kind, source), side in zip(pair, ("left", "right"))
            )  # fmt: skip
            values[k] = left + right
        parts = ("p", 0, 1, 2, 3, 4) if self.pairs is NORMAL else (1, 2, 3, 4)
        return F.cat([values[part] for part in parts], dim=1)


class NASNet(Module):
    """A net of NASNet-A cells; images of 33 pixels or more.

    Parameters
    ----------
    cells : int
        Normal cells in each of the three stages: N of the paper, at most 6.
    features : int
        Channels that come out in the end: a multiple of 96.
    stem : int
        Channels of the first convolution.
    num_classes, in_channels : int
    dropout : float
        Probability of a zero before the dense layer, in training.

    Raises
    ------
    ValueError
        If there are too many cells, or features is no multiple of 96.
    """

    def __init__(self, cells, features, stem, num_classes=1000, in_channels=3, dropout=0.5):
        super().__init__()
        if not 1 <= cells <= 6 or features % 96:
            raise ValueError(
                f"NASNet: cells must be 1 to 6 and features a multiple of 96 (4 stages and 6 "
                f"parts, halved), but got {cells} and {features}"
            )
        width = features // 24
        first = Conv2d(in_channels, stem, 3, 2, bias=False, initializer=init.he_fan_out_normal_)
        self.conv0 = named(conv=first, bn=_norm(stem))
        self.cell_stem_0 = Cell(REDUCTION, width // 4, stem, stem, previous=None)
        self.cell_stem_1 = Cell(REDUCTION, width // 2, width, stem, previous="larger")
        self.order = []
        last, before = 2 * width, width  # channels of h and of p
        for stage in range(3):
            if stage:
                self._add(f"reduction_cell_{stage - 1}", Cell(REDUCTION, 2 * width, last, before))
                width, last = 2 * width, 8 * width
            for k in range(cells):
                size = "same" if k else "larger"
                self._add(f"cell_{6 * stage + k}", Cell(NORMAL, width, last, before, size))
                last, before = 6 * width, last
        self.pool = AdaptiveAvgPool2d(1)
        self.dropout = Dropout(dropout)
        self.last_linear = classifier(features, num_classes)

    def _add(self, name, cell):
        """The next cell."""
        setattr(self, name, cell)
        self.order.append(name)

    def features(self, x):
        """What the last cell makes of images, activated: (N, features, H/32, W/32)."""
        first = self.conv0(x)
        p = self.cell_stem_0(first, first)
        h = self.cell_stem_1(p, first)
        for name in self.order:
            y = getattr(self, name)(h, p)
            if not name.startswith("reduction"):  # the cell behind a reduction has the same p
                p = h
            h = y
        return F.relu(h)

    def forward(self, x):
        return self.last_linear(self.dropout(self.pool(self.features(x)).flatten(1)))


def nasnetalarge(**settings) -> NASNet:
    """NASNet-A (6 @ 4032); settings: num_classes, in_channels, dropout."""
    return NASNet(6, 4032, 96, **settings)


def nasnetamobile(**settings) -> NASNet:
    """NASNet-A (4 @ 1056); settings: num_classes, in_channels, dropout."""
    return NASNet(4, 1056, 32, **settings)


PAPER = "Zoph, Vasudevan, Shlens, Le, Learning transferable architectures, 2017"
MODELS = [
    Model(
        nasnetamobile, PAPER, (3, 224, 224), (3, 96, 96), 5_289_978,
        "the paper, Table 3, says 5.3M; exact by its layer sizes",
        74.0, 91.6, "the paper, Table 3",
    ),
    Model(
        nasnetalarge, PAPER, (3, 331, 331), (3, 96, 96), 88_753_150, "timm",
        82.7, 96.2, "the paper, Table 2",
    ),
]  # fmt: skip
