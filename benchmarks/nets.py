"""The nets that the CPU benchmark runs, and the batch size of each."""

from __future__ import annotations

from dataclasses import dataclass

from minicnn import models
from minicnn.nn import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential


@dataclass(frozen=True)
class Net:
    """A row of the table: a net, its image and its batch."""

    name: str
    image: tuple[int, int, int]  # (C, H, W)
    batch: int
    classes: int

    def build(self):
        """The net, with fresh weights."""
        if self.name == "cifar":
            return cifar()
        heads = {"aux_logits": False} if self.name == "googlenet" else {}
        return models.build(self.name, **heads)


IMAGENET = (3, 224, 224)
NETS = (
    Net("lenet", (1, 28, 28), 128, 10),
    Net("cifar", (3, 32, 32), 64, 10),
    Net("vgg16", IMAGENET, 2, 1000),
    Net("resnet18", IMAGENET, 4, 1000),
    Net("googlenet", IMAGENET, 4, 1000),
    Net("mobilenet_v2", IMAGENET, 4, 1000),
)
BY_NAME = {net.name: net for net in NETS}


def cifar():
    """The course's net: two 3x3 convolutions of 32 maps, a pooling, two of 64, a pooling, FC 512.

    No batch normalization and no dropout.
    """
    layers, channels = [], 3
    for width in (32, 64):
        for _ in range(2):
            layers += [Conv2d(channels, width, 3, padding=1), ReLU()]
            channels = width
        layers.append(MaxPool2d(2))
    return Sequential(*layers, Flatten(), Linear(64 * 8 * 8, 512), ReLU(), Linear(512, 10))
