"""What a walk's variables and memory hold: places, pointers, accesses, arrays; values as text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Place:
    """Where in memory: an array's name and an index into it, or another variable's name.

    `index` counts elements from the array's first one, and is None for a variable that is no array;
    `position` is the same along the axes, () where the index lies outside. `array` is "" for memory
    without a name, None for a null pointer.
    """

    array: str | None
    index: int | None = None
    position: tuple[int, ...] = ()

    def __str__(self) -> str:
        if self.array is None:
            return "null"
        if not self.array:
            return hex(self.index)
        if self.index is None:
            return self.array
        return f"{self.array}[{', '.join(map(str, self.position or (self.index,)))}]"


@dataclass(frozen=True)
class Pointer(Place):
    """A pointer's value: the place it points to."""

    def __str__(self) -> str:
        if not self.array:
            return super().__str__()
        if self.index is None:
            return f"&{self.array}"
        text = f"{self.array} {'-' if self.index < 0 else '+'} {abs(self.index)}"
        return f"{text} -> {super().__str__()}" if len(self.position) > 1 else text


@dataclass(frozen=True)
class Access:
    """One element read or written: where, and its value."""

    place: Place
    value: object

    def __str__(self) -> str:
        return f"{self.place} = {text_of(self.value)}"


@dataclass(frozen=True)
class Array:
    """An array that the kernel can reach: its dtype, shape and kind of memory."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    memory: str  # "global", "shared" or "constant"


def differences(name: str, before, after, most: int = 4) -> list[tuple[str, object, object]]:
    """What of a variable changed: (name, before, after) of each part of it, `total[2][3]`.

    The whole variable where more parts than `most` changed, or where it had no value yet.
    """
    found = list(_differences(name, before, after))
    return found if len(found) <= most else [(name, before, after)]


def _differences(name, before, after):
    if isinstance(before, list) and isinstance(after, list):
        for i, pair in enumerate(zip(before, after, strict=True)):
            yield from _differences(f"{name}[{i}]", *pair)
    elif isinstance(before, dict) and isinstance(after, dict):
        for key in before:
            yield from _differences(f"{name}.{key}", before[key], after[key])
    elif repr(before) != repr(after):
        yield name, before, after


def text_of(value) -> str:
    """A value in C's manner, short; "?" is one that was never set."""
    if value is None:
        return "?"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.7g}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {text_of(v)}" for key, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        shown = [text_of(v) for v in value[:8]] + ["..."] * (len(value) > 8)
        return "[" + ", ".join(shown) + "]"
    return str(value)


def plain_of(value):
    """A value for JSON, which knows neither infinity nor NaN: they become text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Place):
        text = {"pointer": str(value)} if isinstance(value, Pointer) else {}
        return {**text, "array": value.array, "index": value.index, "position": [*value.position]}
    if isinstance(value, Mapping):
        return {key: plain_of(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_of(v) for v in value]
    return value
