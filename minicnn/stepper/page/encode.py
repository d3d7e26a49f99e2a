"""Arrays as a page holds them: whole, or, over its budget, as thumbnails of some of their maps."""

from __future__ import annotations

import base64

import numpy as np

from minicnn.stepper.text import largest_of_blocks

MAPS = 16  # of a thumbnail, at most
SIDE = 40  # of a map of it, in cells, at most
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


def thumbnail(array: np.ndarray, wanted=()) -> dict:
    """At most 16 maps of an array in 8 bits each: value = top / 127 * cell.

    A map is what the last two axes span; a cell of a larger one is the number of largest magnitude
    in its block. `wanted` are indices whose maps shall be among the 16.

    Returns
    -------
    dict
        "shape"; "low", "high" and "mean" of the whole array; "top", "size" and "data" of the maps;
        "maps": each map's leading index.
    """
    low, mean, high = (array.min(), array.mean(dtype=np.float64), array.max())
    values = array if array.ndim > 1 else array[None]
    leading = values.shape[:-2]
    first = [index[: len(leading)] for index in wanted if len(index) == array.ndim]
    places = list(dict.fromkeys([*first, *_first(leading)]))[:MAPS]
    maps = np.stack([shrunk(values[place]) for place in sorted(places)])
    top = float(np.abs(maps[np.isfinite(maps)]).max(initial=0)) or 1.0
    cells = np.rint(np.nan_to_num(maps / top * 127, nan=0, posinf=127, neginf=-127))
    return {
        "shape": list(array.shape),
        "low": float(low), "mean": float(mean), "high": float(high), "top": top,
        "size": list(maps.shape[1:]),
        "maps": [list(map(int, place)) for place in sorted(places)],
        "data": text_of(cells.astype(np.int8)),
    }  # fmt: skip


def _first(leading):
    """The first leading indices: of a batch those of the first image, of filters (o, 0)."""
    if not leading:
        return [()]
    if len(leading) == 1:
        return [(k,) for k in range(min(MAPS, leading[0]))]
    axis = 1 if leading[0] < leading[1] else 0  # (1, C) are an image's maps, (O, C) are filters
    return [(0, k) if axis else (k, 0) for k in range(min(MAPS, leading[axis]))] if (
        len(leading) == 2
    ) else [(0,) * len(leading)]


def shrunk(image: np.ndarray) -> np.ndarray:
    """A map of at most 40 x 40 cells: of each block the number of largest magnitude."""
    rows, columns = (-(-n // SIDE) for n in image.shape)
    return image if rows == columns == 1 else largest_of_blocks(image, rows, columns)


class Arrays:
    """The arrays of a page, each once, by number."""

    def __init__(self):
        self.arrays, self.wanted, self._numbers = [], [], {}

    def add(self, array: np.ndarray | None, wanted=()) -> int | None:
        """The array's number; `wanted` as in `thumbnail`."""
        if array is None:
            return None
        key = (array.__array_interface__["data"][0], array.shape, array.strides, array.dtype)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.arrays)
            self.arrays.append(array)  # which also keeps its memory from being another's
            self.wanted.append([])
        self.wanted[number].extend(wanted)
        return number

    def over(self, budget: int) -> set[int]:
        """The arrays that must be thumbnails: none, if all together stay in the budget (bytes).

        Else the largest ones, until half of it is left for the lenses that then come in.
        """
        sizes = [4 * (-(-a.size * min(a.itemsize, 8) // 3)) for a in self.arrays]
        total, thumbs = sum(sizes), set()
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

    @staticmethod
    def _thumbnail_bytes(array):
        cells = 1
        for n in array.shape[-2:]:
            cells *= min(n, SIDE)
        maps = min(MAPS, int(np.prod(array.shape[:-2])))
        return 4 * cells * maps // 3 + 300
