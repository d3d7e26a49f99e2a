"""The convolution layers that are timed: those of four nets, and two published lists.

conv_layers.csv has a line a layer: net, how often the net has it, batch size, sizes. Sources: the
nets as torchvision builds them, at 224 x 224 pixels; Baidu's DeepBench (2016); Soumith Chintala's
convnet-benchmarks (2014).
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

NETS = ("alexnet", "vgg16", "googlenet", "resnet50")


@dataclass(frozen=True)
class Layer:
    """A convolution without bias: x (N, C, H, W), w (O, C, KH, KW)."""

    net: str
    count: int  # of such layers in the net
    N: int
    C: int
    H: int
    W: int
    O: int
    KH: int
    KW: int
    SH: int
    SW: int
    PH: int
    PW: int

    @property
    def stride(self):
        return self.SH, self.SW

    @property
    def padding(self):
        return self.PH, self.PW

    @property
    def size(self):
        """(OH, OW)."""
        return (
            (self.H + 2 * self.PH - self.KH) // self.SH + 1,
            (self.W + 2 * self.PW - self.KW) // self.SW + 1,
        )

    @property
    def operations(self):
        """Multiplications and additions of the definition, in either direction."""
        OH, OW = self.size
        return 2 * self.N * OH * OW * self.O * self.C * self.KH * self.KW

    def __str__(self):
        return (
            f"{self.net} {self.C}->{self.O} {self.KH}x{self.KW}/{self.SH} "
            f"@{self.H}x{self.W} N={self.N}"
        )


def layers(all_lists=False) -> list[Layer]:
    """The layers of the four nets, or of all lists."""
    with open(Path(__file__).with_name("conv_layers.csv"), newline="") as file:
        rows = [
            Layer(row.pop("net"), **{key: int(value) for key, value in row.items()})
            for row in csv.DictReader(file)
        ]
    return [row for row in rows if all_lists or row.net in NETS]
