"""A kernel compiled with the sanitizer's calls, and one launch of it: the raw records.

The launch runs on copies of its arrays that lie far apart in reserved memory (an access that leaves
one array does not land in the next), and copies back what the kernel may have written.
"""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from functools import cache

import numpy as np

from . import launch
from .lines import read_table
from .signature import blank_comments, parse_signature

GAP = 64 << 20  # bytes between the copies of two arrays
LARGEST = 2 << 30  # bytes of all arrays: the shadow takes nine times as much where it is used
PAGE = 64 << 10  # a multiple of every platform's page
EVENT = np.dtype([
    ("offset", "i8"), ("block", "u4"), ("barrier", "u4"), ("site", "i4"), ("bytes", "i4"),
    ("thread", "u2"), ("region", "u2"), ("how", "u4"),
])  # fmt: skip


class _Index(ctypes.Structure):
    _fields_ = (("x", ctypes.c_uint), ("y", ctypes.c_uint), ("z", ctypes.c_uint))

    def __iter__(self):
        return iter((self.x, self.y, self.z))


class RawFinding(ctypes.Structure):
    """`Finding` of sanitizer.cpp."""

    _fields_ = (
        *((name, ctypes.c_int) for name in (
            "kind", "how", "other_how", "site", "other_site", "thread", "other_thread", "region",
            "bytes", "same_value", "other_unwritten",
        )),
        ("block", _Index), ("other_block", _Index), ("offset", ctypes.c_int64),
        ("count", ctypes.c_uint64), ("type", ctypes.c_char_p),
    )  # fmt: skip


class _Region(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_size_t) for name in ("base", "bytes", "item", "granule")),
        ("name", ctypes.c_char_p), ("rank", ctypes.c_int), ("dims", ctypes.c_int * 4),
        ("shared", ctypes.c_bool), ("cells", ctypes.c_void_p),
    )  # fmt: skip


class _Place(ctypes.Structure):
    _fields_ = (("file", ctypes.c_char_p), ("line", ctypes.c_int))


class _Failure(ctypes.Structure):
    _fields_ = (
        ("kind", ctypes.c_int), ("line", ctypes.c_int), ("thread", ctypes.c_int),
        ("file", ctypes.c_char_p), ("block", _Index),
    )  # fmt: skip


@dataclass(frozen=True)
class Array:
    """Memory that a kernel may touch: an argument, or a variable that it declares."""

    name: str
    item: int
    size: int
    shape: tuple[int, ...]
    shared: bool
    argument: bool
    written: bool  # an argument that the kernel may write: an output


@dataclass(frozen=True)
class Record:
    """What one launch left behind, copied out of the library's memory."""

    findings: list[RawFinding]
    failure: int
    failure_place: tuple[str, int]
    failure_thread: int
    failure_block: tuple[int, int, int]
    message: str
    loop: list[tuple[str, int]]
    places: list[tuple[str, int]]
    regions: list[list[tuple[int, Array]]]  # of each region the arrays in it, by their offsets
    events: np.ndarray | None


@cache
def instrumented(kernel: launch.Kernel) -> InstrumentedKernel:
    """The kernel, compiled with the sanitizer's calls."""
    library = kernel.source.build(kernel.name, kernel.parameters, "check")
    return InstrumentedKernel(kernel.name, kernel.parameters, library, kernel.source)


