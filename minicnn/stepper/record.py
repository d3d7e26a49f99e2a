"""Record a pass: every operation and every gradient becomes a step."""

from __future__ import annotations

import linecache
import os
import sys
import time
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

from minicnn.stepper.step import Held, Step
from minicnn.stepper.steps import Steps
from minicnn.tensor import _recorder

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
# Files whose lines a student does not look for; models and training count as the student's own.
MACHINERY = ("tensor.py", "choices.py", "functional", "ops", "nn", "backends", "emulator")


@contextmanager
def record():
    """Keep every operation that runs inside the `with` block, and its gradient.

    Works for nets and for plain functions, on any backend. Arrays are kept, not copied: the memory
    of the pass stays in use as long as the steps do. Outside the block nothing is kept.

    Returns
    -------
    Steps
        The forward steps in the order they ran, then the backward steps in the order walked.

    Raises
    ------
    RuntimeError
        If a recording is under way already.

    Examples
    --------
    >>> with minicnn.record() as steps:
    ...     loss = F.cross_entropy(model(x), y)
    ...     loss.backward()
    >>> steps.next()
    """
    if _recorder.get() is not None:
        raise RuntimeError(
            "record: a recording is under way already, and there can be only one at a time; "
            "use the steps of the outer with block"
        )
    steps = Steps()
    token = _recorder.set(Recorder(steps))
    try:
        yield steps
    finally:
        _recorder.reset(token)


class Recorder:
    """What the tape and the modules report to while recording (see `minicnn.tensor`)."""

    def __init__(self, steps: Steps):
        self.steps = steps
        self.forward_steps = {}  # operation -> its forward step
        self.running = []  # dotted names of the modules that are running, outermost first
        self.names = {}  # id of a module -> its dotted name in the outermost one
        self.clock = time.perf_counter()  # when the last step ended, or a module was called

    @contextmanager
    def inside(self, module, inputs=()):
        """What runs in this block belongs to `module`."""
        if not self.running:
            self.names = {}
            for name, child in module.named_modules():
                self.names.setdefault(id(child), name)  # a shared module has its first name
        name = self.names.get(id(module))
        if name is None:  # not an attribute of any module: named by its class
            name = ".".join(filter(None, (self.running[-1], type(module).__name__)))
        self.running.append(name)
        self.clock = time.perf_counter()
        try:
            yield
        finally:
            self.running.pop()

    def forward(self, op, inputs, output):
        """An operation has run."""
        step = Step(
            direction="forward",
            op=op,
            held=[None if t is None else Held(t) for t in inputs],
            held_output=Held(output),
            layer=self.running[-1] if self.running else "",
            site=call_site(),
            seconds=self.seconds(),
        )
        self.forward_steps[op] = step
        self.steps._append(step)
        self.clock = time.perf_counter()

    def backward(self, entry, dy, grads):
        """The walk back has passed an operation."""
        forward, here = self.forward_steps.get(entry), call_site()
        step = Step(
            direction="backward",
            op=entry,
            held=forward.held if forward else None,
            held_output=forward.held_output if forward else None,
            layer=forward.layer if forward else "",
            site=forward.site if forward else here,
            run_by=here,
            dy=dy,
            grads=grads,
            seconds=self.seconds(),
        )
        if forward:
            step.partner, forward.partner = forward, step
        self.steps._append(step)
        self.clock = time.perf_counter()

    def seconds(self):
        """Time since the clock was set."""
        return time.perf_counter() - self.clock


# ---------------------------------------------------------------------------
# Call sites
# ---------------------------------------------------------------------------
class Site(NamedTuple):
    """A line of code that ran an operation."""

    file: str
    line: int

    @property
    def source(self) -> str:
        """The text of the line, or "" if it cannot be read."""
        return linecache.getline(self.file, self.line).strip()

    def __str__(self):
        folder, name = os.path.split(self.file)
        if os.path.basename(folder).startswith("ipykernel_") or name.startswith("<ipython"):
            name = "cell"
        return f"{name}:{self.line}"


def call_site() -> Site:
    """The innermost line that is running and is no part of the machinery."""
    frame = innermost = sys._getframe(2)
    while frame is not None and _is_machinery(frame.f_code.co_filename):
        frame = frame.f_back
    frame = frame or innermost
    return Site(frame.f_code.co_filename, frame.f_lineno)


@cache
def _is_machinery(file: str) -> bool:
    if not file.startswith(PACKAGE):
        return False
    inside = file[len(PACKAGE) :]
    return inside.split(os.sep)[0] in MACHINERY or inside == os.path.join("stepper", "record.py")
