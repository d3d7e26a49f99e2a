"""Record a pass: every operation and every gradient becomes a step."""

from __future__ import annotations

import linecache
import os
import sys
import time
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple
from weakref import WeakKeyDictionary

from minicnn.stepper.chosen import KeptLens, Path, lenses_at
from minicnn.stepper.keep import Held, Shelf
from minicnn.stepper.step import Step
from minicnn.stepper.steps import Steps
from minicnn.tensor import _recorder

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
BUDGET = 1_000_000_000  # bytes
# Files whose lines a student does not look for; models and training count as the student's own.
MACHINERY = ("tensor.py", "choices.py", "functional", "ops", "nn", "backends", "emulator")


@contextmanager
def record(budget: int = BUDGET):
    """Keep every operation that runs inside the `with` block, and its gradient.

    Works for nets and for plain functions, on any backend. Arrays are kept, not copied. Those of
    small nets are kept whole. Of a large net those that take more than an eighth of what is left of
    the budget (half of it is the forward pass's, half the gradients') become samples: their range
    and at most 16 maps of 8 bits. Of each operation that reads or makes one, three elements of the
    output and of each gradient can still be stepped into, with all the numbers they were computed
    from. The net's weights and the image are not counted. Outside the block nothing is kept.

    Parameters
    ----------
    budget : int
        Bytes for the arrays.

    Returns
    -------
    Steps
        The forward steps in the order they ran, then the backward steps in the order walked.

    Raises
    ------
    RuntimeError
        If a recording is under way already.
    TypeError, ValueError
        If the budget is no number, or is negative.

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
    if isinstance(budget, bool) or not isinstance(budget, (int, float)):
        raise TypeError(f"record: budget expects a number of bytes, but got {budget!r}")
    if not budget >= 0:
        raise ValueError(f"record: budget expects 0 bytes or more, but got {budget}")
    steps = Steps(budget)
    token = _recorder.set(Recorder(steps, budget))
    try:
        yield steps
    finally:
        _recorder.reset(token)


class Recorder:
    """What the tape and the modules report to while recording (see `minicnn.tensor`)."""

    def __init__(self, steps: Steps, budget):
        self.steps = steps
        self.shelf, self.path = Shelf(budget), Path()
        self.forward_steps = WeakKeyDictionary()  # operation -> its forward step
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
        seconds, shelf = self.seconds(), self.shelf
        held = [
            None if t is None else Held(t, shelf.known(t._data) or shelf.own(t._data))
            for t in inputs
        ]
        step = Step(
            direction="forward",
            op=described(op),
            held=held,
            held_output=Held(output, shelf.keep(output._data, "forward")),
            layer=self.running[-1] if self.running else "",
            site=call_site(),
            seconds=seconds,
        )
        self.forward_steps[op] = step
        self.steps._append(step)
        if not step.whole:
            arrays = [None if t is None else t._data for t in (*inputs, output)]
            self.sample(step, zip((*held, step.held_output), arrays))
        self.clock = time.perf_counter()

    def backward(self, entry, dy, grads):
        """The walk back has passed an operation."""
        seconds, shelf = self.seconds(), self.shelf
        forward, here = self.forward_steps.get(entry), call_site()
        step = Step(
            direction="backward",
            op=forward.op if forward else described(entry),
            held=forward.held if forward else None,
            held_output=forward.held_output if forward else None,
            layer=forward.layer if forward else "",
            site=forward.site if forward else here,
            run_by=here,
            dy=shelf.keep(dy, "backward"),
            grads=[None if g is None else shelf.keep(g, "backward") for g in grads],
            seconds=seconds,
        )
        if forward:
            step.partner, forward.partner = forward, step
        self.steps._append(step)
        if not step.whole:
            before = [] if forward is None else [(h, None) for h in (*step.held, step.held_output)]
            self.sample(step, [*before, *zip((step._dy, *step._grads), (dy, *grads))])
        self.clock = time.perf_counter()

    def sample(self, step, arrays):
        """Keep lenses on a few elements of a step, and let go of arrays there is no room for.

        `arrays` are pairs: what is kept (or a Held), and the array if it is at hand.
        """
        opened = {}
        for kept, array in arrays:
            kept = getattr(kept, "kept", kept)
            if kept is not None and not kept.whole and kept not in opened:
                opened[kept] = kept.open(array)
        places = {} if step.held is None else self.path.places(step)
        step.lenses = {
            letter: {k: own for k, lens in lenses.items() if (own := KeptLens.of(lens))
                     and self.shelf.pay(own.nbytes, step.direction)}
            for letter, lenses in lenses_at(step, places).items()
        }  # fmt: skip
        for name in ("z", "dz"):  # computed on the way, and as large as the others
            vars(step).pop(name, None)
        wanted = {} if step.held is None else step.kept_by_letter()
        for kept, sample in opened.items():
            letters = [letter for letter, one in wanted.items() if one is kept]
            kept.close(sample, [k for letter in letters for k in places.get(letter, ())])

    def seconds(self):
        """Time since the clock was set."""
        return time.perf_counter() - self.clock


def described(op):
    """An operation without what it saved and where it is on the tape: its settings alone."""
    plain = type(op)()
    plain.__dict__.update(op.settings)
    plain.settings, plain.needs, plain.shapes = op.settings, op.needs, op.shapes
    return plain


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