class InstrumentedKernel(launch.Kernel):
    """A kernel whose every access to memory is checked; made by `instrumented`."""

    def __init__(self, name, parameters, library, source):
        super().__init__(name, parameters, library, source)
        code, size, pointer = self._code, ctypes.c_size_t, ctypes.c_void_p
        code.emu_check_begin.argtypes = (
            ctypes.c_double, ctypes.c_uint, size, ctypes.c_bool, ctypes.c_int64, size,
        )  # fmt: skip
        code.emu_check_argument.argtypes = size, size, size
        code.emu_reserve.argtypes, code.emu_reserve.restype = (size,), pointer
        code.emu_commit.argtypes = code.emu_release.argtypes = pointer, size
        code.emu_failure.restype = ctypes.POINTER(_Failure)
        code.emu_events.restype = pointer
        self.sites = read_table(code, source.label)
        self.dynamic_name, self.dynamic_item = _dynamic_shared(source)

    def record(self, grid, block, args, shared_mem, order, seed, timeout,
               *, traced=False, traced_block=-1, limit=0) -> Record:  # fmt: skip
        """Launches under the sanitizer; the arguments' arrays are as after a plain launch."""
        prepared = self.prepare(grid, block, args, shared_mem, order, seed, timeout)
        values, grid, block, shared_mem, order, seed, timeout = prepared
        memory = _Copies(self._code, self.name, self.parameters, values)
        with launch._lock, memory:
            self._code.emu_check_begin(
                timeout, shared_mem, self.dynamic_item, traced, traced_block, limit
            )
            for start, size, item in memory.regions():
                self._code.emu_check_argument(start, size, item)
            # The sanitizer has a clock of its own, which each basic block asks. A loop that GCC has
            # left no statement of (`for (;;) n += 1;`) never does: then the timer ends it.
            self.run(memory.values, grid, block, shared_mem, order, seed, 2 * timeout)
            self._code.emu_check_end()
            return self._collect(memory, traced)

    def _collect(self, memory: _Copies, traced: bool) -> Record:
        failure = self._code.emu_failure().contents
        places = [
            ((p.file or b"?").decode(errors="replace"), p.line)
            for p in self._list("emu_places", _Place)
        ]
        findings = [RawFinding.from_buffer_copy(f) for f in self._list("emu_findings", RawFinding)]
        loop = [self.sites[s] for s in self._list("emu_loop", ctypes.c_int) if s in self.sites]
        return Record(
            findings, failure.kind, ((failure.file or b"?").decode(), failure.line),
            failure.thread, tuple(failure.block), self._code.emu_message().decode(errors="replace"),
            loop, places, [self._arrays(r, memory) for r in self._list("emu_regions", _Region)],
            self._events() if traced else None,
        )  # fmt: skip

    def _list(self, function: str, kind) -> list:
        count = ctypes.c_int()
        call = self._code[function]
        call.restype = ctypes.POINTER(kind)
        first = call(ctypes.byref(count))
        return [first[i] for i in range(count.value)]

    def _events(self) -> np.ndarray:
        count = ctypes.c_size_t()
        start = self._code.emu_events(ctypes.byref(count))
        data = ctypes.string_at(start, count.value * EVENT.itemsize) if count.value else b""
        self._code.emu_free_events()
        return np.frombuffer(data, EVENT)

    def _arrays(self, region: _Region, memory: _Copies) -> list[tuple[int, Array]]:
        if not region.cells:  # threadIdx and its like
            return []
        if region.base in memory.arrays:
            return memory.arrays[region.base]
        if region.name is None:
            shape = (region.bytes // region.item,)
            return [(0, Array(self.dynamic_name, region.item, region.bytes // region.item, shape,
                              True, False, False))]  # fmt: skip
        name, shape = region.name.decode(), tuple(region.dims[: region.rank])
        size = region.bytes // region.item
        return [(0, Array(name, region.item, size, shape, region.shared, False, False))]

    def place(self, site: int, places: list[tuple[str, int]]) -> tuple[str, int]:
        """The file and line of a site."""
        if site < -(2**30) * 1.5:
            number = site + 2**31
            return places[number] if number < len(places) else ("?", 0)
        return self.sites.get(site, ("?", 0))


def _dynamic_shared(source: launch.Source) -> tuple[str, int]:
    """What the source calls its dynamic shared memory, and the bytes of one element."""
    pattern = r"\bextern\s+(?:volatile\s+)?__shared__\b([^;{}]*?)(\w+)\s*\[\s*\]\s*;"
    found = re.findall(pattern, blank_comments(source.text))
    names = list(dict.fromkeys(name for _, name in found))
    if not names:
        return "dynamic shared memory", 4
    kind = re.sub(r"\b(?:alignas|__align__)\s*\([^()]*\)", " ", found[0][0])
    text = f"{source.text}\n__global__ void emu_type({kind}* p);"
    try:
        (parameter,) = parse_signature(text, "emu_type", source.defines)
    except (TypeError, ValueError):  # a type of the source's own, or of a template's
        return "/".join(names), 4
    return "/".join(names), parameter.dtype.itemsize if parameter.dtype is not None else 4


class _Copies:
    """Copies of a launch's arrays, far apart; arrays that overlap stay together."""

    def __init__(self, code, kernel: str, parameters, values):
        self._code = code
        self._spans = []  # [first address, end, [(parameter, array)], whether it may be written]
        given = [
            (launch._cell(kernel, p, v), p, v)
            for p, v in zip(parameters, values, strict=True)
            if p.pointer and not isinstance(v, np.uintp)
        ]
        given.sort(key=lambda each: (each[0], each[2].nbytes > 0))  # empty ones alone, and first
        for start, parameter, array in given:
            end = start + array.nbytes
            if not self._spans or start >= self._spans[-1][1]:
                self._spans.append([start, end, [], False])
            span = self._spans[-1]
            span[1] = max(span[1], end)
            span[2].append((start, parameter, array))
            span[3] |= not parameter.const
        self._sizes = [_whole_pages(end - start + 16) for start, end, *_ in self._spans]
        if sum(self._sizes) > LARGEST:
            raise MemoryError(
                f"{kernel}: the arrays have {sum(self._sizes) >> 20} MB, but the sanitizer, which "
                f"copies them, takes {LARGEST >> 20} MB at most; launch it on smaller arrays"
            )
        self._bytes = sum(self._sizes) + GAP * (len(self._spans) + 1)
        self._given = parameters, values

    def __enter__(self):
        self._reserved = self._code.emu_reserve(self._bytes)
        if not self._reserved:
            raise MemoryError(f"cannot reserve {self._bytes >> 20} MB of addresses for the arrays")
        self._starts, self.arrays, place, moved = [], {}, self._reserved + GAP, {}
        for (start, end, arrays, _), size in zip(self._spans, self._sizes, strict=True):
            if not self._code.emu_commit(place, size):
                raise MemoryError(f"no memory for a copy of {end - start} bytes")
            copy = place + start % 16  # as well aligned as the original
            ctypes.memmove(copy, start, end - start)
            self._starts.append(copy)
            self.arrays[copy] = [(at - start, _argument(p, a)) for at, p, a in arrays]
            moved |= {p.name: np.uintp(copy + at - start) for at, p, _ in arrays}
            place += size + GAP
        parameters, values = self._given
        self.values = [moved.get(p.name, v) for p, v in zip(parameters, values, strict=True)]
        return self

    def regions(self):
        """(address, bytes, bytes of an element) of each copy."""
        for (start, end, arrays, _), copy in zip(self._spans, self._starts, strict=True):
            yield copy, end - start, min(array.itemsize for _, _, array in arrays)

    def __exit__(self, kind, *error):
        if kind is None:
            for (start, end, _, written), copy in zip(self._spans, self._starts, strict=True):
                if written:
                    ctypes.memmove(start, copy, end - start)
        self._code.emu_release(self._reserved, self._bytes)


def _argument(parameter, array) -> Array:
    return Array(parameter.name, array.itemsize, array.size, array.shape, False, True,
                 not parameter.const)  # fmt: skip


def _whole_pages(size: int) -> int:
    return -(-size // PAGE) * PAGE
