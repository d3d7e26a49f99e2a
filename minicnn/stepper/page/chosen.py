"""A few elements of each operation whose lenses a page keeps whole, where it cannot keep all.

The first element of each is on one path: a value that is followed from the loss back to the image,
at each sum through its largest product. The others are the largest value and one in the middle.
"""

from __future__ import annotations

import numpy as np

from minicnn.stepper.page.encode import whole

CHOSEN = 3
LONG = 4096  # terms; of sums longer than that, one is enough


def chosen_places(steps) -> dict[int, dict[str, list[tuple]]]:
    """For each forward step, by its id: letter ("y", "x", "w", ...) -> indices of elements."""
    found, made = {}, {id(s.held_output.array): s for s in steps}
    wanted = {}  # id of an array -> the index that the path goes through
    for step in reversed(steps):
        y = step.held_output.array
        on_path = wanted.setdefault(id(y), largest(step.output))
        places = {"y": few(step.output, on_path)}
        for letter, h in zip(step.letters, step.held):
            if h is None:
                continue
            index = before(step, letter, on_path)
            if id(h.array) in made or h.kind == "input":
                index = wanted.setdefault(id(h.array), index)
            grads = step.partner.grads if step.partner else {}
            if (g := grads.get(letter)) is not None:
                places[letter] = few(g, index)
        found[id(step)] = places
    return found


def largest(array) -> tuple[int, ...]:
    """Index of the number of largest magnitude."""
    if not array.size:
        return (0,) * array.ndim
    place = np.nan_to_num(np.abs(array)).argmax()
    return tuple(map(int, np.unravel_index(place, array.shape)))


def few(array, first) -> list[tuple]:
    """At most three different indices: `first`, the largest number's, the middle."""
    middle = tuple(n // 2 for n in array.shape)
    places = [first, largest(array), middle]
    return list(dict.fromkeys(tuple(map(int, p)) for p in places if len(p) == array.ndim))[:CHOSEN]


def before(step, letter, index) -> tuple[int, ...]:
    """The element of an input that a number of y owes most to, so far as it is easy to say."""
    shape = step.op.shapes[step.letters.index(letter)]
    if letter == "w" and step.operation in ("Conv2d", "DepthwiseConv2d"):
        return (index[1], *(n // 2 for n in shape[1:]))
    if letter in ("w", "b") and len(shape) == 1 and len(index) > 1:
        return (min(index[1], shape[0] - 1),)
    if letter == "w" and step.operation == "Linear":
        return (index[-1], shape[1] // 2)
    if step.operation == "Reshape":
        flat = np.ravel_multi_index(index, step.held_output.array.shape)
        return tuple(map(int, np.unravel_index(flat, shape)))
    if len(shape) == 4 and len(index) == 4 and letter == "x":
        return centre(step, shape, index)
    if shape == step.held_output.array.shape:
        return index
    return largest(step.inputs[letter])


def centre(step, shape, index):
    """The pixel in the middle of a window, in the channel that weighs most there."""
    n, c, *pixel = index
    stride = getattr(step.op, "stride", None)
    if stride is None:
        pixel = [p * h // max(1, oh) for p, h, oh in
                 zip(pixel, shape[2:], step.held_output.array.shape[2:])]  # fmt: skip
    else:
        kernel = getattr(step.op, "kernel", None) or step.op.shapes[1][2:]
        pixel = [p * s - pad + (k - 1) // 2 * d for p, s, pad, k, d in zip(
            pixel, stride, step.op.padding, kernel, step.op.dilation)]  # fmt: skip
    pixel = [min(max(p, 0), n - 1) for p, n in zip(pixel, shape[2:])]
    if step.operation == "Conv2d":
        c = int(np.nan_to_num(np.abs(step.inputs["x"][n, :, pixel[0], pixel[1]])).argmax())
    return (n, min(c, shape[1] - 1), *pixel)


def chosen_lenses(step, back, places) -> dict[str, list[dict]]:
    """The lenses on the chosen elements, as data: those of y, and of each gradient by letter."""
    found = {}
    for letter, indices in places.items():
        here = step if letter == "y" else back
        try:
            of = None if letter == "y" else letter
            lenses = [here.into(*indices[0], of=of)]
            if lenses[0].products is None or lenses[0].products.size <= LONG:
                lenses += [here.into(*k, of=of) for k in indices[1:]]
        except ValueError:  # there is no lens for this operation
            continue
        found[letter] = [plain(lens, k) for lens, k in zip(lenses, indices, strict=False)]
    return found


def plain(lens, index) -> dict:
    """A lens as data."""
    data = {
        "index": list(index), "name": lens.name, "formula": lens.formula, "note": lens.note,
        "sum": value(lens.sum), "recorded": value(lens.recorded), "agreement": lens.agreement,
        "bias": value(lens.bias), "added": value(lens.added), "activation": lens.activation,
        "z": value(lens.z), "divisor": lens.divisor, "axes": list(lens.axes),
        "starts": list(lens.starts), "labels": list(lens.labels),
        "winner": None if lens.winner is None else [int(k) for k in lens.winner],
        "parts": {k: array_of(v) for k, v in (lens.parts or {}).items()},
    }  # fmt: skip
    for name in ("window", "weights"):
        array = getattr(lens, name)
        data[name] = None if array is None else whole(np.asarray(array))
    if lens.products is not None and lens.divisor is not None:
        data["products"] = whole(lens.products)
    return data


def value(number):
    """A NumPy number as JSON knows it: null for none, words for what is not finite."""
    if number is None:
        return None
    number = float(number)
    return number if np.isfinite(number) else str(number)


def array_of(array):
    return whole(np.asarray(array)) if np.ndim(array) else value(array)
