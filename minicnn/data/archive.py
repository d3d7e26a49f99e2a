"""Tar archives from strangers: every member is checked before a byte of it is used.

A tar file may name `../../.bashrc` or `/etc/passwd`, hold links that lead out of the folder,
devices, or zeros without end, and a copy that was cut short may look whole. None of that gets past
`walk`, on which the readers here stand.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from minicnn.data.dataset import DataError
from minicnn.data.idx import GZIP_MAGIC

MOST_BYTES = 1 << 32
END = bytes(1024)  # a tar file ends with two blocks of zeros


def extract(archive, folder, most_bytes: int = MOST_BYTES) -> Path:
    """Unpack a `.tar` or `.tar.gz` file into a new folder: all of it, or nothing.

    Parameters
    ----------
    archive : path
    folder : path
        Is made, and must not be there yet. It gets its name when all is in it.
    most_bytes : int
        What the archive may unpack to, in bytes.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    DataError
        If the archive is damaged or cut short, unpacks to more than most_bytes, or a member is
        not a plain file or folder inside it.
    FileExistsError
        If the folder is there already.
    """
    import tempfile

    archive, folder = Path(archive), Path(folder)
    if folder.exists():
        raise FileExistsError(f"extract: {folder} is there already; remove it or name another")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with archive.open("rb") as stream, tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        inside = Path(temporary) / "inside"
        inside.mkdir()
        for name, source in walk(stream, str(archive), most_bytes):
            _write(inside / name, source, f"{archive}: {name}")
        os.rename(inside, folder)
    return folder


def _write(target: Path, source: BinaryIO | None, where: str) -> None:
    """One member: a folder if there is no source. What is there already is never written over."""
    try:
        if source is None:
            target.mkdir(parents=True, exist_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as out:
            shutil.copyfileobj(source, out)
    except (FileExistsError, NotADirectoryError):
        raise DataError(f"{where} comes twice in the archive, but must come once") from None


def walk(stream: BinaryIO, where: str, most_bytes: int) -> Iterator[tuple[str, BinaryIO | None]]:
    """The members of a tar file, in their order: (name, file to read from, or None for a folder).

    A file must be read before the next one is asked for. Whoever stops early has not seen that the
    rest is whole.

    Parameters
    ----------
    stream : binary file
    where : str
        The archive's name, for the errors.
    most_bytes : int

    Raises
    ------
    DataError
        As `extract`'s.
    """
    import tarfile

    plain = _Counted(_unzipped(stream), where, most_bytes)
    try:
        with tarfile.open(fileobj=plain, mode="r|", errorlevel=2) as archive:
            for member in archive:
                _check(member, where)
                source = archive.extractfile(member)
                yield member.name, source and _Counted(source, where, most_bytes)
    except DataError:
        raise
    except (tarfile.TarError, ValueError) as error:
        raise DataError(f"{where} is damaged: it is no whole tar file ({error})") from error
    while plain.read(1 << 16):
        pass  # to the end, so that gzip compares its checksum
    if plain.tail != END:
        raise DataError(f"{where} is cut short: a tar file ends with {len(END):,} bytes of zeros")


def _unzipped(stream: BinaryIO) -> BinaryIO:
    import gzip

    zipped = stream.read(2) == GZIP_MAGIC
    stream.seek(0)
    return gzip.GzipFile(fileobj=stream) if zipped else stream


def _check(member, where: str) -> None:
    """Raise unless a member is a plain file or folder whose name stays inside."""
    name = member.name
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or any(c in name for c in "\\:\0"):
        raise DataError(
            f"{where} holds {name!r}, which leads out of the folder it is unpacked to; do not use "
            "this archive"
        )
    if not (member.isfile() or member.isdir()) or member.issparse():
        raise DataError(
            f"{where} holds {name!r}, a link, a device or a sparse file, but must hold plain files "
            "and folders only; do not use this archive"
        )


class _Counted(io.RawIOBase):
    """A stream that notes its last bytes, stops at a limit, and names the archive in its errors."""

    def __init__(self, stream: BinaryIO, where: str, most_bytes: int):
        self.stream, self.where, self.left, self.most = stream, where, most_bytes, most_bytes
        self.tail = b""

    def read(self, size: int = -1) -> bytes:
        import tarfile
        import zlib

        try:
            content = self.stream.read(size)
        except (EOFError, tarfile.ReadError):
            raise DataError(f"{self.where} is cut short: it ends in the middle of a file") from None
        except (OSError, zlib.error) as error:
            raise DataError(f"{self.where} is damaged: it does not unpack ({error})") from error
        self.left -= len(content)
        if self.left < 0:
            raise DataError(f"{self.where} unpacks to more than the {self.most:,} bytes allowed")
        self.tail = (self.tail + content)[-len(END) :]
        return content
