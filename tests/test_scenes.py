"""Scenes composed of digits: what is in them is where their labels say."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.checks.course import overlap as by_corners
from minicnn.data import load, scenes
from minicnn.models.localization import overlap

DIGITS = load("digits", "test")
seeds = st.integers(0, 2**32 - 1)


def box_of(ink):
    """(x, y, width, height) of the True pixels, as fractions of the image."""
    rows, columns = (np.flatnonzero(ink.any(axis=axis)) for axis in (1, 0))
    (top, bottom), (left, right) = ((k[0], k[-1] + 1) for k in (rows, columns))
    box = np.array([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top])
    return box / ink.shape[0]


@settings(max_examples=20)
@given(seeds, st.integers(1, 4), st.integers(1, 6), st.integers(8, 20), st.integers(1, 5))
def test_a_clip_moves_as_it_says(seed, count, frames, side, speed):
    rng = np.random.default_rng(seed)
    x, motions = scenes.moving(DIGITS, count, rng, frames=frames, side=side, speed=speed)
    assert x.shape == (count, frames, 1, side, side) and x.dtype == np.float32
    steps = {"right": (0, 1), "down": (1, 0), "left": (0, -1), "up": (-1, 0)}
    for clip, motion in zip(x[:, :, 0], motions):
        down, right = steps[scenes.MOTION_NAMES[motion]]
        for before, after in pairwise(clip):
            assert np.array_equal(np.roll(before, (speed * down, speed * right), (0, 1)), after)


def test_where_a_clip_starts_says_nothing_of_its_motion():
    x, motions = scenes.moving(DIGITS, 4000, np.random.default_rng(0), frames=1)
    for motion in range(4):
        ink = x[motions == motion].mean(axis=(0, 1, 2))
        assert ink.min() / ink.max() > 0.5  # every pixel has about as much of it


@settings(max_examples=20)
@given(seeds, st.integers(16, 30))
def test_a_box_holds_the_ink(seed, side):
    x, labels, boxes = scenes.hidden(DIGITS, 3, np.random.default_rng(seed), side=side, pieces=0)
    assert x.shape == (3, 1, side, side) and labels.shape == (3,) and x.max() <= 1
    for image, box in zip(x[:, 0], boxes):
        np.testing.assert_allclose(box, box_of(image > 0), rtol=1e-6)


def test_pieces_of_digits_leave_the_digit_whole():
    x, labels, boxes = scenes.hidden(DIGITS, 20, np.random.default_rng(0))
    beside = 0
    for image, label, box in zip(x[:, 0], labels, boxes * 24):
        left, top = (box[:2] - box[2:] / 2).round().astype(int)
        width, height = box[2:].round().astype(int)
        found = image[top : top + height, left : left + width]
        assert any(np.array_equal(found, digit) for digit in inked(label))
        beside += (image > 0).sum() - (found > 0).sum()
    assert beside > 200  # there are pieces, too


def inked(label):
    """All digits of a label, cut to their ink, as they are and twice as large."""
    for image in DIGITS.images[DIGITS.labels == label, 0] / np.float32(255):
        rows, columns = (np.flatnonzero(image.any(axis=axis)) for axis in (1, 0))
        cut = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        yield cut
        yield cut.repeat(2, axis=0).repeat(2, axis=1)


@settings(max_examples=20)
@given(seeds, st.integers(8, 24), st.integers(1, 5))
def test_a_mask_names_the_ink(seed, side, most):
    x, masks = scenes.scattered(DIGITS, 3, np.random.default_rng(seed), side=side, most=most)
    assert x.shape == (3, 1, side, side) and masks.shape == (3, side, side)
    assert np.array_equal(x[:, 0] > 0, masks > 0) and masks.max() <= 10


def test_a_mask_has_the_label_of_its_digit():
    x, masks = scenes.scattered(DIGITS, 50, np.random.default_rng(3), side=8, most=1)
    for image, mask in zip(x, masks):
        alike = (DIGITS.images / np.float32(255) == image).all(axis=(1, 2, 3))
        assert mask.max() - 1 in DIGITS.labels[alike]


@settings(max_examples=20)
@given(seeds, st.integers(1, 6))
def test_a_row_reads_as_its_labels(seed, most):
    x, labels, columns = scenes.in_a_row(DIGITS, 3, np.random.default_rng(seed), most=most)
    assert x.shape == (3, 1, 12, 11 * most) and labels.shape == (3, most)
    for row, label, line in zip(x[:, 0], labels, columns):
        runs = [c for c, left in zip(line, (scenes.NOTHING, *line)) if c != left]
        assert [c for c in runs if c != scenes.NOTHING] == [d for d in label if d < 10]
        assert row.any() and not row[:, columns_after(line)].any()


def columns_after(line):
    """The columns behind the last digit: 4 of them are its own, beyond its middle 4."""
    last = np.flatnonzero(line != scenes.NOTHING)[-1]
    return slice(last + 3, None)


@pytest.mark.parametrize(
    ("draw", "settings", "message"),
    [
        (scenes.moving, {"side": 7}, "a digit may be 8 pixels high or wide, but the image has a"),
        (scenes.hidden, {"side": 15}, "a digit may be 16 pixels"),
        (scenes.scattered, {"side": 7}, "make it larger"),
        (scenes.in_a_row, {"most": 0}, "most expects 1 or more, but got 0"),
        (scenes.moving, {"frames": 0}, "frames expects 1 or more"),
    ],
    ids=["moving", "hidden", "scattered", "in_a_row", "frames"],
)
def test_bad_sizes_are_named(draw, settings, message):
    with pytest.raises(ValueError, match=message):
        draw(DIGITS, 2, np.random.default_rng(0), **settings)


def test_the_same_seed_draws_the_same_scenes():
    for draw in (scenes.moving, scenes.hidden, scenes.scattered, scenes.in_a_row):
        first, second = (draw(DIGITS, 5, np.random.default_rng(7)) for _ in "ab")
        assert all(np.array_equal(a, b) for a, b in zip(first, second))


def test_both_overlaps_agree():
    """The one of the models and the one that students' functions are compared with."""
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0.1, 1, (2, 500, 4))
    np.testing.assert_allclose(overlap(a, b), by_corners(a, b), rtol=1e-12, atol=1e-12)
