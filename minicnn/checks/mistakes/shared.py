"""Mistakes that any function can have, and what the tables share."""

from __future__ import annotations

from itertools import permutations

import numpy as np

WINDOW_SETTINGS = ("kernel_size", "stride", "padding", "dilation")


def pair(value):
    """A number or a pair as a pair."""
    return value if isinstance(value, tuple) else (value, value)


def swapped(value):
    return pair(value)[::-1]


def padded(x, padding, value=0.0):
    """x (N, C, H, W) with PH rows and PW columns of `value` on each side."""
    (PH, PW) = pair(padding)
    return np.pad(x, ((0, 0), (0, 0), (PH, PH), (PW, PW)), constant_values=value)


def cropped(x, padding):
    """The inverse of `padded`."""
    (PH, PW), (_, _, H, W) = pair(padding), x.shape
    return x[:, :, PH : H - PH, PW : W - PW]


def with_(**changes):
    """The reference, with some arguments replaced by functions of all of them."""
    return lambda run, a, y: run(a | {name: change(a) for name, change in changes.items()})


def on(change):
    """An output computed from the arguments."""
    return lambda run, a, y: (change(a),)


def result(change):
    """Each right output, changed; None for an output with too few axes for that."""

    def changed(output):
        try:
            return change(output)
        except (ValueError, IndexError):
            return None

    return lambda run, a, y: tuple(map(changed, y))


def only(k, count, function):
    """A mistake in output k alone, of `count` outputs."""
    return lambda run, a, y: tuple(function(run, a, y) if j == k else None for j in range(count))


# ---------------------------------------------------------------------------
# Arguments
# ---------------------------------------------------------------------------
def settings(reference):
    """A setting ignored, with H and W swapped, or off by one."""
    table = []
    for name, default in reference.parameters.items():
        if name in WINDOW_SETTINGS:
            table.append((
                f"The pair {name} is taken as (for W, for H); it is (for H, for W)",
                with_(**{name: lambda a, name=name: swapped(a[name])}),
            ))  # fmt: skip
        if isinstance(default, (int, float)) and name != "dy":
            table.append((
                f"It looks as if {name} is ignored: the result is that of {name}={default}",
                with_(**{name: lambda a, default=default: default}),
            ))  # fmt: skip
        for step, word in ((1, "large"), (-1, "small")):
            if name in WINDOW_SETTINGS:
                table.append((
                    f"It looks as if {name} is one too {word}",
                    with_(**{
                        name: lambda a, name=name, step=step: tuple(v + step for v in pair(a[name]))
                    }),
                ))  # fmt: skip
    if "dy" in reference.parameters:
        table.append((
            "It looks as if dy is ignored. By the chain rule the gradient that arrives, dy, is "
            "multiplied by the function's own slope",
            with_(dy=lambda a: np.ones_like(a["dy"]) if isinstance(a["dy"], np.ndarray) else 1.0),
        ))  # fmt: skip
    return table


# ---------------------------------------------------------------------------
# Results
# ---------------------------------------------------------------------------
RESULTS = [
    ("The sign is wrong", result(lambda y: -y)),
    ("The result is transposed: its last two axes are swapped",
     result(lambda y: y.swapaxes(-1, -2))),
    ("The result has the order (N, H, W, C); it should be (N, C, H, W)",
     result(lambda y: y.transpose(0, 2, 3, 1))),
    ("Two axes at the front of the result are swapped", result(lambda y: y.swapaxes(0, 1))),
    ("The result is rounded to whole numbers: an array of integers took it, or // divided it. Make "
     "arrays with np.zeros(shape, x.dtype)", result(np.trunc)),
    ("The result is rounded to whole numbers: // or np.floor made it smaller", result(np.floor)),
    ("The result is rounded to whole numbers", result(np.rint)),
    ("The values are right, but the result has one axis too many: remove it with reshape",
     result(lambda y: y[None])),
    ("The result has lost an axis", result(lambda y: y[0])),
    ("The result is all zeros: nothing is written into it, or not what is returned",
     result(np.zeros_like)),
    ("The last row and the last column are missing: a loop ends one step early",
     result(lambda y: y[..., :-1, :-1])),
    ("The last row and the last column stay 0: a loop ends one step early",
     result(lambda y: np.pad(y[..., :-1, :-1], [(0, 0)] * (y.ndim - 2) + [(0, 1)] * 2))),
    ("Only the first image of the batch is computed, the others stay 0",
     result(lambda y: y * (np.arange(len(y)) == 0).reshape(-1, *[1] * (y.ndim - 1)))),
    ("It is divided by N, the number of rows; this function does not average",
     lambda run, a, y: tuple(v / len(a["x"]) for v in y)),
    ("It is a sum over the N rows; it should be divided by N",
     lambda run, a, y: tuple(v * len(a["x"]) for v in y)),
]  # fmt: skip


def results(reference):
    """The right outputs, changed, or in another order."""
    table = list(RESULTS)
    count = len(reference.outputs)
    for order in permutations(range(count)):
        if order != tuple(range(count)):
            names = ", ".join(reference.outputs)
            table.insert(0, (
                f"The outputs come in another order; return ({names})",
                lambda run, a, y, order=order: tuple(y[k] for k in order),
            ))  # fmt: skip
    return table
