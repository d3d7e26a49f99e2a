"""Mistakes in activations, linear layers, normalization and dropout."""

from __future__ import annotations

import numpy as np

from minicnn.checks.mistakes.shared import on, only, with_


# ---------------------------------------------------------------------------
# Activations
# ---------------------------------------------------------------------------
def slope(change):
    """dx = dy * slope(x)."""
    return on(lambda a: a["dy"] * change(a["x"]))


def sigma(x):
    return 1 / (1 + np.exp(-x))


RELU = [
    ("This is the absolute value; negative numbers become 0", on(lambda a: np.abs(a["x"]))),
    ("This is min(x, 0); it should be max(x, 0)", on(lambda a: np.minimum(a["x"], 0))),
    ("This is the slope, 1 where x is positive; the output there is x itself",
     on(lambda a: (a["x"] > 0) * 1.0)),
    ("Negative numbers are made smaller, as in a leaky ReLU; they become 0",
     on(lambda a: np.where(a["x"] > 0, a["x"], 0.01 * a["x"]))),
    ("x is returned as it is", on(lambda a: a["x"])),
]  # fmt: skip
RELU_BACKWARD = [
    ("At x = 0 the slope is taken as 1; here it is 0: dx = dy where x > 0, not x >= 0",
     slope(lambda x: x >= 0)),
    ("At x = 0 the slope is taken as 1/2; here it is 0",
     slope(lambda x: (x > 0) + 0.5 * (x == 0))),
    ("The sign of dy is asked; dy passes where x > 0", on(lambda a: a["dy"] * (a["dy"] > 0))),
    ("x passes where dy is positive; dy passes where x > 0",
     on(lambda a: a["x"] * (a["dy"] > 0))),
    ("dy is multiplied by the output; multiply it by the slope, 1 where x > 0",
     slope(lambda x: np.maximum(x, 0))),
    ("x itself passes; dy passes where x > 0", on(lambda a: np.maximum(a["x"], 0))),
    ("dy passes where x is negative; it passes where x > 0", slope(lambda x: x < 0)),
    ("dy is returned as it is; it passes where x > 0 alone", slope(np.ones_like)),
]  # fmt: skip
SIGMOID_BACKWARD = [
    ("The slope is s (1 - s) with s = sigmoid(x), not x (1 - x)", slope(lambda x: x * (1 - x))),
    ("The factor 1 - s is forgotten: the slope is s (1 - s)", slope(sigma)),
]  # fmt: skip
TANH_BACKWARD = [
    ("The slope is 1 - tanh(x)^2, not 1 - x^2", slope(lambda x: 1 - x * x)),
    ("The slope is 1 - tanh(x)^2: the square is forgotten", slope(lambda x: 1 - np.tanh(x))),
]  # fmt: skip


# ---------------------------------------------------------------------------
# linear
# ---------------------------------------------------------------------------
def rows_of(a):
    """x and dy as matrices."""
    return a["x"].reshape(-1, a["w"].shape[1]), a["dy"].reshape(-1, a["w"].shape[0])


def last_row(run, a, y):
    """Only the last row counts for dw and db."""
    x, dy = rows_of(a)
    return None, np.outer(dy[-1], x[-1]), dy[-1]


LINEAR = [
    ("It looks as if the bias is forgotten", with_(b=lambda a: None)),
    ("The weight is not transposed: y = x @ w.T, with w (O, I)", on(
        lambda a: a["x"] @ a["w"] + (0 if a["b"] is None else a["b"]))),
    ("The bias is subtracted", with_(b=lambda a: -a["b"])),
]  # fmt: skip
LINEAR_BACKWARD = [
    ("The weight should not be transposed: dx = dy @ w",
     only(0, 3, lambda run, a, y: a["dy"] @ a["w"].T)),
    ("It is transposed: dw has the shape of w, (O, I): dw = dy.T @ x",
     only(1, 3, lambda run, a, y: y[1].T)),
    ("Every row adds to dw and db: write +=, not =", last_row),
    ("db adds up the rows of dy: dy.sum(axis=0)", only(2, 3, lambda run, a, y: a["dy"])),
    ("db keeps the outputs apart: dy.sum(axis=0)", only(2, 3, lambda run, a, y: a["dy"].sum())),
    ("db adds up the rows of dy, not its columns: dy.sum(axis=0)",
     only(2, 3, lambda run, a, y: a["dy"].sum(axis=-1))),
    ("db is a sum, not a mean: dy.sum(axis=0)",
     only(2, 3, lambda run, a, y: rows_of(a)[1].mean(axis=0))),
    ("It is divided by the number of rows; dy holds the 1/N of the loss already",
     lambda run, a, y: tuple(v / len(rows_of(a)[0]) for v in y)),
]  # fmt: skip


# ---------------------------------------------------------------------------
# batch_norm, dropout
# ---------------------------------------------------------------------------
def normalized(a, axes=(0, 2, 3), ddof=0, outside=False, root=True, center=True):
    """y by a wrong formula."""
    x = a["x"]
    mean, var = x.mean(axis=axes, keepdims=True), x.var(axis=axes, keepdims=True, ddof=ddof)
    scale = (np.sqrt(var) + a["eps"] if outside else np.sqrt(var + a["eps"])) if root else (
        var + a["eps"]
    )
    z = (x - mean if center else x) / scale
    for name, combine in (("w", np.multiply), ("b", np.add)):
        if a[name] is not None:
            z = combine(z, a[name][:, None, None])
    return z


