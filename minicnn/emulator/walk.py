"""What one thread did, line by line: a sequence of steps with a place in it."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from .values import Access, differences, plain_of, text_of


@dataclass(frozen=True, repr=False)
class Step:
    """One line that the thread executed.

    Attributes
    ----------
    number : int
        Its place in the walk, from 1.
    file, line, last_line : str, int, int
        Where it stands; a statement may take several lines.
    source : str
        The statement's text.
    function, depth : str, int
        The function it is in, and how many calls lie between that and the kernel (0: the kernel).
    locals : mapping of str to value
        The function's parameters and local variables when the line begins: numbers, lists (arrays),
        dicts (structs) and `Pointer`. One that has no value yet is left out; in a list or a dict it
        is None.
    changes : mapping of str to value
        The new values of those that the line changed or brought into being; what functions called
        by the line changed is among them.
    reads, writes : tuple of Access
        Elements of arrays and of shared memory that the line read and wrote, in this order.
    waits : tuple of str
        Barriers, shuffles and votes at which the line waited for other threads.
    """

    number: int
    file: str
    line: int
    last_line: int
    source: str
    function: str
    depth: int
    locals: Mapping
    changes: Mapping
    reads: tuple[Access, ...] = ()
    writes: tuple[Access, ...] = ()
    waits: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<step {self.number}, {self}>"

    def __str__(self) -> str:
        text = f"line {self.line}: {' '.join(self.source.split())}"
        changes = ", ".join(f"{name} = {text_of(value)}" for name, _, value in self.differences())
        return f"{text}  // {changes}" if changes else text

    def differences(self) -> list[tuple[str, object, object]]:
        """The changes, part by part: (name, before, after), such as ("total[2][3]", 0.0, 1.5)."""
        pairs = ((name, self.locals.get(name), value) for name, value in self.changes.items())
        return [part for pair in pairs for part in differences(*pair)]

    def to_json(self) -> dict:
        """The step as plain data."""
        plain = {
            name: getattr(self, name)
            for name in ("number", "file", "line", "last_line", "source", "function", "depth")
        }
        for name in ("locals", "changes"):
            plain[name] = {key: plain_of(value) for key, value in getattr(self, name).items()}
        for name in ("reads", "writes"):
            plain[name] = [
                {"text": str(a.place), **plain_of(a.place), "value": plain_of(a.value)}
                for a in getattr(self, name)
            ]
        return plain | {"waits": list(self.waits)}


# ---- the walk --------------------------------------------------------------------------------
class Walk(Sequence):
    """All lines that one thread executed, made by `minicnn.emulator.step`.

    A sequence (`len(walk)`, `walk[0]`, `for step in walk`) with a place in it: `next`, `back`,
    `over`, `out`, `until` and `goto` move it and return the step that is then current.

    Attributes
    ----------
    kernel : str
    grid, block, block_index, thread : tuple of 3 int
        The launch, and the thread that was watched: its blockIdx and threadIdx.
    arrays : tuple of Array
        What the pointers point to, and the shared memory.
    sources : mapping of str to str
        The text of each file.
    stopped : str or None
        Why the walk ends before the thread did: the limit, a trap, an endless loop, an access
        outside all arrays. None if the thread came to its end.
    """

    def __init__(self, kernel, grid, block, block_index, thread, arrays, sources, steps, stopped):
        self.kernel, self.grid, self.block = kernel, grid, block
        self.block_index, self.thread = block_index, thread
        self.arrays, self.stopped = tuple(arrays), stopped
        self.sources = MappingProxyType(dict(sources))
        self._steps, self._place = tuple(steps), 0

    def __len__(self) -> int:
        return len(self._steps)

    def __getitem__(self, k):
        return self._steps[k]

    # -- asking -------------------------------------------------------------
    def at_line(self, line: int, file: str | None = None) -> list[Step]:
        """The steps at a line of the kernel's own file, or of `file` (the end of its path)."""
        file = file or next(iter(self.sources))
        return [s for s in self if s.line <= line <= s.last_line and s.file.endswith(file)]

    def history(self, name: str, function: str | None = None) -> list:
        """The values that a variable of the kernel (or of another function) took, in order.

        Raises
        ------
        KeyError
            If there is no such variable.
        """
        known = {k for s in self if _within(s, function) for k in (*s.locals, *s.changes)}
        if name not in known:
            names = ", ".join(sorted(known)) or "none"
            raise KeyError(f"history: there is no variable {name!r} here; there are: {names}")
        values = []
        for step in self:
            if not _within(step, function):
                continue
            if not values and name in step.locals:
                values.append(step.locals[name])
            if name in step.changes:
                values.append(step.changes[name])
        return values

    # -- walking ------------------------------------------------------------
    @property
    def current(self) -> Step:
        """The step at the walk's place.

        Raises
        ------
        IndexError
            If the thread executed no line at all.
        """
        if not self._steps:
            raise IndexError(f"the walk has no step: {self.stopped or 'the kernel is empty'}")
        return self[self._place]

    def goto(self, number: int) -> Step:
        """Go to a step by its number, from 1."""
        number = operator.index(number)
        if not 1 <= number <= len(self):
            raise IndexError(f"goto: there is no step {number}; they run from 1 to {len(self)}")
        self._place = number - 1
        return self.current

    def next(self) -> Step:
        """Go one step on, into functions that are called."""
        return self._find(1, lambda step: True, "next: step {} is the last one")

    def back(self) -> Step:
        """Go one step back."""
        return self._find(-1, lambda step: True, "back: step {} is the first one")

    def over(self) -> Step:
        """Go on to the next step of this function or of its caller: over the calls."""
        depth = self.current.depth
        problem = "over: after step {} neither its function nor a caller goes on"
        return self._find(1, lambda step: step.depth <= depth, problem)

    def out(self) -> Step:
        """Go on to where this function has returned to its caller."""
        depth = self.current.depth
        problem = "out: after step {} its function does not return to a caller"
        return self._find(1, lambda step: step.depth < depth, problem)

    def until(self, line: int) -> Step:
        """Go on to the next step at a line of the current file."""
        file = self.current.file
        return self._find(
            1,
            lambda step: step.file == file and step.line <= line <= step.last_line,
            f"until: line {line} is not executed after step {{}}",
        )

    def _find(self, direction: int, fits, problem: str) -> Step:
        """Go to the nearest step that fits; IndexError, with the problem, if none does."""
        here = self.current.number
        place = self._place + direction
        while 0 <= place < len(self):
            if fits(self[place]):
                return self.goto(place + 1)
            place += direction
        why = f"; the walk ends early: {self.stopped}" if self.stopped and direction > 0 else ""
        raise IndexError(problem.format(here) + why)

    # -- showing ------------------------------------------------------------
    def __repr__(self) -> str:
        from .view import card

        return card(self)

    def to_json(self) -> dict:
        """The walk as plain data (numbers, strings, lists, dicts), for a page."""
        return {
            "kernel": self.kernel,
            "grid": list(self.grid),
            "block": list(self.block),
            "block_index": list(self.block_index),
            "thread": list(self.thread),
            "arrays": [
                {
                    "name": a.name, "dtype": str(a.dtype), "shape": list(a.shape),
                    "memory": a.memory,
                }
                for a in self.arrays
            ],
            "sources": dict(self.sources),
            "steps": [step.to_json() for step in self],
            "stopped": self.stopped,
        }  # fmt: skip


def _within(step: Step, function: str | None) -> bool:
    return step.depth == 0 if function is None else step.function == function
