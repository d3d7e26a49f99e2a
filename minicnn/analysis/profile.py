"""Where the time of a training step goes: operation by operation, beside what the machine can do.

    print(profile("resnet18", batch=4))

A clock is read whenever an operation has ended, and what has passed since the one before is booked
on it: the operation itself, and the Python around it. So nothing is left out, and the rows add up
to the whole. Convolutions and dense layers also tell their multiplications and additions a second,
and what share that is of the machine's peak: of a large matrix product, measured here.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import numpy as np

from minicnn import models, optim
from minicnn.analysis.cost import macs
from minicnn.analysis.passes import as_input_shape
from minicnn.backends.fast import workers
from minicnn.nn import Module
from minicnn.nn.graph import Node, evaluating, first_tensor
from minicnn.tensor import Tensor, _recorder, no_grad

FORWARD, BACKWARD, UPDATE = "forward", "backward", "update"


@dataclass(frozen=True)
class Timing:
    """One operation in one direction.

    Attributes
    ----------
    layer : str
        Dotted name of the module it ran in.
    name : str
        The operation's, such as "Conv2d".
    direction : "forward", "backward" or "update"
    shape : tuple of int
        Of its output.
    operations : int
        Multiplications and additions by the definition, whatever the backend did.
    seconds : float
        Median over the steps.
    """

    layer: str
    name: str
    direction: str
    shape: tuple[int, ...]
    operations: int
    seconds: float

    @property
    def gflops(self) -> float:
        """Thousand millions of operations a second."""
        return self.operations / self.seconds / 1e9 if self.seconds else 0.0


@dataclass(frozen=True)
class Profile:
    """The times of a step; `print` shows them, `plot` draws them.

    Attributes
    ----------
    title : str
    timings : list of Timing
        In the order they ran.
    peak : float
        GFLOP/s of a large matrix product here, with as many threads.
    """

    title: str
    timings: list[Timing]
    peak: float

    @property
    def seconds(self) -> float:
        """Of the whole step."""
        return sum(t.seconds for t in self.timings)

    def by_operation(self) -> list[Timing]:
        """The timings of equal operations added up, the longest first."""
        groups = defaultdict(list)
        for t in self.timings:
            groups[t.name, t.direction].append(t)
        sums = [
            Timing(f"{len(of)} of them", name, direction, (), sum(t.operations for t in of),
                   sum(t.seconds for t in of))
            for (name, direction), of in groups.items()
        ]  # fmt: skip
        return sorted(sums, key=lambda t: -t.seconds)

    def __str__(self):
        single = sorted(self.timings, key=lambda t: -t.seconds)[:15]
        head = f"{self.title}: {1e3 * self.seconds:.1f} ms, peak {self.peak:.0f} GFLOP/s"
        return "\n".join([
            head, "", *self._table(self.by_operation()), "", "the longest:", "",
            *self._table(single),
        ])  # fmt: skip

    def _table(self, timings):
        """The lines of a table."""
        lines = [("operation", "where", "output", "ms", "share", "GFLOP/s", "of peak")]
        for t in timings:
            speed = (f"{t.gflops:.1f}", f"{t.gflops / self.peak:.0%}") if t.operations else ("", "")
            share = f"{t.seconds / self.seconds:.1%}" if self.seconds else ""
            shape = "×".join(map(str, t.shape))
            name = t.name if t.direction == UPDATE else f"{t.name} {t.direction}"
            lines.append((name, t.layer, shape, f"{1e3 * t.seconds:.2f}", share, *speed))
        widths = [max(map(len, column)) for column in zip(*lines)]
        return [
            "  ".join(
                cell.ljust(width) if k < 3 else cell.rjust(width)
                for k, (cell, width) in enumerate(zip(line, widths))
            ).rstrip()
            for line in lines
        ]

    def plot(self, ax=None):
        """Bars, one an operation in the order of the net: forward in one colour, backward beside.

        Returns the matplotlib Figure.
        """
        import matplotlib.pyplot as plt

        rows = list(dict.fromkeys((t.layer, t.name, t.shape) for t in self.timings))
        place = {row: k for k, row in enumerate(rows)}
        if ax is None:
            size = (9, 1.5 + 0.17 * len(rows))
            _, ax = plt.subplots(figsize=size, layout="constrained")
        left = [0.0] * len(rows)
        for direction, color in ((FORWARD, "#2a78b5"), (BACKWARD, "#d1642e"), (UPDATE, "grey")):
            widths = [0.0] * len(rows)
            for t in self.timings:
                if t.direction == direction:
                    widths[place[t.layer, t.name, t.shape]] += 1e3 * t.seconds
            if any(widths):
                ax.barh(range(len(rows)), widths, left=left, color=color, label=direction)
            left = [a + b for a, b in zip(left, widths)]
        labels = [f"{layer} {name}".strip() for layer, name, _ in rows]
        ax.set_yticks(range(len(rows)), labels, fontsize=6)
        ax.invert_yaxis()
        ax.margins(y=0.01)
        ax.set_xlabel("milliseconds")
        ax.set_title(f"{self.title}: {1e3 * self.seconds:.1f} ms", loc="left")
        ax.legend(frameon=False)
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
        return ax.figure


# ---------------------------------------------------------------------------
# Measuring
# ---------------------------------------------------------------------------
def profile(model, batch=4, input_shape=None, training=True, steps=5) -> Profile:
    """Time a training step, or inference, operation by operation.

    The backend is the one that is on. Images are random numbers, and the gradient is that of the
    scores' mean. A Module is left as it was: weights, statistics, mode and gradients.

    Parameters
    ----------
    model : Module or str
        A net, or the name of one in `minicnn.models`.
    batch : int
        Images in a step.
    input_shape : (C, H, W), optional
        In pixels; a named model has its own.
    training : bool
        Forward, backward and SGD with momentum; else forward alone, in evaluation mode.
    steps : int
        How many are timed, after one that is not; the median counts.

    Raises
    ------
    TypeError, ValueError
        If the model does not take such an input, or an argument is of the wrong kind.
    """
    title = model if isinstance(model, str) else type(model).__name__
    if isinstance(model, str):
        input_shape = input_shape or models.info(model).input_shape
        model = models.build(model)
    elif not isinstance(model, Module):
        raise TypeError(f"profile: expects a Module or a model's name, but got {model!r}")
    shape = as_input_shape(input_shape)
    x = Tensor(np.random.default_rng(0).standard_normal((batch, *shape), np.float32))
    step = _training_step(model, x) if training else _inference(model, x)
    state = {name: array.copy() for name, array in model.state_dict().items()}
    with evaluating(model):
        try:
            model.train(training)
            step()
            walks = [_walk(model, step, training) for _ in range(steps)]
        finally:
            model.load_state_dict(state)
    timings = [
        Timing(*first[:-1], seconds=statistics.median(times))
        for first, *times in _side_by_side(walks)
    ]
    kind = "training step" if training else "inference"
    peak = peak_gflops(workers.get_num_threads())
    return Profile(f"{title}, {kind}, batch {batch}", timings, peak)


def _training_step(model, x):
    optimizer = optim.SGD(model.parameters(), 1e-6, momentum=0.9)

    def step():
        y = first_tensor(model(x))
        optimizer.zero_grad()
        y.backward(np.full(y.shape, 1 / y.size, y.dtype))
        optimizer.step()

    return step


def _inference(model, x):
    def step():
        with no_grad():
            model(x)

    return step


def _walk(model, step, training):
    """The rows (layer, name, direction, shape, operations, seconds) of one step."""
    watch = Stopwatch(model)
    token = _recorder.set(watch)
    try:
        step()
    finally:
        _recorder.reset(token)
    if training:
        watch.book("", "SGD", UPDATE, (), 0)
    return watch.rows


def _side_by_side(walks):
    """Each row of the first walk, with its seconds in all walks: a net may not change its way."""
    for rows in zip(*walks, strict=True):
        yield rows[0], *(row[-1] for row in rows)


class Stopwatch:
    """What the tape reports to (see `minicnn.tensor`), clock in hand."""

    only_times = True  # layers may be put together, as when nobody watches

    def __init__(self, model):
        self.rows, self.running, self.ran = [], [], {}
        self.names = {}
        for name, module in model.named_modules():
            self.names.setdefault(id(module), name)
        self.last = time.perf_counter()

    def book(self, *row):
        """Book what has passed since the last operation on this one."""
        self.rows.append((*row, time.perf_counter() - self.last))
        self.last = time.perf_counter()

    @contextmanager
    def inside(self, module, inputs=()):
        """What runs in this block belongs to `module`."""
        self.running.append(self.names.get(id(module), type(module).__name__))
        try:
            yield
        finally:
            self.running.pop()

    def forward(self, op, inputs, output):
        """An operation has run."""
        layer = self.running[-1] if self.running else ""
        operations = 2 * macs(Node(op, (), output, layer, True))
        self.ran[op] = (layer, output.shape, operations)
        self.book(layer, op.name, FORWARD, output.shape, operations)

    def backward(self, entry, dy, grads):
        """The walk back has passed an operation."""
        layer, shape, operations = self.ran.get(entry, ("", dy.shape, 0))
        products = sum(grad is not None for grad in grads[:2])  # one for x, one for w
        self.book(layer, entry.name, BACKWARD, shape, operations * products)


@cache
def peak_gflops(threads: int, size=1024, turns=5) -> float:
    """The most GFLOP/s of matrix products here: of float32 matrices size x size, one a thread."""
    a, b = np.ones((2, size, size), np.float32)
    out = np.empty((threads, size, size), np.float32)
    best = float("inf")
    for _ in range(turns):
        begin = time.perf_counter()
        workers.run(lambda _, i: np.matmul(a, b, out=out[i]), threads)
        best = min(best, time.perf_counter() - begin)
    return threads * 2 * size**3 / best / 1e9
