"""A data set of picture files: a folder for each class."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import numpy as np

from minicnn.data.dataset import DataError, positions
from minicnn.data.pictures import CHANNELS, SUFFIXES, read_picture


class ImageFolder:
    """Pictures in a folder for each class, read when they are asked for.

        flowers/daisy/1.jpg
        flowers/daisy/2.png
        flowers/rose/7.jpeg

    The classes are the folders' names, in alphabetical order. Pictures are the files that end in
    .jpg, .jpeg or .png, in capitals or not, at any depth below the class's folder, in alphabetical
    order; hidden files do not count. `read_picture` says how they are decoded.

    `len(ds)` counts them, `ds[3]` is one image `(C, H, W)` uint8 with its label, and a slice, a
    list of positions or a mask is a smaller ImageFolder. Sizes may differ: a loader needs a
    transform that makes them equal, as `Compose([Resize(256), CenterCrop(224)])`.

    Parameters
    ----------
    root : path
    mode : {"RGB", "L"}
        Three channels, or one.

    Attributes
    ----------
    paths : list of Path
    labels : (N,) int64
    classes : tuple of str
    channels : int

    Raises
    ------
    FileNotFoundError
        If root is no folder.
    DataError
        If it has no folders, or one of them no picture.
    ValueError
        If mode is neither.
    """

    def __init__(self, root, mode: str = "RGB"):
        if mode not in CHANNELS:
            raise ValueError(f"ImageFolder: mode is {mode!r}, but must be 'RGB' or 'L'")
        self.root, self.mode, self.channels = Path(root), mode, CHANNELS[mode]
        if not self.root.is_dir():
            raise FileNotFoundError(
                f"ImageFolder: {root} is no folder; name one that holds a folder for each class"
            )
        folders = sorted(p for p in self.root.iterdir() if p.is_dir() and not _hidden(p.name))
        if not folders:
            raise DataError(f"{root} holds no folders, but must hold one for each class")
        pictures = [_pictures(folder) for folder in folders]
        self.classes = tuple(folder.name for folder in folders)
        self.paths = [path for part in pictures for path in part]
        self.labels = np.repeat(np.arange(len(folders)), [len(part) for part in pictures])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index):
        if isinstance(index, (int, np.integer)):
            return read_picture(self.paths[index], self.mode), int(self.labels[index])
        chosen = np.arange(len(self))[positions("ImageFolder", index)]
        part = copy.copy(self)
        part.paths = [self.paths[k] for k in chosen]
        part.labels = self.labels[chosen]
        return part

    def stacks(self, chosen):
        """The chosen images as arrays (n, C, H, W) uint8, one after the other; here n is 1."""
        return (read_picture(self.paths[k], self.mode)[None] for k in chosen)

    def __repr__(self) -> str:
        return f"<ImageFolder {self.root}: {len(self):,} pictures, {len(self.classes)} classes>"


def _hidden(name: str) -> bool:
    return name.startswith(".")


def _pictures(folder: Path) -> list[Path]:
    """The picture files below a folder; at least one."""
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not _hidden(name)]
        found += [
            Path(parent, name)
            for name in files
            if name.lower().endswith(SUFFIXES) and not _hidden(name)
        ]
    if not found:
        raise DataError(
            f"{folder} holds no picture (a file ending in {', '.join(SUFFIXES)}), but every folder "
            "here is a class and must hold one; add pictures, or remove the folder"
        )
    return sorted(found)
