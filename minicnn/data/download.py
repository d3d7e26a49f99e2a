"""Fetch a file from its public home: all of it and checked, or nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from minicnn.data.dataset import DataUnavailableError

TIMEOUT = 30.0  # seconds of silence
CHUNK = 1 << 16


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
