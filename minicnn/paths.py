"""Where minicnn finds its CUDA sources and keeps its files."""

from __future__ import annotations

import os
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def kernels_dir() -> Path:
    """The folder that holds the CUDA sources (`*.cu`).

    A wheel carries it inside the package (`minicnn/kernels`); a checkout, an editable install
    and PYTHONPATH find it beside the package (`kernels`).

    Raises
    ------
    FileNotFoundError
        If neither folder holds `common.cuh`.
    """
    candidates = [PACKAGE / "kernels", PACKAGE.parent / "kernels"]
    for folder in candidates:
        if (folder / "common.cuh").is_file():
            return folder
    looked = " and ".join(str(folder) for folder in candidates)
    raise FileNotFoundError(
        f"minicnn's CUDA sources are missing: looked for common.cuh in {looked}; "
        "install minicnn again, or run from a whole checkout"
    )


def cache_dir(name: str) -> Path:
    """A folder for files that can be made or fetched again, created if it is not there.

    `MINICNN_CACHE` chooses its place; else it is `minicnn` in the user's cache folder
    (`LOCALAPPDATA` on Windows, `~/Library/Caches` on macOS, `XDG_CACHE_HOME` or `~/.cache`
    elsewhere).
    """
    if "MINICNN_CACHE" in os.environ:
        root = Path(os.environ["MINICNN_CACHE"])
    elif sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "minicnn"
    elif sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches" / "minicnn"
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minicnn"
    folder = root.expanduser() / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
