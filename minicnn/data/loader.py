"""The loader: cut a data set into batches, in an order that can be had again."""

from __future__ import annotations

import operator
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial

import numpy as np

from minicnn.data.dataset import Dataset
from minicnn.data.folder import ImageFolder
from minicnn.data.streams import ImageStreams
from minicnn.data.transforms.base import normalized, per_channel

AHEAD = 2  # batches in work or waiting, for each worker


class DataLoader:
    """Batches `(x, y)` of a data set.

    x = (transform(images / 255) - mean) / std is `(N, C, H, W)` float32 in channels-last memory
    (`x.transpose(0, 2, 3, 1)` is contiguous), y is `(N,)` int64; both are fresh NumPy arrays.

    One walk over the loader is one epoch. The order of epoch e depends on `seed` and e alone, and
    how an image is augmented on `seed`, e and the image's position in the data set: not on what was
    drawn before, nor on the batch it is in, nor on the workers. `loader.epoch = 7` brings epoch 7
    back.

    Parameters
    ----------
    dataset : Dataset or ImageFolder
    batch_size : int
    shuffle : bool
        Draw a new order each epoch; else the order is the data set's.
    seed : int
        0 or more.
    drop_last : bool
        Leave out the last batch if it is short.
    transform : callable, optional
        `transform(x, rng)` takes images in 0..1, `(n, C, H, W)` float32, and returns them changed;
        it may change H and W, or make several of each: `(n, crops, C, H, W)`. A Dataset's images
        come as a whole batch, an ImageFolder's one by one (n = 1), since their sizes differ.
        `rng` is an `ImageStreams`: `rng.random(len(x))` is a number for each image. See
        `minicnn.data.transforms`.
    mean, std : float or sequence of C floats, optional
        In units of 0..1.
    mix : callable, optional
        `mix(x, y, rng)` takes the finished batch and returns another one, as `MixUp` does; `rng` is
        a `numpy.random.Generator` of this batch.
    workers : int
        Threads that read, decode and augment the next batches while the net is busy with this one;
        with 0 a batch is made when it is asked for. NumPy and Pillow let threads run side by side.

    Attributes
    ----------
    waited : float
        Seconds for which the last walk made its user wait for batches.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of its range, or no batch would come of them.
    """

    def __init__(
        self,
        dataset: Dataset | ImageFolder,
        batch_size: int = 64,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        transform: Callable[[np.ndarray, ImageStreams], np.ndarray] | None = None,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        mix: Callable | None = None,
        workers: int = 0,
    ):
        if not isinstance(dataset, (Dataset, ImageFolder)):
            raise TypeError(
                f"DataLoader: dataset is {type(dataset).__name__}, but must be a Dataset; "
                "make one with load(...), Dataset(images, labels) or ImageFolder(path)"
            )
        for what, given in (("transform", transform), ("mix", mix)):
            if given is not None and not callable(given):
                raise TypeError(f"DataLoader: {what} is {given!r}, but must be callable")
        self.dataset = dataset
        self.batch_size = _integer("batch_size", batch_size, least=1)
        self.shuffle = bool(shuffle)
        self.seed = _integer("seed", seed, least=0)
        self.drop_last = bool(drop_last)
        self.transform, self.mix = transform, mix
        self.workers = _integer("workers", workers, least=0)
        known = partial(per_channel, "DataLoader", channels=dataset.channels)
        self.mean = None if mean is None else known("mean", mean)
        self.std = None if std is None else known("std", std)
        if self.std is not None and not (self.std > 0).all():
            raise ValueError(f"DataLoader: std is {std!r}, but must be greater than 0")
        if len(self) == 0:
            raise ValueError(
                f"DataLoader: no batch comes of {len(dataset)} images with batch_size "
                f"{self.batch_size} and drop_last={self.drop_last}; "
                "lower batch_size or keep the last"
            )
        self.epoch = 0
        self.waited = 0.0

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
        return self._walk(epoch)

    def order(self, epoch: int) -> np.ndarray:
        """The positions of all examples, in the order of an epoch."""
        if not self.shuffle:
            return np.arange(len(self.dataset))
        return self._rng(_integer("epoch", epoch, least=0)).permutation(len(self.dataset))

    # ---- one epoch ---------------------------------------------------------
    def _walk(self, epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """All batches of an epoch; the time until each is there goes into `waited`."""
        self.waited = 0.0
        jobs = self._jobs(epoch)
        with closing(_ahead(jobs, self.workers) if self.workers else _at_once(jobs)) as batches:
            while True:
                start = time.perf_counter()
                batch = next(batches, None)
                self.waited += time.perf_counter() - start
                if batch is None:
                    return
                yield batch

    def _jobs(self, epoch: int) -> Iterator[Callable]:
        """A function without arguments for each batch, which makes it, whenever and wherever."""
        order = self.order(epoch)
        key = int(self._seeds(epoch, 1).generate_state(1, np.uint64)[0])
        for batch in range(len(self)):
            chosen = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield partial(self._batch, epoch, batch, key, chosen)

    def _batch(self, epoch: int, batch: int, key: int, chosen: np.ndarray):
        parts, done = [], 0
        for images in self.dataset.stacks(chosen):
            mine = chosen[done : done + len(images)]
            parts.append(self._prepared(images, ImageStreams(key, mine)))
            done += len(images)
        x, y = _joined(parts), self.dataset.labels[chosen]
        x = np.moveaxis(x, -1, -3)
        # From 2 on: [seed, epoch] is the order's, [seed, epoch, 0] would be the same numbers
        # again, and [seed, epoch, 1] is the images'.
        return (x, y) if self.mix is None else self.mix(x, y, self._rng(epoch, 2 + batch))

    def _prepared(self, images: np.ndarray, rng: ImageStreams) -> np.ndarray:
        """Images (n, C, H, W) uint8 as the net wants them: (n, H, W, C) float32."""
        x = images.transpose(0, 2, 3, 1).astype(np.float32, order="C")
        x /= 255
        if self.transform is not None:
            x = self._transformed(x, rng)
        return normalized(x, self.mean, self.std)

    def _transformed(self, x: np.ndarray, rng: ImageStreams) -> np.ndarray:
        """`transform` for NHWC arrays: it sees NCHW, and its answer may have any memory order."""
        n, _, _, c = x.shape
        y = self.transform(x.transpose(0, 3, 1, 2), rng)
        if not isinstance(y, np.ndarray):
            raise TypeError(
                f"DataLoader: transform returned {type(y).__name__}, but must return an ndarray"
            )
        if y.ndim not in (4, 5) or (y.shape[0], y.shape[-3]) != (n, c):
            raise ValueError(
                f"DataLoader: transform returned shape {y.shape}, but must return "
                f"({n}, {c}, H, W), or ({n}, crops, {c}, H, W)"
            )
        return np.ascontiguousarray(np.moveaxis(y, -3, -1), np.float32)

    # ---- seeds -------------------------------------------------------------
    def _seeds(self, *numbers: int) -> np.random.SeedSequence:
        return np.random.SeedSequence([self.seed, *numbers])

    def _rng(self, *numbers: int) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(self._seeds(*numbers)))


def _at_once(jobs: Iterable[Callable]) -> Iterator:
    """Each job's result when it is asked for."""
    for job in jobs:
        yield job()


def _ahead(jobs: Iterable[Callable], workers: int) -> Iterator:
    """The jobs' results in the jobs' order, made by threads ahead of being asked for.

    A job's error comes out in its turn. Whoever stops early waits for the jobs in work only.
    """
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(workers, thread_name_prefix="minicnn-loader")
    try:
        waiting = deque()
        for job in jobs:
            waiting.append(pool.submit(job))
            if len(waiting) == AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """Parts of a batch as one array."""
    sizes = sorted({part.shape[1:] for part in parts})
    if len(sizes) > 1:
        raise ValueError(
            f"DataLoader: images of one batch have sizes {sizes[0]} and {sizes[1]} (H, W, C), but "
            "must be equal; give a transform such as Compose([Resize(256), CenterCrop(224)])"
        )
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


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
