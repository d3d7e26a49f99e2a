"""The search for a case in which a student's function is wrong, and for the smallest such case."""

from __future__ import annotations

import contextlib
import math
import time
from dataclasses import dataclass
from random import Random

import numpy as np

from minicnn.checks.hints import find_hint
from minicnn.checks.kernels import KernelFunction
from minicnn.checks.report import Report
from minicnn.checks.verdict import Problem, as_outputs, judge

EXAMPLES = 80  # of each stage
SMALLER = 200  # cases that are tried after the first failing one
SECONDS = 8.0  # for all that; slow functions are tried on fewer cases
TELLING = 60  # cases, on which the known mistakes are told apart


@dataclass
class Trial:
    """One call: arguments by letters, what was expected, what came, and what is wrong with it."""

    args: dict
    expected: tuple
    value: object
    error: BaseException | None
    problem: Problem | None

    @property
    def got(self):
        """The outputs as a tuple, or None if the function returned nothing of that kind."""
        if self.problem is not None and self.problem.kind not in ("values", "shape", "dtype"):
            return None
        return as_outputs(self.value, len(self.expected))

    @property
    def size(self):
        """Smaller is easier to read: few numbers, plain memory, small and whole values."""
        arrays = [a for a in self.args.values() if isinstance(a, np.ndarray)]
        settings = [a for a in self.args.values() if not isinstance(a, np.ndarray)]
        values = np.concatenate([np.zeros(0), *(a.ravel() for a in arrays)]).astype(float)
        return (
            sum(a.size for a in arrays),
            sum(_weight(value) for value in settings),
            sum(not a.flags.c_contiguous for a in arrays),
            int((values != np.rint(values)).sum()),
            float(np.abs(values).sum() + (values < 0).sum() / 2),
        )


def _weight(setting):
    if isinstance(setting, tuple):
        return 1 + sum(setting)
    return 0 if setting is None else max(setting, 0)


# ---------------------------------------------------------------------------
# Stages: the easiest to read first
# ---------------------------------------------------------------------------
def whole_numbers(args):
    for name, value in args.items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            np.add(np.rint(value), 0.0, out=value)  # + 0 makes 0 of -0
        elif name == "dy":
            args[name] = float(np.rint(value)) + 0.0


def dense_numbers(args):
    """Small whole numbers, none of them 0, so that no mistake hides behind a 0."""
    rng = np.random.default_rng(sum(v.size for v in args.values() if isinstance(v, np.ndarray)))
    for value in args.values():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            value[...] = rng.integers(1, 5, value.shape) * rng.choice((-1, 1), value.shape)


def as_drawn(args):
    pass


def large_scores(args):
    """Scores for which e^x overflows."""
    args["x"] *= 1000


def _nothing_found():
    from hypothesis.errors import NoSuchExample, Unsatisfiable

    return NoSuchExample, Unsatisfiable


# ---------------------------------------------------------------------------
# The search
# ---------------------------------------------------------------------------
class _Enough(BaseException):
    """The search has tried enough; hypothesis lets a BaseException through."""


