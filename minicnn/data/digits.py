"""1,797 handwritten digits of 8x8 pixels, embedded in the package.

E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
Repository, 1998; CC BY 4.0 (see DIGITS_LICENSE.txt). Each pixel counts the ink dots, 0 to 16, of a
4x4 block in a 32x32 scan.

The split
---------
Put the examples in the order of their classes, within a class in the order of the file. Every fifth
of that list, beginning with the first, is a test example: 360 of them, and 1,437 remain to train.

    class    0    1    2    3    4    5    6    7    8    9   all
    train  142  146  141  147  144  146  145  143  139  144  1437
    test    36   36   36   36   37   36   36   36   35   36   360

The same 13 people wrote both halves, so a test error here says nothing about unknown hands.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from minicnn.data.dataset import Dataset

EMBEDDED = Path(__file__).with_name("digits.npz")
OWN_SIZE, MNIST_SIZE = 8, 28
FULL_INK = 16
ENLARGE, BORDER = 3, 2  # 2 + 3*8 + 2 = 28


def read_embedded() -> tuple[np.ndarray, np.ndarray]:
    """The file as it is: images `(1797, 8, 8)` uint8 in 0..16 and labels `(1797,)` uint8."""
    with np.load(EMBEDDED, allow_pickle=False) as archive:
        return archive["images"], archive["labels"]


def members(labels: np.ndarray, split: str) -> np.ndarray:
    """Positions of the examples of a split, rising: the rule at the head of this file."""
    by_class = np.argsort(labels, kind="stable")
    in_test = np.zeros(len(labels), bool)
    in_test[by_class[::5]] = True
    return np.flatnonzero(in_test if split == "test" else ~in_test)


def enlarge(images: np.ndarray) -> np.ndarray:
    """Images `(N, 8, 8)` as `(N, 28, 28)`: a 3x3 block for each pixel, 2 zeros around."""
    blocks = images.repeat(ENLARGE, axis=1).repeat(ENLARGE, axis=2)
    return np.pad(blocks, ((0, 0), (BORDER, BORDER), (BORDER, BORDER)))


def load_digits(split: str, size: int | None = None) -> Dataset:
    """The digits as a Dataset; 0..16 becomes 0..255 (16 is 255, the rest is rounded).

    With `size=28` the images have the shape of MNIST's, so nets for MNIST run unchanged.
    """
    if size not in (None, OWN_SIZE, MNIST_SIZE):
        raise ValueError(
            f"load: digits has images of size {OWN_SIZE}, or {MNIST_SIZE} by enlarging them, "
            f"not {size!r}"
        )
    images, labels = read_embedded()
    chosen = members(labels, split)
    images, labels = images[chosen], labels[chosen]
    images = np.rint(images * (255 / FULL_INK)).astype(np.uint8)
    if size == MNIST_SIZE:
        images = enlarge(images)
    return Dataset(images[:, None], labels, tuple("0123456789"), "digits", split)
