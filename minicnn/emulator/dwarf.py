"""Reads the tree of entries that a compiler writes down with `-g`, in the format DWARF.

An entry describes a function, a variable, a type: a tag that says what it is, attributes, and the
entries in it. Only what `variables.py` needs is read. DWARF Debugging Information Format,
version 4, 2010.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

# ---- names of the format ---------------------------------------------------------------------
TAGS = {
    0x01: "array", 0x02: "class", 0x04: "enumeration", 0x05: "parameter", 0x0B: "block",
    0x0D: "member", 0x0F: "pointer", 0x10: "reference", 0x11: "unit", 0x13: "structure",
    0x16: "typedef", 0x17: "union", 0x1C: "inheritance", 0x1D: "inlined", 0x21: "range",
    0x24: "base", 0x26: "const", 0x28: "enumerator", 0x2E: "function", 0x34: "variable",
    0x35: "volatile", 0x37: "restrict", 0x39: "namespace", 0x42: "reference",
}  # fmt: skip
ATTRIBUTES = {
    0x02: "location", 0x03: "name", 0x0B: "byte_size", 0x11: "low_pc", 0x12: "high_pc",
    0x13: "language", 0x1C: "const_value", 0x2F: "upper_bound", 0x31: "origin", 0x37: "count",
    0x38: "member_location", 0x3B: "line", 0x3E: "encoding", 0x40: "frame_base",
    0x47: "specification", 0x49: "type", 0x55: "ranges",
}  # fmt: skip
ADDRESS, FLAG, STRING, STRING_OFFSET, EXPRESSION = 0x01, 0x19, 0x08, 0x0E, 0x18
FIXED = {0x01: 8, 0x05: 2, 0x06: 4, 0x07: 8, 0x0B: 1, 0x0C: 1, 0x10: 4, 0x11: 1, 0x12: 2,
         0x13: 4, 0x14: 8, 0x17: 4, 0x20: 8}  # fmt: skip
BLOCK_LENGTHS = {0x03: 2, 0x04: 4, 0x0A: 1}
CPLUSPLUS = (0x04, 0x1A, 0x21)  # C++, C++11, C++14 and later; other units are runtime libraries
UNIT_REFERENCES = (0x11, 0x12, 0x13, 0x14, 0x15)  # offsets within the unit


# ---- the library's sections ------------------------------------------------------------------
def elf_sections(content: bytes) -> dict[str, bytes]:
    """The sections of a 64-bit ELF file (Linux's format of libraries), by name."""
    if content[:6] != b"\x7fELF\x02\x01":
        raise ValueError("the library is no 64-bit little-endian ELF file; stepping needs one")
    (start,) = struct.unpack_from("<Q", content, 0x28)
    size, count, names = struct.unpack_from("<3H", content, 0x3A)
    headers = [struct.unpack_from("<2I4Q", content, start + i * size) for i in range(count)]
    texts = headers[names]
    found = {}
    for name, kind, _, _, offset, length in headers:
        name = _text(content, texts[4] + name)
        found[name] = b"" if kind == 8 else content[offset : offset + length]  # 8: only zeros
    return found


def _text(content: bytes, offset: int) -> str:
    return content[offset : content.index(b"\0", offset)].decode()


class Cursor:
    """A place in a section, moved on by reading."""

    def __init__(self, content: bytes, at: int = 0):
        self.content, self.at = content, at

    def number(self, size: int) -> int:
        self.at += size
        return int.from_bytes(self.content[self.at - size : self.at], "little")

    def leb(self, signed: bool = False) -> int:
        """A number of any length: 7 bits in each byte, the lowest first."""
        value = shift = 0
        while True:
            byte = self.content[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value - (1 << shift) if signed and byte & 0x40 else value

    def text(self) -> str:
        text = _text(self.content, self.at)
        self.at = self.content.index(b"\0", self.at) + 1
        return text

    def block(self, length: int) -> bytes:
        self.at += length
        return self.content[self.at - length : self.at]


# ---- the tree of entries ---------------------------------------------------------------------
@dataclass
class Entry:
    """One entry: what it is, its attributes by name, and the entries in it."""

    tag: str
    attributes: dict
    children: list[Entry] = field(default_factory=list)

    def get(self, name: str, default=None):
        return self.attributes.get(name, default)


class Tree:
    """All entries of a library, by their offset, which is how they refer to each other."""

    def __init__(self, sections: dict[str, bytes]):
        self.sections, self.entries, self.units = sections, {}, []
        cursor = Cursor(sections.get(".debug_info", b""))
        while cursor.at < len(cursor.content):
            start = cursor.at
            length, version = cursor.number(4), cursor.number(2)
            end = start + 4 + length
            if version == 4:
                shapes = self._shapes(cursor.number(4))
                cursor.number(1)  # how many bytes an address has
                self._read(cursor, start, end, shapes)
            cursor.at = end

    def _shapes(self, offset: int) -> dict:
        """What the entries of a unit look like: number -> (tag, has children, attributes)."""
        cursor, shapes = Cursor(self.sections[".debug_abbrev"], offset), {}
        while number := cursor.leb():
            tag, children, attributes = cursor.leb(), cursor.number(1), []
            while (pair := (cursor.leb(), cursor.leb())) != (0, 0):
                attributes.append(pair)
            shapes[number] = TAGS.get(tag, ""), children, attributes
        return shapes

    def _read(self, cursor: Cursor, start: int, end: int, shapes: dict) -> None:
        open_entries: list[Entry] = []
        while cursor.at < end:
            offset = cursor.at
            number = cursor.leb()
            if not number:  # the end of a list of children
                open_entries.pop()
                if not open_entries:
                    return
                continue
            tag, has_children, attributes = shapes[number]
            entry = Entry(tag, {})
            for name, form in attributes:
                value = self._value(cursor, form, start)
                if name in ATTRIBUTES:
                    entry.attributes[ATTRIBUTES[name]] = value
                    if name == 0x12 and form != ADDRESS:  # high_pc may be a length
                        entry.attributes["high_pc"] += entry.attributes["low_pc"]
            self.entries[offset] = entry
            if not open_entries and entry.get("language") not in CPLUSPLUS:
                return
            (open_entries[-1].children if open_entries else self.units).append(entry)
            if has_children:
                open_entries.append(entry)
            elif not open_entries:
                return

    def _value(self, cursor: Cursor, form: int, unit: int):
        """An attribute's value; a reference becomes the offset of the entry it refers to."""
        if form == FLAG:
            return True
        if form == STRING:
            return cursor.text()
        if form == STRING_OFFSET:
            return _text(self.sections[".debug_str"], cursor.number(4))
        if form == 0x0D:
            return cursor.leb(signed=True)
        if form in (0x0F, 0x15):
            return cursor.leb() + (unit if form == 0x15 else 0)
        if form in (0x09, EXPRESSION):
            return cursor.block(cursor.leb())
        if form in BLOCK_LENGTHS:
            return cursor.block(cursor.number(BLOCK_LENGTHS[form]))
        value = cursor.number(FIXED[form])
        return value + unit if form in UNIT_REFERENCES else value

    def inherited(self, entry: Entry, name: str):
        """An attribute of the entry, or of the one it is an instance of."""
        while entry is not None:
            if name in entry.attributes:
                return entry.attributes[name]
            entry = self.entries.get(entry.get("origin", entry.get("specification")))
        return None

    def ranges(self, entry: Entry, base: int) -> list[tuple[int, int]]:
        """The addresses of a function or block, as pairs (first, behind the last)."""
        if "low_pc" in entry.attributes:
            return [(entry.get("low_pc"), entry.get("high_pc", entry.get("low_pc")))]
        found = []
        if "ranges" in entry.attributes:
            cursor = Cursor(self.sections[".debug_ranges"], entry.get("ranges"))
            while (pair := (cursor.number(8), cursor.number(8))) != (0, 0):
                if pair[0] == 2**64 - 1:
                    base = pair[1]
                else:
                    found.append((base + pair[0], base + pair[1]))
        return found
