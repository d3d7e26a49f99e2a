"""Mistakes in convolution, im2col and col2im, and in their gradients."""

from __future__ import annotations

import numpy as np

from minicnn.checks.mistakes.shared import cropped, only, padded, pair, result, with_


# ---------------------------------------------------------------------------
# conv2d
# ---------------------------------------------------------------------------
def one_channel(a, which):
    """x and w with one channel (axis 1 of both): the others were overwritten."""
    return {name: np.take(a[name], [which], axis=1) for name in ("x", "w")}


def one_cell(a, u, v):
    """w with the cell (u, v) kept, and 0 elsewhere."""
    w = np.zeros_like(a["w"])
    w[:, :, u, v] = a["w"][:, :, u, v]
    return w


def start_at_i(run, a, y):
    """Window (i, j) taken at (i, j) instead of (i*SH, j*SW)."""
    OH, OW = y[0].shape[2:]
    return (run(a | {"stride": 1})[0][:, :, :OH, :OW],)


def rounded_up(a):
    """x with rows and columns of 0, so that what the stride leaves over gets a window, too."""
    x, kernel = a["x"], a.get("kernel_size") if a.get("w") is None else a["w"].shape[2:]
    rest = [
        -(n + 2 * p - k) % s
        for n, p, k, s in zip(
            x.shape[2:], pair(a["padding"]), pair(kernel), pair(a["stride"] or kernel)
        )
    ]
    return np.pad(x, ((0, 0), (0, 0), (0, rest[0]), (0, rest[1])))


def one_sided(a, before):
    """x padded at the top and left only, or at the bottom and right only."""
    sides = [(p, 0) if before else (0, p) for p in pair(a["padding"])]
    return np.pad(a["x"], ((0, 0), (0, 0), *sides))


def edges(a):
    PH, PW = pair(a["padding"])
    return np.pad(a["x"], ((0, 0), (0, 0), (PH, PH), (PW, PW)), mode="edge")


def bias_times(count):
    return lambda a: a["b"] * count(a["w"].shape)


CONV2D = [
    ("It looks as if padding is ignored: put PH rows and PW columns of zeros around x first",
     with_(padding=lambda a: 0)),
    ("It looks as if stride is ignored: the window of output (i, j) starts at (i*SH, j*SW)",
     with_(stride=lambda a: 1)),
    ("It looks as if stride and padding are ignored",
     with_(stride=lambda a: 1, padding=lambda a: 0)),
    ("The kernel is flipped, as in the convolution of mathematics. Networks do not flip it: "
     "x[i + u, j + v] is multiplied by w[u, v]", with_(w=lambda a: a["w"][..., ::-1, ::-1])),
    ("The kernel is transposed: u counts its rows, v its columns",
     with_(w=lambda a: a["w"].swapaxes(2, 3))),
    ("It looks as if the bias is forgotten: add b[o] to every pixel of output channel o",
     with_(b=lambda a: None)),
    ("The window of output (i, j) starts at (i, j); with a stride it starts at (i*SH, j*SW)",
     start_at_i),
    ("Only the first input channel counts: sum over all C channels",
     lambda run, a, y: run(a | one_channel(a, 0))),
    ("Only the last input channel counts: = where += belongs, in the loop over channels",
     lambda run, a, y: run(a | one_channel(a, -1))),
    ("Only the last cell of the kernel counts: = where += belongs, in the loop over its cells",
     with_(w=lambda a: one_cell(a, -1, -1))),
    ("Only the last cell of the last channel counts: = where += belongs",
     lambda run, a, y: run(a | one_channel(a, -1) | {"w": one_cell(a, -1, -1)[:, -1:]})),
    ("The bias is added once for every input channel; add it once, after the sum",
     with_(b=bias_times(lambda shape: shape[1]))),
    ("The bias is added once for every cell of the kernel; add it once, after the sum",
     with_(b=bias_times(lambda shape: shape[1] * shape[2] * shape[3]))),
    ("The bias is subtracted", with_(b=lambda a: -a["b"])),
    ("The output is too large: OH = floor((H + 2 PH - KH) / SH) + 1, rounded down, because what no "
     "whole window covers is not looked at", with_(x=rounded_up)),
    ("The padding is only at the top and the left; it belongs on all four sides",
     with_(x=lambda a: one_sided(a, True), padding=lambda a: 0)),
    ("The padding is only at the bottom and the right; it belongs on all four sides",
     with_(x=lambda a: one_sided(a, False), padding=lambda a: 0)),
    ("The padding repeats the edge pixels; it should be 0", with_(x=edges, padding=lambda a: 0)),
    ("The windows are averaged; a convolution adds up",
     lambda run, a, y: ((run(a | {"b": None})[0] / np.prod(a["w"].shape[1:]))
                        + (0 if a["b"] is None else a["b"][:, None, None]),)),
]  # fmt: skip


