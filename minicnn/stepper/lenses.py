"""How to open one number of an operation; the windowed ones are in `window_lenses`."""

from __future__ import annotations

import numpy as np

from minicnn.backends import device_of, to_device
from minicnn.ops.epilogue import Fused
from minicnn.ops.joining import shuffle
from minicnn.stepper import channel_lenses as channels
from minicnn.stepper.elementwise import SLOPES, TEXTS, VALUES, activation_texts
from minicnn.stepper.lens import Lens, add_up, at, epsilon, finished
from minicnn.stepper.window_lenses import AdaptiveAvgPool, AvgPool, Conv, MaxPool

LOSSES = ("SoftmaxCrossEntropy",)  # called L, not y
# A few roundings of one number, for functions that libraries compute in different ways.
SEVERAL = 16


def open_lens(step, letter: str, index: tuple[int, ...]) -> Lens:
    """The lens on one number: y[index] if letter is "y", else d{letter}[index].

    Raises ValueError if the operation has no lens.
    """
    looks = LENSES.get(step.operation) if step.ours else None
    if looks is None:
        raise ValueError(
            f"into: {step.operation} has no lens; its arrays are step.inputs, step.output, "
            f"step.dy and step.grads, and there are lenses for {', '.join(LENSES)}"
        )
    array = step.output if letter == "y" else step.grads[letter]
    look = looks[letter] if letter in looks else looks["gradient"]
    name = f"d{letter}" if letter != "y" else "L" if step.operation in LOSSES else "y"
    fields = look(step, *([letter] if letter not in looks else []), *index)
    if letter == "y" and isinstance(step.op, Fused):
        fields = finished(step, fields, index)
    elif letter != "y" and step.z_name == "z":  # dz was computed again, perhaps in another way
        fields["rounding"] = fields.get("rounding", 0) * SEVERAL
    fields["sum"] = fields["sum"].astype(array.dtype)  # a gradient may leave in another dtype
    return Lens(step=step, name=at(name, index), recorded=array[index], **fields)


# ---------------------------------------------------------------------------
# Linear
# ---------------------------------------------------------------------------
def linear_y(step, *index):
    x, w, b, _ = step.inputs.values()
    *row, o = index
    bias = "" if b is None else f" + b[{o}]"
    return add_up(x[*row], w[o], axes="i", bias=None if b is None else b[o]) | {
        "formula": f"Σ {at('x', (*row, 'i'))} · w[{o},i]{bias}",
        "labels": ("x", "w"),
    }


def linear_dx(step, *index):
    *row, i = index
    d = f"d{step.z_name}"
    return add_up(step.dz[*row], step.inputs["w"][:, i], axes="o") | {
        "formula": f"Σ {at(d, (*row, 'o'))} · w[o,{i}]",
        "labels": (d, "w"),
    }


def linear_dw(step, o, i):
    x, d = step.inputs["x"], f"d{step.z_name}"
    axes, starts = "nmlk"[: x.ndim - 1], (0,) * (x.ndim - 1)
    return add_up(step.dz[..., o], x[..., i], axes=axes, starts=starts) | {
        "formula": f"Σ {at(d, (*axes, o))} · {at('x', (*axes, i))}",
        "labels": (d, "x"),
    }


def linear_db(step, o):
    axes, d = "nmlk"[: step.dz.ndim - 1], f"d{step.z_name}"
    return add_up(step.dz[..., o], axes=axes) | {
        "formula": f"Σ {at(d, (*axes, o))}",
        "labels": (d, ""),
    }


def added_gradient(step, *index):
    """What was added before the activation gets the sum's gradient as it is."""
    fields = {"formula": at("dy", index), "sum": step.dz[index]}
    if step.activation is None:
        return fields | {"note": "a sum hands its gradient on to each of its terms"}
    return fields | {
        "formula": f"{at('dy', index)} · {activation_texts(step.activation)[1]}",
        "parts": {at("dy", index): step.dy[index], at("z", index): step.z[index]},
        "note": "z is what the activation was given, computed again",
        "rounding": SEVERAL * epsilon(step.dz.dtype) * abs(float(step.dy[index])),
    }


# ---------------------------------------------------------------------------
# Element by element
# ---------------------------------------------------------------------------
def elementwise_y(step, *index):
    shape, values = step.output.shape, {}
    for k, a in step.inputs.items():
        values[at(k, _own_index(a.shape, index))] = np.broadcast_to(a, shape)[index]
    with np.errstate(all="ignore"):
        y = np.asarray(VALUES[step.operation](*values.values()))[()]
    y = y.astype(step.output.dtype)
    return {
        "formula": TEXTS[step.operation][0],
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
    text = TEXTS[step.operation][1][letter]
    factor = "" if text == "1" else f" · {text}"
    fields = add_up(dy[used], slope, axes=[a for a, wide in zip(axes, repeated) if wide])
    return fields | {
        "formula": f"{'Σ ' if any(repeated) else ''}{at('dy', axes)}{factor}",
        "labels": ("dy", "slope"),
        "parts": {at(k, _own_index(a.shape, used)): np.broadcast_to(a, dy.shape)[used]
                  for k, a in step.inputs.items()} if not any(repeated) else None,
        "rounding": SEVERAL * (fields["rounding"] + epsilon(dy.dtype) * np.abs(dy[used]).sum()),
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
    "ChannelShuffle": lambda op, ids: shuffle(ids, op.groups),
}


def moved_from(step):
    """For each element of y, the (flat) place in x it came from."""
    shape = step.op.shapes[0]
    ids = np.arange(int(np.prod(shape))).reshape(shape)
    return np.asarray(MOVES[step.operation](step.op, ids))


def moved_y(step, *index):
    x = step.inputs["x"]
    source = tuple(int(k) for k in np.unravel_index(moved_from(step)[index], x.shape))
    return {"formula": at("x", source), "sum": x[source], "note": "the element was only moved"}


def moved_dx(step, *index):
    shape = step.op.shapes[0]
    places = np.argwhere(moved_from(step) == np.ravel_multi_index(index, shape))
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
    **{name: {"y": Conv.y, "x": Conv.dx, "w": Conv.dw, "b": Conv.db, "add": added_gradient}
       for name in ("Conv2d", "DepthwiseConv2d")},
    "MaxPool2d": {"y": MaxPool.y, "x": MaxPool.dx},
    "AvgPool2d": {"y": AvgPool.y, "x": AvgPool.dx},
    "AdaptiveAvgPool2d": {"y": AdaptiveAvgPool.y, "x": AdaptiveAvgPool.dx},
    "BatchNorm": {
        "y": channels.batch_norm_y, "x": channels.batch_norm_dx, "w": channels.batch_norm_dw,
        "b": channels.batch_norm_db, "add": added_gradient},
    **{name: {"y": channels.dropout_y, "x": channels.dropout_dx}
       for name in ("Dropout", "Dropout2d")},
    "Cat": {"y": channels.cat_y, "gradient": channels.cat_gradient},
    "Linear": {
        "y": linear_y, "x": linear_dx, "w": linear_dw, "b": linear_db, "add": added_gradient},
    "SoftmaxCrossEntropy": {"y": cross_entropy_y, "x": cross_entropy_dx},
    **{name: {"y": elementwise_y, "gradient": elementwise_gradient} for name in VALUES},
    **{name: {"y": moved_y, "x": moved_dx} for name in MOVES},
    **{name: {"y": reduced_y, "x": reduced_dx} for name in ("Sum", "Mean")},
}  # fmt: skip
