"""Weights in NumPy's npz files: an archive of arrays, without pickled objects."""

from __future__ import annotations

import io
import zipfile
import zlib

import numpy as np


def to_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    """The arrays as an npz file whose bytes depend on them alone, which `np.savez` does not say."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in sorted(arrays):
            content = io.BytesIO()
            np.lib.format.write_array(content, arrays[name], allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy")  # of 1980
            entry.create_system = 3  # Unix, wherever it is made
            archive.writestr(entry, content.getvalue())
    return file.getvalue()


def read(path) -> dict[str, np.ndarray]:
    """The arrays of an npz file by name.

    Raises
    ------
    ValueError
        If it is no whole npz file, or holds objects that would have to be executed to be read.
    """
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, TypeError) as error:
        raise ValueError(str(error)) from None
