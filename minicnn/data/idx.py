"""The idx format, in which MNIST and Fashion-MNIST come.

    bytes 0, 1   zero
    byte  2      the type of the numbers: 0x08 uint8, 0x09 int8, 0x0B int16, 0x0C int32,
                 0x0D float32, 0x0E float64
    byte  3      D, how many dimensions
    4 bytes each D extents, then the numbers in row-major order; all of it big-endian

Source: Y. LeCun, C. Cortes and C. Burges, "The MNIST database of handwritten digits", 1998.
"""

from __future__ import annotations

import math

import numpy as np

from minicnn.data.dataset import DataError

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_DIMENSIONS = 32  # enough for anybody, and within what NumPy takes
MOST_BYTES = 1 << 27  # twice the largest file read here: an endless stream must not eat the memory
GZIP_MAGIC = b"\x1f\x8b"


def gunzip(content: bytes, where: str) -> bytes:
    """What a gzip file holds.

    Parameters
    ----------
    content : bytes
    where : str
        The file's name, for the error.

    Raises
    ------
    DataError
        If this is no gzip file, is cut short or damaged, or unpacks to more than 128 MiB.
    """
    import gzip
    import io
    import zlib

    if not content.startswith(GZIP_MAGIC):
        raise DataError(
            f"{where} is not a gzip file: it begins with {content[:2].hex(' ') or 'nothing'}, "
            f"but must begin with {GZIP_MAGIC.hex(' ')}"
        )
    try:
        plain = gzip.GzipFile(fileobj=io.BytesIO(content)).read(MOST_BYTES + 1)
    except EOFError:
        raise DataError(f"{where} is cut short: its gzip stream does not end") from None
    except (OSError, zlib.error) as error:
        raise DataError(f"{where} is damaged: its gzip stream does not unpack ({error})") from None
    if len(plain) > MOST_BYTES:
        raise DataError(f"{where} unpacks to more than the {MOST_BYTES:,} bytes allowed")
    return plain


def parse_idx(content: bytes, where: str) -> np.ndarray:
    """The array that an (unpacked) idx file holds.

    Parameters
    ----------
    content : bytes
    where : str
        The file's name, for the error.

    Returns
    -------
    ndarray
        A fresh array in the machine's own byte order.

    Raises
    ------
    DataError
        If the magic number is wrong, or the size is not exactly what the header says.
    """
    magic = content[:4]
    dimensions = magic[3] if len(magic) == 4 else 0
    if magic[:2] != b"\0\0" or not 1 <= dimensions <= MOST_DIMENSIONS or magic[2] not in TYPES:
        raise DataError(
            f"{where} has the wrong magic number {magic.hex(' ') or 'nothing'}: an idx file begins "
            "with 00 00, a type (08, 09, 0b, 0c, 0d or 0e) and the number of dimensions "
            f"(01 to {MOST_DIMENSIONS:02x})"
        )
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise DataError(
            f"{where} has the wrong size: {len(content)} bytes, but the header alone takes {start}"
        )
    shape = tuple(int(extent) for extent in np.frombuffer(content, ">u4", dimensions, offset=4))
    dtype = np.dtype(TYPES[magic[2]])
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise DataError(
            f"{where} has the wrong size: {len(content):,} bytes, but its header says "
            f"{expected:,} (shape {shape} of {dtype.name})"
        )
    numbers = np.frombuffer(content, dtype, offset=start)
    return numbers.reshape(shape).astype(dtype.newbyteorder("="))
