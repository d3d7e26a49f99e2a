"""What every transform is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


class Transform:
    """A change of images. A subclass defines `apply(x, rng)` for x (N, C, H, W).

    Attributes
    ----------
    draws : bool
        Whether it needs random numbers.
    """

    draws = False

    def __call__(self, x: np.ndarray, rng=None) -> np.ndarray:
        """The changed images: a batch for a batch, an image for an image.

        Raises
        ------
        TypeError
            If x is no array, or rng is missing.
        ValueError
            If x is neither (N, C, H, W) nor (C, H, W), or the transform cannot take its size.
        """
        if not isinstance(x, np.ndarray):
            raise TypeError(f"{self.name}: images are {type(x).__name__}, but must be an ndarray")
        if x.ndim not in (3, 4):
            raise ValueError(
                f"{self.name}: images have shape {x.shape}, but must be (N, C, H, W) or (C, H, W)"
            )
        if self.draws and rng is None:
            raise TypeError(
                f"{self.name}: rng is None, but must be a generator of random numbers; give "
                "numpy.random.default_rng(seed)"
            )
        return self.apply(x, rng) if x.ndim == 4 else self.apply(x[None], rng)[0]

    def apply(self, x: np.ndarray, rng) -> np.ndarray:
        """The changed batch."""
        raise NotImplementedError(f"{self.name} defines no apply(x, rng)")

    @property
    def name(self) -> str:
        """The class's name, for errors."""
        return type(self).__name__


@dataclass(frozen=True)
class Compose(Transform):
    """Transforms one after the other.

    Parameters
    ----------
    transforms : sequence of callables
        Each is called as `transform(x, rng)`.
    """

    transforms: Sequence

    def __post_init__(self):
        object.__setattr__(self, "transforms", tuple(self.transforms))
        for transform in self.transforms:
            if not callable(transform):
                raise TypeError(f"Compose: {transform!r} is in transforms, but is not callable")

    def apply(self, x, rng):
        for transform in self.transforms:
            x = transform(x, rng)
        return x


def per_channel(name: str, argument: str, numbers, channels: int | None = None) -> np.ndarray:
    """A number, or one for each channel, as float32 that fits (..., C); `channels` is C if known.

    Raises
    ------
    TypeError, ValueError
        If they are no finite numbers, or not one or C of them.
    """
    try:
        array = np.asarray(numbers, np.float32)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: {argument} is {numbers!r}, but must be numbers") from None
    fits = array.ndim < 2 if channels is None else array.shape in ((), (channels,))
    if not fits or not np.isfinite(array).all():
        which = "channel" if channels is None else f"of the {channels} channels"
        raise ValueError(
            f"{name}: {argument} is {numbers!r}, but must be one finite number, or one for each "
            f"{which}"
        )
    return array


def check_floats(name: str, x: np.ndarray) -> None:
    """Raise unless the images are floats."""
    if x.dtype.kind != "f":
        raise TypeError(
            f"{name}: images are {x.dtype}, but must be floats; divide by 255 to have them in 0..1"
        )


def check_colour(name: str, x: np.ndarray) -> None:
    """Raise unless the images are floats with three channels."""
    check_floats(name, x)
    if x.shape[1] != 3:
        raise ValueError(f"{name}: images have {x.shape[1]} channels, but must have 3 (R, G, B)")


def normalized(x: np.ndarray, mean=None, std=None) -> np.ndarray:
    """(x - mean) / std for x (..., W, C), with arrays as `per_channel` makes them, or None.

    A fresh array if there is anything to do. The numbers are repeated along a row of the image:
    NumPy is seven times as fast with rows of W * C as with pixels of C.
    """
    row = x.reshape(*x.shape[:-2], x.shape[-2] * x.shape[-1])
    if mean is not None:
        row = row - _along_row(mean, x)
    if std is not None:
        row = row / _along_row(std, x)
    return row.reshape(x.shape)


def _along_row(numbers, x):
    numbers = numbers.astype(x.dtype, copy=False)
    return np.tile(numbers, x.shape[-2]) if numbers.ndim else numbers
