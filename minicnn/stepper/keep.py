"""What a recording keeps of its arrays: whole ones as far as a budget of bytes goes, else samples.

A sample has at most 16 maps of 8 bits and the range of the whole array. Which arrays stay whole is
decided as each of them comes: those that take at most an eighth of what is left then. So a net that
is far under the budget is kept whole; of a large one the smaller arrays are, and the sum never
exceeds the budget. Forward pass and gradients have half of it each.

What no operation made (weights, images) is the caller's own: it is kept as it is and not counted.
"""

from __future__ import annotations

import weakref
from math import prod

import numpy as np

from minicnn.backends import to_device
from minicnn.nn.module import Buffer, Parameter
from minicnn.stepper.text import largest_of_blocks
from minicnn.tensor import _owner

SHARE = 8  # an array may take this part of what is left
SMALL = 2**16  # bytes: kept in any case, for a sample would be no smaller
MAPS = 16  # of a sample, at most
SIDE = 40  # of a map of it, in cells, at most
BLOCK = 2**18  # numbers that are looked through at a time


def on_cpu(array):
    """A read-only NumPy view (a copy if the array lies on a GPU); a sample as it is."""
    if isinstance(array, Sample):
        return array
    view = to_device(array, "cpu").view()
    view.flags.writeable = False
    return view


# ---------------------------------------------------------------------------
# Samples
# ---------------------------------------------------------------------------
class Sample:
    """What is left of an array that was not kept whole: its range, and some of its maps in 8 bits.

    A map is what the last two axes span; a cell of a larger one is the number of largest magnitude
    in its block.

    Attributes
    ----------
    shape, dtype, ndim, size, nbytes
        Of the whole array.
    maps : dict of tuple to int8 array
        By leading index; a cell stands for `top` / 127 times its number.
    top : float
    """

    def __init__(self, array, wanted=()):
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim
        self.size, self.nbytes = array.size, array.nbytes
        flat = in_memory_order(array)[0]
        self._range = flat.min(), flat.mean(dtype=np.float64), flat.max()
        values = array if array.ndim > 1 else array[None]
        leading = values.shape[:-2]
        first = [index[: len(leading)] for index in wanted if len(index) == array.ndim]
        self.shown = first[0] if first else (0,) * len(leading)  # the map to show, of them all
        places = sorted(list(dict.fromkeys([*first, *_first(leading)]))[:MAPS])
        maps = np.stack([shrunk(values[place]) for place in places])
        self.top = float(np.abs(maps[np.isfinite(maps)]).max(initial=0)) or 1.0
        cells = np.rint(np.nan_to_num(maps / self.top * 127, nan=0, posinf=127, neginf=-127))
        self.maps = dict(zip(places, cells.astype(np.int8)))

    def min(self):
        return self._range[0]

    def mean(self, dtype=None):
        return self._range[1]

    def max(self):
        return self._range[2]

    def map(self, leading) -> np.ndarray:
        """One of the maps, in numbers (rounded to 8 bits, and perhaps smaller than it was)."""
        return self.maps[leading] * np.float32(self.top / 127)

    def _refuse(self, *_, **__):
        raise RuntimeError(
            f"this array of shape {self.shape} was not kept whole: the budget of the recording did "
            "not go so far. There are its min(), mean() and max(), and maps in 8 bits: .maps; for "
            "all of it, record(budget=...) with more bytes"
        )

    __array__ = __getitem__ = __iter__ = _refuse

    def __repr__(self):
        low, mean, high = self._range
        return (
            f"<sample of an array {self.shape} of {self.dtype}, not kept whole: from {low:.4g} to "
            f"{high:.4g}, mean {mean:.4g}; {len(self.maps)} maps in 8 bits>"
        )


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
    if rows == columns == 1:
        return image
    slabs = (image[k : k + rows] for k in range(0, len(image), rows))
    return np.concatenate([largest_of_blocks(slab, rows, columns) for slab in slabs])


def in_memory_order(array) -> tuple[np.ndarray, tuple[int, ...]]:
    """All numbers as a vector, if possible without a copy, and the axes in the order they lie."""
    axes = tuple(range(array.ndim))
    if array.ndim == 4 and nhwc_view(array).flags.c_contiguous:
        axes = (0, 2, 3, 1)
    return array.transpose(axes).reshape(-1), axes


def nhwc_view(array):
    return array.transpose(0, 2, 3, 1)


def largest(array) -> tuple[int, ...]:
    """Index of the number of largest magnitude (of a NaN, if there is one)."""
    if not array.size:
        return (0,) * array.ndim
    flat, axes = in_memory_order(array)
    places = []
    for start in range(0, flat.size, BLOCK):  # NumPy copies what is read-only to find its maximum
        part = flat[start : start + BLOCK]
        places += [start + part.argmax(), start + part.argmin()]
    place = max(places, key=lambda k: _size(flat[k]))
    found = np.unravel_index(place, [array.shape[k] for k in axes])
    return tuple(int(found[axes.index(k)]) for k in range(array.ndim))


