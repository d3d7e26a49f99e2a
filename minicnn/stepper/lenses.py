"""How to open one number of an operation; the windowed ones are in `window_lenses`."""

from __future__ import annotations

import numpy as np

from minicnn.ops.epilogue import Fused
from minicnn.stepper import channel_lenses as channels
from minicnn.stepper import loss_lenses as losses
from minicnn.stepper import moving_lenses as moving
from minicnn.stepper import resampling_lenses as resampling
from minicnn.stepper.conv_lenses import Conv, ConvTranspose
from minicnn.stepper.elementwise import SLOPES, VALUES, activation_texts, arguments, texts
from minicnn.stepper.lens import Lens, add_up, at, epsilon, finished
from minicnn.stepper.window_lenses import (
    AdaptiveAvgPool,
    AdaptiveMaxPool,
    AvgPool,
    MaxPool,
    pool_indices_y,
)

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
# Matrix products, or stacks of them
# ---------------------------------------------------------------------------
def matmul_y(step, *index):
    *lead, i, j = index
    rows, columns = (_stacked(a, step.output.shape)[tuple(lead)] for a in step.inputs.values())
    return add_up(rows[i], columns[:, j], axes="k") | {
        "formula": f"Σ {at('a', (*_of_own(step, 'a', lead), i, 'k'))} · "
        f"{at('b', (*_of_own(step, 'b', lead), 'k', j))}",
        "labels": (f"a row {i}", f"b column {j}"),
    }


def matmul_gradient(step, letter, *index):
    """dy b' or a' dy; also over the matrices of a stack that this one was used for."""
    *lead, i, j = index
    dy, shape = step.dy, step.inputs[letter].shape
    other = _stacked(step.inputs["b" if letter == "a" else "a"], dy.shape)
    extra = dy.ndim - len(shape)
    repeated = [d < extra or shape[d - extra] != n for d, n in enumerate(dy.shape[:-2])]
    used = tuple(slice(None) if wide else lead[d - extra] for d, wide in enumerate(repeated))
    letters = iter("nmlh")
    names = tuple(next(letters) if wide else k for wide, k in zip(repeated, used))
    axes = [*(k for k in names if isinstance(k, str)), "j" if letter == "a" else "i"]
    if letter == "a":
        d, weights, pair = dy[(*used, i)], other[(*used, j)], ((i, "j"), ("b", j, "j"))
    else:
        d, weights, pair = dy[(*used, slice(None), j)], other[(*used, slice(None), i)], (
            ("i", j), ("a", "i", i))  # fmt: skip
    first, (name, *second) = pair
    return add_up(d, weights, axes=axes) | {
        "formula": f"Σ {at('dy', (*names, *first))} · {at(name, (*names, *second))}",
        "labels": ("dy", name),
    }


def _stacked(a, shape):
    return np.broadcast_to(a, (*shape[:-2], *a.shape[-2:]))


def _of_own(step, letter, lead):
    return _own_index(step.inputs[letter].shape[:-2], tuple(lead))


# ---------------------------------------------------------------------------
# Element by element
# ---------------------------------------------------------------------------
def elementwise_y(step, *index):
    values = _at_place(step, arguments(step), index)
    with np.errstate(all="ignore"):
        y = np.asarray(VALUES[step.operation](*values.values()))[()]
    y = y.astype(step.output.dtype)
    return {
        "formula": texts(step)[0],
        "sum": y,
        "parts": values,
        "rounding": SEVERAL * epsilon(y.dtype) * (abs(float(y)) + 1),
    }


