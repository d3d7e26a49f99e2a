"""Decode a JPEG or PNG file: the pixels a person sees, or an error that names the file.

A camera stores a portrait sideways with a note (EXIF) which way is up; a printer's file has four
inks; a palette holds numbers of colours; a scan has 16 bits a pixel; a logo is transparent. Each of
them becomes plain 8-bit RGB or grey here. Pillow does the decoding; install it with
`pip install minicnn[images]`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from minicnn.data.dataset import DataError

SUFFIXES = (".jpg", ".jpeg", ".png")
CHANNELS = {"RGB": 3, "L": 1}
# Pillow's own limit, at which it warns: a file of a few kilobytes may claim any size.
MOST_PIXELS = 89_478_485
DEEP = ("I", "I;16", "I;16L", "I;16B", "I;16N")
FULL_8, FULL_16 = 255, 65_535


def read_picture(path, mode: str = "RGB") -> np.ndarray:
    """The pixels of a picture file.

    Parameters
    ----------
    path : path
        A JPEG or PNG file, whatever it is called.
    mode : {"RGB", "L"}
        Colour, or grey (0.299 R + 0.587 G + 0.114 B).

    Returns
    -------
    (C, H, W) uint8
        Upright, as EXIF says. Transparent pixels lie on white. 16 bits become 8, rounded.

    Raises
    ------
    DataError
        If the file is no JPEG or PNG picture, is damaged or cut short, has more than 89 million
        pixels, or its colours cannot be converted.
    ImportError
        If Pillow is not installed.
    FileNotFoundError
        If there is no such file.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise ImportError(
            "reading pictures needs Pillow, which is not installed; "
            "install it with: pip install minicnn[images]"
        ) from error
    path = Path(path)
    with path.open("rb") as file:
        try:
            with Image.open(file, formats=("JPEG", "PNG")) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise _too_large(path)
                image.load()
                image = _plain(path, ImageOps.exif_transpose(image), mode)
        except DataError:
            raise
        except Image.UnidentifiedImageError:
            raise DataError(f"{path} is no picture: expects a whole JPEG or PNG file") from None
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise _too_large(path) from error
        # A broken file can make Pillow's decoders stumble in any way.
        except Exception as error:
            raise DataError(f"{path} cannot be decoded: {error}; replace or remove it") from error
    pixels = np.asarray(image)
    return (pixels[..., None] if pixels.ndim == 2 else pixels).transpose(2, 0, 1)


def _too_large(path):
    return DataError(
        f"{path} claims more than {MOST_PIXELS:,} pixels, the most that are decoded; make it "
        "smaller, or remove it"
    )


def _plain(path, image, mode):
    """A Pillow image of any kind as one of 8-bit RGB or grey."""
    from PIL import Image

    if image.mode in DEEP:
        deep = np.asarray(image).astype(np.int64)
        if deep.min() < 0 or deep.max() > FULL_16:
            raise DataError(
                f"{path} has pixels from {deep.min()} to {deep.max()}, but at most 16 bits"
            )
        image = Image.fromarray(((deep * FULL_8 + FULL_16 // 2) // FULL_16).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(ground, image)
    return image.convert(mode)