# ---------------------------------------------------------------------------
# conv2d_backward
# ---------------------------------------------------------------------------
def stamped(a, stride=None, add=False, filters=slice(None), crop=True):
    """dx, when each window's gradient is written (not added, unless `add`) in row-major order."""
    w, dy = a["w"][filters], a["dy"][:, filters]
    (SH, SW), (KH, KW) = pair(stride or a["stride"]), w.shape[2:]
    dx = np.zeros_like(padded(a["x"], a["padding"]))
    for i, j in np.ndindex(dy.shape[2:]):
        stamp = np.einsum("no,ochw->nchw", dy[:, :, i, j], w)
        window = dx[:, :, i * SH : i * SH + KH, j * SW : j * SW + KW]
        window[...] = window + stamp if add else stamp
    return cropped(dx, a["padding"]) if crop else dx


def one_pixel(run, a, y):
    """Only the last output pixel counts for dw and db."""
    dy = np.zeros_like(a["dy"])
    dy[:, :, -1, -1] = a["dy"][:, :, -1, -1]
    return run(a | {"dy": dy})


def one_image(which):
    def wrong(run, a, y):
        _, dw, db = run(a | {"x": a["x"][which], "dy": a["dy"][which]})
        return None, dw, db

    return wrong


def last_of_all(run, a, y):
    return one_image(slice(-1, None))(lambda b: one_pixel(run, b, y), a, y)


def dw_from(x, a, stride):
    """dw from windows of x at a given stride."""
    (SH, SW), (_, _, KH, KW), dy = pair(stride), a["w"].shape, a["dy"]
    dw = np.zeros_like(a["w"])
    for i, j in np.ndindex(dy.shape[2:]):
        window = x[:, :, i * SH : i * SH + KH, j * SW : j * SW + KW]
        dw += np.einsum("no,nchw->ochw", dy[:, :, i, j], window)
    return dw


CONV2D_BACKWARD = [
    ("Where windows overlap, a pixel gets a gradient from each: write += into dx, not =",
     only(0, 3, lambda run, a, y: stamped(a))),
    ("Every filter adds to dx: write += into dx, not =",
     only(0, 3, lambda run, a, y: stamped(a, filters=slice(-1, None)))),
    ("Every filter adds to dx: write += in the loop over filters, not =",
     only(0, 3, lambda run, a, y: stamped(a, add=True, filters=slice(-1, None)))),
    ("Every output pixel adds to dw and db: write +=, not =", one_pixel),
    ("Every image of the batch adds to dw and db: write +=, not =", one_image(slice(-1, None))),
    ("Every image and every output pixel adds to dw and db: write +=, not =", last_of_all),
    ("Only the first image counts: sum over the batch", one_image(slice(0, 1))),
    ("It looks as if stride is ignored: dy[i, j] belongs to the window at (i*SH, j*SW)",
     lambda run, a, y: (stamped(a, stride=1, add=True),
                        dw_from(padded(a["x"], a["padding"]), a, 1), None)),
    ("The padding is still around the result: cut PH rows and PW columns off on each side",
     only(0, 3, lambda run, a, y: stamped(a, add=True, crop=False))),
    ("It looks as if padding is ignored: windows lie on the padded x",
     only(1, 3, lambda run, a, y: dw_from(a["x"], a, a["stride"]))),
    ("The kernel is flipped once too often, or not at all: dx[i*SH + u, j*SW + v] gets "
     "dy[i, j] * w[u, v]", only(0, 3, lambda run, a, y: run(
         a | {"w": a["w"][..., ::-1, ::-1]})[0])),
    ("The kernel is transposed: u counts its rows, v its columns",
     only(0, 3, lambda run, a, y: run(a | {"w": a["w"].swapaxes(2, 3)})[0])),
    ("The result is flipped", result(lambda v: v[..., ::-1, ::-1])),
    ("db adds up dy over the batch, too: dy.sum(axis=(0, 2, 3))",
     only(2, 3, lambda run, a, y: a["dy"].sum(axis=(2, 3)))),
    ("db adds up dy over all its pixels, too: dy.sum(axis=(0, 2, 3))",
     only(2, 3, lambda run, a, y: a["dy"].sum(axis=0))),
    ("db keeps the filters apart: dy.sum(axis=(0, 2, 3))",
     only(2, 3, lambda run, a, y: a["dy"].sum())),
    ("db is a sum, not a mean: dy.sum(axis=(0, 2, 3))",
     only(2, 3, lambda run, a, y: a["dy"].mean(axis=(0, 2, 3)))),
    ("db is a sum over pixels, not a mean: dy.sum(axis=(0, 2, 3))",
     only(2, 3, lambda run, a, y: a["dy"].mean(axis=(2, 3)).sum(axis=0))),
]  # fmt: skip


