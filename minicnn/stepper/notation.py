"""Names, indices, sizes and shapes as formulas write them."""

from __future__ import annotations

import inspect
import re
from functools import cache

from minicnn.tensor import Function


def shifted(letter: str, offset: int) -> str:
    """"u", "15+u" or "u-2"."""
    if offset == 0:
        return letter
    return f"{offset}+{letter}" if offset > 0 else f"{letter}{offset}"


def over(**sizes: int) -> str:
    """"c < 6, u < 5": the letters run from 0."""
    return ", ".join(f"{letter} < {n}" for letter, n in sizes.items())


def shape_of(step, letter):
    """The shape of the output ("y") or of an input."""
    if letter == "y":
        return step.held_output.shape
    return step.held[step.letters.index(letter)].shape


def wanted(step, lines):
    """The equations of those gradients that were computed."""
    return [line for letter, line in lines.items() if step.grads.get(letter) is not None]


@cache
def letters_of(drawing: type, count: int) -> tuple[str, ...]:
    """The names of an operation's inputs, as its readable `forward` calls them."""
    for cls in reversed(drawing.__mro__):
        if issubclass(cls, Function) and cls is not Function and "forward" in vars(cls):
            names = tuple(inspect.signature(cls.forward).parameters)[1:]
            if len(names) == count:
                return names
    return tuple(f"x{k}" for k in range(count))


def snake(name: str) -> str:
    """"max_pool2d" for "MaxPool2d", and "relu" for "ReLU"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", name).lower()
