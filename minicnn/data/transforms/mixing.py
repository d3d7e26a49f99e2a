"""What is hidden or mixed, so that a net must look at more than one spot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minicnn.data.transforms.base import Transform, per_channel
from minicnn.functional.arguments import as_count, as_number
from minicnn.layout import nchw, nhwc


@dataclass(frozen=True)
class Cutout(Transform):
    """Hides a square around a pixel drawn for each image; the part outside the image is lost.

    The square begins at row i - floor(size / 2) and column j - floor(size / 2), with (i, j) drawn
    evenly from all pixels. DeVries and Taylor, "Improved regularization of convolutional neural
    networks with cutout", 2017.

    Parameters
    ----------
    size : int
        Of the square's sides; the paper's best are 16 (CIFAR-10) and 8 (CIFAR-100).
    fill : float or sequence of C floats
        What it holds. The paper fills normalised images with 0: before a loader's mean and std are
        applied, that is fill=mean.
    """

    size: int
    fill: float | tuple[float, ...] = 0
    draws = True

    def __post_init__(self):
        as_count(self.name, "size", self.size)
        per_channel(self.name, "fill", self.fill)

    def apply(self, x, rng):
        N, C, H, W = x.shape
        fill = per_channel(self.name, "fill", self.fill, C)
        tops = rng.integers(0, H, N) - self.size // 2
        lefts = rng.integers(0, W, N) - self.size // 2
        y = nhwc(x).copy()
        for image, top, left in zip(y, tops.tolist(), lefts.tolist()):
            rows = slice(max(top, 0), max(top + self.size, 0))
            columns = slice(max(left, 0), max(left + self.size, 0))
            image[rows, columns] = fill
        return nchw(y)


@dataclass(frozen=True)
class MixUp:
    """Mixes each image with another of its batch, and their classes in the same proportion.

    x'[n] = l x[n] + (1 - l) x[p(n)] and y'[n] = l e(y[n]) + (1 - l) e(y[p(n)]): p is a permutation
    of the batch, e(k) has 1 at k and 0 elsewhere, and l is drawn from Beta(alpha, alpha), once for
    the batch. Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: Beyond empirical risk minimization", 2018.

    It is no transform of single images: a loader takes it as `mix`, after all else, and
    `cross_entropy` takes its labels, which are probabilities.

    Parameters
    ----------
    num_classes : int
    alpha : float
        Over 0; the paper's are 1 for CIFAR and 0.2 for ImageNet.
    """

    num_classes: int
    alpha: float = 1.0

    def __post_init__(self):
        as_count("MixUp", "num_classes", self.num_classes)
        as_number("MixUp", "alpha", self.alpha, "over 0", lambda a: 0 < a < np.inf)

    def __call__(self, x, y, rng) -> tuple[np.ndarray, np.ndarray]:
        """x (N, C, H, W) floats and y (N,) integers; returns (N, C, H, W) and (N, num_classes).

        Raises
        ------
        ValueError
            If y is not (N,), or holds a label beyond num_classes.
        """
        if y.shape != x.shape[:1] or y.min(initial=0) < 0 or y.max(initial=0) >= self.num_classes:
            raise ValueError(
                f"MixUp: labels of shape {y.shape} up to {y.max(initial=0)} do not fit, but must "
                f"be one for each of the {len(x)} images, in 0..{self.num_classes - 1}"
            )
        share = rng.beta(self.alpha, self.alpha)
        partner = rng.permutation(len(x))
        classes = np.eye(self.num_classes, dtype=x.dtype)[y]
        x = nhwc(x)
        mixed = x * x.dtype.type(share) + x[partner] * x.dtype.type(1 - share)
        return nchw(mixed), (share * classes + (1 - share) * classes[partner]).astype(x.dtype)
