"""How to open one number of an operation; the windowed ones are in `window_lenses`."""

from __future__ import annotations

import numpy as np

from minicnn.backends import device_of, to_device
from minicnn.stepper.formula import ELEMENTWISE
from minicnn.stepper.lens import Lens, add_up, epsilon
from minicnn.stepper.window_lenses import AvgPool, Conv, MaxPool

LOSSES = ("SoftmaxCrossEntropy",)  # called L, not y
# A few roundings of one number, for functions that libraries compute in different ways.
SEVERAL = 16


def open_lens(step, letter: str, index: tuple[int, ...]) -> Lens:
    """The lens on one number: y[index] if letter is "y", else d{letter}[index].

    Raises ValueError if the operation has no lens.
    """
    looks = LENSES.get(step.operation) if step.ours else None
    spread = getattr(step.op, "dilation", (1, 1)) != (1, 1) or getattr(step.op, "groups", 1) != 1
    if looks is Conv and spread:
        raise ValueError(
            "into: a convolution with dilation or groups has no lens yet; its arrays are "
            "step.inputs, step.output and step.grads"
        )
    if looks is None:
        raise ValueError(
            f"into: {step.operation} has no lens; its arrays are step.inputs, step.output, "
            f"step.dy and step.grads, and there are lenses for {', '.join(LENSES)}"
        )
    array = step.output if letter == "y" else step.grads[letter]
    look = looks[letter] if letter in looks else looks["gradient"]
    name = f"d{letter}" if letter != "y" else "L" if step.operation in LOSSES else "y"
    fields = look(step, *([letter] if letter not in looks else []), *index)
    fields["sum"] = fields["sum"].astype(array.dtype)  # a gradient may leave in another dtype
    return Lens(step=step, name=at(name, index), recorded=array[index], **fields)


def at(name: str, index) -> str:
    """"y[0,3]"; without dimensions the name alone."""
    return f"{name}[{','.join(map(str, index))}]" if index else name


# ---------------------------------------------------------------------------
# Linear
# ---------------------------------------------------------------------------
def linear_y(step, *index):
    x, w, b = step.inputs.values()
    *row, o = index
    bias = "" if b is None else f" + b[{o}]"
    return add_up(x[*row], w[o], axes="i", bias=None if b is None else b[o]) | {
        "formula": f"Σ {at('x', (*row, 'i'))} · w[{o},i]{bias}",
        "labels": ("x", "w"),
    }


def linear_dx(step, *index):
    *row, i = index
    return add_up(step.dy[*row], step.inputs["w"][:, i], axes="o") | {
        "formula": f"Σ {at('dy', (*row, 'o'))} · w[o,{i}]",
        "labels": ("dy", "w"),
    }


def linear_dw(step, o, i):
    x = step.inputs["x"]
    axes, starts = "nmlk"[: x.ndim - 1], (0,) * (x.ndim - 1)
    return add_up(step.dy[..., o], x[..., i], axes=axes, starts=starts) | {
        "formula": f"Σ {at('dy', (*axes, o))} · {at('x', (*axes, i))}",
        "labels": ("dy", "x"),
    }


def linear_db(step, o):
    axes = "nmlk"[: step.dy.ndim - 1]
    return add_up(step.dy[..., o], axes=axes) | {
        "formula": f"Σ {at('dy', (*axes, o))}",
        "labels": ("dy", ""),
    }


