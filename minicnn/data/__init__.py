"""Images with labels: data sets, transforms, and the loader that cuts them into batches.

    from minicnn.data import DataLoader, load

    train = load("digits", "train", size=28)
    for x, y in DataLoader(train, batch_size=64, shuffle=True):
        ...

`digits` is part of the package. The others are looked for in the folder that the environment
variable `MINICNN_DATA` names, then in the cache; else they are downloaded once. `ImageFolder` reads
pictures of your own; `minicnn.data.transforms` has the usual augmentation, and
`minicnn.data.scenes` composes clips and scenes of digits.
"""

from __future__ import annotations

from minicnn.data.archive import extract
from minicnn.data.dataset import DataError, Dataset, DataUnavailableError
from minicnn.data.folder import ImageFolder
from minicnn.data.loader import DataLoader
from minicnn.data.pictures import read_picture

__all__ = [
    "NAMES",
    "DataError",
    "DataLoader",
    "DataUnavailableError",
    "Dataset",
    "ImageFolder",
    "extract",
    "load",
    "read_picture",
]

NAMES = ("digits", "mnist", "fashion-mnist", "cifar10", "cifar100")
SPLITS = ("train", "test")


def load(name: str, split: str = "train", *, size: int | None = None) -> Dataset:
    """One half of a data set.

    Parameters
    ----------
    name : {"digits", "mnist", "fashion-mnist", "cifar10", "cifar100"}
        `digits`: 1,437 + 360 handwritten digits of 8x8 pixels (Alpaydin and Kaynak, 1998), in the
        package. `mnist`: 60,000 + 10,000 handwritten digits of 28x28 pixels (LeCun, Cortes and
        Burges, 1998). `fashion-mnist`: as many pictures of clothes (Xiao, Rasul and Vollgraf,
        2017). `cifar10` and `cifar100`: 50,000 + 10,000 colour photos of 32x32 pixels in 10 or 100
        classes (Krizhevsky, 2009).
    split : {"train", "test"}
    size : int, optional
        Height and width of an image. `load("digits", size=28)` makes 28x28 images of the 8x8
        ones (each pixel becomes a block of 3x3, with a border of 2 zeros around them all), so
        that nets for MNIST run on them unchanged. Every other set has its own size only.

    Returns
    -------
    Dataset
        Images `(N, C, H, W)` uint8 in 0..255, labels `(N,)` int64.

    Raises
    ------
    ValueError
        If the name, the split or the size is none of the above.
    DataError
        If a file is not what it must be (checksum, format, labels).
    DataUnavailableError
        If a file is not there and cannot be downloaded.
    """
    for what, given, known in (("name", name, NAMES), ("split", split, SPLITS)):
        if not isinstance(given, str):
            raise TypeError(f"load: {what} is {given!r}, but must be one of {', '.join(known)}")
        if given not in known:
            raise ValueError(f"load: unknown {what} {given!r}; choose one of {', '.join(known)}")
    if name == "digits":
        from minicnn.data.digits import load_digits

        return load_digits(split, size)
    if name.startswith("cifar"):
        from minicnn.data.cifar import load_cifar

        return load_cifar(name, split, size)
    from minicnn.data.mnist import load_mnist

    return load_mnist(name, split, size)
