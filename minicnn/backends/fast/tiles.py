"""How an output is cut into tiles, and the piece of an image that a tile is computed from.

Arrays are as they lie in memory: x (N, H, W, C), y (N, OH, OW, O).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

from minicnn.backends.fast import memory

WORTH_SHARING = 2_000_000  # multiply-adds: below, a helper wakes up too late to help
CHUNK = 2**18  # bytes of an array that is walked through: a good part of a core's L2


@dataclass(frozen=True)
class Tile:
    """Output pixels [n, i, j]: whole images, or rows of one image, or a piece of one row.

    So they lie together in memory: `rows` tells where in y as a matrix (N*OH*OW, O).
    """

    n: slice
    i: slice
    j: slice
    rows: slice


@lru_cache(256)
def cut(N, OH, OW, pixels) -> tuple[Tile, ...]:
    """N images of OH x OW pixels in tiles of at most about `pixels`, as equal as can be."""
    images = even(N, max(1, pixels // (OH * OW)))
    heights = even(OH, max(1, pixels // OW))
    widths = even(OW, min(OW, pixels))
    tiles = []
    for n in images:
        for i in heights:
            for j in widths:
                start = (n.start * OH + i.start) * OW + j.start
                size = (n.stop - n.start) * (i.stop - i.start) * (j.stop - j.start)
                tiles.append(Tile(n, i, j, slice(start, start + size)))
    return tuple(tiles)


def even(length, most):
    """0 ... length in slices of at most `most`, as equal as can be."""
    parts = max(1, -(-length // most))
    bounds = [length * k // parts for k in range(parts + 1)]
    return [slice(a, b) for a, b in pairwise(bounds)]


def length(piece: slice) -> int:
    """How many a slice takes."""
    return piece.stop - piece.start


def matrix(x):
    """x (..., C) as rows (R, C)."""
    return x.reshape(-1, x.shape[-1])


def crop(x, n, top, left, buffer):
    """x[n, top : top + R, left : left + S], with zeros outside the image.

    It is a view of x where it lies inside, otherwise it is put in the buffer (n, R, S, C).
    """
    (_, H, W, _), (_, R, S, _) = x.shape, buffer.shape
    if top >= 0 and left >= 0 and top + R <= H and left + S <= W:
        return x[n, top : top + R, left : left + S]
    piece = buffer[: length(n)]
    h, k = max(top, 0), max(left, 0)
    down, right = max(min(top + R, H), h), max(min(left + S, W), k)
    piece[:, : h - top] = piece[:, down - top :] = 0
    piece[:, h - top : down - top, : k - left] = piece[:, h - top : down - top, right - left :] = 0
    piece[:, h - top : down - top, k - left : right - left] = x[n, h:down, k:right]
    return piece


def with_border(x, geometry):
    """x with its border of zeros, and the geometry that then has no padding."""
    (PH, PW), (H, W) = (max(p, 0) for p in geometry.padding), geometry.size
    wide = memory.empty((len(x), H + 2 * PH, W + 2 * PW, x.shape[3]), x.dtype)
    crop(x, slice(0, len(x)), -PH, -PW, wide)
    padding = tuple(min(p, 0) for p in geometry.padding)
    return wide, replace(geometry, size=wide.shape[1:3], padding=padding)
