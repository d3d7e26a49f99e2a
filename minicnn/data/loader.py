"""The loader: cut a data set into batches, in an order that can be had again."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from minicnn.data.dataset import Dataset


class DataLoader:
    """Batches `(x, y)` of a data set.

    x = (transform(images / 255) - mean) / std is `(N, C, H, W)` float32 in channels-last memory
    (`x.transpose(0, 2, 3, 1)` is contiguous), y is `(N,)` int64; both are fresh NumPy arrays.

    One walk over the loader is one epoch. The order of epoch e depends on `seed` and e alone, not
    on what was drawn before: `loader.epoch = 7` brings the order of epoch 7 back.

    Parameters
    ----------
    dataset : Dataset
    batch_size : int
    shuffle : bool
        Draw a new order each epoch; else the order is the data set's.
    seed : int
        0 or more.
    drop_last : bool
        Leave out the last batch if it is short.
    transform : callable, optional
        `transform(x, rng)` takes the batch in 0..1, `(N, C, H, W)` float32, and returns it changed;
        it may change H and W. `rng` is a `numpy.random.Generator` of this batch alone, so a
        transform that draws from nothing else (a crop, a flip) can be repeated, too.
    mean, std : float or sequence of C floats, optional
        In units of 0..1.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of its range, or no batch would come of them.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 64,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        transform: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None = None,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
    ):
        if not isinstance(dataset, Dataset):
            raise TypeError(
                f"DataLoader: dataset is {type(dataset).__name__}, but must be a Dataset; "
                "make one with load(...) or Dataset(images, labels)"
            )
        if transform is not None and not callable(transform):
            raise TypeError(f"DataLoader: transform is {transform!r}, but must be callable")
        self.dataset = dataset
        self.batch_size = _integer("batch_size", batch_size, least=1)
        self.shuffle = bool(shuffle)
        self.seed = _integer("seed", seed, least=0)
        self.drop_last = bool(drop_last)
        self.transform = transform
        channels = dataset.images.shape[1]
        self.mean = None if mean is None else _per_channel("mean", mean, channels)
        self.std = None if std is None else _per_channel("std", std, channels)
        if self.std is not None and not (self.std > 0).all():
            raise ValueError(f"DataLoader: std is {std!r}, but must be greater than 0")
        if len(self) == 0:
            raise ValueError(
                f"DataLoader: no batch comes of {len(dataset)} images with batch_size "
                f"{self.batch_size} and drop_last={self.drop_last}; "
                "lower batch_size or keep the last"
            )
        self.epoch = 0

    @property
    def epoch(self) -> int:
        """The number of the epoch that the next walk will be; it counts up when a walk starts."""
        return self._epoch

    @epoch.setter
    def epoch(self, number: int):
        self._epoch = _integer("epoch", number, least=0)

    def __len__(self) -> int:
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        epoch = self.epoch
        self.epoch += 1  # here, not in the generator, whose body waits for the first batch
        return self._batches(epoch)

    def order(self, epoch: int) -> np.ndarray:
        """The positions of all examples, in the order of an epoch."""
        if not self.shuffle:
            return np.arange(len(self.dataset))
        return self._rng(_integer("epoch", epoch, least=0)).permutation(len(self.dataset))

    def _rng(self, *numbers: int) -> np.random.Generator:
        return np.random.Generator(np.random.Philox([self.seed, *numbers]))

    def _batches(self, epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        order = self.order(epoch)
        for batch in range(len(self)):
            chosen = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            # From 1 on: the seeds [seed, epoch, 0] and [seed, epoch] would give the same numbers.
            rng = self._rng(epoch, 1 + batch)
            yield self._images(chosen, rng), self.dataset.labels[chosen]

    def _images(self, chosen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        x = self.dataset.images[chosen].transpose(0, 2, 3, 1).astype(np.float32, order="C")
        x /= 255
        if self.transform is not None:
            x = self._transformed(x, rng)
        if self.mean is not None:
            x -= self.mean
        if self.std is not None:
            x /= self.std
        return x.transpose(0, 3, 1, 2)

    def _transformed(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """`transform` for NHWC arrays: it sees NCHW, and its answer may have any memory order."""
        n, _, _, c = x.shape
        y = self.transform(x.transpose(0, 3, 1, 2), rng)
        if not isinstance(y, np.ndarray):
            raise TypeError(
                f"DataLoader: transform returned {type(y).__name__}, but must return an ndarray"
            )
        if y.ndim != 4 or y.shape[:2] != (n, c):
            raise ValueError(
                f"DataLoader: transform returned shape {y.shape}, but must return ({n}, {c}, H, W)"
            )
        return np.array(y.transpose(0, 2, 3, 1), np.float32, order="C")


def _integer(what: str, number: int, least: int) -> int:
    try:
        value = operator.index(number)
    except TypeError:
        value = None
    if value is None or isinstance(number, bool):
        raise TypeError(f"DataLoader: {what} is {number!r}, but must be an integer")
    if value < least:
        raise ValueError(f"DataLoader: {what} is {value}, but must be {least} or more")
    return value


def _per_channel(what: str, numbers: float | Sequence[float], channels: int) -> np.ndarray:
    """A scalar or one number a channel, float32, ready to be broadcast over NHWC."""
    try:
        array = np.asarray(numbers, np.float32)
    except (TypeError, ValueError):
        raise TypeError(f"DataLoader: {what} is {numbers!r}, but must be numbers") from None
    if array.shape not in ((), (channels,)) or not np.isfinite(array).all():
        raise ValueError(
            f"DataLoader: {what} is {numbers!r}, but must be one finite number, or one for each of "
            f"the {channels} channels"
        )
    return array
