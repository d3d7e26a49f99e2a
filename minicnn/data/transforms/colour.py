"""What a pixel's numbers become: jitter, lighting, normalisation. Images are floats in 0..1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minicnn.data.transforms.base import (
    Transform,
    check_colour,
    check_floats,
    normalized,
    per_channel,
)
from minicnn.functional.arguments import as_number
from minicnn.layout import nchw, nhwc, rows

LUMA = np.array([0.2989, 0.587, 0.114], np.float32)  # of R, G, B: torchvision's grey


@dataclass(frozen=True)
class Normalize(Transform):
    """y[n,c] = (x[n,c] - mean[c]) / std[c].

    Parameters
    ----------
    mean, std : float or sequence of C floats
    """

    mean: float | Sequence[float]
    std: float | Sequence[float]

    def __post_init__(self):
        per_channel(self.name, "mean", self.mean)
        if not (per_channel(self.name, "std", self.std) > 0).all():
            raise ValueError(f"{self.name}: std is {self.std!r}, but must be greater than 0")

    def apply(self, x, rng):
        check_floats(self.name, x)
        mean, std = (
            per_channel(self.name, what, getattr(self, what), x.shape[1])
            for what in ("mean", "std")
        )
        return nchw(normalized(nhwc(x), mean, std))


@dataclass(frozen=True)
class PCALighting(Transform):
    """Adds a colour drawn along the data's principal axes to all pixels of an image.

    y[n,c] = x[n,c] + sum over k of P[c,k] a[n,k] L[k], where the columns of P and the numbers L are
    the eigenvectors and eigenvalues of the covariance of the pixels' R, G, B, and a[n,k] is normal
    with standard deviation `std`. It is as if the light had changed. Values may leave 0..1.
    Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural
    networks", 2012.

    Parameters
    ----------
    std : float
        The paper's is 0.1.
    eigenvalues : 3 floats
        For images in 0..1 (the scale matters: in 0..255 they are 255^2 times as large).
    eigenvectors : 3 x 3 floats
        P, an eigenvector in each column.

    The defaults are the numbers for ImageNet that fb.resnet.torch (Gross and Wilber, 2016) made
    common. `PCALighting.of(images)` computes those of a data set.
    """

    std: float = 0.1
    eigenvalues: Sequence[float] = (0.2175, 0.0188, 0.0045)
    eigenvectors: Sequence[Sequence[float]] = (
        (-0.5675, 0.7192, 0.4009),
        (-0.5808, -0.0045, -0.8140),
        (-0.5836, -0.6948, 0.4203),
    )
    draws = True

    def __post_init__(self):
        as_number(self.name, "std", self.std, "of 0 or more", lambda s: 0 <= s < np.inf)
        for argument, shape in (("eigenvalues", (3,)), ("eigenvectors", (3, 3))):
            found = np.shape(getattr(self, argument))
            if found != shape:
                raise ValueError(f"{self.name}: {argument} have shape {found}, but must be {shape}")

    @classmethod
    def of(cls, images: np.ndarray, std: float = 0.1) -> PCALighting:
        """With the eigenvalues and eigenvectors of `images` (N, 3, H, W), uint8 or floats in 0..1.

        Integers are divided by 255. Eigenvalues fall; the largest part of a vector is positive.
        """
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(
                f"{cls.__name__}: images have shape {images.shape}, but must be (N, 3, H, W)"
            )
        pixels = rows(images).astype(np.float64)
        scale = 255**2 if images.dtype.kind in "iu" else 1
        values, vectors = np.linalg.eigh(np.cov(pixels, rowvar=False) / scale)
        values, vectors = values[::-1], vectors[:, ::-1]
        vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), range(3)])
        return cls(std, tuple(values.tolist()), tuple(map(tuple, vectors.tolist())))

    def apply(self, x, rng):
        check_colour(self.name, x)
        amounts = self.std * rng.standard_normal((len(x), 3)) * np.asarray(self.eigenvalues)
        colours = (amounts @ np.transpose(self.eigenvectors)).astype(x.dtype)
        return nchw(nhwc(x) + colours[:, None, None, :])


@dataclass(frozen=True)
class ColorJitter(Transform):
    """Other brightness, contrast, saturation and hue, in an order drawn for each image.

    With a factor f for each, clipped to 0..1 after each step:

        brightness  y = f x
        contrast    y = f x + (1 - f) m,  m the mean grey of the image
        saturation  y = f x + (1 - f) g,  g the grey of the pixel
        hue         the angle of the colour circle, in turns, moves by f

    Grey is 0.2989 R + 0.587 G + 0.114 B. The factors are torchvision's; A. Howard, "Some
    improvements on deep convolutional neural network based image classification", 2013, was first
    to use the three others.

    Parameters
    ----------
    brightness, contrast, saturation : float or (low, high)
        The factor is drawn evenly from max(0, 1 - v) to 1 + v, or from low to high.
    hue : float or (low, high)
        Drawn from -v to v, or from low to high; between -0.5 and 0.5.
    """

    brightness: float | tuple[float, float] = 0
    contrast: float | tuple[float, float] = 0
    saturation: float | tuple[float, float] = 0
    hue: float | tuple[float, float] = 0
    draws = True

    def __post_init__(self):
        for argument in ("brightness", "contrast", "saturation"):
            self._set_range(argument, 1, 0, np.inf)
        self._set_range("hue", 0, -0.5, 0.5)

    def _set_range(self, argument, centre, least, most):
        """Make an argument the pair (low, high)."""
        value = getattr(self, argument)
        if isinstance(value, (tuple, list)):
            low, high = value if len(value) == 2 else (np.nan, np.nan)
        else:
            largest = most - centre
            as_number(self.name, argument, value, f"of 0 to {largest}", lambda v: 0 <= v <= largest)
            low, high = max(least, centre - value), centre + value
        if not least <= low <= high <= most or high == np.inf:
            raise ValueError(
                f"{self.name}: {argument} is {value!r}, but must be one number, or (low, high) "
                f"from {least} to {most}"
            )
        object.__setattr__(self, argument, (float(low), float(high)))

    def apply(self, x, rng):
        check_colour(self.name, x)
        ranges = self.brightness, self.contrast, self.saturation, self.hue
        steps = _brighten, _contrast, _saturate, _turn_hue
        low, high = np.transpose(ranges)
        factors = (low + (high - low) * rng.random((len(x), 4))).astype(x.dtype)
        order = rng.random((len(x), 4)).argsort(axis=1)
        y = nhwc(x).copy()
        for turn in order.T:
            for k, step in enumerate(steps):
                chosen = np.flatnonzero(turn == k)
                if len(chosen) and ranges[k] != NEUTRAL[k]:
                    f = factors[chosen, k][:, None, None, None]
                    y[chosen] = step(y[chosen], f).clip(0, 1)
        return nchw(y)


NEUTRAL = (1, 1), (1, 1), (1, 1), (0, 0)  # ranges that change nothing


# The steps take x (N, H, W, 3) and a factor (N, 1, 1, 1).
def _grey(x):
    return (x @ LUMA.astype(x.dtype))[..., None]


def _brighten(x, f):
    return f * x


def _contrast(x, f):
    return f * x + (1 - f) * _grey(x).mean(axis=(1, 2), keepdims=True)


def _saturate(x, f):
    return f * x + (1 - f) * _grey(x)


def _turn_hue(x, f):
    """Hue, saturation, value (A. R. Smith, 1978) and back, with another hue."""
    value, least = x.max(axis=-1), x.min(axis=-1)
    chroma = value - least
    red, green, blue = np.moveaxis(x, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):  # grey has no hue: 0/0, and chroma 0 below
        sextant = np.select(
            [value == red, value == green],
            [(green - blue) / chroma, 2 + (blue - red) / chroma],
            4 + (red - green) / chroma,
        )
    sextant = np.where(chroma > 0, sextant, 0) + 6 * f[..., 0]
    # Each channel is value - chroma * (a trapezium of the hue), shifted by a third of the circle.
    shift = np.array([5, 3, 1], x.dtype)  # of R, G, B
    k = sextant[..., None] + shift
    k -= 6 * np.floor(k / 6)  # k % 6, which is slower
    return value[..., None] - chroma[..., None] * np.minimum(k, 4 - k).clip(0, 1)