BATCH_NORM = [
    ("The variance is divided by n - 1; the normalization divides it by n",
     on(lambda a: normalized(a, ddof=1))),
    ("Mean and variance are those of each image; they run over the batch, too: axis=(0, 2, 3)",
     on(lambda a: normalized(a, (2, 3)))),
    ("Mean and variance run over the batch alone; they run over H and W, too: axis=(0, 2, 3)",
     on(lambda a: normalized(a, 0))),
    ("Mean and variance run over the channels, too; each channel has its own: axis=(0, 2, 3)",
     on(lambda a: normalized(a, (0, 1, 2, 3)))),
    ("Mean and variance run over each image's channels, as in a layer norm; they should run over "
     "axis=(0, 2, 3)", on(lambda a: normalized(a, (1, 2, 3)))),
    ("eps stands outside the root: it is sqrt(var + eps)", on(
        lambda a: normalized(a, outside=True))),
    ("It is divided by the variance; divide by its root, sqrt(var + eps)",
     on(lambda a: normalized(a, root=False))),
    ("The mean is not subtracted", on(lambda a: normalized(a, center=False))),
    ("It looks as if the weight w is ignored", with_(w=lambda a: None)),
    ("It looks as if the bias b is ignored", with_(b=lambda a: None)),
    ("It looks as if w and b are ignored", with_(w=lambda a: None, b=lambda a: None)),
]  # fmt: skip


def inside(a):
    """The gradient of the normalized values."""
    return a["dy"] if a["w"] is None else a["dy"] * a["w"][:, None, None]


def without_statistics(run, a, y):
    """dx, when mean and variance are taken as constants."""
    return inside(a) / np.sqrt(a["x"].var(axis=(0, 2, 3), keepdims=True) + a["eps"])


def without_variance(run, a, y):
    dx = without_statistics(run, a, y)
    return dx - dx.mean(axis=(0, 2, 3), keepdims=True)


BATCH_NORM_BACKWARD = [
    ("Mean and variance depend on x, too: two terms of dx are missing",
     only(0, 3, without_statistics)),
    ("The variance depends on x, too: a term of dx is missing", only(0, 3, without_variance)),
    ("It looks as if the weight w is ignored",
     only(0, 3, lambda run, a, y: run(a | {"w": None})[0])),
    ("dw is the sum of dy times the normalized x, not of dy times x",
     only(1, 3, lambda run, a, y: (a["dy"] * a["x"]).sum(axis=(0, 2, 3)))),
    ("It is a sum over batch and pixels, not a mean",
     lambda run, a, y: tuple(v * a["x"].shape[1] / a["x"].size for v in y)),
]  # fmt: skip


def damped(a, squares=True, divided=True, raised=True, first=True, last=True):
    """Local response normalization by a wrong formula."""
    x, size = a["x"], a["size"]
    before, after = size // 2 * first, (size - 1) // 2 * last
    activity = np.pad(x * x if squares else x, ((0, 0), (before, after), (0, 0), (0, 0)))
    total = sum(activity[:, c : c + x.shape[1]] for c in range(before + after + 1))
    s = a["k"] + a["alpha"] / (size if divided else 1) * total
    return x * s ** -a["beta"] if raised else x / s


LOCAL_RESPONSE_NORM = [
    ("alpha is divided by size here, as in PyTorch", on(lambda a: damped(a, divided=False))),
    ("The squares of the neighbours are added up, not the neighbours",
     on(lambda a: damped(a, squares=False))),
    ("It looks as if beta is ignored: x is multiplied by s ** -beta",
     on(lambda a: damped(a, raised=False))),
    ("Only the channels before count; the window reaches (size - 1) // 2 behind c, too",
     on(lambda a: damped(a, last=False))),
    ("Only the channels behind count; the window begins size // 2 before c, too",
     on(lambda a: damped(a, first=False))),
    ("It is multiplied by s ** beta; the activity damps, so s ** -beta",
     lambda run, a, y: run(a | {"beta": -a["beta"]})),
]  # fmt: skip


def dropped(change):
    """dropout, or its gradient, by a wrong formula for the factor of each element."""
    return lambda run, a, y: ((a["dy"] if "dy" in a else a["x"]) * change(a["mask"], a["p"]),)


DROPOUT = [
    ("What is kept is not scaled: divide it by 1 - p, so that the mean stays the same",
     dropped(lambda mask, p: mask)),
    ("It is divided by p; what is kept has the probability 1 - p: divide by that",
     dropped(lambda mask, p: mask / p)),
    ("It is multiplied by 1 - p; divide by it", dropped(lambda mask, p: mask * (1 - p))),
    ("mask is True for what is kept, not for what is dropped",
     dropped(lambda mask, p: ~mask / (1 - p))),
    ("mask is ignored", dropped(lambda mask, p: 1 / (1 - p))),
]  # fmt: skip

TABLES = {
    "relu": RELU,
    "relu_backward": RELU_BACKWARD,
    "sigmoid_backward": SIGMOID_BACKWARD,
    "tanh_backward": TANH_BACKWARD,
    "linear": LINEAR,
    "linear_backward": LINEAR_BACKWARD,
    "batch_norm": BATCH_NORM,
    "batch_norm_backward": BATCH_NORM_BACKWARD,
    "local_response_norm": LOCAL_RESPONSE_NORM,
    "dropout": DROPOUT,
    "dropout_backward": DROPOUT,
}
