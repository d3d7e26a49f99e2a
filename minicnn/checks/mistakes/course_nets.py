"""Mistakes in the functions of the course's later notebooks."""

from __future__ import annotations

import numpy as np

from minicnn.checks.course_nets import sigmoid
from minicnn.checks.mistakes.shared import on, with_


# ---------------------------------------------------------------------------
# squeeze_excitation
# ---------------------------------------------------------------------------
def excited(squeeze=lambda x: x.mean(axis=(2, 3)), between=lambda h: np.maximum(h, 0),
            last=sigmoid, join=np.multiply):  # fmt: skip
    """Squeeze-and-excitation with other parts."""

    def run(a):
        h = between(squeeze(a["x"]) @ a["w1"].T + a["b1"])
        return join(a["x"], last(h @ a["w2"].T + a["b2"])[:, :, None, None])

    return on(run)


def positive(h):
    return np.maximum(h, 0)


SQUEEZE_EXCITATION = [
    ("The scale is returned; multiply x by it, channel by channel",
     excited(join=lambda x, scale: scale + np.zeros_like(x))),
    ("The scale alone is returned; multiply x by it", excited(join=lambda x, scale: scale)),
    ("The scale is added to x; multiply by it", excited(join=np.add)),
    ("The ReLU between the two dense layers is missing", excited(between=lambda h: h)),
    ("The sigmoid at the end is missing: the scale must lie between 0 and 1",
     excited(last=lambda s: s)),
    ("There is a ReLU where the sigmoid should be", excited(last=positive)),
    ("There is a sigmoid where the ReLU should be", excited(between=sigmoid)),
    ("Pixels are added up; squeeze takes their mean", excited(lambda x: x.sum(axis=(2, 3)))),
    ("The largest pixel is taken; squeeze takes the mean", excited(lambda x: x.max(axis=(2, 3)))),
    ("The mean runs over the batch, too; each image has its own scale",
     excited(lambda x: np.broadcast_to(x.mean(axis=(0, 2, 3)), x.shape[:2]))),
    ("The mean is multiplied by the scale; multiply x itself",
     excited(join=lambda x, scale: x.mean(axis=(2, 3), keepdims=True) * scale + 0 * x)),
    ("It looks as if the biases are ignored",
     with_(b1=lambda a: 0 * a["b1"], b2=lambda a: 0 * a["b2"])),
    ("It looks as if b1 is ignored", with_(b1=lambda a: 0 * a["b1"])),
    ("It looks as if b2 is ignored", with_(b2=lambda a: 0 * a["b2"])),
]  # fmt: skip