# ---------------------------------------------------------------------------
# im2col, col2im
# ---------------------------------------------------------------------------
def reordered(a, col, shape, inverse=False):
    """Columns (u, v, c) in the order (c, u, v), or back."""
    C, cells = shape[1], int(np.prod(pair(a["kernel_size"])))
    parts = (len(col), C, cells) if inverse else (len(col), cells, C)
    return col.reshape(parts).swapaxes(1, 2).reshape(col.shape)


def unfold(a, col, shape):
    """PyTorch's order: (N, C*KH*KW, OH*OW)."""
    return reordered(a, col, shape).reshape(shape[0], -1, col.shape[1]).swapaxes(1, 2)


def spread(run, a, y, inverse=False):
    return (run(a | {"col": reordered(a, a["col"], a["size"], inverse)})[0],)


def overwritten(run, a, y):
    """col2im, when each window is written over what is there."""
    (N, C, _, _), (KH, KW), (SH, SW) = a["size"], pair(a["kernel_size"]), pair(a["stride"])
    x = padded(np.zeros(a["size"]), a["padding"])
    OH, OW = (x.shape[2] - KH) // SH + 1, (x.shape[3] - KW) // SW + 1
    windows = a["col"].reshape(N, OH, OW, KH, KW, C).transpose(0, 5, 1, 2, 3, 4)
    for i, j in np.ndindex(OH, OW):
        x[:, :, i * SH : i * SH + KH, j * SW : j * SW + KW] = windows[:, :, i, j]
    return (cropped(x, a["padding"]),)


def overlaps(run, a, y):
    """How many windows each pixel lies in."""
    return np.maximum(run(a | {"col": np.ones_like(a["col"])})[0], 1)


IM2COL = [
    ("A row's numbers come in the order (c, u, v); here they come as (u, v, c), the channels of a "
     "pixel side by side", lambda run, a, y: (reordered(a, y[0], a["x"].shape),)),
    ("This is the order of PyTorch's unfold, (N, C*KH*KW, OH*OW); here a row is a window: "
     "(N*OH*OW, KH*KW*C), its numbers in the order (u, v, c)",
     lambda run, a, y: (unfold(a, y[0], a["x"].shape),)),
    ("The matrix is transposed: a row for each output pixel, a column for each cell of the window",
     lambda run, a, y: (y[0].T,)),
    ("The matrix is transposed, and its numbers come in the order (c, u, v); here a row is a "
     "window: (N*OH*OW, KH*KW*C)", lambda run, a, y: (reordered(a, y[0], a["x"].shape).T,)),
    ("The output is too large: what no whole window covers is not looked at",
     with_(x=rounded_up)),
]  # fmt: skip
COL2IM = [
    ("Where windows overlap, a pixel gets a number from each: write +=, not =", overwritten),
    ("A row's numbers are read in the order (c, u, v); here they come as (u, v, c)",
     lambda run, a, y: spread(run, a, y, inverse=True)),
    ("The padding is still around the result: cut PH rows and PW columns off on each side",
     lambda run, a, y: (run(a | {
         "size": (*a["size"][:2], *(n + 2 * p for n, p in zip(a["size"][2:], pair(a["padding"])))),
         "padding": 0})[0],)),
    ("Where windows overlap the numbers are averaged; they should be added up",
     lambda run, a, y: (y[0] / overlaps(run, a, y),)),
]  # fmt: skip

TABLES = {
    "conv2d": CONV2D,
    "conv2d_backward": CONV2D_BACKWARD,
    "im2col": IM2COL,
    "col2im": COL2IM,
}