def _size(value):
    return np.inf if np.isnan(value) else abs(float(value))


# ---------------------------------------------------------------------------
# Arrays
# ---------------------------------------------------------------------------
class Kept:
    """An array of a pass, as it is kept: `array` is the array itself or its `Sample`.

    Between `open` and `close` an array that is not kept whole is there all the same, if something
    else holds its memory: the tape does, until backward has used it. Where nothing does, it is full
    of NaN.
    """

    __slots__ = ("_interface", "_owner", "array", "ref", "whole")

    def __init__(self, array, ref=None, whole=True):
        self.array, self.whole = array, whole
        self.ref = weakref.ref(array) if ref is None else ref
        if not whole:
            self._interface = getattr(array, "__array_interface__", None)
            self._owner = _weak(_owner(array))

    def open(self, array=None):
        """Make the array itself accessible for a while; `array`, if it is at hand."""
        if array is None:
            array, owner = self.ref(), self._owner()
            if array is None and owner is not None and self._interface:
                array = np.asarray(_View(owner, self._interface))
            if array is None:
                array = np.broadcast_to(_missing(self.array.dtype), self.array.shape)
        sample, self.array = self.array, array
        return sample

    def close(self, sample, wanted=()):
        """Let go of the array again; `sample` is what `open` gave, made now if it is none yet."""
        self.array = sample if isinstance(sample, Sample) else Sample(on_cpu(self.array), wanted)


def _weak(owner):
    try:
        return weakref.ref(owner)
    except TypeError:  # bytes, say
        return lambda: None


def _missing(dtype):
    return np.asarray(np.nan if dtype.kind == "f" else 0, dtype)


class _View:
    """Memory that an array lay in, to be looked at once more."""

    def __init__(self, owner, interface):
        self.owner, self.__array_interface__ = owner, interface


class Held:
    """An array as it was when it was recorded, and a way to tell that it has changed since."""

    __slots__ = ("cell", "kept", "kind", "version")

    def __init__(self, tensor, kept):
        self.kept = kept
        self.kind = "input"  # or what no data set gives: see nn.module
        if isinstance(tensor, (Parameter, Buffer)):
            self.kind = type(tensor).__name__.lower()
        self.cell = tensor._version
        self.version = tensor._version[0]

    @property
    def array(self):
        return self.kept.array

    @property
    def shape(self):
        return self.kept.array.shape

    @property
    def changed(self) -> bool:
        return self.cell[0] != self.version


class Shelf:
    """The arrays of a recording: each once, whole while the budget lasts.

    Attributes
    ----------
    left : dict of str to float
        Bytes that are left for "forward" and for "backward".
    """

    def __init__(self, budget):
        self.left = {"forward": budget / 2, "backward": budget / 2}
        self._known = {}  # id of an array -> Kept; the id is an other array's once it has died
        self._paid = set()  # ids of the owners of memory that is kept

    def known(self, array) -> Kept | None:
        """What is kept of an array that was here before."""
        kept = self._known.get(id(array))
        return kept if kept is not None and kept.ref() is array else None

    def own(self, array) -> Kept:
        """Of an array that no operation made: all of it."""
        kept = self.known(array)
        if kept is None:
            kept = self._known[id(array)] = Kept(array)
        return kept

    def keep(self, array, direction) -> Kept:
        """Of an output or a gradient: all of it, if there is room."""
        kept = self.known(array)
        if kept is None:
            kept = self._known[id(array)] = self._new(array, direction)
        return kept

    def pay(self, size, direction) -> bool:
        """Whether there is room for so many bytes; if so, they are taken."""
        there = size <= max(SMALL, self.left[direction] / SHARE)
        self.left[direction] -= size if there else 0
        return there

    def _new(self, array, direction):
        owner = _owner(array)
        if id(owner) in self._paid:  # a view of what is kept whole
            return Kept(array)
        if not self.pay(array.nbytes, direction):
            return Kept(array, whole=False)
        if _bytes(owner, array) > 2 * array.nbytes:  # a small part must not keep the whole alive
            return Kept(array.copy(), weakref.ref(array))
        self._paid.add(id(owner))
        return Kept(array)


def _bytes(owner, array):
    """The size of the memory that an array lies in."""
    if hasattr(owner, "nbytes"):
        return owner.nbytes
    interface = getattr(owner, "__array_interface__", None)
    if interface is None:
        return array.nbytes
    return prod(interface["shape"]) * np.dtype(interface["typestr"]).itemsize
