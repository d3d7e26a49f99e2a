"""Lenses on what moves elements, or adds them up: reshaping, joining, padding, sums, means."""

from __future__ import annotations

from math import prod

import numpy as np

from minicnn.backends import device_of, to_device
from minicnn.ops.joining import shuffle
from minicnn.stepper.lens import add_up, at


# ---------------------------------------------------------------------------
# Moving
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
    """For each element of y, the (flat) place in x it came from; -1 for none."""
    shape = step.op.shapes[0]
    ids = np.arange(prod(shape)).reshape(shape)
    if step.operation == "Pad":
        for axis, source, inside in step.op.axes(shape):
            ids = ids.take(source, axis=axis)
            np.moveaxis(ids, axis, 0)[~inside] = -1
        return ids
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
    count = prod([op.shapes[0][d] for d in dims]) if step.operation == "Mean" else None
    dy = np.asarray(step.dy[place])
    return add_up(dy, divisor=count) | {
        "formula": at("dy", place) + (f" / {count}" if count else ""),
        "labels": ("dy", ""),
        "note": "every element that went into the sum gets the same gradient",
    }


# ---------------------------------------------------------------------------
# Concatenation
# ---------------------------------------------------------------------------
def starts(step):
    """Where each input begins along the axis that they are joined along."""
    sizes = [shape[step.op.dim] for shape in step.op.shapes]
    return np.cumsum([0, *sizes[:-1]])


def cat_y(step, *index):
    axis = step.op.dim
    k = int(np.searchsorted(starts(step), index[axis], side="right")) - 1
    place = list(index)
    place[axis] -= int(starts(step)[k])
    letter = step.letters[k]
    return {
        "formula": at(letter, place),
        "sum": step.inputs[letter][tuple(place)],
        "note": f"the element was only moved: along axis {axis}, {letter} begins at "
        f"{starts(step)[k]}",
    }


def cat_gradient(step, letter, *index):
    place = list(index)
    place[step.op.dim] += int(starts(step)[step.letters.index(letter)])
    return {
        "formula": at("dy", place),
        "sum": step.dy[tuple(place)],
        "note": "each input gets its own part of the gradient",
    }


# ---------------------------------------------------------------------------
# Padding
# ---------------------------------------------------------------------------
def pad_y(step, *index):
    x, op = step.inputs["x"], step.op
    place = list(index)
    for axis, source, inside in op.axes(x.shape):
        if not inside[index[axis]]:
            return {
                "formula": f"{op.value:g}", "sum": x.dtype.type(op.value),
                "note": "padding: no element of x is here",
            }  # fmt: skip
        place[axis] = int(source[index[axis]])
    return {
        "formula": at("x", place), "sum": x[tuple(place)],
        "note": "a copy" if op.mode != "constant" else "the element was only moved",
    }  # fmt: skip


def pad_dx(step, *index):
    """The gradients of all copies of an element."""
    shape = step.op.shapes[0]
    places = [[k] for k in index]
    for axis, source, inside in step.op.axes(shape):
        places[axis] = np.flatnonzero((source == index[axis]) & inside).tolist()
    copies = step.dy[np.ix_(*places)].ravel()
    first = at("dy", tuple(k[0] if k else "-" for k in places))
    return add_up(copies, axes="k") | {
        "formula": first if len(copies) == 1 else f"Σ of the {len(copies)} copies' dy",
        "labels": ("dy", ""),
        "note": "the element was only moved, and its gradient with it" if len(copies) == 1
        else "it was copied: the gradients of its copies add up" if len(copies)
        else "this element is in no place of y, so it has no influence",
    }  # fmt: skip
