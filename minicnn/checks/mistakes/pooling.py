"""Mistakes in pooling and its gradients."""

from __future__ import annotations

import numpy as np

from minicnn.checks.mistakes.conv import edges, one_sided, rounded_up, start_at_i
from minicnn.checks.mistakes.shared import cropped, padded, pair, with_


def geometry(a):
    """(KH, KW), (SH, SW) of the windows."""
    kernel = pair(a["kernel_size"])
    return kernel, kernel if a["stride"] is None else pair(a["stride"])


def pooled(reduce, border=0.0):
    """`reduce` of each window's numbers; the padding holds `border`."""

    def wrong(run, a, y):
        ((KH, KW), (SH, SW)), x = geometry(a), padded(a["x"], a["padding"], border)
        out = np.zeros_like(y[0])
        for i, j in np.ndindex(out.shape[2:]):
            out[:, :, i, j] = reduce(x[:, :, i * SH : i * SH + KH, j * SW : j * SW + KW])
        return (out,)

    return wrong


def over(reduce):
    """A NumPy reduction over the two axes of a window."""
    return lambda window: reduce(window, axis=(2, 3))


def handed_back(share, border, add=True, skip_zeros=False, crop=True):
    """dx, when window (n, c, i, j) hands `share(window) * dy` back to its cells."""

    def wrong(run, a, y):
        ((KH, KW), (SH, SW)), x, dy = geometry(a), padded(a["x"], a["padding"], border), a["dy"]
        dx = np.zeros_like(x)
        for n, c, i, j in np.ndindex(dy.shape):
            place = n, c, slice(i * SH, i * SH + KH), slice(j * SW, j * SW + KW)
            part = share(x[place]) * (dy[n, c, i, j] if not skip_zeros else 1)
            new = dx[place] + part if add else part
            if skip_zeros:
                new = np.where(part != 0, dy[n, c, i, j], dx[place])
            dx[place] = new
        return (cropped(dx, a["padding"]) if crop else dx,)

    return wrong


def first(window):
    """1 at the first maximum, in row-major order."""
    return np.arange(window.size).reshape(window.shape) == window.argmax()


def last(window):
    return first(window[::-1, ::-1])[::-1, ::-1]


def every(window):
    return (window == window.max()).astype(float)


def shared_out(window):
    return every(window) / every(window).sum()


def even(window):
    return np.full(window.shape, 1 / window.size)


FORWARD = [
    ("It looks as if padding is ignored", with_(padding=lambda a: 0)),
    ("It looks as if stride is ignored: windows are kernel_size apart instead",
     with_(stride=lambda a: None)),
    ("It looks as if stride is ignored: windows are 1 apart instead", with_(stride=lambda a: 1)),
    ("The window of output (i, j) starts at (i, j); with a stride it starts at (i*SH, j*SW)",
     start_at_i),
    ("It looks as if the window is taken as square, KH by KH",
     with_(kernel_size=lambda a: geometry(a)[0][0], stride=lambda a: geometry(a)[1])),
    ("It looks as if the stride SH is used for columns, too",
     with_(stride=lambda a: geometry(a)[1][0])),
    ("The output is too large: OH = floor((H + 2 PH - KH) / SH) + 1, rounded down, because what no "
     "whole window covers is not looked at", with_(x=rounded_up)),
    ("The padding is only at the top and the left; it belongs on all four sides",
     with_(x=lambda a: one_sided(a, True), padding=lambda a: 0)),
]  # fmt: skip
MAX_POOL2D = [
    ("The padding counts as 0 and wins over negative numbers: pad with -np.inf",
     pooled(over(np.max))),
    ("This is the smallest of each window, not the largest", pooled(over(np.min), np.inf)),
    ("This is the mean of each window, not the largest", pooled(over(np.mean))),
    ("This is the largest absolute value; a maximum keeps the sign",
     pooled(lambda window: np.abs(window).max(axis=(2, 3)))),
    ("The maximum starts at 0, so negative windows give 0: start at -np.inf",
     lambda run, a, y: (np.maximum(y[0], 0),)),
    *FORWARD,
]  # fmt: skip
AVG_POOL2D = [
    ("The sum is divided by the number of pixels inside the image; the padding counts, too: divide "
     "by KH*KW", pooled(over(np.nanmean), np.nan)),
    ("This is the sum of each window: divide it by KH*KW", pooled(over(np.sum))),
    ("The sum is divided by KH*KH; the window has KH*KW cells",
     lambda run, a, y: (y[0] * pair(a["kernel_size"])[1] / pair(a["kernel_size"])[0],)),
    ("The sum is divided by KW*KW; the window has KH*KW cells",
     lambda run, a, y: (y[0] * pair(a["kernel_size"])[0] / pair(a["kernel_size"])[1],)),
    ("The sum is divided by KH alone; the window has KH*KW cells",
     lambda run, a, y: (y[0] * pair(a["kernel_size"])[1],)),
    ("This is the largest of each window, not the mean", pooled(over(np.max), -np.inf)),
    ("The padding repeats the edge pixels; it should be 0", with_(x=edges, padding=lambda a: 0)),
    *FORWARD,
]  # fmt: skip
MAX_POOL2D_BACKWARD = [
    ("Where windows overlap, a pixel may be the maximum of several: write += into dx, not =",
     handed_back(first, -np.inf, add=False, skip_zeros=True)),
    ("Where windows overlap, a pixel may be the maximum of several: write += into dx, not =",
     handed_back(first, -np.inf, add=False)),
    ("Where windows overlap, write += into dx, not =; and where the largest value stands twice, "
     "only its first place gets dy", handed_back(every, -np.inf, add=False)),
    ("Where the largest value stands twice, every place gets dy; only the first one should, in "
     "row-major order (argmax finds it)", handed_back(every, -np.inf)),
    ("Where the largest value stands twice, the last place gets dy; the first one should, in "
     "row-major order (argmax finds it)", handed_back(last, -np.inf)),
    ("Where the largest value stands twice, dy is shared out; the first place should get it all, "
     "in row-major order (argmax finds it)", handed_back(shared_out, -np.inf)),
    ("The padding counts as 0 and wins over negative numbers: pad with -np.inf",
     handed_back(first, 0.0)),
    ("dy is spread over the window, as for a mean; it belongs to the largest number alone",
     handed_back(even, -np.inf)),
    ("The padding is still around the result: cut PH rows and PW columns off on each side",
     handed_back(first, -np.inf, crop=False)),
]  # fmt: skip
AVG_POOL2D_BACKWARD = [
    ("Where windows overlap, a pixel gets a share from each: write += into dx, not =",
     handed_back(even, 0.0, add=False)),
    ("Each cell gets all of dy; its share is dy / (KH*KW)", handed_back(np.ones_like, 0.0)),
    ("Only pixels inside the image are counted; the padding counts, too: divide by KH*KW",
     handed_back(lambda w: np.isfinite(w) / np.isfinite(w).sum(), np.nan)),
    ("dy goes to the largest number, as for a maximum; each cell should get dy / (KH*KW)",
     handed_back(first, -np.inf)),
    ("The padding is still around the result: cut PH rows and PW columns off on each side",
     handed_back(even, 0.0, crop=False)),
]  # fmt: skip

TABLES = {
    "max_pool2d": MAX_POOL2D,
    "avg_pool2d": AVG_POOL2D,
    "max_pool2d_backward": MAX_POOL2D_BACKWARD,
    "avg_pool2d_backward": AVG_POOL2D_BACKWARD,
}
