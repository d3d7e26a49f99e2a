"""Mistakes in the course's small functions."""

from __future__ import annotations

import numpy as np

from minicnn.checks.mistakes.shared import on


def size(numerator, plus=1, rounded=lambda a, b: a // b):
    """An output size with this numerator, rounded so, plus that."""
    return on(lambda a: np.asarray(rounded(numerator(a), a["stride"]) + plus))


def inner(a):
    return a["size"] + 2 * a["padding"] - a["kernel"]


OUTPUT_SIZE = [
    ("+ 1 is missing: a kernel that has no room to move still fits once", size(inner, 0)),
    ("The padding counts on both sides, so 2 * padding", size(lambda a: inner(a) - a["padding"])),
    ("It is rounded up; a window that hangs over the edge does not fit, so round down: //",
     size(inner, rounded=lambda a, b: -(-a // b))),
    ("The kernel is not subtracted", size(lambda a: inner(a) + a["kernel"])),
]  # fmt: skip
CONV_PARAMETERS = [
    ("The depth is forgotten: a filter has a layer of weights for each input channel",
     on(lambda a: np.asarray(a["out_channels"] * (a["kernel"] ** 2 + bool(a["bias"]))))),
    ("There is one bias for each filter, so out_channels of them, not one",
     on(lambda a: np.asarray(a["out_channels"] * a["in_channels"] * a["kernel"] ** 2
                             + bool(a["bias"])))),
    ("A bias belongs to a filter, not to each of its input channels",
     on(lambda a: np.asarray(a["out_channels"] * a["in_channels"]
                             * (a["kernel"] ** 2 + bool(a["bias"]))))),
    ("The kernel has kernel * kernel cells, not kernel",
     on(lambda a: np.asarray(a["out_channels"] * (a["in_channels"] * a["kernel"]
                                                  + bool(a["bias"]))))),
]  # fmt: skip


def field(step):
    """A receptive field by a loop with this body: (size, jump, kernel, stride) -> (size, jump)."""

    def run(a):
        pixels, jump = 1, 1
        for kernel, stride in a["layers"].tolist():
            pixels, jump = step(pixels, jump, kernel, stride)
        return np.asarray(pixels)

    return on(run)


RECEPTIVE_FIELD = [
    ("Strides are ignored: after a stride of 2, a step of one output is two pixels of the image",
     field(lambda n, jump, k, s: (n + (k - 1) * jump, jump))),
    ("A layer's own stride counts from the next layer on: add (kernel - 1) * jump first, then "
      "multiply jump by the stride",
     field(lambda n, jump, k, s: (n + (k - 1) * jump * s, jump * s))),
    ("Strides are multiplied along the way, not added",
     field(lambda n, jump, k, s: (n + (k - 1) * jump, jump + s))),
    ("A layer adds kernel - 1 pixels, not kernel",
     field(lambda n, jump, k, s: (n + k * jump, jump * s))),
]  # fmt: skip
GREY = [
    ("All three channels have the same share here; the eye sees green as brighter than blue",
     on(lambda a: a["x"].mean(axis=1, keepdims=True))),
    ("The shares are given to the channels in the order blue, green, red",
     on(lambda a: np.tensordot((0.114, 0.587, 0.299), a["x"], (0, 1))[:, None])),
]  # fmt: skip
STANDARDIZE = [
    ("std is ignored, or multiplied by: divide by it",
     on(lambda a: a["x"] - a["mean"][:, None, None])),
    ("It is multiplied by std; divide by it",
     on(lambda a: (a["x"] - a["mean"][:, None, None]) * a["std"][:, None, None])),
    ("Only x is divided: (x - mean) / std needs its brackets",
     on(lambda a: a["x"] - a["mean"][:, None, None] / a["std"][:, None, None])),
]  # fmt: skip
SGD_STEP = [
    ("The step uses dw alone; it uses the new v",
     lambda run, a, y: (a["w"] - a["lr"] * a["dw"], y[1])),
    ("The step uses the old v; it uses the new one",
     lambda run, a, y: (a["w"] - a["lr"] * a["v"], y[1])),
    ("It climbs: the step goes against the gradient, w - lr v",
     lambda run, a, y: (2 * a["w"] - y[0], y[1])),
    ("v is an average here, (1 - momentum) dw; it is momentum v + dw",
     lambda run, a, y: run(a | {"dw": (1 - a["momentum"]) * a["dw"]})),
]  # fmt: skip


def boxes(shared_over=lambda shared, A, B: shared / (A + B - shared), middle=0.5, least=0.0):
    """An overlap with this quotient, this place of (x, y) in a box, this smallest shared side."""

    def run(arguments):
        a, b = (arguments[name] for name in "ab")
        (low_a, high_a), (low_b, high_b) = (
            (box[:, :2] - middle * box[:, 2:], box[:, :2] + (1 - middle) * box[:, 2:])
            for box in (a, b)
        )
        sides = np.minimum(high_a, high_b) - np.maximum(low_a, low_b)
        shared = sides.clip(least).prod(axis=1)
        return shared_over(shared, *(box[:, 2:].prod(axis=1) for box in (a, b)))

    return on(run)


OVERLAP = [
    ("Boxes that do not meet share nothing: a side of the shared part that comes out negative is 0",
     boxes(least=-np.inf)),
    ("What they cover together is A + B - shared: the shared part is counted twice here",
     boxes(lambda shared, A, B: shared / (A + B))),
    ("The shared area is divided by one box alone; divide by what both cover",
     boxes(lambda shared, A, B: shared / A)),
    ("(x, y) is the middle of a box, not its corner: it begins at x - width / 2",
     boxes(middle=0.0)),
]  # fmt: skip
PIXEL_ACCURACY = [
    ("This is the share of the wrong pixels", lambda run, a, y: (1 - y[0],)),
    ("Divide by the number of pixels", lambda run, a, y: (y[0] * a["t"].size,)),
]  # fmt: skip
TABLES = {
    "conv_parameters": CONV_PARAMETERS, "grey": GREY, "output_size": OUTPUT_SIZE,
    "overlap": OVERLAP, "pixel_accuracy": PIXEL_ACCURACY,
    "receptive_field": RECEPTIVE_FIELD, "sgd_step": SGD_STEP, "standardize": STANDARDIZE,
}  # fmt: skip
