"""C++ types as the compiler describes them, and values read from memory by them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .assembly import UNSET

MOST_ELEMENTS = 1024  # of an array that is read; a longer one is only named
_KINDS = {2: "b", 4: "f", 5: "i", 6: "i", 7: "u", 8: "u", 0x10: "u"}


@dataclass(frozen=True, eq=False)
class Type:
    """A C++ type: its name as in C++ and its size in bytes."""

    name: str
    size: int

    def flat(self) -> tuple[np.dtype, tuple[int, ...]]:
        """The type as a NumPy array: its elements' dtype, and how many there are of them."""
        return np.dtype((np.void, max(1, self.size))), ()

    def value(self, content: bytes, snapshot):
        """The value whose bytes are `content`, None if it has none yet.

        `snapshot` (see memory.py) follows addresses.
        """
        return f"<{self.name}>"


@dataclass(frozen=True, eq=False)
class Number(Type):
    """A number or an enumeration's constant."""

    dtype: np.dtype
    names: dict | None = None

    def flat(self):
        return self.dtype, ()

    def value(self, content, snapshot):
        if _is_unset(content):
            return None
        number = np.frombuffer(content, self.dtype)[0].item()
        return self.names.get(number, number) if self.names else number


@dataclass(frozen=True, eq=False)
class Pointer(Type):
    """An address; `target` is None for `void*`."""

    target: Type | None

    def flat(self):
        return np.dtype(np.uint64), ()

    def value(self, content, snapshot):
        if _is_unset(content):
            return None
        return snapshot.pointer(int.from_bytes(content, "little"), self.target)


@dataclass(frozen=True, eq=False)
class Reference(Pointer):
    """An address that C++ hides: its value is that of the object it refers to."""

    def value(self, content, snapshot):
        address = int.from_bytes(content, "little")
        content = snapshot.read(address, self.target.size)
        if content is None:  # not on the thread's stack: a reference to an array's element
            return snapshot.pointer(address, self.target)
        return self.target.value(content, snapshot)


@dataclass(frozen=True, eq=False)
class Array(Type):
    """An array of one or more axes."""

    element: Type
    shape: tuple[int, ...]

    def flat(self):
        dtype, inner = self.element.flat()
        return dtype, self.shape + inner

    def value(self, content, snapshot):
        if math.prod(self.shape) > MOST_ELEMENTS:
            return f"<{self.name}>"
        size = self.element.size
        parts = (content[at : at + size] for at in range(0, len(content), size or 1))
        values = [self.element.value(part, snapshot) for part in parts]
        return None if all(value is None for value in values) else _nested(values, self.shape)


def _nested(values: list, shape: tuple[int, ...]) -> list:
    """A flat list as lists in lists, one level for each axis."""
    for length in shape[:0:-1]:
        values = [values[i : i + length] for i in range(0, len(values), length)]
    return values


@dataclass(frozen=True, eq=False)
class Structure(Type):
    """A struct, a class or a union: `members` are (name, offset, type)."""

    members: tuple[tuple[str, int, Type], ...]

    def flat(self):
        kinds = {(t.flat()[0], t.flat()[1]) for _, _, t in self.members}
        if len(kinds) == 1:  # float4 is four floats
            (dtype, shape), count = kinds.pop(), len(self.members)
            if shape == () and dtype.kind != "V" and dtype.itemsize * count == self.size:
                return dtype, (count,)
        return super().flat()

    def value(self, content, snapshot):
        values = {
            name: kind.value(content[offset : offset + kind.size], snapshot)
            for name, offset, kind in self.members
        }
        return None if all(value is None for value in values.values()) else values


def _is_unset(content: bytes) -> bool:
    """Whether a variable has no value yet: of one byte, only a bool shows it."""
    return len(content) > 1 and content.count(UNSET) == len(content)


class TypeReader(dict):
    """Types by the offset of their entry, read when first asked for."""

    def __init__(self, tree):
        super().__init__()
        self.tree = tree

    def __missing__(self, offset):
        self[offset] = Type("...", 0)  # a struct may hold a pointer to itself
        self[offset] = made = self._make(self.tree.entries[offset])
        return made

    def _make(self, entry) -> Type:
        name, size, target = entry.get("name", ""), entry.get("byte_size", 0), entry.get("type")
        inner = self[target] if target is not None else None
        if entry.tag == "base":
            kind = _KINDS.get(entry.get("encoding"), "V")
            if kind == "b" or (kind == "f" and size > 8):
                dtype = np.dtype(np.bool_ if kind == "b" else np.longdouble)
            else:
                dtype = np.dtype(f"{kind}{size}")
            return Number(name, size, dtype) if kind != "V" else Type(name, size)
        if entry.tag == "enumeration":
            names = {e.get("const_value"): e.get("name") for e in entry.children}
            dtype = inner.flat()[0] if inner else np.dtype(f"i{size or 4}")
            return Number(name, size or dtype.itemsize, dtype, names)
        if entry.tag in ("pointer", "reference"):
            kind, mark = (Pointer, "*") if entry.tag == "pointer" else (Reference, "&")
            return kind(f"{inner.name if inner else 'void'}{mark}", 8, inner)
        if entry.tag == "array":
            return self._array(entry, inner)
        if entry.tag in ("structure", "class", "union"):
            return Structure(name, size, tuple(self._members(entry)))
        return inner or Type(name or "void", size)  # const, volatile, typedef and their like

    def _array(self, entry, inner: Type) -> Type:
        ranges = [child for child in entry.children if child.tag == "range"]
        counts = [r.get("count", r.get("upper_bound", -1) + 1) for r in ranges]
        if not all(isinstance(count, int) for count in counts):
            return Type(f"{inner.name}[]", 0)
        shape = tuple(count % 2**32 for count in counts)
        size = inner.size * int(np.prod(shape, dtype=np.int64))
        return Array(inner.name + "".join(f"[{n}]" for n in shape), size, inner, shape)

    def _members(self, entry):
        for child in entry.children:
            if child.tag in ("member", "inheritance") and "member_location" in child.attributes:
                kind = self[child.get("type")]
                yield child.get("name", kind.name), child.get("member_location"), kind
            elif child.tag == "member" and entry.tag == "union" and "type" in child.attributes:
                yield child.get("name", ""), 0, self[child.get("type")]
