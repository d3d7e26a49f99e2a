"""CIFAR-10 and CIFAR-100: 60,000 colour images of 32x32 pixels, from the binary archives.

A record is a byte for each label, then 3,072 bytes: the red plane, the green one, the blue one, row
by row. CIFAR-10 has one label, CIFAR-100 two, of which the second (the "fine" one) is used here.

The archives come in a Python version, too. Its files are pickles: whoever reads a pickle runs what
its author wrote, so that version is refused.

Source: A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

import numpy as np

from minicnn.data.archive import walk
from minicnn.data.dataset import DataError, Dataset
from minicnn.data.download import find

HOME = "https://www.cs.toronto.edu/~kriz/"
SIZE = 32
PIXELS = 3 * SIZE * SIZE
MOST_BYTES = 1 << 28  # both archives unpack to less than 185 MB
PICKLES = {"data_batch_1", "test_batch", "batches.meta", "train", "test", "meta"}


@dataclass(frozen=True)
class Source:
    """A data set in one archive. The checksums are of the files inside, which a re-packed archive
    keeps."""

    folder: str
    inside: str  # the archive's own folder
    classes: str  # the file with a name a line
    count: int
    labels: int  # label bytes in a record
    sha256: dict[str, dict[str, str]]

    @property
    def archive(self) -> str:
        return f"{self.folder}-binary.tar.gz"


SOURCES = {
    "cifar10": Source(
        folder="cifar-10",
        inside="cifar-10-batches-bin",
        classes="batches.meta.txt",
        count=10,
        labels=1,
        sha256={
            "train": {
                "data_batch_1.bin":
                    "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
                "data_batch_2.bin":
                    "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
                "data_batch_3.bin":
                    "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
                "data_batch_4.bin":
                    "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
                "data_batch_5.bin":
                    "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
            },
            "test": {
                "test_batch.bin":
                    "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
            },
        },
    ),
    "cifar100": Source(
        folder="cifar-100",
        inside="cifar-100-binary",
        classes="fine_label_names.txt",
        count=100,
        labels=2,
        sha256={
            "train": {
                "train.bin": "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29",
            },
            "test": {
                "test.bin": "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a",
            },
        },
    ),
}  # fmt: skip


def load_cifar(name: str, split: str, size: int | None, download: bool) -> Dataset:
    """One half of CIFAR-10 or CIFAR-100 as a Dataset; see `minicnn.data.load`."""
    if size not in (None, SIZE):
        raise ValueError(f"load: {name} has images of size {SIZE} only, not {size!r}")
    source = SOURCES[name]
    images, labels, classes = find(
        HOME + source.archive,
        source.folder,
        lambda content, where: decode(source, split, content, where),
        download,
    )
    return Dataset(images, labels, classes, name, split)


def decode(source: Source, split: str, content: bytes, where: str):
    """(images, labels, classes) of a split, from the bytes of an archive, after every check."""
    wanted = source.sha256[split]
    files = read_files(source, content, where, {source.classes, *wanted})
    classes = files[source.classes].decode("utf-8", "replace").split()
    if len(classes) != source.count:
        raise DataError(
            f"{where}: {source.classes} names {len(classes)} classes, but must name {source.count}"
        )
    parts = []
    for file, sha256 in wanted.items():
        parts.append(records(source, files[file], f"{where}: {file}"))
        found = hashlib.sha256(files[file]).hexdigest()
        if found != sha256:  # last, since the other checks say more about what is wrong
            raise DataError(
                f"{where}: {file} has the wrong checksum: its SHA-256 is {found}, "
                f"but must be {sha256}"
            )
    rows = np.concatenate(parts)
    planes = rows[:, source.labels :].reshape(-1, 3, SIZE, SIZE)
    images = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))  # channels-last, as in every net
    return images.transpose(0, 3, 1, 2), rows[:, source.labels - 1], tuple(classes)


def records(source: Source, content: bytes, where: str) -> np.ndarray:
    """The records of one file: (N, labels + 3072) uint8."""
    length = source.labels + PIXELS
    if not content or len(content) % length:
        raise DataError(
            f"{where} has the wrong size: {len(content):,} bytes, but must be a multiple of "
            f"{length:,}, the size of a record"
        )
    rows = np.frombuffer(content, np.uint8).reshape(-1, length)
    largest = rows[:, source.labels - 1].max()
    if largest >= source.count:
        raise DataError(
            f"{where} holds the label {largest}, but labels must be in 0..{source.count - 1}"
        )
    return rows


def read_files(source: Source, content: bytes, where: str, wanted: set[str]) -> dict[str, bytes]:
    """The wanted files of an archive, by name; nothing is written to the disk."""
    found = {}
    for name, file in walk(io.BytesIO(content), where, MOST_BYTES):
        folder, _, name = name.rpartition("/")
        if file is not None and name in PICKLES:
            raise DataError(
                f"{where} is the Python version of the archive, whose files are pickles and may "
                f"run code when they are read; minicnn reads the binary version: {source.archive}"
            )
        if file is not None and folder == source.inside and name in wanted:
            found[name] = file.read()
        if len(found) == len(wanted):
            break
    missing = sorted(wanted - found.keys())
    if missing:
        raise DataError(f"{where} lacks {', '.join(f'{source.inside}/{file}' for file in missing)}")
    return found
