"""Where a pixel goes: crops, the mirror, another size. Any dtype is kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minicnn.data.transforms.base import Transform, check_floats
from minicnn.functional.arguments import as_number, as_pair
from minicnn.layout import nchw, nhwc

PADDING_MODES = ("constant", "edge", "reflect", "symmetric")


def _set_pair(transform, argument, least):
    """Make an argument of a frozen transform a pair (for H, for W)."""
    value = as_pair(transform.name, argument, getattr(transform, argument), least)
    object.__setattr__(transform, argument, value)


def _check_fit(transform, size, H, W):
    h, w = size
    if h > H or w > W:
        raise ValueError(
            f"{transform.name}: a crop of {h}x{w} does not fit into images of {H}x{W}; use a "
            "smaller one, or Resize first"
        )


@dataclass(frozen=True)
class RandomCrop(Transform):
    """A window of a fixed size at a place drawn anew for each image.

    y[n,c,i,j] = x[n,c,t+i,l+j], x padded first; t and l are drawn evenly from all that fit.
    Krizhevsky, Sutskever, Hinton, 2012 (224 of 256 pixels); with 4 pixels of padding on 32: He,
    Zhang, Ren, Sun, 2015, for CIFAR-10.

    Parameters
    ----------
    size : int or (h, w)
    padding : int or (PH, PW)
        Pixels on each side before cropping.
    fill : float
        What the padding holds, for padding_mode "constant".
    padding_mode : {"constant", "edge", "reflect", "symmetric"}
        As in `numpy.pad`.
    """

    size: int | tuple[int, int]
    padding: int | tuple[int, int] = 0
    fill: float = 0
    padding_mode: str = "constant"
    draws = True

    def __post_init__(self):
        _set_pair(self, "size", 1)
        _set_pair(self, "padding", 0)
        if self.padding_mode not in PADDING_MODES:
            raise ValueError(
                f"RandomCrop: padding_mode is {self.padding_mode!r}, but must be one of "
                f"{', '.join(PADDING_MODES)}"
            )

    def apply(self, x, rng):
        x = self._padded(nhwc(x))
        N, H, W, C = x.shape
        h, w = self.size
        _check_fit(self, self.size, H, W)
        tops = rng.integers(0, H - h + 1, N).tolist()
        lefts = rng.integers(0, W - w + 1, N).tolist()
        y = np.empty((N, h, w, C), x.dtype)
        for image, out, top, left in zip(x, y, tops, lefts):
            out[:] = image[top : top + h, left : left + w]
        return nchw(y)

    def _padded(self, x):
        PH, PW = self.padding
        if not PH and not PW:
            return x
        settings = {"constant_values": self.fill} if self.padding_mode == "constant" else {}
        return np.pad(x, ((0, 0), (PH, PH), (PW, PW), (0, 0)), self.padding_mode, **settings)


@dataclass(frozen=True)
class CenterCrop(Transform):
    """The window of a fixed size in the middle; a row or column left over stays on the far side.

    y[n,c,i,j] = x[n,c,t+i,l+j] with t = floor((H - h) / 2), l = floor((W - w) / 2).

    Parameters
    ----------
    size : int or (h, w)
    """

    size: int | tuple[int, int]

    def __post_init__(self):
        _set_pair(self, "size", 1)

    def apply(self, x, rng):
        (h, w), (H, W) = self.size, x.shape[2:]
        _check_fit(self, self.size, H, W)
        return _window(x, (H - h) // 2, (W - w) // 2, h, w).copy()


@dataclass(frozen=True)
class TenCrop(Transform):
    """Four corners and the middle, and the five mirrored: (N, C, H, W) becomes (N, 10, C, h, w).

    Their order is torchvision's: top left, top right, bottom left, bottom right, middle; then the
    same of the mirrored image. A net's scores for the ten are averaged when testing:

        scores = model(x.reshape(-1, C, h, w)).reshape(N, 10, -1).mean(1)

    Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural
    networks", 2012.

    Parameters
    ----------
    size : int or (h, w)
    """

    size: int | tuple[int, int]

    def __post_init__(self):
        _set_pair(self, "size", 1)

    def apply(self, x, rng):
        (h, w), (H, W) = self.size, x.shape[2:]
        _check_fit(self, self.size, H, W)
        middle = (H - h) // 2, (W - w) // 2
        places = (0, 0), (0, W - w), (H - h, 0), (H - h, W - w), middle
        crops = [
            _window(image, top, left, h, w) for image in (x, x[..., ::-1]) for top, left in places
        ]
        return np.stack(crops, axis=1)


def _window(x, top, left, h, w):
    return x[:, :, top : top + h, left : left + w]


@dataclass(frozen=True)
class RandomHorizontalFlip(Transform):
    """The mirror image, left for right, with probability p: y[n,c,i,j] = x[n,c,i,W-1-j].

    Parameters
    ----------
    p : float
    """

    p: float = 0.5
    draws = True

    def __post_init__(self):
        as_number(self.name, "p", self.p, "from 0 to 1", lambda p: 0 <= p <= 1)

    def apply(self, x, rng):
        flipped = np.flatnonzero(rng.random(len(x)) < self.p)
        y = nhwc(x).copy()
        y[flipped] = y[flipped, :, ::-1]
        return nchw(y)


@dataclass(frozen=True)
class Resize(Transform):
    """Another size, by linear interpolation; where an image shrinks, by weighted means.

    y = R x S^T, a matrix for the rows and one for the columns. Output i looks at the place
    z = (i + 1/2) s - 1/2 of the input, with s = H / h, and weighs pixel j by the tent
    `max(0, 1 - |j - z| / max(s, 1))`, the weights then divided by their sum. This is what Pillow
    and torchvision (antialias=True) do.

    Parameters
    ----------
    size : int or (h, w)
        An int is the length of the shorter side; the longer keeps the proportion, rounded down.
    """

    size: int | tuple[int, int]

    def __post_init__(self):
        pair = as_pair(self.name, "size", self.size, 1)
        if isinstance(self.size, (tuple, list)):
            object.__setattr__(self, "size", pair)

    def apply(self, x, rng):
        check_floats(self.name, x)
        H, W = x.shape[2:]
        h, w = self.size if isinstance(self.size, tuple) else self._proportional(H, W)
        if (h, w) == (H, W):
            return x.copy()
        x = np.ascontiguousarray(x)  # planes: channels-last has strides that BLAS cannot take
        return tent_weights(H, h, x.dtype) @ (x @ tent_weights(W, w, x.dtype).T)

    def _proportional(self, H, W):
        short = min(H, W)
        return H * self.size // short, W * self.size // short


def tent_weights(before: int, after: int, dtype) -> np.ndarray:
    """The matrix (after, before) that resizes a line of pixels; see `Resize`."""
    scale = before / after
    places = (np.arange(after) + 0.5) * scale - 0.5
    distance = np.abs(np.arange(before) - places[:, None]) / max(scale, 1)
    weights = np.maximum(0, 1 - distance)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(dtype)