# ---------------------------------------------------------------------------
# Element by element
# ---------------------------------------------------------------------------
VALUES = {
    "ReLU": lambda x: np.maximum(x, 0),
    "Tanh": np.tanh,
    "ScaledTanh": lambda x: 1.7159 * np.tanh(x * (2 / 3)),
    "Sigmoid": lambda x: (np.tanh(x * 0.5) + 1) * 0.5,
    "Exp": np.exp,
    "Log": np.log,
    "Negate": np.negative,
    "Cast": lambda x: x,
    "ToDevice": lambda x: x,
    "Add": np.add,
    "Subtract": np.subtract,
    "Multiply": np.multiply,
    "Divide": np.divide,
    "Power": np.power,
}
SLOPES = {  # slope(y, *inputs), all of the output's shape
    "ReLU": {"x": lambda y, x: x > 0},
    "Tanh": {"x": lambda y, x: 1 - y * y},
    "ScaledTanh": {"x": lambda y, x: 2 / 3 * (1.7159 - y * y / 1.7159)},
    "Sigmoid": {"x": lambda y, x: y * (1 - y)},
    "Exp": {"x": lambda y, x: y},
    "Log": {"x": lambda y, x: 1 / x},
    "Negate": {"x": lambda y, x: -np.ones_like(x)},
    "Cast": {"x": lambda y, x: np.ones_like(x)},
    "ToDevice": {"x": lambda y, x: np.ones_like(x)},
    "Add": {"a": lambda y, a, b: np.ones_like(y), "b": lambda y, a, b: np.ones_like(y)},
    "Subtract": {"a": lambda y, a, b: np.ones_like(y), "b": lambda y, a, b: -np.ones_like(y)},
    "Multiply": {"a": lambda y, a, b: b, "b": lambda y, a, b: a},
    "Divide": {"a": lambda y, a, b: 1 / b, "b": lambda y, a, b: -a / (b * b)},
    "Power": {
        "a": lambda y, a, b: b * a ** np.where(b == 0, 0, b - 1),
        "b": lambda y, a, b: y * np.log(np.where(a == 0, 1, a)),
    },
}


def elementwise_y(step, *index):
    shape, values = step.output.shape, {}
    for k, a in step.inputs.items():
        values[at(k, _own_index(a.shape, index))] = np.broadcast_to(a, shape)[index]
    with np.errstate(all="ignore"):
        y = np.asarray(VALUES[step.operation](*values.values()))[()]
    y = y.astype(step.output.dtype)
    return {
        "formula": ELEMENTWISE[step.operation][0],
        "sum": y,
        "parts": values,
        "rounding": SEVERAL * epsilon(y.dtype) * (abs(float(y)) + 1),
    }


def elementwise_gradient(step, letter, *index):
    """dy times the slope, over every place the element was used in (one, if not broadcast)."""
    dy, shape = step.dy, step.inputs[letter].shape
    extra = dy.ndim - len(shape)
    repeated = [k < extra or shape[k - extra] != dy.shape[k] for k in range(dy.ndim)]
    used = tuple(
        slice(None) if repeated[k] else index[k - extra] for k in range(dy.ndim)
    )
    arrays = [np.broadcast_to(a, dy.shape)[used] for a in (step.output, *step.inputs.values())]
    with np.errstate(all="ignore"):
        slope = np.asarray(SLOPES[step.operation][letter](*arrays)).astype(dy.dtype)
    letters = iter("nmlkjihg")
    axes = [next(letters) if wide else str(k) for wide, k in zip(repeated, used)]
    text = ELEMENTWISE[step.operation][1][letter]
    factor = "" if text == "1" else f" · {text}"
    fields = add_up(dy[used], slope, axes=[a for a, wide in zip(axes, repeated) if wide])
    return fields | {
        "formula": f"{'Σ ' if any(repeated) else ''}{at('dy', axes)}{factor}",
        "labels": ("dy", "slope"),
        "parts": {at(k, _own_index(a.shape, used)): np.broadcast_to(a, dy.shape)[used]
                  for k, a in step.inputs.items()} if not any(repeated) else None,
        "rounding": fields["rounding"] * SEVERAL,
    }  # fmt: skip


def _own_index(shape, index):
    """The index of a broadcast array's own element that stands at `index` of the result."""
    index = index[len(index) - len(shape) :]
    return tuple(k if n != 1 else 0 for k, n in zip(index, shape))


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
# Moving and adding
# ---------------------------------------------------------------------------
def _key_on_cpu(key):
    return tuple(to_device(k, "cpu") if device_of(k) else k for k in key)


