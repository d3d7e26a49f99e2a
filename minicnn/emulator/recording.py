"""Makes the steps of a walk from the events that step_runtime.cpp recorded."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from .memory import Memory, Snapshot
from .statements import Statements
from .values import Access
from .variables import DebugInformation, Function, Variable
from .walk import Step

ENTERED, AT_LINE, READS, WRITES, WAITS = range(5)  # as in step_runtime.cpp
OPERATIONS = ("", "__syncthreads()", "__syncwarp()", "a shuffle", "a vote")
_EVENT = struct.Struct("=2I4Q")
_NO_ACTION = re.compile(  # of the kernel's: a declaration of shared memory, `do {`, `else`
    r"\s*(?:(?:extern\s+|volatile\s+)*__shared__\b|(?:\}?\s*(?:do|else))?\s*\{?\s*$)"
)


class Site(NamedTuple):
    """Where a call of emu_step stands."""

    file: str
    line: int
    column: int


@dataclass(frozen=True)
class Event:
    """One event of the record, with the bytes that follow it."""

    kind: int
    detail: int
    pc: int
    frame: int
    address: int
    content: memoryview


def events(record: memoryview) -> Iterator[Event]:
    """The events of a record, one after the other."""
    at = 0
    while at < len(record):
        *head, size = _EVENT.unpack_from(record, at)
        at += _EVENT.size
        yield Event(*head, record[at : at + size])
        at += (size + 7) // 8 * 8


@dataclass
class Draft:
    """A step that is still going on."""

    number: int
    file: str
    place: tuple[int, int]  # its first and last line
    depth: int
    values: dict  # of the variables visible when it began
    sites: set = field(default_factory=set)  # calls of emu_step met so far: a loop meets one again
    reads: list = field(default_factory=list)
    writes: list = field(default_factory=list)
    waits: list = field(default_factory=list)
    changes: dict = field(default_factory=dict)


@dataclass
class Frame:
    """A function call that is going on."""

    address: int
    function: Function
    draft: Draft | None = None
    declared: set = field(default_factory=set)  # variables whose declaration was executed
    known: dict = field(default_factory=dict)  # variable: its bytes, and their value


class Recorder:
    """Turns events into steps.

    Parameters
    ----------
    debug : DebugInformation
    memory : Memory
        The launch's arrays.
    base : int
        Where the library lies in memory.
    sites : list of Site
        Where each call of emu_step stands.
    sources : mapping of str to str
        The files' texts.
    """

    def __init__(self, debug: DebugInformation, memory: Memory, base: int, sites, sources):
        self.debug, self.memory, self.base, self.sites = debug, memory, base, sites
        self.statements = {file: Statements(text) for file, text in sources.items()}
        self.scopes: dict[int, list[tuple[Variable, int]]] = {}
        self.frames: list[Frame] = []
        self.drafts: list[tuple[Draft, str]] = []
        self.cut = False  # whether there are more than the steps asked for

    def steps(self, record: memoryview, limit: int) -> list[Step]:
        """The first steps of a record, `limit` at most."""
        for event in events(record):
            self._return_to(event.frame, event.kind == ENTERED)
            if event.kind == AT_LINE:
                self._line(event)
            elif event.kind != ENTERED and self.frames and self.frames[-1].draft:
                self._note(self.frames[-1].draft, event)
            if len(self.drafts) > limit:
                self.drafts.pop()
                self.cut = True
                break
        return [self._finished(draft, function) for draft, function in self.drafts]

    def _return_to(self, frame: int, entered: bool) -> None:
        """Ends the calls that lie below a frame, and at it if a new call begins there.

        The stack grows downwards: whoever is called has the lower address.
        """
        while self.frames and self.frames[-1].address < frame + entered:
            self.frames.pop()

    def _note(self, draft: Draft, event: Event) -> None:
        """Adds a wait or an access to the line that is being executed."""
        if event.kind == WAITS:
            draft.waits.append(OPERATIONS[event.detail])
            return
        kept = draft.reads if event.kind == READS else draft.writes
        kept += [Access(*found) for found in self.memory.elements(event.address, event.content)]

    # ---- lines -------------------------------------------------------------
    def _line(self, event: Event) -> None:
        site = self.sites[event.detail]
        file, place = site.file, self.statements[site.file].at(site.line)
        pc = event.pc - self.base - 1  # in the call of emu_step
        if not self.frames or self.frames[-1].address != event.frame:
            function = self.debug.function_at(pc) or Function("?", pc, pc + 1, ())
            self.frames.append(Frame(event.frame, function))
        frame = self.frames[-1]
        draft, values = frame.draft, self._values(frame, event, pc, file, place)
        if draft:
            draft.changes = _changed(draft.values, values)
            if (draft.file, draft.place) == (file, place) and pc not in draft.sites:
                draft.sites.add(pc)
                return
        if not self._does_nothing(site):
            number, depth = len(self.drafts) + 1, len(self.frames) - 1
            frame.draft = Draft(number, file, place, depth, values, {pc})
            self.drafts.append((frame.draft, frame.function.name))

    def _does_nothing(self, site: Site) -> bool:
        """Whether nothing happens here that the source says; at a closing brace, a block's end."""
        source = self.statements[site.file]
        at_brace = source.letter(site.line, site.column) == "}"
        return at_brace or bool(_NO_ACTION.match(source.text(site.line)))

    def _values(self, frame: Frame, event: Event, pc: int, file: str, place) -> dict:
        """The values of the variables that a line sees, and of those only that have one.

        A variable has a place in the frame, with anything in it, before its declaration is
        executed: it must stand above the line, or on it and have been executed (`for (int k = 0;`).
        """
        snapshot = Snapshot(event.address, event.content, self.memory, self.frames)
        values, above = {}, set()
        for variable, declared in self._scope(frame.function, pc, file):
            if variable.parameter or declared < place[0] or variable in frame.declared:
                value = snapshot.value(variable, frame.address, frame.known)
                if value is not None:
                    values[variable] = value
            if declared == place[0] or (variable in frame.declared and declared < place[0]):
                above.add(variable)  # from the next event on
        frame.declared = above
        return values

    def _scope(self, function: Function, pc: int, file: str) -> list[tuple[Variable, int]]:
        """The variables in scope at an instruction, and where their declarations begin."""
        if pc not in self.scopes:
            self.scopes[pc] = [
                (variable, self.statements[file].at(variable.line)[0])
                for variable in function.variables
                if variable.visible(pc)
            ]
        return self.scopes[pc]

    def _finished(self, draft: Draft, function: str) -> Step:
        return Step(
            number=draft.number,
            file=draft.file,
            line=draft.place[0],
            last_line=draft.place[1],
            source=self.statements[draft.file].text(draft.place[0]),
            function=function,
            depth=draft.depth,
            locals=_by_name(draft.values),
            changes=_by_name(draft.changes),
            reads=tuple(draft.reads),
            writes=tuple(draft.writes),
            waits=tuple(draft.waits),
        )


def _changed(before: dict[Variable, object], after: dict[Variable, object]) -> dict:
    """The variables that are new or have another value."""
    return {
        variable: value
        for variable, value in after.items()
        if variable not in before or not _same(before[variable], value)
    }


def _same(a, b) -> bool:
    return a is b or repr(a) == repr(b)  # a NaN, which is not equal to itself, reads the same


def _by_name(values: dict[Variable, object]) -> MappingProxyType:
    """Values by name; of two variables of one name the inner one, which comes later, is meant."""
    return MappingProxyType({variable.name: value for variable, value in values.items()})
