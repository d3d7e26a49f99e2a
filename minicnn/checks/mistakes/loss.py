"""Mistakes in the cross-entropy and its gradient."""

from __future__ import annotations

import numpy as np

from minicnn.checks.mistakes.shared import on, result, with_


def softmax(x, axis=1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def log_softmax(x):
    z = x - x.max(axis=1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def naive(x):
    return np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)


def picked(values, a):
    return values[np.arange(len(a["t"])), a["t"]]


def one_hot(a):
    return np.eye(a["x"].shape[1])[a["t"]]


def scaled(a, dx):
    return dx * a.get("dy", 1.0) / len(a["t"])


def with_settings(a, spread=None, divide=None, log_p=log_softmax, gradient=False):
    """cross_entropy with weights, smoothing and rows to ignore, or its gradient, but for a mistake.

    `spread(s, onehot)` is what label smoothing adds; `divide(w[t], kept)` what the mean divides by.
    """
    K, kept = a["x"].shape[1], a["t"] != a["ignore_index"]
    t, s = np.where(kept, a["t"], 0), a["label_smoothing"]
    w = np.ones(K) if a["w"] is None else a["w"]
    onehot = np.eye(K)[t]
    q = w * kept[:, None] * ((1 - s) * onehot + (spread(s, onehot) if spread else s / K))
    total = divide(w[t], kept) if divide else (w[t] * kept).sum()
    log_p = log_p(a["x"])
    if gradient:
        return (np.exp(log_p) * q.sum(axis=1, keepdims=True) - q) * a.get("dy", 1.0) / total
    return -np.where(q == 0, 0, q * log_p).sum() / total


SETTINGS = [  # (sentence, what is wrong), for the loss and for its gradient
    ("It is divided by all N rows; those of ignore_index do not count in the mean",
     {"divide": lambda w, kept: w.sum()}),
    ("It is divided by the number of rows; with weights the mean is divided by the sum of w[t]",
     {"divide": lambda w, kept: kept.sum()}),
    ("It is divided by N; the mean is divided by the sum of w[t] over the rows that count",
     {"divide": lambda w, kept: len(w)}),
    ("The smoothing is shared by the wrong classes alone; it is shared by all K: "
     "(1 - s) onehot + s / K",
     {"spread": lambda s, onehot: s * (1 - onehot) / max(onehot.shape[1] - 1, 1)}),
    ("The smoothing is not shared out: it adds s / K to each class, not s",
     {"spread": lambda s, onehot: s}),
    ("Smoothing takes s from the right class and gives nothing to the others: each class gets "
     "s / K", {"spread": lambda s, onehot: 0 * onehot}),
    ("The right class keeps 1; label smoothing makes it (1 - s) + s / K",
     {"spread": lambda s, onehot: s * onehot + s / onehot.shape[1]}),
]  # fmt: skip


def settings_table(gradient):
    """Mistakes with weights, smoothing and ignored rows."""
    table = [
        (text, on(lambda a, wrong=wrong: with_settings(a, gradient=gradient, **wrong)))
        for text, wrong in SETTINGS
    ]
    return [
        ("It looks as if the weights w are ignored", with_(w=lambda a: None)),
        ("It looks as if label_smoothing is ignored", with_(label_smoothing=lambda a: 0.0)),
        *table,
    ]


OVERFLOW = (
    "e^x overflows for large scores: subtract each row's largest score first, which changes nothing"
    " else"
)
CROSS_ENTROPY = [
    *settings_table(gradient=False),
    (OVERFLOW, on(lambda a: with_settings(a, log_p=lambda x: np.log(naive(x))))),
    ("A small probability becomes 0 and its logarithm infinite: compute log p directly, as "
     "x - m - log(sum of e^(x - m)) with m the row's largest score",
     on(lambda a: with_settings(a, log_p=lambda x: np.log(softmax(x))))),
    (OVERFLOW, on(lambda a: (np.log(np.exp(a["x"]).sum(axis=1)) - picked(a["x"], a)).mean())),
    ("This is the sum over the rows; the loss is their mean",
     lambda run, a, y: (y[0] * len(a["t"]),)),
    ("There is a loss for each row; return their mean",
     on(lambda a: -np.log(picked(softmax(a["x"]), a)))),
    ("The softmax runs over the batch (axis 0); it runs over the classes (axis 1)",
     on(lambda a: -np.log(picked(softmax(a["x"], 0), a)).mean())),
    ("There is no softmax: the scores x are no probabilities yet",
     on(lambda a: -np.log(picked(a["x"], a)).mean())),
    ("The logarithm is missing", on(lambda a: -picked(softmax(a["x"]), a).mean())),
    ("The softmax is missing: this is the mean of -x[n, t[n]]",
     on(lambda a: -picked(a["x"], a).mean())),
    ("The logarithm has base 2; it should be np.log", lambda run, a, y: (y[0] / np.log(2),)),
    ("The logarithm has base 10; it should be np.log", lambda run, a, y: (y[0] / np.log(10),)),
    ("The minus is forgotten", result(lambda y: -y)),
    ("The mean runs over all N*K numbers; it runs over the N rows",
     lambda run, a, y: (y[0] / a["x"].shape[1],)),
    ("All classes are added up; only that of the target counts",
     on(lambda a: -np.log(softmax(a["x"])).sum(axis=1).mean())),
]  # fmt: skip
CROSS_ENTROPY_BACKWARD = [
    *settings_table(gradient=True),
    ("It is not divided by N; the loss is a mean over N rows",
     lambda run, a, y: (y[0] * len(a["t"]),)),
    ("The one-hot target is not subtracted: dx = (p - onehot) / N",
     on(lambda a: scaled(a, softmax(a["x"])))),
    ("The one-hot target is not subtracted, and it is not divided by N: dx = (p - onehot) / N",
     on(lambda a: softmax(a["x"]) * a.get("dy", 1.0))),
    ("The signs are wrong: it should be p - onehot, not onehot - p", result(lambda y: -y)),
    ("The softmax is missing: dx = (p - onehot) / N, with p = softmax(x)",
     on(lambda a: scaled(a, a["x"] - one_hot(a)))),
    (OVERFLOW, on(lambda a: with_settings(a, log_p=lambda x: np.log(naive(x)), gradient=True))),
    ("The softmax runs over the batch (axis 0); it runs over the classes (axis 1)",
     on(lambda a: scaled(a, softmax(a["x"], 0) - one_hot(a)))),
    ("It is divided by N*K; the loss is a mean over the N rows",
     lambda run, a, y: (y[0] / a["x"].shape[1],)),
]  # fmt: skip

TABLES = {"cross_entropy": CROSS_ENTROPY, "cross_entropy_backward": CROSS_ENTROPY_BACKWARD}
