"""A few elements of each operation whose lenses are kept, where not all of its numbers are.

The first element of each is on one path: a value that is followed from the image to the loss, at
each sum into the channel that answers most. The others are the largest value and one in the middle.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from minicnn.stepper.keep import largest
from minicnn.stepper.lens import Lens, running_total

CHOSEN = 3
LONG = 4096  # terms; of sums longer than that, one is enough


class Path:
    """One value on its way through a pass; ask it for one forward step after the other."""

    def __init__(self):
        self.at = {}  # what is kept of an array -> the index that the path goes through

    def through(self, step) -> tuple[int, ...]:
        """The element of a forward step's output that the path goes through."""
        y = step.held_output.kept
        if y not in self.at:
            letter = next((k for k, h in zip(step.letters, step.held) if _can_be_on(h)), None)
            if letter is None:
                self.at[y] = largest(step.output)
            else:
                x, array = step.held[step.letters.index(letter)].kept, step.inputs[letter]
                if x in self.at:
                    self.at[y] = after(step, array.shape, self.at[x])
                else:  # here it begins
                    self.at[y] = largest(step.output)
                    self.at[x] = near(array, self.at[y], step.output.shape)
        return self.at[y]

    def places(self, step) -> dict[str, list[tuple]]:
        """Elements to keep: of y, or in backward of each gradient by its letter."""
        if step.direction == "forward":
            return {"y": few(step.output, self.through(step))}
        found = {}
        for letter, h, g in zip(step.letters, step.held, step.grads.values()):
            if g is not None:
                first = self.at.get(h.kept) or before(step, letter, h.shape)
                found[letter] = few(g, first)
        return found


def _can_be_on(held):
    return held is not None and held.kind == "input" and held.array.dtype.kind == "f"


def few(array, first) -> list[tuple]:
    """At most three different indices: `first`, the largest number's, the middle."""
    middle = tuple(n // 2 for n in array.shape)
    places = [first, largest(array), middle]
    return list(dict.fromkeys(tuple(map(int, p)) for p in places if len(p) == array.ndim))[:CHOSEN]


def near(x, index, shape) -> tuple[int, ...]:
    """The element of an image that lies where `index` lies in an output of this shape."""
    if x.shape == shape:
        return index
    if not x.ndim == len(shape) == 4:
        return largest(x)
    pixel = tuple(p * h // oh for p, h, oh in zip(index[2:], x.shape[2:], shape[2:]))
    return (index[0], int(np.nan_to_num(np.abs(x[index[0], :, *pixel])).argmax()), *pixel)


def after(step, shape, index) -> tuple[int, ...]:
    """The element of y that a number of an input of this shape goes into, if it is easy to say."""
    y = step.output
    if step.operation == "Reshape":
        return tuple(map(int, np.unravel_index(np.ravel_multi_index(index, shape), y.shape)))
    if len(shape) == len(y.shape) == 4:
        pixel = _window_around(step, shape, index[2:])
        if step.operation != "Conv2d" and y.shape[1] == shape[1]:
            return (index[0], index[1], *pixel)
        return (index[0], int(np.nan_to_num(np.abs(y[index[0], :, *pixel])).argmax()), *pixel)
    if y.shape == shape:
        return index
    if y.ndim and y.shape[:-1] == shape[:-1]:  # a row of numbers becomes another
        row = index[:-1]
        return (*row, int(np.nan_to_num(np.abs(y[row])).argmax()))
    return largest(y)


def _window_around(step, shape, pixel):
    """The window that a pixel is in the middle of, or near it."""
    size, stride = step.output.shape[2:], getattr(step.op, "stride", None)
    if stride is None or "Transpose" in step.operation:
        return tuple(p * oh // h for p, oh, h in zip(pixel, size, shape[2:]))
    kernel = getattr(step.op, "kernel", None) or step.op.shapes[1][2:]
    return tuple(
        min(max((p + pad - (k - 1) // 2 * d) // s, 0), oh - 1)
        for p, s, pad, k, d, oh in zip(
            pixel, stride, step.op.padding, kernel, step.op.dilation, size
        )
    )


def before(step, letter, shape) -> tuple[int, ...]:
    """A weight in the middle of what the largest gradient has gone through."""
    y = largest(step.dy)
    if letter == "w" and len(shape) == 4 and len(y) == 4:
        return (min(y[1], shape[0] - 1), *(n // 2 for n in shape[1:]))
    if len(shape) == 1 and len(y) > 1:
        return (min(y[1], shape[0] - 1),)
    if letter == "w" and step.operation == "Linear":
        return (y[-1], shape[1] // 2)
    return tuple(n // 2 for n in shape)


# ---------------------------------------------------------------------------
# Their lenses
# ---------------------------------------------------------------------------
def lenses_at(step, places) -> dict:
    """letter -> {index: lens} of the elements in `places` that have one."""
    found = {}
    for letter, indices in places.items():
        for index in indices:
            try:
                lens = step.into(*index, of=None if letter == "y" else letter)
            except ValueError:  # there is no lens for this operation
                break
            found.setdefault(letter, {})[index] = lens
            if lens.products is not None and lens.products.size > LONG:
                break
    return found


@dataclass(frozen=True)
class KeptLens:
    """A lens that keeps no array of the pass alive; its products are computed when it is opened."""

    lens: Lens
    multiplied: bool

    @classmethod
    def of(cls, lens) -> KeptLens | None:
        """Copies of a lens's numbers; None if some are not there."""
        multiplied = lens.weights is not None and lens.divisor is None
        arrays = {"window": lens.window, "weights": lens.weights, "products": lens.products}
        if multiplied:
            del arrays["products"]
        arrays = {k: None if a is None else a.copy() for k, a in arrays.items()}
        parts = {k: np.copy(v)[()] for k, v in (lens.parts or {}).items()}
        if not np.isnan(lens.recorded):
            parts = {k: v for k, v in parts.items() if not np.isnan(v).any()}
            if np.isnan(lens.sum) or any(a is not None and np.isnan(a).any()
                                         for a in arrays.values()):
                return None
        if lens.products is not None:
            arrays |= {"products": arrays.get("products"), "running": None}
        return cls(replace(lens, parts=parts or None, **arrays), multiplied)

    @property
    def nbytes(self) -> int:
        lens = self.lens
        return sum(a.nbytes for a in (lens.window, lens.weights, lens.products) if a is not None)

    def open(self) -> Lens:
        """The lens, whole again."""
        lens = self.lens
        with np.errstate(all="ignore"):
            products = lens.window * lens.weights if self.multiplied else lens.products
            if products is None:
                return lens
            return replace(lens, products=products, running=running_total(products, lens.axes))