# ---------------------------------------------------------------------------
# channel_shuffle, separable_macs
# ---------------------------------------------------------------------------
def dealt(a, turn=True):
    """Channels taken as a table (C / groups, groups), transposed or not."""
    N, C, H, W = a["x"].shape
    table = a["x"].reshape(N, C // a["groups"], a["groups"], H, W)
    return (table.swapaxes(1, 2) if turn else table).reshape(a["x"].shape)


CHANNEL_SHUFFLE = [
    ("Nothing is shuffled: between the two reshapes the table's axes must be swapped",
     on(lambda a: a["x"])),
    ("This is the shuffle back: first make a table of `groups` rows, C / groups in each",
     on(dealt)),
    ("The order of the channels is reversed; they are dealt out group by group",
     on(lambda a: a["x"][:, ::-1])),
    ("The groups themselves are moved; each must be broken up",
     on(lambda a: np.roll(a["x"], a["x"].shape[1] // a["groups"], axis=1))),
]  # fmt: skip


def count(formula):
    """A number of multiplications from (C, N, kernel, pixels)."""
    return on(lambda a: np.asarray(formula(a["C"], a["N"], a["kernel"], a["H"] * a["W"])))


SEPARABLE_MACS = [
    ("This is the full convolution, C N kernel^2 a pixel; the two parts are added up instead",
     count(lambda C, N, k, p: p * C * N * k * k)),
    ("The pixels are forgotten: everything is done at each of H W places",
     count(lambda C, N, k, p: C * (k * k + N))),
    ("The pixels are forgotten in the 1x1 convolution",
     count(lambda C, N, k, p: p * C * k * k + C * N)),
    ("The pixels are forgotten in the depthwise convolution",
     count(lambda C, N, k, p: C * k * k + p * C * N)),
    ("The depthwise part has C filters, one a channel, not N of them",
     count(lambda C, N, k, p: p * (N * k * k + C * N))),
    ("A filter has kernel * kernel cells, not kernel",
     count(lambda C, N, k, p: p * C * (k + N))),
    ("Only the depthwise part is counted; the 1x1 convolution comes after it",
     count(lambda C, N, k, p: p * C * k * k)),
    ("Only the 1x1 convolution is counted; the depthwise part comes before it",
     count(lambda C, N, k, p: p * C * N)),
    ("The parts come one after the other: their costs are added, not multiplied",
     count(lambda C, N, k, p: p * C * k * k * p * C * N)),
    ("Biases are counted, too; they are added, not multiplied",
     count(lambda C, N, k, p: p * (C * (k * k + 1) + N * (C + 1)))),
]  # fmt: skip


# ---------------------------------------------------------------------------
# nearest, l2_step
# ---------------------------------------------------------------------------
def ordered(measure):
    """Positions by another measure of queries and references."""

    def run(a):
        values = measure(a["queries"][:, None], a["references"][None])
        return np.argsort(values, axis=1, kind="stable")[:, : a["k"]]

    return on(run)


def squares(q, r):
    return ((q - r) ** 2).sum(axis=2)


NEAREST = [
    ("These are the farthest; sort from the smallest distance up",
     ordered(lambda q, r: -squares(q, r))),
    ("The distance is the sum of |q - r| here; L2 adds up squares",
     ordered(lambda q, r: np.abs(q - r).sum(axis=2))),
    ("Signed differences are added up, and cancel out; square them first",
     ordered(lambda q, r: (q - r).sum(axis=2))),
    ("It goes by the largest product, not by the smallest distance",
     ordered(lambda q, r: -(q * r).sum(axis=2))),
    ("This is each reference's rank; argsort once, not twice",
     ordered(lambda q, r: np.argsort(squares(q, r), axis=1))),
    ("All references are returned; keep the first k",
     lambda run, a, y: run(a | {"k": len(a["references"])})),
    ("The nearest itself is left out; here queries are not among the references",
     lambda run, a, y: (run(a | {"k": a["k"] + 1})[0][:, 1:],)),
]  # fmt: skip
L2_STEP = [
    ("The weights are drawn away from 0: the penalty's gradient is added to dw",
     with_(weight_decay=lambda a: -a["weight_decay"])),
    ("The learning rate is forgotten in the penalty: it goes with the gradient",
     on(lambda a: a["w"] - a["lr"] * a["dw"] - a["weight_decay"] * a["w"])),
    ("The penalty is wd / 2 w^2 here, so its gradient is wd w, not 2 wd w",
     with_(weight_decay=lambda a: 2 * a["weight_decay"])),
    ("This is L1, which draws with the same force everywhere: sign(w); L2 draws with w",
     on(lambda a: a["w"] - a["lr"] * (a["dw"] + a["weight_decay"] * np.sign(a["w"])))),
    ("The penalty itself is added, w^2; its gradient is what counts",
     on(lambda a: a["w"] - a["lr"] * (a["dw"] + a["weight_decay"] * a["w"] ** 2))),
    ("It climbs: the step goes against the gradient",
     with_(lr=lambda a: -a["lr"])),
    ("The gradient is decayed, not the weight",
     on(lambda a: a["w"] - a["lr"] * (a["dw"] + a["weight_decay"] * a["dw"]))),
    ("weight_decay is ignored", with_(weight_decay=lambda a: 0.0)),
]  # fmt: skip
TABLES = {
    "channel_shuffle": CHANNEL_SHUFFLE, "l2_step": L2_STEP, "nearest": NEAREST,
    "separable_macs": SEPARABLE_MACS, "squeeze_excitation": SQUEEZE_EXCITATION,
}  # fmt: skip
