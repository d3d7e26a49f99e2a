"""Lenses on softmax and on losses: numbers computed from a row."""

from __future__ import annotations

import numpy as np

from minicnn.stepper.lens import add_up, at, epsilon

SEVERAL = 16  # roundings of one number, where libraries compute in different ways


# ---------------------------------------------------------------------------
# Softmax cross-entropy
# ---------------------------------------------------------------------------
def _log_softmax(x):
    z = x - x.max(axis=1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def cross_entropy_y(step):
    x, t = step.inputs.values()
    log_p = _log_softmax(x)
    losses = -log_p[np.arange(len(t)), t]
    worst = int(losses.argmax())
    mean = "" if len(t) == 1 else f"1/{len(t)} "
    return add_up(losses, axes="n", divisor=len(t)) | {
        "formula": f"{mean}Σ -ln p[n,t[n]]",
        "labels": ("-ln p[n,t[n]]", ""),
        "parts": {f"x[{worst}]": x[worst], f"p[{worst}]": np.exp(log_p[worst])},
        "winner": (int(t[worst]),),
        "note": f"row {worst} has class {t[worst]}"
        + ("" if len(t) == 1 else ": the largest loss of all rows"),
        "rounding": _cross_entropy_rounding(x),
    }


def cross_entropy_dx(step, n, k):
    x, t = step.inputs.values()
    p = np.exp(_log_softmax(x))
    onehot = p.dtype.type(k == t[n])
    share = "" if len(t) == 1 else f" / {len(t)}"
    scale = np.divide(step.dy, len(t), dtype=p.dtype)
    return {
        "formula": f"dy (p[{n},{k}] - {int(onehot)}){share}",
        "sum": (p[n, k] - onehot) * scale,
        "parts": {f"x[{n}]": x[n], f"p[{n}]": p[n], "dy": step.dy[()]},
        "winner": (int(t[n]),),
        "note": f"row {n} has class {t[n]}; each class is pushed down by its p, the right one "
        "pulled up by 1 - p",
        "rounding": _cross_entropy_rounding(x) * abs(float(scale)),
    }


def _cross_entropy_rounding(x):
    return SEVERAL * epsilon(x.dtype) * (float(np.abs(x).max()) + x.size)


# ---------------------------------------------------------------------------
# Softmax, along one axis
# ---------------------------------------------------------------------------
def _along(step, index):
    """The index with a colon where the axis is, and with a letter there; and the place on it."""
    axis = step.op.dim % len(index)
    row = tuple(slice(None) if d == axis else k for d, k in enumerate(index))
    names = tuple("l" if d == axis else k for d, k in enumerate(index))
    return row, names, index[axis]


def softmax_y(step, *index):
    row, names, k = _along(step, index)
    x = step.inputs["x"][row]
    e = np.exp(x - x.max())
    fields = add_up(e, axes="l")
    total, parts = fields["sum"], {at("x", index): x[k], "largest x": x.max()}
    if step.operation == "LogSoftmax":
        value = (x[k] - x.max()) - np.log(total)
        formula = f"{at('x', index)} - m - ln Σ e^({at('x', names)} - m)"
    else:
        value = e[k] / total
        formula = f"e^({at('x', index)} - m) / Σ e^({at('x', names)} - m)"
    return fields | {
        "formula": formula,
        "sum": value,
        "labels": ("e^(x-m)", ""),
        "parts": parts,
        "note": "m is the row's largest x: taking it off changes nothing, but e^x stays finite",
        "rounding": SEVERAL * epsilon(x.dtype) * (float(np.abs(x).max()) + x.size) * (
            1 if step.operation == "LogSoftmax" else abs(float(value))),
    }  # fmt: skip


def softmax_dx(step, *index):
    row, names, k = _along(step, index)
    dy, y = step.dy[row], step.output[row]
    if step.operation == "LogSoftmax":
        fields, p = add_up(dy, axes="l"), np.exp(y[k])
        value = dy[k] - p * fields["sum"]
        formula = f"{at('dy', index)} - e^{at('y', index)} Σ {at('dy', names)}"
        parts = {at("dy", index): dy[k], f"e^{at('y', index)}": p}
    else:
        fields = add_up(dy, y, axes="l")
        value = y[k] * (dy[k] - fields["sum"])
        formula = f"{at('y', index)} ({at('dy', index)} - Σ {at('dy', names)} · {at('y', names)})"
        parts = {at("y", index): y[k], at("dy", index): dy[k]}
    return fields | {
        "formula": formula,
        "sum": value,
        "labels": ("dy", "y") if "weights" in fields and fields["weights"] is not None else
        ("dy", ""),
        "parts": parts,
        "note": "every y of the row depends on every x of it",
        "rounding": SEVERAL * (fields["rounding"] + epsilon(dy.dtype) * abs(float(dy[k]))),
    }


# ---------------------------------------------------------------------------
# Losses of rows
# ---------------------------------------------------------------------------
def nll_y(step, n):
    x, t, w = step.inputs.values()
    return {
        "formula": f"-w[{n}] x[{n},{t[n]}]",
        "sum": x.dtype.type(0) if w[n] == 0 else -w[n] * x[n, t[n]],
        "parts": {f"x[{n},{t[n]}]": x[n, t[n]], f"w[{n}]": w[n]},
        "note": f"row {n} has class {t[n]}; x holds logarithms of probabilities",
    }


def nll_dx(step, n, k):
    _, t, w = step.inputs.values()
    right = k == t[n]
    return {
        "formula": f"-w[{n}] dy[{n}]" if right else "0",
        "sum": -w[n] * step.dy[n] if right else step.dy.dtype.type(0),
        "parts": {f"dy[{n}]": step.dy[n], f"w[{n}]": w[n]},
        "note": f"row {n} has class {t[n]}: its logarithm alone is in the loss",
    }


def soft_target_y(step, n):
    x, q = step.inputs.values()
    log_p = _log_softmax(x[n : n + 1])[0]
    losses = -np.where(q[n] == 0, 0 * q[n], log_p)
    return add_up(q[n], losses, axes="k") | {
        "formula": f"Σ q[{n},k] · -ln p[{n},k]",
        "labels": (f"q[{n}]", f"-ln p[{n}]"),
        "note": "p is the softmax of x; q are the wanted probabilities",
        "rounding": _cross_entropy_rounding(x) * max(1.0, float(np.abs(q[n]).sum())),
    }


def soft_target_gradient(step, letter, n, k):
    x, q = step.inputs.values()
    log_p, dy = _log_softmax(x[n : n + 1])[0], step.dy[n]
    p, total = np.exp(log_p[k]), q[n].sum()
    if letter == "q":
        return {
            "formula": f"-dy[{n}] ln p[{n},{k}]",
            "sum": -dy * log_p[k],
            "parts": {f"dy[{n}]": dy, f"ln p[{n},{k}]": log_p[k]},
            "rounding": _cross_entropy_rounding(x) * abs(float(dy)),
        }
    return {
        "formula": f"dy[{n}] (p[{n},{k}] Σ q[{n},l] - q[{n},{k}])",
        "sum": dy * (p * total - q[n, k]),
        "parts": {f"dy[{n}]": dy, f"p[{n},{k}]": p, f"q[{n},{k}]": q[n, k], "Σ q": total},
        "rounding": _cross_entropy_rounding(x) * abs(float(dy)) * max(1.0, abs(float(total))),
    }


def margin_y(step, n):
    x, t = step.inputs.values()
    op, one = step.op, x.dtype.type
    short = np.maximum(one(op.m_plus) - x[n], 0) * t[n]
    long = np.maximum(x[n] - one(op.m_minus), 0) * ~t[n]
    terms = short * short + one(op.down_weight) * (long * long)
    return add_up(x[n], products=terms, axes="k") | {
        "formula": f"Σ max(0, {op.m_plus:g} - x[{n},k])² if class k is there, else "
        f"{op.down_weight:g} max(0, x[{n},k] - {op.m_minus:g})²",
        "labels": (f"x[{n}]", ""),
        "note": f"there: {', '.join(map(str, np.flatnonzero(t[n]))) or 'none'}",
        "rounding": SEVERAL * epsilon(x.dtype) * (float(np.abs(terms).sum()) + x.shape[1]),
    }


def margin_dx(step, n, k):
    x, t = step.inputs.values()
    op, dy, there = step.op, step.dy[n], bool(t[n, k])
    bound = op.m_plus if there else op.m_minus
    distance = x[n, k] - x.dtype.type(bound)
    slope = -2 * np.maximum(-distance, 0) if there else 2 * op.down_weight * np.maximum(distance, 0)
    parts = {f"dy[{n}]": dy, f"x[{n},{k}]": x[n, k]}
    return {
        "formula": f"-2 dy[{n}] max(0, {bound:g} - x[{n},{k}])" if there
        else f"2 · {op.down_weight:g} dy[{n}] max(0, x[{n},{k}] - {bound:g})",
        "sum": dy * np.asarray(slope, x.dtype)[()],
        "parts": parts,
        "note": f"class {k} is {'' if there else 'not '}there",
        "rounding": SEVERAL * epsilon(x.dtype) * abs(float(dy)) * (abs(float(x[n, k])) + bound),
    }  # fmt: skip
