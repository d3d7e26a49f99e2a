"""The functions of a library and their variables, as the compiler's debug information says.

At `-O0` every variable has one place in memory for all its life: a distance from the function's
frame pointer, the register rbp, or an address.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from .cxx_types import Type, TypeReader
from .dwarf import Cursor, Entry, Tree, elf_sections

# Operations of DWARF's expressions, which say where something lies.
CALL_FRAME, REGISTER_RBP, RBP_PLUS, FRAME_PLUS, AT, FOLLOW = 0x9C, 0x56, 0x76, 0x91, 0x03, 0x06


@dataclass(frozen=True, eq=False)
class Variable:
    """A parameter or a local variable.

    `offset` counts from the function's frame pointer, or is an address in the library (`static`);
    `scope` are the addresses of the block it was declared in; `line` is that of its declaration.
    """

    name: str
    type: Type
    line: int
    offset: int
    static: bool
    by_address: bool  # its place holds the address of the value
    parameter: bool
    scope: tuple[tuple[int, int], ...]

    def visible(self, pc: int) -> bool:
        """Whether an instruction lies in the block of the declaration."""
        return any(first <= pc < end for first, end in self.scope)


@dataclass(frozen=True, eq=False)
class Function:
    """A function: its name as written, its first address and the one behind it, its variables."""

    name: str
    first: int
    end: int
    variables: tuple[Variable, ...]


class DebugInformation:
    """The functions of a library, by address.

    Parameters
    ----------
    library : Path
        A shared library compiled with `-g -gdwarf-4`.

    Raises
    ------
    ValueError
        If it is no 64-bit ELF file.
    """

    def __init__(self, library: Path):
        self._tree = Tree(elf_sections(library.read_bytes()))
        self._tree.units = [u for u in self._tree.units if any(_is_entry(e) for e in u.children)]
        self._types = TypeReader(self._tree)
        found = []
        for unit in self._tree.units:
            self._collect(unit, unit.get("low_pc", 0), found)
        self.functions = sorted(found, key=lambda function: function.first)
        self._firsts = [function.first for function in self.functions]

    def function_at(self, pc: int) -> Function | None:
        """The function that an instruction belongs to."""
        i = bisect.bisect_right(self._firsts, pc) - 1
        return self.functions[i] if i >= 0 and pc < self.functions[i].end else None

    @cached_property
    def locals(self) -> list[Variable]:
        """Static variables inside functions: `__shared__` ones."""
        return [v for function in self.functions for v in function.variables if v.static]

    @cached_property
    def globals(self) -> list[Variable]:
        """Static variables outside of functions: `__device__` and `__constant__` ones."""
        found: list[Variable] = []
        for unit in self._tree.units:
            self._collect_variables(unit, unit.get("low_pc", 0), ((0, 2**64),), None, found)
        return found

    def _collect(self, parent: Entry, base: int, found: list[Function]) -> None:
        for entry in parent.children:
            if entry.tag in ("namespace", "structure", "class", "function", "block"):
                self._collect(entry, base, found)  # a lambda's function lies in a function
            places = self._tree.ranges(entry, base) if entry.tag == "function" else []
            if places:
                name = self._tree.inherited(entry, "name") or "?"
                variables: list[Variable] = []
                frame = _frame_offset(entry.get("frame_base"))
                self._collect_variables(entry, base, tuple(places), frame, variables)
                found.append(Function(name, places[0][0], places[0][1], tuple(variables)))

    def _collect_variables(self, parent, base, scope, frame, found) -> None:
        """Adds the variables of a function or block, then those of the blocks in it."""
        for entry in parent.children:
            if entry.tag in ("variable", "parameter"):
                variable = self._variable(entry, scope, frame)
                if variable:
                    found.append(variable)
        for entry in parent.children:
            if entry.tag in ("block", "inlined"):
                inner = tuple(self._tree.ranges(entry, base)) or scope
                self._collect_variables(entry, base, inner, frame, found)

    def _variable(self, entry: Entry, scope, frame: int | None) -> Variable | None:
        name, kind = self._tree.inherited(entry, "name"), self._tree.inherited(entry, "type")
        place = _place(entry.get("location"), frame)
        if not name or kind is None or place is None:
            return None
        line = self._tree.inherited(entry, "line") or 0
        return Variable(name, self._types[kind], line, *place, entry.tag == "parameter", scope)


def _is_entry(entry: Entry) -> bool:
    """Whether this is the function that calls the kernel: other units belong to the runtime."""
    return entry.tag == "function" and entry.get("name") == "emu_entry"


def _frame_offset(expression) -> int | None:
    """Where a function's frame base lies from its frame pointer rbp."""
    if expression == bytes([CALL_FRAME]):
        return 16  # behind the caller's rbp and the return address
    return 0 if expression == bytes([REGISTER_RBP]) else None


def _place(expression, frame: int | None) -> tuple[int, bool, bool] | None:
    """(offset or address, is it an address, does it hold the value's address), None if unknown."""
    if not isinstance(expression, bytes) or not expression:
        return None
    cursor = Cursor(expression, 1)
    if expression[0] == AT:
        return cursor.number(8), True, False
    base = {FRAME_PLUS: frame, RBP_PLUS: 0}.get(expression[0])
    if base is None:
        return None
    offset = base + cursor.leb(signed=True)
    rest = expression[cursor.at :]
    return (offset, False, rest == bytes([FOLLOW])) if rest in (b"", bytes([FOLLOW])) else None
