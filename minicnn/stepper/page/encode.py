"""Arrays as a page holds them: whole, or, over its budget, as samples of some of their maps."""

from __future__ import annotations

import base64
from math import prod

import numpy as np

from minicnn.stepper.keep import MAPS, SIDE, Sample

KINDS = {"f4": "<f4", "f8": "<f8", "i4": "<i4", "u1": "u1"}


def text_of(array: np.ndarray) -> str:
    """The bytes of an array, row-major, as base64."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def whole(array: np.ndarray) -> dict:
    """All numbers of an array: {"shape", "dtype", "data"}."""
    if array.dtype.kind == "b":
        kind = "u1"
    elif array.dtype.kind == "f":
        kind = "f8" if array.dtype.itemsize == 8 else "f4"
    else:
        kind = "i4"  # classes and places; no net has two thousand million of them
    array = array.astype(KINDS[kind], copy=False)
    return {"shape": list(array.shape), "dtype": kind, "data": text_of(array)}


def thumbnail(array: np.ndarray | Sample, wanted=()) -> dict:
    """At most 16 maps of an array in 8 bits each: value = top / 127 * cell; see `keep.Sample`.

    `wanted` are indices whose maps shall be among the 16.

    Returns
    -------
    dict
        "shape"; "low", "high" and "mean" of the whole array; "top", "size" and "data" of the maps;
        "maps": each map's leading index.
    """
    sample = array if isinstance(array, Sample) else Sample(array, wanted)
    maps = np.stack(list(sample.maps.values()))
    return {
        "shape": list(sample.shape),
        "low": float(sample.min()), "mean": float(sample.mean()), "high": float(sample.max()),
        "top": sample.top, "size": list(maps.shape[1:]),
        "maps": [list(map(int, place)) for place in sample.maps],
        "data": text_of(maps),
    }  # fmt: skip


class Arrays:
    """The arrays of a page, each once, by number."""

    def __init__(self):
        self.arrays, self.wanted, self._numbers = [], [], {}

    def add(self, array: np.ndarray | None, wanted=()) -> int | None:
        """The array's number; `wanted` as in `thumbnail`."""
        if array is None:
            return None
        key = id(array) if isinstance(array, Sample) else (
            array.__array_interface__["data"][0], array.shape, array.strides, array.dtype)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.arrays)
            self.arrays.append(array)  # which also keeps its memory from being another's
            self.wanted.append([])
        self.wanted[number].extend(wanted)
        return number

    def over(self, budget: int) -> set[int]:
        """The arrays to be thumbnails: those that are samples, if all stay in the budget (bytes).

        Else the largest ones, too, until half of it is left for the lenses that then come in.
        """
        sizes = [self._bytes(a) for a in self.arrays]
        total = sum(sizes)
        thumbs = {k for k, a in enumerate(self.arrays) if isinstance(a, Sample)}
        if total <= budget:
            return thumbs
        for k in sorted(range(len(sizes)), key=sizes.__getitem__, reverse=True):
            if total <= budget // 2:
                break
            small = self._thumbnail_bytes(self.arrays[k])
            if small < sizes[k]:
                thumbs.add(k)
                total += small - sizes[k]
        return thumbs

    def _bytes(self, array):
        if isinstance(array, Sample):
            return self._thumbnail_bytes(array)
        return 4 * (-(-array.size * min(array.itemsize, 8) // 3))

    @staticmethod
    def _thumbnail_bytes(array):
        cells = 1
        for n in array.shape[-2:]:
            cells *= min(n, SIDE)
        maps = min(MAPS, prod(array.shape[:-2]))
        return 4 * cells * maps // 3 + 300
