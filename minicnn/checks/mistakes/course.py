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
CONV_SUMMARY = [
    ("The biases are forgotten: one for each filter",
     lambda run, a, y: (None, None, y[2] - a["out_channels"], None)),
    ("A bias belongs to a filter, not to each of its input channels",
     lambda run, a, y: (None, None, y[2] + a["out_channels"] * (a["in_channels"] - 1), None)),
    ("The multiplications are those of one output pixel: each weight is used at OH * OW of them",
     lambda run, a, y: (None, None, None, y[3] // (y[0] * y[1]))),
    ("The weights are used at every pixel of the output, OH * OW, not of the input",
     lambda run, a, y: (None, None, None, y[3] // (y[0] * y[1]) * a["height"] * a["width"])),
    ("A bias is added, not multiplied by: it costs no multiplication",
     lambda run, a, y: (None, None, None, y[2] * y[0] * y[1])),
    ("The depth is forgotten: a filter has a layer of weights for each input channel",
     lambda run, a, y: (None, None, a["out_channels"] * (a["kernel"] ** 2 + 1), None)),
    ("Height and width are swapped", lambda run, a, y: (y[1], y[0], None, None)),
]  # fmt: skip
DENSE_PARAMETERS = [
    ("The biases are forgotten: one for each output of a layer",
     on(lambda a: np.asarray((a["sizes"][:-1] * a["sizes"][1:]).sum()))),
    ("There is a bias for each output of a layer, not for each input",
     on(lambda a: np.asarray((a["sizes"][:-1] * (a["sizes"][1:] + 1)).sum()))),
    ("There is a bias for each output of a layer, not one for the layer",
     on(lambda a: np.asarray((a["sizes"][:-1] * a["sizes"][1:] + 1).sum()))),
    ("Only the last layer counts: = where += belongs",
     on(lambda a: np.asarray((a["sizes"][-2] + 1) * a["sizes"][-1]))),
    ("Images have no biases: the first size is that of the input",
     lambda run, a, y: (y[0] + a["sizes"][0],)),
]  # fmt: skip
ACCURACY = [
    ("This is how many are right; divide by the number of rows",
     lambda run, a, y: (y[0] * len(a["t"]),)),
    ("The smallest score is taken; the net says the class of the largest",
     on(lambda a: np.mean(a["x"].argmin(axis=1) == a["t"]))),
    ("This is the share of mistakes", lambda run, a, y: (1 - y[0],)),
    ("It is given in percent; a share is from 0 to 1", lambda run, a, y: (100 * y[0],)),
]  # fmt: skip
RUNNING_STATISTICS = [
    ("The batch's variance is divided by R - 1 here, the number of its values less one",
     lambda run, a, y: (y[0], (1 - a["momentum"]) * a["var"]
                        + a["momentum"] * a["x"].var(axis=(0, 2, 3)))),
    ("momentum is the batch's share, (1 - momentum) the old one's: they are swapped",
     lambda run, a, y: run(a | {"momentum": 1 - a["momentum"]})),
    ("The running variance takes the standard deviation: its square belongs there",
     lambda run, a, y: (y[0], (1 - a["momentum"]) * a["var"]
                        + a["momentum"] * a["x"].std(axis=(0, 2, 3), ddof=1))),
    ("The old statistics are forgotten: keep 1 - momentum of them",
     lambda run, a, y: tuple(v - (1 - a["momentum"]) * a[n] for v, n in zip(y, ("mean", "var")))),
    ("The old statistics are kept whole: keep 1 - momentum of them",
     lambda run, a, y: tuple(v + a["momentum"] * a[n] for v, n in zip(y, ("mean", "var")))),
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
TABLES = {
    "accuracy": ACCURACY, "conv_parameters": CONV_PARAMETERS, "conv_summary": CONV_SUMMARY,
    "dense_parameters": DENSE_PARAMETERS, "grey": GREY, "output_size": OUTPUT_SIZE,
    "receptive_field": RECEPTIVE_FIELD, "running_statistics": RUNNING_STATISTICS,
    "sgd_step": SGD_STEP, "standardize": STANDARDIZE,
}  # fmt: skip
