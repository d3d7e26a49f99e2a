"""Scenes composed of real digits: clips, a digit to find, digits to colour in, rows of digits.

Each function draws `count` scenes from a Dataset of digits with a `numpy.random.Generator`: the
same seed, the same scenes. Digits of one half of a data set make scenes of that half, so test
scenes hold hands that no training scene has shown.
"""

from __future__ import annotations

import numpy as np

from minicnn.functional.arguments import as_count

MOTIONS = ((0, 1), (1, 0), (0, -1), (-1, 0))  # down and to the right
MOTION_NAMES = ("right", "down", "left", "up")
NOTHING = 10  # the class of an empty place in a row of digits


def moving(digits, count: int, rng, frames: int = 8, side: int = 16, speed: int = 2):
    """Clips of a digit that moves steadily; what leaves at one border enters at the opposite one.

    The place where it starts is drawn from all places, so a single frame says nothing of where the
    digit is going.

    Parameters
    ----------
    digits : Dataset
    count, frames : int
        N and T.
    rng : numpy.random.Generator
    side, speed : int
        S, in pixels, and pixels a frame.

    Returns
    -------
    (clips, motions) : float32 array (N, T, 1, S, S) in 0..1, int64 array (N,)
        A motion is a position in MOTION_NAMES.

    Raises
    ------
    ValueError
        If a digit is larger than the image.
    """
    images, _ = _draw("moving", digits, count, rng)
    side = _room("moving", side, images)
    motions = rng.integers(0, 4, count)
    starts = rng.integers(0, side, (count, 2))
    x = np.zeros((count, as_count("moving", "frames", frames), 1, side, side), np.float32)
    for clip, image, motion, start in zip(x, images, motions, starts):
        canvas = np.zeros((side, side), np.float32)
        _paste(canvas, image, 0, 0)
        for t, frame in enumerate(clip):
            frame[0] = np.roll(canvas, start + t * speed * np.array(MOTIONS[motion]), axis=(0, 1))
    return x, motions


def hidden(digits, count: int, rng, side: int = 24, pieces: int = 3):
    """A digit somewhere, as it is or twice as large, among pieces of other digits.

    Parameters
    ----------
    digits : Dataset
    count, pieces : int
        N, and how many pieces there are: each a quarter of a digit.
    rng : numpy.random.Generator
    side : int
        S, in pixels.

    Returns
    -------
    (images, labels, boxes) : float32 (N, 1, S, S) in 0..1, int64 (N,), float32 (N, 4)
        A box (x, y, width, height) holds the digit's ink: its middle and its size, as fractions of
        the image; see `minicnn.models.localization`.

    Raises
    ------
    ValueError
        If a digit may be larger than the image.
    """
    images, labels = _draw("hidden", digits, count, rng)
    side = _room("hidden", side, images, enlarged=2)
    x = np.zeros((count, 1, side, side), np.float32)
    boxes = np.empty((count, 4), np.float32)
    for (canvas,), image, box in zip(x, images, boxes):
        for other in images[rng.integers(0, count, pieces)]:
            h, w = other.shape[0] // 2, other.shape[1] // 2
            i, j = rng.integers(0, 2, 2) * (h, w)
            top, left = rng.integers(0, (side - h + 1, side - w + 1))
            _paste(canvas, other[i : i + h, j : j + w], top, left)
        size = rng.integers(1, 3)
        image = image.repeat(size, axis=0).repeat(size, axis=1)
        top, left = rng.integers(0, side - np.array(image.shape) + 1)
        canvas[top : top + image.shape[0], left : left + image.shape[1]] = image
        rows, columns = (np.flatnonzero(image.any(axis=axis)) for axis in (1, 0))
        y0, y1 = top + rows[0], top + rows[-1] + 1
        x0, x1 = left + columns[0], left + columns[-1] + 1
        box[:] = np.array([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0]) / side
    return x, labels, boxes


def scattered(digits, count: int, rng, side: int = 24, most: int = 4):
    """Up to `most` digits that do not overlap, and for every pixel what it belongs to.

    Parameters
    ----------
    digits : Dataset
    count, most : int
    rng : numpy.random.Generator
    side : int
        S, in pixels.

    Returns
    -------
    (images, masks) : float32 (N, 1, S, S) in 0..1, int64 (N, S, S)
        A mask is 0 where there is no ink, and 1 + the digit's label where there is.

    Raises
    ------
    ValueError
        If a digit is larger than the image.
    """
    images, labels = _draw("scattered", digits, count * as_count("scattered", "most", most), rng)
    side = _room("scattered", side, images)
    x = np.zeros((count, 1, side, side), np.float32)
    masks = np.zeros((count, side, side), np.int64)
    for k, (image, label) in enumerate(zip(images, labels)):
        canvas, mask = x[k // most, 0], masks[k // most]
        top, left = rng.integers(0, side - np.array(image.shape) + 1)
        place = np.s_[top : top + image.shape[0], left : left + image.shape[1]]
        if not mask[place].any():
            canvas[place] = image
            mask[place] = np.where(image > 0, 1 + label, 0)
    return x, masks


def in_a_row(digits, count: int, rng, most: int = 4):
    """One to `most` digits side by side, each a little up or down, with gaps between them.

    Parameters
    ----------
    digits : Dataset
        Of images s pixels high and wide.
    count, most : int
        N and M.
    rng : numpy.random.Generator

    Returns
    -------
    (images, labels, columns) : float32 (N, 1, s + 4, W) in 0..1, int64 (N, M), int64 (N, W)
        W is M (s + 3). A label is NOTHING where the row has ended. A column of pixels has the
        label of the digit whose middle is at most 2 pixels away, else NOTHING.
    """
    images, drawn = _draw("in_a_row", digits, count * as_count("in_a_row", "most", most), rng)
    s = images.shape[1]
    x = np.zeros((count, 1, s + 4, most * (s + 3)), np.float32)
    labels, columns = np.full((count, most), NOTHING), np.full((count, x.shape[3]), NOTHING)
    for k, (canvas,) in enumerate(x):
        left = 0
        for place in range(k * most, k * most + rng.integers(1, most + 1)):
            left, top = left + rng.integers(0, 4), rng.integers(0, 5)
            canvas[top : top + s, left : left + s] = images[place]
            labels[k, place - k * most] = drawn[place]
            columns[k, left + s // 2 - 2 : left + s // 2 + 2] = drawn[place]
            left += s
    return x, labels, columns


# ---------------------------------------------------------------------------
# Digits and places
# ---------------------------------------------------------------------------
def _draw(name, digits, count, rng):
    """So many digits, chosen at random: (N, s, s) in 0..1, and their labels."""
    chosen = rng.integers(0, len(digits), as_count(name, "count", count))
    return digits.images[chosen, 0] / np.float32(255), digits.labels[chosen]


def _room(name, side, images, enlarged=1):
    """`side`, once it is known that a digit has room in it."""
    needed = enlarged * max(images.shape[1:])
    if as_count(name, "side", side) < needed:
        raise ValueError(
            f"{name}: a digit may be {needed} pixels high or wide, but the image has a side of "
            f"{side}; make it larger"
        )
    return int(side)


def _paste(canvas, image, top, left):
    """`image` at this place; where there is ink already, the darker of the two."""
    place = canvas[top : top + image.shape[0], left : left + image.shape[1]]
    np.maximum(place, image, out=place)
