"""Runs a kernel under the sanitizer, and says in words what is wrong with it."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from . import launch
from .instrumented import Array, InstrumentedKernel, RawFinding, Record, instrumented

KINDS = ("race", "uninitialised", "out-of-bounds", "misaligned", "out-of-bounds")
BAD_INDEX = 4  # the last of them: an index that its array's type does not have
FAILURES = {1: "assertion", 2: "divergent-barrier", 3: "deadlock", 4: "timeout"}
READING, WRITING, UPDATING = range(3)
DOES = ("reads", "writes", "atomically updates")
DID = ("read", "wrote", "atomically updated")


@dataclass(frozen=True)
class Finding:
    """One mistake in a kernel.

    Attributes
    ----------
    kind : str
        `out-of-bounds`, `race`, `uninitialised`, `divergent-barrier`, `deadlock`, `timeout`,
        `misaligned` (a float4 at an address that is no multiple of 16) or `assertion` (an `assert`
        that failed, `__trap()`).
    file, line : str, int
        Where.
    block, thread : tuple of int
        Who: blockIdx and threadIdx, x first.
    array : str
        What: the name of a parameter or of a variable; "" where none is known.
    index : int or None
        The element: what the kernel's pointer is indexed with; a tile's elements are counted row
        by row.
    message : str
        All of it as a sentence.
    other_line, other_block, other_thread
        Of a race, the other side; else None.
    count : int
        How often it was seen.
    """

    kind: str
    file: str
    line: int
    block: tuple[int, int, int]
    thread: tuple[int, int, int]
    array: str
    index: int | None
    message: str
    other_line: int | None = None
    other_block: tuple[int, int, int] | None = None
    other_thread: tuple[int, int, int] | None = None
    count: int = 1

    def __repr__(self) -> str:
        more = f" (and {self.count - 1} more like it)" if self.count > 1 else ""
        return f"{self.kind}: {self.message}{more}"


def check(
    kernel, grid, block, args, shared_mem=0, *, order="forward", seed=0, timeout=launch.TIMEOUT
) -> list[Finding]:
    """Runs a kernel under the sanitizer.

    A race is two accesses to one element by different threads, at least one of them a write and
    not both atomic, that nothing orders: no `__syncthreads()` in a block, no `__syncwarp()` in a
    warp (shuffles and votes order no memory), and between blocks nothing but `__threadfence()` with
    atomic operations. An access out of bounds is found before it happens; it ends the launch, and
    nothing is overwritten.

    What it does not see: reads of global memory and of local variables that nobody has written;
    indices outside of a local array that go through a pointer. It knows the arguments' arrays and
    the `__shared__`, `__device__` and `__constant__` variables that have a named type; other memory
    (from `malloc`, `static` variables of functions) counts as out of bounds.

    Parameters
    ----------
    kernel : Kernel
        From `emulator.load`.
    grid, block, args, shared_mem, order, seed
        As in a launch. The arrays hold the kernel's results afterwards.
    timeout : float
        Seconds that one block may take before its kernel counts as endless; 0: for ever.

    Returns
    -------
    list of Finding
        Empty if the kernel is clean; each mistake is listed once, with how often it was seen.

    Raises
    ------
    TypeError, ValueError
        If the launch or an argument is not what CUDA or the kernel accepts.
    """
    code = instrumented(kernel)
    record = code.record(grid, block, args, shared_mem, order, seed, timeout)
    return findings_of(code, record, block)


@contextmanager
def checking():
    """Runs every launch inside the `with` block under the sanitizer.

    Yields
    ------
    list of Finding
        Grows with each launch.

    Examples
    --------
    >>> with emulator.checking() as findings, minicnn.use_backend("emulator"):
    ...     F.conv2d(x, w)
    >>> findings
    []
    """
    findings = []

    def call_instead(kernel, grid, block, args, shared_mem, order, seed, timeout):
        findings.extend(
            check(kernel, grid, block, args, shared_mem, order=order, seed=seed, timeout=timeout)
        )

    token = launch.instead.set(call_instead)
    try:
        yield findings
    finally:
        launch.instead.reset(token)


def findings_of(code: InstrumentedKernel, record: Record, block) -> list[Finding]:
    """The findings of a launch in words, without those that only follow from others."""
    words = _Words(code, record, block)
    races = _merged([words.race(raw) for raw in record.findings if KINDS[raw.kind] == "race"])
    others = [words.access(raw) for raw in record.findings if KINDS[raw.kind] != "race"]
    # Without a barrier, a thread may read before another has written. That is the race's doing.
    read_in_race = {(f.file, f.line, f.array) for f in races}
    others = [
        f
        for f in others
        if f.kind != "uninitialised" or (f.file, f.line, f.array) not in read_in_race
    ]
    failure = [words.failure()] if record.failure in FAILURES else []
    return sorted([*races, *others, *failure], key=lambda f: (f.file, f.line))


def _merged(races: list[Finding]) -> list[Finding]:
    """One race for each pair of lines: which of the two came first is chance. A read is named."""
    pairs = {}
    for f in races:
        pairs.setdefault((f.file, f.array, frozenset((f.line, f.other_line))), []).append(f)
    merged = []
    for group in pairs.values():
        named = next((f for f in group if f" {DOES[READING]} " in f.message), group[0])
        merged.append(replace(named, count=sum(f.count for f in group)))
    return merged


class _Words:
    """Turns the sanitizer's numbers into names."""

    def __init__(self, code: InstrumentedKernel, record: Record, block):
        self.code, self.record = code, record
        self.block = (*block, 1, 1)[:3]

    def thread(self, number: int) -> tuple[int, int, int]:
        """threadIdx of a thread's number in its block."""
        x, y, _ = self.block
        return number % x, number // x % y, number // x // y

    def element(self, raw: RawFinding) -> tuple[Array | None, int | None]:
        """The array that an access meant, and the index in it."""
        if raw.region < 0:
            return None, None
        start, array = 0, None
        for at, each in self.record.regions[raw.region]:
            if array is None or at <= raw.offset:
                start, array = at, each
        return array, (raw.offset - start) // array.item

    def access(self, raw: RawFinding) -> Finding:
        """One access that is wrong by itself."""
        if raw.kind == BAD_INDEX:
            return self.bad_index(raw)
        array, index = self.element(raw)
        what = f"{DOES[raw.how]} {_written(array, index, raw.bytes)}"
        if array is None and 0 <= raw.offset < 4096:
            what = f"{DOES[raw.how]} through a null pointer"
        if KINDS[raw.kind] == "uninitialised":
            what += ", which no thread of the block has written"
        elif KINDS[raw.kind] == "misaligned":
            what += f": {raw.bytes} bytes at once, but not at a multiple of {raw.bytes} bytes"
        elif array is not None:
            what += f", but {array.name} has {_plural(array.size, 'element')}"
            what += f" (shape {array.shape})" if len(array.shape) > 1 else ""
        return self.made(raw, array, index, what)

    def race(self, raw: RawFinding) -> Finding:
        """Two accesses that nothing orders; the read first if the write came too late for it."""
        array, index = self.element(raw)
        me, other = raw.thread, raw.other_thread
        site, other_site, how, other_how = raw.site, raw.other_site, raw.how, raw.other_how
        if raw.other_unwritten:
            me, other, site, other_site = other, me, other_site, site
            how, other_how = other_how, how
        _, other_line = self.code.place(other_site, self.record.places)
        block, other_block = tuple(raw.block), tuple(raw.other_block)
        if block != other_block:
            who = f"block {_triple(other_block)} thread {_triple(self.thread(other))}"
            order = "and nothing orders blocks: make it atomic, or let one thread own each element"
        else:
            who = f"thread {_triple(self.thread(other))}"
            order = "with no barrier between"
            order += ", not even __syncwarp()" if me // 32 == other // 32 else ""
        did = DOES[other_how] if raw.other_unwritten else DID[other_how]
        if how == other_how:
            did = f"also {did}"
        what = f"{DOES[how]} {_written(array, index, raw.bytes)}, "
        what += f"which {who} {did} (line {other_line}) {order}"
        if raw.same_value:
            what += " (both wrote the same value, which CUDA does not promise to be harmless)"
        return self.made(
            raw, array, index, what, me, site,
            other_line=other_line, other_block=other_block, other_thread=self.thread(other),
        )  # fmt: skip

    def bad_index(self, raw: RawFinding) -> Finding:
        """An index that an array's type does not have: in a row of a tile, in a local array."""
        kind = raw.type.decode(errors="replace").strip("'")
        name = self._name_at(*self.code.place(raw.site, self.record.places), raw.bytes)
        what = f"uses index {raw.offset} of {name + ', ' if name else ''}a {kind}"
        finding = self.made(raw, None, raw.offset, what)
        return replace(finding, array=name)

    def _name_at(self, file: str, line: int, column: int) -> str:
        """The array that is indexed at or just before a column of a source line."""
        if file != self.code.source.label.replace("\\", "/"):
            return ""
        lines = self.code.source.text.splitlines()
        text = lines[line - 1] if 0 < line <= len(lines) else ""
        names = [m for m in re.finditer(r"(\w+)\s*\[", text) if m.start() < column]
        return names[-1][1] if names else ""

    def failure(self) -> Finding:
        """What ended the launch: a barrier, a deadlock, the watchdog."""
        record, kind = self.record, FAILURES[self.record.failure]
        file, line = record.failure_place
        _, _, what = record.message.partition(": ")
        if kind == "timeout":
            file, line, what = self._endless()
        thread = self.thread(record.failure_thread)
        message = f"{_where(file, line, record.failure_block, thread)}: {what}"
        return Finding(kind, file, line, record.failure_block, thread, "", None, message)

    def _endless(self) -> tuple[str, int, str]:
        """File, line and words for a kernel that never ends."""
        loop = [place for place in self.record.loop if place[1]]
        files = [file for file, _ in loop]
        label = self.code.source.label.replace("\\", "/")
        file = label if label in files else max(files, key=files.count, default=label)
        lines = sorted({line for f, line in loop if f == file})
        if not lines:
            what = "still runs a loop with nothing in it after the time allowed: an endless loop?"
            return file, 0, what
        span = f"lines {lines[0]} to {lines[-1]}" if len(lines) > 1 else f"line {lines[0]}"
        return file, lines[0], f"still runs {span} after the time allowed: an endless loop?"

    def made(self, raw, array, index, what, thread=None, site=None, **more) -> Finding:
        """A Finding from its parts."""
        thread = self.thread(raw.thread if thread is None else thread)
        file, line = self.code.place(raw.site if site is None else site, self.record.places)
        block = tuple(raw.block)
        message = f"{_where(file, line, block, thread)} {what}"
        name = "" if array is None else array.name
        return Finding(KINDS[raw.kind], file, line, block, thread, name, index, message,
                       count=raw.count, **more)  # fmt: skip


def _where(file: str, line: int, block, thread) -> str:
    place = os.path.basename(file) + (f" line {line}" if line else "")
    return f"{place}, block {_triple(block)} thread {_triple(thread)}"


def _triple(index) -> str:
    return f"({','.join(map(str, index))})"


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _written(array: Array | None, index: int | None, size: int) -> str:
    """An element as its kernel would write it: tile[4][0], x[17]."""
    if array is None:
        return f"{_plural(size, 'byte')} at an address far from every array"
    if not array.shape and not array.argument:
        return array.name
    if array.argument or not 0 <= index < array.size:
        text = f"{array.name}[{index}]"
    else:
        text = array.name + "".join(f"[{i}]" for i in np.unravel_index(index, array.shape))
    if array.argument and len(array.shape) > 1 and 0 <= index < array.size:
        text += f" (element {_triple(np.unravel_index(index, array.shape))})"
    return text
