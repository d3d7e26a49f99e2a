"""A lens: one number, and everything it was computed from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from minicnn.stepper.elementwise import activated


class Term(NamedTuple):
    """One of the numbers that add up to another."""

    place: tuple[int, ...]  # by the letters of `Lens.axes`
    factors: tuple[float, ...]
    product: float
    total: float  # sum of the terms up to this one


@dataclass(frozen=True, eq=False, repr=False)
class Lens:
    """One number of a step, computed again from what was recorded.

    The arrays of a sum have one axis per letter of `axes`; their row-major order is the order in
    which the terms are added, in the recorded dtype: that of the loops backend.

    Attributes
    ----------
    step : Step
    name : str
        The number, "y[0,3,17,15]".
    formula : str
        What it is equal to, with its indices filled in.
    sum : scalar
        What the formula gives here (also where it is not a sum).
    recorded : scalar
        What the pass gave.
    window : array or None
        The numbers it reads, or the first factors.
    weights : array or None
        The second factors.
    products : array or None
        window * weights.
    running : array or None
        Running total, flat: the sum of the terms up to each.
    bias : scalar or None
        Added at the end.
    added : scalar or None
        Added after it: a fused operation's shortcut.
    activation : str or None
        What a fused operation's activation is called; `sum` is what it makes of `z`.
    z : scalar or None
        What the activation is given.
    divisor : int or None
        Divides the sum at the end.
    axes : tuple of str
    starts : tuple of int
        Index in the formula of the first element along each axis.
    labels : tuple of str
        Names of window and weights; "{k}" stands for the index along the first of three axes.
    winner : tuple of int or None
        The element of the window that is chosen.
    parts : dict of str to array
        Other arrays on the way, such as softmax's "p".
    note : str
        One more sentence for the reader.
    rounding : float
        How far apart rounding alone can bring `sum` and `recorded`.
    """

    step: object
    name: str
    formula: str
    sum: np.generic
    recorded: np.generic
    window: np.ndarray | None = None
    weights: np.ndarray | None = None
    products: np.ndarray | None = None
    running: np.ndarray | None = None
    bias: np.generic | None = None
    added: np.generic | None = None
    activation: str | None = None
    z: np.generic | None = None
    divisor: int | None = None
    axes: tuple[str, ...] = ()
    starts: tuple[int, ...] = ()
    labels: tuple[str, str] = ("", "")
    winner: tuple[int, ...] | None = None
    parts: dict | None = None
    note: str = ""
    rounding: float = 0.0

    @cached_property
    def terms(self) -> list[Term]:
        """The terms in the order they are added; empty if the number is no sum."""
        return [self.term(k) for k in range(0 if self.products is None else self.products.size)]

    def term(self, k: int) -> Term:
        """Term k of the sum."""
        place = np.unravel_index(k, self.products.shape)
        factors = [a[place].item() for a in (self.window, self.weights) if a is not None]
        place = tuple(int(p) + start for p, start in zip(place, self.starts))
        product = self.products.ravel()[k].item()
        return Term(place, tuple(factors), product, self.running[k].item())

    @property
    def exact(self) -> bool:
        """Whether `sum` and `recorded` have the same bits."""
        return self.sum.tobytes() == self.recorded.tobytes()

    @property
    def agreement(self) -> str:
        """How `sum` and `recorded` compare, in words."""
        if self.exact:
            return "the same bits"
        if self.sum == self.recorded:
            return "the same value (a zero of the other sign)"
        if np.isnan(self.sum) and np.isnan(self.recorded):
            return "both are not a number"
        with np.errstate(invalid="ignore"):
            apart = abs(float(self.sum) - float(self.recorded))
        if not apart <= self.rounding:
            return f"{apart:.1e} apart, more than rounding explains: it was computed in another way"
        if self.products is not None and self.products.size > 1:
            return f"{apart:.1e} apart, by rounding: {self.step.backend} adds in another order"
        return f"{apart:.1e} apart, by rounding"

    def __repr__(self):
        from minicnn.stepper.lens_cards import lens_text

        return lens_text(self)

    def _repr_html_(self):
        from minicnn.stepper.html import lens_html

        return lens_html(self)


def add_up(window, weights=None, *, axes=(), products=None, bias=None, divisor=None, starts=None):
    """The fields of a lens on a sum: terms, running total, sum, and what rounding allows."""
    with np.errstate(all="ignore"):  # inf and nan are shown, not warned about
        if products is None:
            products = window if weights is None else window * weights
        running = running_total(products, axes)
        total = running[-1] if running.size else products.dtype.type(0)
        if divisor is not None:
            total = total / products.dtype.type(divisor)
        if bias is not None:
            total = total + bias
        size = float(np.abs(products.astype(np.float64)).sum()) / abs(divisor or 1)
        size += 0.0 if bias is None else abs(float(bias))
    return {
        "sum": total,
        "window": window,
        "weights": weights,
        "products": products,
        "running": running,
        "bias": bias,
        "divisor": divisor,
        "axes": tuple(axes),
        "starts": starts or (0,) * products.ndim,
        "rounding": epsilon(products.dtype) * (products.size + 2) * size,
    }


def running_total(products, axes):
    """The sum of the terms up to each, one added after the other in their dtype."""
    running = np.add.accumulate(products.ravel())
    if axes:
        running += 0  # a sum begins with 0, so it is never -0
    return running


def finished(step, fields, index):
    """The fields of a lens on a fused operation's own sum, carried on to activation(z + add)."""
    add = step.inputs["add"]
    if add is not None:
        fields["added"], fields["sum"] = add[index], fields["sum"] + add[index]
        fields["formula"] += f" + {at('add', index)}"
        fields["rounding"] += 2 * epsilon(add.dtype) * abs(float(add[index]))
    if step.activation is None:
        return fields
    z = fields["sum"]
    return fields | {
        "formula": f"{step.activation}({fields['formula']})",
        "activation": step.activation,
        "z": z,
        "sum": activated(step.activation, z),
        # No activation is steeper than 1.5, and each rounds a few times itself.
        "rounding": 1.5 * fields["rounding"] + 16 * epsilon(z.dtype) * abs(float(z)),
    }


def at(name: str, index) -> str:
    """"y[0,3]"; without dimensions the name alone."""
    return f"{name}[{','.join(map(str, index))}]" if index else name


def epsilon(dtype) -> float:
    """Relative rounding error of one operation; integers have none."""
    return float(np.finfo(dtype).eps) if dtype.kind == "f" else 0.0
