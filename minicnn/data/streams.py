"""Random numbers of an image's own: the same whoever asks, and whatever stands beside it.

The t-th number of image i in epoch e is a hash of (seed, e, i, t) and of nothing else. So neither
the size of a batch nor the number of workers changes how an image is augmented. The hash is that of
SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014): image i's
stream starts at the i-th number of the epoch's.
"""

from __future__ import annotations

import math

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: the step from one number to the next
MIX = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


class ImageStreams:
    """A stream of random numbers for each image of a batch.

    It has the methods of `numpy.random.Generator` that augmentation needs, under the same names. A
    size begins with the number of images, and row n of the result belongs to image n alone:
    `rng.random(len(x))` is one number for each image, `rng.random((len(x), 3))` three.

    Parameters
    ----------
    key : int
        Of the epoch; below 2^64.
    indices : (N,) integers
        Which images.
    """

    def __init__(self, key: int, indices):
        places = np.asarray(indices).astype(np.uint64)
        self._states = _mix(np.uint64(key) + places * GOLDEN)
        self._drawn = 0  # numbers of each image so far

    def __len__(self) -> int:
        return len(self._states)

    def random(self, size=None) -> np.ndarray:
        """Float64 in [0, 1)."""
        return (self._bits(size) >> np.uint64(11)) * 2.0**-53

    def uniform(self, low: float, high: float, size=None) -> np.ndarray:
        """Float64 in [low, high)."""
        return low + (high - low) * self.random(size)

    def integers(self, low: int, high: int, size=None) -> np.ndarray:
        """Int64 in low..high - 1."""
        if not low < high:
            raise ValueError(f"integers: high is {high}, but must be over low, which is {low}")
        return low + np.floor(self.random(size) * (high - low)).astype(np.int64)

    def standard_normal(self, size=None) -> np.ndarray:
        """Float64 with mean 0 and variance 1 (Box and Muller, 1958)."""
        radius = np.sqrt(-2 * np.log1p(-self.random(size)))  # 1 - u is never 0
        return radius * np.cos(2 * math.pi * self.random(size))

    def _bits(self, size) -> np.ndarray:
        """The next numbers of each stream, uint64."""
        shape = size if isinstance(size, tuple) else (size,)
        if not shape or shape[0] != len(self):
            raise ValueError(
                f"ImageStreams: size is {size!r}, but must begin with {len(self)}, the number of "
                "images: each has numbers of its own; write rng.random(len(x))"
            )
        each = math.prod(shape[1:])
        steps = np.arange(1 + self._drawn, 1 + self._drawn + each, dtype=np.uint64)
        self._drawn += each
        return _mix(self._states[:, None] + steps * GOLDEN).reshape(shape)


def _mix(z: np.ndarray) -> np.ndarray:
    """SplitMix64's hash of uint64 numbers: every bit of z moves about half of the result's."""
    z = (z ^ (z >> np.uint64(30))) * MIX[0]
    z = (z ^ (z >> np.uint64(27))) * MIX[1]
    return z ^ (z >> np.uint64(31))
