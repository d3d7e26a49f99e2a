"""Write a file whole, or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def write_file(path, content: bytes) -> None:
    """Write `content` to `path`; whatever goes wrong, an older file there stays as it was.

    The bytes go to a temporary name in the same folder, which is renamed when all are on disk.

    Raises
    ------
    OSError
        If the folder is missing or read-only, the disk is full, or `path` is a folder.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise type(error)(
            f"{path} could not be written ({error.strerror}), and is as it was before; see that "
            "its folder is there, can be written to and has room, or choose another place"
        ) from error
    finally:
        with contextlib.suppress(OSError):  # the first error says more
            temporary.unlink(missing_ok=True)
