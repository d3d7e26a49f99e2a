"""The memory that a kernel sees: copies of its arrays, and the names behind addresses."""

from __future__ import annotations

import ctypes
import itertools
import math
import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .cxx_types import Array as ArrayType
from .cxx_types import Reference, Structure, Type
from .values import Array, Place, Pointer

NEAR = 4096  # bytes beside an array that still count as its own: where a pointer went too far


@dataclass(frozen=True)
class Region:
    """An array, and where it lies."""

    array: Array
    start: int

    @cached_property
    def bytes(self) -> int:
        return self.array.dtype.itemsize * math.prod(self.array.shape)

    def distance(self, address: int) -> int:
        """How far an address lies outside; 0 inside and at the end."""
        return max(self.start - address, address - self.start - self.bytes, 0)


class Memory:
    """The arrays of a launch: global ones, shared ones and constants.

    `dynamic` is the name of the dynamic shared memory, which the kernel declares like a local
    variable.
    """

    def __init__(self, regions: list[Region], dynamic: str | None = None):
        self.regions, self.dynamic = regions, dynamic

    def region(self, address: int, near: int = 0) -> Region | None:
        """The array in which an address lies, or else one that ends or starts near it."""
        holding = [r for r in self.regions if r.start <= address < r.start + r.bytes]
        by_distance = sorted(self.regions, key=lambda region: region.distance(address))
        found = next(iter(holding or by_distance), None)
        return found if found and found.distance(address) <= near else None

    def place(self, address: int, near: int = 0, kind: type[Place] = Place) -> Place:
        """The element at an address."""
        region = self.region(address, near)
        if region is None:
            return kind("", address)
        array = region.array
        index = (address - region.start) // array.dtype.itemsize
        if not (array.shape or index):
            return kind(array.name)
        return kind(array.name, index, position(index, array.shape))

    def elements(self, address: int, content: memoryview) -> list[tuple[Place, object]]:
        """The elements that an access to memory touched, each with its value."""
        region = self.region(address)
        if region is None:
            return []
        dtype = region.array.dtype
        if (address - region.start) % dtype.itemsize or len(content) % dtype.itemsize:
            return [(self.place(address), f"{len(content)} bytes {bytes(content).hex()}")]
        values = np.frombuffer(content, dtype)
        if dtype.kind == "V":
            values = np.array([bytes(value).hex() for value in values])
        places = (self.place(address + i * dtype.itemsize) for i in range(len(values)))
        return list(zip(places, values.tolist(), strict=True))


def position(index: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """An element's index along each axis; () if it lies outside."""
    if not 0 <= index < math.prod(shape):
        return ()
    return tuple(int(i) for i in np.unravel_index(index, shape))


class Snapshot:
    """The thread's stack at one moment: its local variables, and what pointers mean.

    Parameters
    ----------
    start : int
        The first address.
    content : memoryview
        The bytes from there on.
    memory : Memory
    frames : list of Frame
        The calls that are going on, the kernel's first.
    """

    def __init__(self, start: int, content: memoryview, memory: Memory, frames: list):
        self.start, self.content, self.memory, self.frames = start, content, memory, frames

    def read(self, address: int, size: int) -> bytes | None:
        """Bytes of the stack; None if they lie elsewhere."""
        at = address - self.start
        return bytes(self.content[at : at + size]) if 0 <= at <= len(self.content) - size else None

    def value(self, variable, frame: int, known: dict):
        """A variable's value in the call with this frame pointer; None if it cannot be read.

        `known` keeps (bytes, value) of each variable, so that only what changed is read anew.
        """
        address = frame + variable.offset
        if variable.static or (variable.name == self.memory.dynamic and not variable.parameter):
            return None  # an array, not a local variable
        if variable.by_address:
            content = self.read(address, 8)
            address = int.from_bytes(content or b"", "little")
        content = self.read(address, variable.type.size)
        if content is None:
            return None
        before = known.get(variable)
        if before is None or before[0] != content or isinstance(variable.type, Reference):
            known[variable] = content, variable.type.value(content, self)
        return known[variable][1]

    def pointer(self, address: int, target: Type | None) -> Pointer:
        """What an address is called."""
        if address == 0:
            return Pointer(None)
        for frame in self.frames:
            for variable in frame.function.variables:
                offset = address - frame.address - variable.offset
                if not variable.static and 0 <= offset < variable.type.size:
                    return _local_place(variable, offset, target)
        return self.memory.place(address, NEAR, Pointer)


def _local_place(variable, offset: int, target: Type | None) -> Pointer:
    if isinstance(variable.type, Structure) and not isinstance(target, Structure):
        inside = (name for name, start, _ in variable.type.members if start == offset)
        return Pointer(".".join((variable.name, *itertools.islice(inside, 1))))
    if not isinstance(variable.type, ArrayType):
        return Pointer(variable.name)
    dtype, shape = variable.type.flat()
    index = offset // dtype.itemsize
    return Pointer(variable.name, index, position(index, shape))


# ---- the launch's arrays ---------------------------------------------------------------------
def copy_arrays(parameters, values) -> tuple[list, list[Region]]:
    """The arguments with a copy of each array, and where the copies lie.

    Arrays that share memory share it in the copies too: a kernel that works in place still does.
    """
    copies, regions = list(values), {}
    arrays = [i for i, value in enumerate(values) if isinstance(value, np.ndarray)]
    arrays.sort(key=lambda i: values[i].ctypes.data)
    for group in _overlapping(arrays, values):
        start = values[group[0]].ctypes.data
        size = max(values[i].ctypes.data + values[i].nbytes for i in group) - start
        buffer = np.zeros(size + 2 * NEAR + 256, np.uint8)
        at = NEAR + (start - buffer.ctypes.data - NEAR) % 256  # as aligned as the original
        ctypes.memmove(buffer.ctypes.data + at, start, size)
        for i in group:
            offset = at + values[i].ctypes.data - start
            copies[i] = np.ndarray(values[i].shape, values[i].dtype, buffer, offset)
            array = Array(parameters[i].name, values[i].dtype, values[i].shape, "global")
            regions[i] = Region(array, copies[i].ctypes.data)
    return copies, [regions[i] for i in sorted(regions)]


def _overlapping(arrays: list[int], values) -> list[list[int]]:
    """Arrays, sorted by address, in groups that share memory."""
    groups, end = [], 0
    for i in arrays:
        start = values[i].ctypes.data
        groups[-1].append(i) if groups and start < end else groups.append([i])
        end = max(end, start + values[i].nbytes)
    return groups


def dynamic_shared_name(source: str) -> str | None:
    """What a kernel calls its dynamic shared memory."""
    match = re.search(r"\bextern\b[^;]*\b__shared__\b[^;]*?(\w+)\s*\[\s*\]", source)
    return match and match[1]
