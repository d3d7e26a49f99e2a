"""Capsules: groups of neurons that agree on what they see (Sabour, Frosst, Hinton, 2017).

Pooling throws away where things are. A capsule keeps it: its output is a vector whose length says
how likely a thing is there, and whose direction says in what pose. Each capsule below predicts the
vector of each capsule above; predictions that agree get more weight, those that do not get less.

    image 28 -> 9x9, 256, ReLU @20 -> 9x9/2, 32 kinds of capsules of 8 @6: 1152 capsules
             -> 10 capsules of 16, by routing -> their lengths
             -> (the right capsule alone) -> fc 512 -> fc 1024 -> fc 784, the image again

    routing, 3 times:   c = softmax of b over the capsules above     b starts at 0
                        s = sum of c * prediction
                        v = squash(s) = s/|s| * |s|^2 / (1 + |s|^2)
                        b = b + prediction . v

It is trained with the margin loss on the lengths and, to make the vectors tell all of the digit, a
little of the squared error of the image drawn again: see `loss`. It is the paper's net; neither
torchvision nor timm has it. Gradients flow through all three rounds.
"""

from __future__ import annotations

import numpy as np

from minicnn import functional as F
from minicnn.backends import to_device, xp
from minicnn.functional.arguments import as_count
from minicnn.models.registry import Model
from minicnn.nn import Conv2d, Linear, Module, Parameter, ReLU, Sequential, Sigmoid, init
from minicnn.tensor import Tensor, as_array

TINY = 1e-9  # under a square root, whose slope at 0 is infinite


def squash(s) -> Tensor:
    """s (..., D) with its direction kept and its length L made L^2 / (1 + L^2), below 1."""
    square = (s * s).sum(dim=-1, keepdim=True)
    return s * (square / (1 + square) / (square + TINY) ** 0.5)


def lengths(v) -> Tensor:
    """Lengths of the vectors v (..., D)."""
    return ((v * v).sum(dim=-1) + TINY) ** 0.5


class DigitCaps(Module):
    """Capsules that look at all capsules below, by routing.

    Parameters
    ----------
    below, in_size : int
        How many capsules there are below (I), and numbers in each.
    count, size : int
        How many capsules are made (J), and numbers in each (D).
    iterations : int
        Rounds of routing.

    Attributes
    ----------
    weight : Parameter (I, in_size, J*D)
        What each capsule below predicts.
    """

    def __init__(self, below, in_size, count, size, iterations=3):
        super().__init__()
        self.count, self.size = count, size
        self.iterations = as_count("DigitCaps", "iterations", iterations)
        shape = (below, in_size, count * size)
        self.weight = init.normal_(Parameter(np.empty(shape, np.float32)), std=0.1)

    def forward(self, u):
        """u (N, I, in_size) to v (N, J, D)."""
        N, J, D = len(u), self.count, self.size
        predicted = u.permute(1, 0, 2) @ self.weight  # (I, N, J*D)
        predicted = predicted.reshape(-1, N * J, D).permute(1, 0, 2)  # (N*J, I, D)
        b = Tensor(xp(u.data).zeros((N, J, u.shape[1]), u.dtype))
        for k in range(self.iterations):
            c = F.softmax(b, dim=1).reshape(N * J, 1, -1)
            v = squash(c @ predicted)  # (N*J, 1, D)
            if k + 1 < self.iterations:
                agreement = predicted @ v.permute(0, 2, 1)
                b = b + agreement.reshape(N, J, -1)
        return v.reshape(N, J, D)

    def extra_repr(self):
        below, in_size, _ = self.weight.shape
        return f"{below} of {in_size} -> {self.count} of {self.size}, iterations={self.iterations}"


class CapsNet(Module):
    """The capsule network for digits: images (N, C, S, S) to the capsules' lengths (N, K).

    Parameters
    ----------
    num_classes, in_channels : int
        K and C.
    image_size : int
        S, in pixels: 18 or more (two 9x9 convolutions).
    iterations : int
        Rounds of routing.
    reconstruction : bool
        Whether there is a decoder, which draws images from vectors: for training.

    Raises
    ------
    ValueError
        If the image is too small.
    """

    def __init__(
        self, num_classes=10, in_channels=1, image_size=28, iterations=3, reconstruction=False
    ):
        super().__init__()
        side = (image_size - 16) // 2  # after 9x9, and 9x9 with stride 2
        if image_size < 18:
            raise ValueError(
                f"CapsNet: an image_size of {image_size} leaves nothing after a 9x9 convolution "
                "and one of stride 2; use at least 18"
            )
        self.image_shape = (in_channels, image_size, image_size)
        self.conv = Conv2d(in_channels, 256, 9)
        self.primary = Conv2d(256, 32 * 8, 9, stride=2)
        self.digits = DigitCaps(32 * side * side, 8, num_classes, 16, iterations)
        self.decoder = None
        if reconstruction:
            self.decoder = Sequential(
                Linear(16 * num_classes, 512), ReLU(), Linear(512, 1024), ReLU(),
                Linear(1024, int(np.prod(self.image_shape))), Sigmoid(),
            )  # fmt: skip

    def capsules(self, x):
        """The vectors of the classes: (N, K, 16)."""
        x = self.primary(F.relu(self.conv(x)))
        N, C, H, W = x.shape
        u = x.reshape(N, C // 8, 8, H * W).permute(0, 1, 3, 2).reshape(N, -1, 8)
        return self.digits(squash(u))

    def forward(self, x):
        return lengths(self.capsules(x))

    def reconstruct(self, v, classes=None):
        """The image (N, C, S, S) drawn from one vector each: that of its class, or the longest."""
        if self.decoder is None:
            raise ValueError(
                "CapsNet: there is no decoder to draw with; make the net with reconstruction=True"
            )
        if classes is None:
            classes = lengths(v).argmax(1)
        classes = to_device(as_array(classes), v.device)
        K = v.shape[1]
        mask = xp(v.data).eye(K, dtype=v.dtype)[classes].reshape(-1, K, 1)
        return self.decoder((v * Tensor(mask)).flatten(1)).reshape(-1, *self.image_shape)

    def loss(self, x, classes, weight=0.0005):
        """Margin loss of the lengths, plus `weight` times an image's summed squared error; mean.

        Without a decoder, the margin loss alone.
        """
        v = self.capsules(x)
        margin = F.margin_loss(lengths(v), classes)
        if self.decoder is None:
            return margin
        drawn = self.reconstruct(v, classes)
        return margin + weight / len(v) * F.mse_loss(drawn, x, reduction="sum")


def capsnet(**settings) -> CapsNet:
    """The capsule network; settings are `CapsNet`'s."""
    return CapsNet(**settings)


PAPER = "Sabour, Frosst, Hinton, Dynamic routing between capsules, 2017"
MODELS = [
    Model(
        capsnet, PAPER, (1, 28, 28), (1, 28, 28), 6_804_224,
        "by the paper's layer sizes; it says 6.8M, and 8.2M with the decoder (8,215,568)",
        99.75, accuracy_source="the paper, Table 1", dataset="MNIST, test",
    ),
]  # fmt: skip