def elementwise_gradient(step, letter, *index):
    """dy times the slope, over every place the element was used in (one, if not broadcast)."""
    dy, given = step.dy, arguments(step)
    shape = given[letter].shape
    index = (*index, *[0] * len(shape))[: len(shape)]
    extra = dy.ndim - len(shape)
    repeated = [k < extra or shape[k - extra] != dy.shape[k] for k in range(dy.ndim)]
    used = tuple(
        slice(None) if repeated[k] else index[k - extra] for k in range(dy.ndim)
    )
    arrays = [np.broadcast_to(a, dy.shape)[used] for a in (step.output, *given.values())]
    with np.errstate(all="ignore"):
        slope = np.asarray(SLOPES[step.operation][letter](*arrays)).astype(dy.dtype)
    letters = iter("nmlkjihg")
    axes = [next(letters) if wide else str(k) for wide, k in zip(repeated, used)]
    text = texts(step)[1][letter]
    factor = "" if text == "1" else f" · {text}"
    fields = add_up(dy[used], slope, axes=[a for a, wide in zip(axes, repeated) if wide])
    return fields | {
        "formula": f"{'Σ ' if any(repeated) else ''}{at('dy', axes)}{factor}",
        "labels": ("dy", "slope"),
        "parts": None if any(repeated) else _at_place(step, given, used),
        "rounding": SEVERAL * (fields["rounding"] + epsilon(dy.dtype) * np.abs(dy[used]).sum()),
    }


def _at_place(step, given, index):
    """What stands at `index` of the result, by name: "x[0,1]"."""
    return {
        at(k, _own_index(a.shape, index)[: step.inputs.get(k, a).ndim]):
        np.broadcast_to(a, step.output.shape)[index] for k, a in given.items()
    }  # fmt: skip


def _own_index(shape, index):
    """The index of a broadcast array's own element that stands at `index` of the result."""
    index = index[len(index) - len(shape) :]
    return tuple(k if n != 1 else 0 for k, n in zip(index, shape))


# Per operation: a function for y, and for each gradient by its letter or for all ("gradient").
LENSES = {
    **{name: {"y": Conv.y, "x": Conv.dx, "w": Conv.dw, "b": Conv.db, "add": added_gradient}
       for name in ("Conv2d", "DepthwiseConv2d")},
    "MaxPool2d": {"y": MaxPool.y, "x": MaxPool.dx},
    "AvgPool2d": {"y": AvgPool.y, "x": AvgPool.dx},
    "AdaptiveAvgPool2d": {"y": AdaptiveAvgPool.y, "x": AdaptiveAvgPool.dx},
    "Moments": {"y": channels.moments_y},
    "BatchNorm": {
        "y": channels.batch_norm_y, "x": channels.batch_norm_dx, "w": channels.batch_norm_dw,
        "b": channels.batch_norm_db, "add": added_gradient},
    **{name: {"y": channels.dropout_y, "x": channels.dropout_dx}
       for name in ("Dropout", "Dropout2d")},
    "Cat": {"y": moving.cat_y, "gradient": moving.cat_gradient},
    "AdaptiveMaxPool2d": {"y": AdaptiveMaxPool.y, "x": AdaptiveMaxPool.dx},
    "ConvTranspose2d": {
        "y": ConvTranspose.y, "x": ConvTranspose.dx, "w": ConvTranspose.dw, "b": ConvTranspose.db},
    "Pad": {"y": moving.pad_y, "x": moving.pad_dx},
    "LocalResponseNorm": {"y": channels.response_norm_y, "x": channels.response_norm_dx},
    **{name: {"y": losses.softmax_y, "x": losses.softmax_dx} for name in ("Softmax", "LogSoftmax")},
    "NegativeLogLikelihood": {"y": losses.nll_y, "x": losses.nll_dx},
    "SoftTargetCrossEntropy": {
        "y": losses.soft_target_y, "gradient": losses.soft_target_gradient},
    "CapsuleMargin": {"y": losses.margin_y, "x": losses.margin_dx},
    **{name: {"y": resampling.upsample_y, "x": resampling.upsample_dx}
       for name in resampling.UPSAMPLING},
    "MaxUnpool2d": {"y": resampling.unpool_y, "x": resampling.unpool_dx},
    "PoolIndices": {"y": pool_indices_y},
    "MatMul": {"y": matmul_y, "gradient": matmul_gradient},
    "Linear": {
        "y": linear_y, "x": linear_dx, "w": linear_dw, "b": linear_db, "add": added_gradient},
    "SoftmaxCrossEntropy": {"y": losses.cross_entropy_y, "x": losses.cross_entropy_dx},
    **{name: {"y": elementwise_y, "gradient": elementwise_gradient} for name in VALUES},
    **{name: {"y": moving.moved_y, "x": moving.moved_dx} for name in moving.MOVES},
    **{name: {"y": moving.reduced_y, "x": moving.reduced_dx} for name in ("Sum", "Mean")},
}  # fmt: skip
