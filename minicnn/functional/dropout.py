"""Dropout."""

from __future__ import annotations

import numpy as np

from minicnn.functional.arguments import as_images, as_number
from minicnn.ops.dropout import Dropout, Dropout2d, blocks
from minicnn.ops.operands import check_float
from minicnn.tensor import Tensor


class Stream:
    """A place in the random numbers of one seed, from which dropout takes its masks one by one."""

    def __init__(self, seed: int = 0):
        self.restart(seed)

    def restart(self, seed: int):
        """Begin again, with the numbers of this seed."""
        self.key, self.counter = seed % 2**64, 0

    def take(self, elements: int) -> dict:
        """The settings of a mask of so many elements; the next mask starts behind it."""
        settings = {"key": self.key, "counter": self.counter}
        self.counter += blocks(elements)
        return settings


stream = Stream()  # `minicnn.manual_seed` restarts it


def dropout(input, p=0.5, training=True, seed=None) -> Tensor:
    """Dropout: every element is 0 with probability p, and the others are divided by 1 - p.

    y = input * mask / (1 - p), so that the mean stays what it was. In evaluation, y is input.

    The mask is a function of the seed and the shape alone, the same on every backend. Calls without
    a seed follow each other in the random numbers that `minicnn.manual_seed(s)` restarts; the first
    one after it has the mask of `seed=s`. Its bits are those of `numpy.random.Philox(key=seed)`:
    element i, in memory order (channels-last), stays where the i-th 32-bit half of `random_raw`,
    low halves first, is below round((1 - p) 2^32).

    Parameters
    ----------
    input : Tensor of any shape
    p : float
        0 to 1: the probability of a zero.
    training : bool
    seed : int, optional
        0 to 2^64 - 1: the same seed, the same mask.

    Returns
    -------
    Tensor
        Of input's shape.

    Raises
    ------
    ValueError, TypeError
        If an argument breaks the rules above.

    Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov, "Dropout: a simple way to prevent
    neural networks from overfitting", 2014.
    """
    return _dropout("dropout", Dropout, check_float("dropout", input), p, training, seed)


def dropout2d(input, p=0.5, training=True, seed=None) -> Tensor:
    """Spatial dropout: every channel of every image is 0 with probability p.

    As `dropout`, but with one toss for each (n, c), counted in the order n*C + c: neighbouring
    pixels are so alike that one alone would hardly be missed.

    Parameters
    ----------
    input : Tensor (N, C, H, W)
    p, training, seed
        As for `dropout`, which says what is returned and raised, too.

    Tompson, Goroshin, Jain, LeCun, Bregler, "Efficient object localization using convolutional
    networks", 2015.
    """
    return _dropout("dropout2d", Dropout2d, as_images("dropout2d", input), p, training, seed)


def _dropout(name, operation, x, p, training, seed) -> Tensor:
    """Check the arguments the two share, and run one."""
    keep = 1 - as_probability(name, p)
    if seed is not None:
        _check_seed(name, seed)
    if not training:
        return x
    tosses = x.size if operation is Dropout else x.shape[0] * x.shape[1]
    source = stream if seed is None else Stream(int(seed))
    return operation.apply(x, keep=keep, **source.take(tosses))


def as_probability(name, p) -> float:
    """`p` as a float from 0 to 1."""
    return as_number(name, "p", p, "from 0 to 1, a probability", lambda value: 0 <= value <= 1)


def _check_seed(name, seed):
    rule = "expects an int from 0 to 2^64 - 1"
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise TypeError(f"{name}: seed {rule}, but got {seed!r}")
    if not 0 <= seed < 2**64:
        raise ValueError(f"{name}: seed {rule}, but got {seed}")
