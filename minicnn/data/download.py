"""Find a file, on this machine or at its public home: all of it and checked, or nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from minicnn.data.dataset import DataError, DataUnavailableError
from minicnn.paths import cache_dir

TIMEOUT = 30.0  # seconds of silence
CHUNK = 1 << 16


def find(
    url: str, folder: str, decode: Callable[[bytes, str], Any], download: bool = True
) -> Any:
    """What a file holds: from `MINICNN_DATA/folder`, else from the cache, else from its home.

    A file under `MINICNN_DATA` is the user's: a bad one is an error and stays as it is. A bad one
    in the cache is ours: it is thrown away and fetched again.

    Parameters
    ----------
    url : str
        The file's home; its last part is the file's name everywhere.
    folder : str
        The data set's folder.
    decode : callable
        `decode(content, where)` makes the result of the file's bytes, or raises DataError with
        `where`, the file's path or URL, at the head of its message.
    download : bool
        Whether its home may be asked.

    Raises
    ------
    DataError
        If the user's file, or what its home sends, is not what it must be.
    DataUnavailableError
        If there is no file and it cannot, or may not, be downloaded.
    """
    file = url.rpartition("/")[2]
    own = own_file(folder, file)
    if own is not None:
        try:
            return decode(own.read_bytes(), str(own))
        except (DataError, OSError) as error:
            raise DataError(
                f"{error}; replace the file by a good copy, or move it away to have it downloaded"
            ) from None
    cached = cache_dir("data") / folder / file
    if cached.is_file():
        try:
            return decode(cached.read_bytes(), str(cached))
        except DataError:
            cached.unlink(missing_ok=True)
    if not download:
        raise DataUnavailableError(
            f"{file} is neither under MINICNN_DATA ({_named()}) nor in {cached.parent}, and "
            "download=False forbids to fetch it; allow it, or put a good copy there"
        )
    try:
        return fetch(url, cached, lambda content: decode(content, url))
    except DataError as error:
        raise type(error)(
            f"{error}; {file} is neither under MINICNN_DATA "
            f"({_named()}) nor in {cached.parent}: "
            f"try again with a network, or put a good copy at MINICNN_DATA/{folder}/{file}"
        ) from error


def _named() -> str:
    return os.environ.get("MINICNN_DATA") or "not set"


def own_file(folder: str, file: str) -> Path | None:
    """The file's path under the folder that `MINICNN_DATA` names, or None if it is not there."""
    named = os.environ.get("MINICNN_DATA")
    if not named:
        return None
    root = Path(named).expanduser()
    if not root.is_dir():
        raise DataUnavailableError(
            f"MINICNN_DATA names {named}, but must name a folder; correct it, or unset it to use "
            "the cache"
        )
    path = root / folder / file
    return path if path.exists() else None


def fetch(url: str, target: Path, check: Callable[[bytes], Any]) -> Any:
    """Download `url` to `target` and return what `check` made of its bytes.

    The file gets its name only after the check: whatever goes wrong, `target` is as it was and
    nothing else is left in its folder.

    Parameters
    ----------
    url : str
    target : Path
        Its folder is created if it is not there.
    check : callable
        Takes the bytes; raises an error if they are not the file.

    Raises
    ------
    DataUnavailableError
        If the file cannot be had, arrives cut short or cannot be stored.
    """
    import http.client
    import tempfile
    import urllib.error

    temporary = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(
            dir=target.parent, prefix=f"{target.name}.", suffix=".part"
        )
        with os.fdopen(handle, "wb") as out:
            _receive(url, out)
        result = check(Path(temporary).read_bytes())
        os.replace(temporary, target)
    except DataUnavailableError:
        raise
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it is the server's answer, too, and still open
        raise DataUnavailableError(f"{url} could not be downloaded ({error})") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
    return result


def _receive(url: str, out: BinaryIO) -> None:
    """Copy what the server sends, with a progress bar; a short answer is an error."""
    from urllib.request import urlopen

    from tqdm import tqdm

    with urlopen(url, timeout=TIMEOUT) as response:
        promised = response.length  # counts down while reading; None if the server does not say
        name = url.rpartition("/")[2]
        with tqdm(desc=name, total=promised, unit="B", unit_scale=True, leave=False) as bar:
            while chunk := response.read(CHUNK):
                out.write(chunk)
                bar.update(len(chunk))
    if promised is not None and out.tell() != promised:
        raise DataUnavailableError(f"{url} arrived cut short: {out.tell():,} of {promised:,} bytes")