class Search:
    """Draws cases, tries the function on each, and keeps what came of it."""

    def __init__(self, student, time_limit):
        self.student, self.reference = student, student.reference
        self.time_limit = self.limit = time_limit
        self.stage = whole_numbers
        self.end = math.inf  # until the first case has been drawn, imports and all
        self.smallest: Trial | None = None
        self.stuck = False
        self.tried = 0
        self.left = None  # how many cases may still be tried, once one has failed

    def run(self):
        """Draw until something fails and is small, or the stages or the time are over."""
        from hypothesis.errors import Flaky

        stages = [whole_numbers, dense_numbers, as_drawn]
        if self.reference.base == "cross_entropy":
            stages.append(large_scores)
        for self.stage in stages:
            # Flaky: the function answers differently each time.
            with contextlib.suppress(_Enough, Flaky, *_nothing_found()):
                self._find(self.stage, EXAMPLES, 0, self._fails)
            if self.smallest is not None:
                return self.simplify()
        if not self.tried:
            raise RuntimeError(
                f"check: no case of {self.reference.name} could be drawn for the arguments of "
                f"{self.student.name}; let it take more of {', '.join(self.reference.parameters)}"
            )

    def _find(self, change, count, seed, fails):
        """Draw up to `count` cases, and go on with smaller ones once `fails` says so of one."""
        from hypothesis import Phase, find, settings

        phases = (Phase.generate, Phase.shrink)  # not Phase.explain, which takes longest
        plan = settings(max_examples=count, phases=phases, database=None, deadline=None)
        find(self._cases(change), fails, settings=plan, random=Random(seed))

    def _in_time(self):
        if self.stuck or time.monotonic() > self.end:
            raise _Enough

    def _cases(self, change):
        """A strategy for (arguments, expected outputs); `change` changes the values in place."""
        from hypothesis import reject
        from hypothesis import strategies as st

        @st.composite
        def cases(draw):
            try:
                args = self.student.fill(self.reference.draw(draw, self.student.parameters))
                change(args)
                self.reference.mend(args)
                return args, self.reference.run(args)
            except ValueError:  # does not fit without the arguments left out
                reject()

        return cases()

    def _fails(self, case):
        """Whether the function is wrong on this case; notes the smallest such case."""
        if not self.tried:
            self.end = time.monotonic() + SECONDS
        self._in_time()
        if self.left == 0:
            raise _Enough
        if self.left is not None:
            self.left -= 1
        trial = self.try_on(*case)
        self.tried += 1
        if trial.problem is None:
            return False
        if trial.problem.kind == "late" and self.limit == self.time_limit:
            self.limit /= 10  # do not wait that long for each smaller case
            self.end = min(self.end, time.monotonic() + SECONDS / 2)
        if self.smallest is None or trial.size < self.smallest.size:
            self.smallest = trial
        self.left = SMALLER if self.left is None else self.left
        return True

    def simplify(self):
        """Put 0, 1 or -1 for the numbers of the smallest case, one by one, while it still fails."""
        if self.smallest.problem.kind == "late":
            return
        arrays = [a for a in self.smallest.args.values() if isinstance(a, np.ndarray)]
        for array in [a for a in arrays if a.dtype.kind == "f"]:
            for index in np.ndindex(array.shape):
                for value in (0.0, 1.0, -1.0):
                    before = array[index]
                    if before == value or time.monotonic() > self.end:
                        break
                    array[index] = value
                    self.reference.mend(self.smallest.args)
                    if array[index] != value:
                        array[index] = before
                        continue
                    trial = self.try_on(self.smallest.args, self.reference.run(self.smallest.args))
                    if trial.problem and trial.problem.kind == self.smallest.problem.kind:
                        self.smallest = trial
                        break
                    array[index] = before

    def try_on(self, args, expected) -> Trial:
        """Call the function, and judge what comes."""
        outcome, changed = self.student.call(args, self.limit)
        self.stuck |= outcome.stuck
        problem = judge(self.reference, expected, outcome, changed, self.time_limit)
        error = TimeoutError(problem.text) if outcome.late else outcome.error
        return Trial(args, expected, outcome.value, error, problem)

    def telling(self):
        """For telling mistakes apart: (cases with fractions everywhere, the same as drawn)."""
        cases = []
        with contextlib.suppress(_Enough, *_nothing_found()):
            self._find(self.stage, TELLING, 1, lambda case: cases.append(case) or self._in_time())
        rng = np.random.default_rng(0)
        fractions, drawn = [], []
        for args, expected in cases:
            args_with_fractions = {
                name: rng.uniform(-4, 4, value.shape) + np.zeros_like(value)  # keeps memory order
                if isinstance(value, np.ndarray) and value.dtype.kind == "f"
                else value
                for name, value in args.items()
            }
            if self.stuck or time.monotonic() > self.end:
                break
            self.reference.mend(args_with_fractions)
            result = self.reference.run(args_with_fractions)
            fractions.append(self.try_on(args_with_fractions, result))
            drawn.append(self.try_on(args, expected))
        return fractions, drawn

    def report(self) -> Report:
        """What the search found, with a hint."""
        student, trial = self.student, self.smallest
        left_out = {
            n: default
            for n, default in self.reference.parameters.items()
            if n not in student.parameters
        }
        if trial is None:
            return Report(student.name, self.reference.name, True, self.tried, left_out)
        self.end = max(self.end, time.monotonic() + SECONDS / 2)
        telling = ([], []) if trial.problem.kind == "late" else self.telling()
        hint = find_hint(self.reference, trial, *telling)
        single = len(trial.expected) == 1
        got = trial.error if trial.error is not None else trial.value
        return Report(
            student.name, self.reference.name, False, self.tried, left_out,
            problem=trial.problem.text, case=student.named(trial.args), hint=hint,
            expected=trial.expected[0] if single else trial.expected, got=got,
            outputs=self.reference.outputs,
            callable=not isinstance(student.function, KernelFunction),
        )  # fmt: skip
