"""What every data set is: images, labels and the names of the classes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


class DataError(ValueError):
    """A data file is not what it must be."""


class DataUnavailableError(DataError, OSError):
    """A data file is not there and cannot be had."""


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Images with a label each, all in memory.

    `len(ds)` counts them, `ds[3]` is one image `(C, H, W)` with its label, and a slice, a list of
    positions or a mask (`ds[10:20]`, `ds[ds.labels == 7]`) is a smaller Dataset.

    Parameters
    ----------
    images : (N, C, H, W) uint8
    labels : (N,) integers
        Kept as int64; each is a position in `classes`.
    classes : sequence of str, optional
        The names of the classes; left out, they are called "0", "1", ... up to the largest label.
    name, split : str
        Shown to the reader, nothing more.

    Raises
    ------
    TypeError
        If the images are not uint8 or the labels not integers.
    ValueError
        If the shapes do not fit, or a label has no class.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...] = ()
    name: str = "custom"
    split: str = "all"

    def __post_init__(self):
        images, labels = np.asarray(self.images), np.asarray(self.labels)
        if images.dtype != np.uint8:
            raise TypeError(f"Dataset: images are {images.dtype}, but must be uint8 (0..255)")
        if labels.dtype.kind not in "iu":
            raise TypeError(f"Dataset: labels are {labels.dtype}, but must be integers")
        if images.ndim != 4 or labels.shape != images.shape[:1]:
            raise ValueError(
                f"Dataset: images {images.shape} and labels {labels.shape} do not fit, "
                "but must be (N, C, H, W) and (N,)"
            )
        labels = labels.astype(np.int64, copy=False)
        largest = int(labels.max(initial=-1))
        classes = tuple(self.classes) or tuple(str(label) for label in range(largest + 1))
        if labels.min(initial=0) < 0 or largest >= len(classes):
            raise ValueError(
                f"Dataset: labels run from {labels.min()} to {largest}, "
                f"but must be in 0..{len(classes) - 1} ({len(classes)} classes)"
            )
        # Only this way may a frozen dataclass tidy its own fields.
        object.__setattr__(self, "images", images)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "classes", classes)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index):
        if isinstance(index, (int, np.integer)):
            return self.images[index], int(self.labels[index])
        index = positions("Dataset", index)
        return replace(self, images=self.images[index], labels=self.labels[index])

    @property
    def channels(self) -> int:
        """C of the images."""
        return self.images.shape[1]

    def stacks(self, chosen):
        """The chosen images as arrays (n, C, H, W) uint8, one after the other; here a single one.

        Their memory is channels-last where that of `images` is.
        """
        yield self.images.transpose(0, 2, 3, 1)[chosen].transpose(0, 3, 1, 2)

    def __repr__(self) -> str:
        shape = "x".join(str(extent) for extent in self.images.shape[1:])
        return (
            f"<Dataset {self.name}/{self.split}: {len(self):,} images of {shape}, "
            f"{len(self.classes)} classes>"
        )


def positions(name: str, index) -> slice | np.ndarray:
    """`index` as a slice, or a 1-D array of integers or of True and False."""
    if isinstance(index, slice):
        return index
    index = np.asarray(index)
    # An empty list is a float array to NumPy, and yet it is a fair choice of nothing.
    index = index.astype(np.int64) if index.size == 0 else index
    if index.ndim != 1 or index.dtype.kind not in "iub":
        raise TypeError(
            f"{name}: index is {index.dtype} of shape {index.shape}, but must be an "
            "integer, a slice, or a 1-D list of positions or of True and False"
        )
    return index
