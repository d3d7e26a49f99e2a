"""MNIST and Fashion-MNIST: where their files are, and how one is told from a bad one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np

from minicnn.data.dataset import DataError, Dataset
from minicnn.data.download import find as look_up
from minicnn.data.idx import gunzip, parse_idx

SIZE = 28
IMAGES, LABELS = "{}-images-idx3-ubyte.gz", "{}-labels-idx1-ubyte.gz"
PREFIX = {"train": "train", "test": "t10k"}


@dataclass(frozen=True)
class Source:
    """A data set in four idx files."""

    name: str
    home: str
    classes: tuple[str, ...]
    # MNIST is found packed by several versions of gzip: only the unpacked bytes are the same.
    md5_of: Literal["file", "unpacked bytes"]
    md5: dict[str, str]


SOURCES = {
    "mnist": Source(
        name="mnist",
        home="https://ossci-datasets.s3.amazonaws.com/mnist/",
        classes=tuple("0123456789"),
        md5_of="unpacked bytes",
        md5={
            "train-images-idx3-ubyte.gz": "6bbc9ace898e44ae57da46a324031adb",
            "train-labels-idx1-ubyte.gz": "a25bea736e30d166cdddb491f175f624",
            "t10k-images-idx3-ubyte.gz": "2646ac647ad5339dbf082846283269ea",
            "t10k-labels-idx1-ubyte.gz": "27ae3e4e09519cfbb04c329615203637",
        },
    ),
    "fashion-mnist": Source(
        name="fashion-mnist",
        home="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        classes=(
            "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
            "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
        ),
        md5_of="file",
        md5={
            "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
        },
    ),
}  # fmt: skip


def load_mnist(name: str, split: str, size: int | None, download: bool) -> Dataset:
    """One half of MNIST or Fashion-MNIST as a Dataset; see `minicnn.data.load`."""
    if size not in (None, SIZE):
        raise ValueError(f"load: {name} has images of size {SIZE} only, not {size!r}")
    source = SOURCES[name]
    images = find(source, IMAGES.format(PREFIX[split]), download)
    labels = find(source, LABELS.format(PREFIX[split]), download)
    return Dataset(images[:, None], labels, source.classes, name, split)


def find(source: Source, file: str, download: bool = True) -> np.ndarray:
    """The array of one file, wherever it is found."""
    return look_up(
        source.home + file,
        source.name,
        lambda content, where: decode(source, file, content, where),
        download,
    )


def decode(source: Source, file: str, content: bytes, where: str) -> np.ndarray:
    """The array that a file's bytes hold, after every check; the checksum comes last, since the
    others say more about what is wrong."""
    plain = gunzip(content, where)
    array = parse_idx(plain, where)
    extents = (SIZE, SIZE) if "images" in file else ()
    if array.dtype != np.uint8 or array.ndim != 1 + len(extents):
        raise DataError(
            f"{where} has the wrong magic number {plain[:4].hex(' ')}: "
            f"{file} begins with 00 00 08 {1 + len(extents):02x}"
        )
    if array.shape[1:] != extents:
        raise DataError(f"{where} holds images of size {array.shape[1:]}, but {file} has {extents}")
    if not extents and array.max(initial=0) >= len(source.classes):
        raise DataError(
            f"{where} holds the label {array.max()}, but labels must be in "
            f"0..{len(source.classes) - 1}"
        )
    checked = content if source.md5_of == "file" else plain
    md5 = hashlib.md5(checked, usedforsecurity=False).hexdigest()
    if md5 != source.md5[file]:
        raise DataError(
            f"{where} has the wrong checksum: the MD5 of the {source.md5_of} is {md5}, "
            f"but must be {source.md5[file]}"
        )
    return array
