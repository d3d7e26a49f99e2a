"""The course's section 9, beyond one image.

What was measured is in the notebook: its committed outputs belong to its text, and a run of it
raises where a claim fails (see test_tutorials.py). Here its figures are read; what takes no
training is computed.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from course import registrar

import minicnn
from minicnn import Tensor, models, no_grad
from minicnn import functional as F
from minicnn.backends.shapes import blank
from minicnn.models.video import VideoClassifier
from minicnn.nn import init

CASES = {}
fact = registrar(CASES)
NOTEBOOK = Path(__file__).resolve().parent.parent / "tutorials" / "17_beyond_images.ipynb"


@cache
def printed():
    """All that the notebook's cells have printed."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    return "".join("".join(output.get("text", "")) for output in outputs)


def figures(pattern):
    """The numbers that a pattern finds in what was printed, the only time that it matches."""
    (found,) = re.findall(pattern, printed())
    return [float(number) for number in ([found] if isinstance(found, str) else found)]


@fact("9.1-a-minute-in-features", [1, 120, 4096])
def minute():
    """Two frames a second, each 4,096 numbers of VGG-16."""
    with init.empty(), minicnn.use_backend("shapes"), no_grad():
        net = VideoClassifier(models.build("vgg16"), num_classes=4)
        return list(net.features(Tensor(blank((1, 2 * 60, 3, 224, 224), np.float32))).shape)


@fact("9.1", ("in-order", True), ("shuffled-at-best-half", True), ("one-frame-is-guessing", True))
def motion(name):
    """Played backwards, a clip of "right" is one of "left": the order alone tells them apart."""
    low, high, view = {
        "in-order": (90, 100, "in_order"),
        "shuffled-at-best-half": (40, 60, "shuffled"),
        "one-frame-is-guessing": (15, 35, "one_frame"),
    }[name]
    (percent,) = figures(rf"{view} +(\d+)% of 400 test clips right")
    return low <= percent <= high


@fact("9.2", ("a-box-head-finds-the-digit", True), ("segmentation-knows-the-ink", True),
      ("a-row-of-digits-is-read", True))  # fmt: skip
def scenes(name):
    if name == "a-box-head-finds-the-digit":
        overlap, blind = figures(r"overlap, mean: +([\d.]+)  \(one box for all: ([\d.]+)\)")
        return overlap > 2 * blind
    if name == "segmentation-knows-the-ink":
        right, background = figures(r"all pixels right: +([\d.]+)%  \(all background: ([\d.]+)%\)")
        (ink,) = figures(r"ink in its own class: +([\d.]+)%")  # guessing among ten: 10%
        return right > background and ink > 50
    (percent,) = figures(r"(\d+)% of 400 rows read without a mistake")
    return percent > 50


@fact("9.3", ("same-layer", True), ("keys-heard", True), ("filters-find-the-tones", True))
def sound(name):
    if name == "same-layer":
        rng = np.random.default_rng(0)
        signal, weights = rng.normal(size=500), rng.normal(size=64)
        y = F.conv2d(Tensor(signal[None, None, None]), Tensor(weights[None, None, None]))
        return np.allclose(y.numpy()[0, 0, 0], np.correlate(signal, weights, "valid"))
    if name == "keys-heard":
        (percent,) = figures(r"([\d.]+)% of 500 keys heard")
        return percent > 95
    return figures(r"hertz; at most (\d+) off")[0] < 20


@fact("3.4-capsules-keep-the-place", True)
def place():
    """Pixels off: by a straight line from the capsule's vector, from pooled features."""
    (capsules,) = figures(r"capsules  which digit: \d+%   where: ([\d.]+) pixels off")
    (pooled,) = figures(r"pooling   which digit: \d+%   where: ([\d.]+) pixels off")
    return capsules < 0.9 * pooled


@pytest.mark.parametrize("case", CASES)
def test_fact(case):
    function, expected = CASES[case]
    assert function() == expected