MOVES = {  # what the operation does to an array of element numbers
    "Reshape": lambda op, ids: ids.reshape(op.shape),
    "Permute": lambda op, ids: ids.transpose(op.dims),
    "Index": lambda op, ids: ids[_key_on_cpu(op.key)],
}


def _sources(step):
    """For each element of y, the (flat) place in x it came from."""
    shape = step.op.shapes[0]
    ids = np.arange(int(np.prod(shape))).reshape(shape)
    return np.asarray(MOVES[step.operation](step.op, ids))


def moved_y(step, *index):
    x = step.inputs["x"]
    source = tuple(int(k) for k in np.unravel_index(_sources(step)[index], x.shape))
    return {"formula": at("x", source), "sum": x[source], "note": "the element was only moved"}


def moved_dx(step, *index):
    shape = step.op.shapes[0]
    places = np.argwhere(_sources(step) == np.ravel_multi_index(index, shape))
    if step.operation != "Index":  # an index can take one element twice, or leave it out
        place = tuple(places[0].tolist())
        return {
            "formula": at("dy", place),
            "sum": step.dy[place],
            "note": "the element was only moved, so its gradient is the one of where it went",
        }
    terms = step.dy[tuple(places.T)] if step.dy.ndim else step.dy.reshape(1)[: len(places)]
    names = [at("dy", place) for place in places[:4].tolist()]
    note = "" if len(places) else "this element is not in y, so it has no influence"
    return add_up(terms, axes="k") | {
        "formula": " + ".join(names) + (" + ..." if len(places) > 4 else "") or "0",
        "labels": ("dy", ""),
        "note": note,
    }


def _reduced_index(step, index, axes):
    """Index of x for an index of y: `axes` where x is reduced over."""
    dims, index = step.op.dims, list(index)
    if step.op.keepdim:
        index = [k for axis, k in enumerate(index) if axis not in dims]
    rest = iter(index)
    return tuple(axes[d] if d in dims else next(rest) for d in range(len(step.op.shapes[0])))


def reduced_y(step, *index):
    x, dims = step.inputs["x"], step.op.dims
    letters = dict(zip(dims, "nmlkjihg"))
    elements = x[_reduced_index(step, index, {d: slice(None) for d in dims})]
    count = elements.size if step.operation == "Mean" else None
    elements = elements.astype(step.output.dtype, copy=False)
    return add_up(elements, axes=letters.values(), divisor=count) | {
        "formula": (f"1/{count} " if count else "")
        + f"Σ {at('x', _reduced_index(step, index, letters))}",
        "labels": ("x", ""),
    }


def reduced_dx(step, *index):
    op, dims = step.op, step.op.dims
    place = tuple(
        0 if d in dims else k for d, k in enumerate(index) if op.keepdim or d not in dims
    )
    count = int(np.prod([op.shapes[0][d] for d in dims])) if step.operation == "Mean" else None
    dy = np.asarray(step.dy[place])
    return add_up(dy, divisor=count) | {
        "formula": at("dy", place) + (f" / {count}" if count else ""),
        "labels": ("dy", ""),
        "note": "every element that went into the sum gets the same gradient",
    }


# Per operation: a function for y, and for each gradient by its letter or for all ("gradient").
LENSES = {
    "Conv2d": {"y": Conv.y, "x": Conv.dx, "w": Conv.dw, "b": Conv.db},
    "MaxPool2d": {"y": MaxPool.y, "x": MaxPool.dx},
    "AvgPool2d": {"y": AvgPool.y, "x": AvgPool.dx},
    "Linear": {"y": linear_y, "x": linear_dx, "w": linear_dw, "b": linear_db},
    "SoftmaxCrossEntropy": {"y": cross_entropy_y, "x": cross_entropy_dx},
    **{name: {"y": elementwise_y, "gradient": elementwise_gradient} for name in VALUES},
    **{name: {"y": moved_y, "x": moved_dx} for name in MOVES},
    **{name: {"y": reduced_y, "x": reduced_dx} for name in ("Sum", "Mean")},
}
