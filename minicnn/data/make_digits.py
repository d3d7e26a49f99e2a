"""Make `digits.npz` from scikit-learn's copy of the digits, or compare the two.

    python -m minicnn.data.make_digits           write minicnn/data/digits.npz
    python -m minicnn.data.make_digits --check   compare what is there with scikit-learn

The same arrays give the same bytes on every run (fixed times, order and rights in the archive);
another zlib may compress differently, so `--check` compares arrays.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import zipfile
from pathlib import Path

import numpy as np

from minicnn.data.digits import EMBEDDED, read_embedded

EARLIEST = (1980, 1, 1, 0, 0, 0)  # the first moment a zip file can name
UNIX = 3


def from_scikit_learn() -> dict[str, np.ndarray]:
    """Images `(1797, 8, 8)` in 0..16 and labels `(1797,)`, both as uint8."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return {"images": digits.images.astype(np.uint8), "labels": digits.target.astype(np.uint8)}


def pack(arrays: dict[str, np.ndarray]) -> bytes:
    """An npz file whose bytes depend on the arrays alone, which `np.savez` does not promise."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=EARLIEST)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = UNIX
            entry.external_attr = 0o644 << 16
            plain = io.BytesIO()
            np.lib.format.write_array(plain, array, version=(1, 0), allow_pickle=False)
            archive.writestr(entry, plain.getvalue(), compresslevel=9)
    return packed.getvalue()


def write(target: Path, content: bytes) -> None:
    """Write to a temporary name beside the target, then rename: never a half-written file."""
    temporary = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def main(argv: list[str] | None = None) -> int:
    """Run the command; 0 if all is well, 1 if the check finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m minicnn.data.make_digits")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    options = parser.parse_args(argv)
    arrays = from_scikit_learn()
    if not options.check:
        write(EMBEDDED, pack(arrays))
        print(f"{EMBEDDED}: written, {EMBEDDED.stat().st_size:,} bytes")
        return 0
    images, labels = read_embedded()
    if np.array_equal(images, arrays["images"]) and np.array_equal(labels, arrays["labels"]):
        print(f"{EMBEDDED}: equal to scikit-learn's digits")
        return 0
    print(f"{EMBEDDED}: differs from scikit-learn's digits; make it again without --check")
    return 1


if __name__ == "__main__":
    sys.exit(main())
