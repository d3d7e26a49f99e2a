"""Lenses as a page holds them: as plain data."""

from __future__ import annotations

import numpy as np

from minicnn.stepper.page.encode import whole


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
