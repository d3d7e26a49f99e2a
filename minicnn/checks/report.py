"""What `check` found, for a reader who has just written the function."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from minicnn.checks.verdict import equal


@dataclass(repr=False)
class Report:
    """The result of `check`; true in an `if` or `assert` when the function passed.

    Attributes
    ----------
    name, like : str
        The function, and what it was compared with.
    passed : bool
    tried : int
        How many cases were tried.
    left_out : dict
        Arguments the function does not take, and the values the reference used for them.
    problem : str or None
        What is wrong, in a sentence.
    case : dict or None
        The smallest failing arguments found, by name: `my_conv2d(**report.case)` shows it again.
    expected : array or tuple of arrays, or None
    got : object
        What the function returned for this case, or the exception it raised (a TimeoutError, if it
        did not finish).
    hint : str or None
        Which mistake gives such results.
    outputs : tuple of str
        Names of the outputs.
    callable : bool
        False for a kernel, which Python cannot call by its name.
    """

    name: str
    like: str
    passed: bool
    tried: int
    left_out: dict = field(default_factory=dict)
    problem: str | None = None
    case: dict | None = None
    expected: object = None
    got: object = None
    hint: str | None = None
    outputs: tuple = ("y",)
    callable: bool = True

    def __bool__(self):
        return self.passed

    def __repr__(self):
        if self.passed:
            lines = [f"{self.name} passed: {self.tried} cases agree with {self.like}."]
            if self.left_out:
                shown = ", ".join(self.left_out)
                lines.append(f"Not tried, because {self.name} does not take it: {shown}.")
            return "\n".join(lines)
        end = "" if "\n" in self.problem else "."  # after a line of code a dot would be confusing
        lines = [f"{self.name} is not like {self.like} yet: it {self.problem}{end}", ""]
        lines.append(f"The smallest failing case that was found ({self.tried} were tried):")
        lines += [_named(name, value) for name, value in self.case.items()]
        lines += self._results()
        if self.hint:
            lines += ["", f"Hint: {self.hint}"]
        if self.callable:
            lines += ["", f"Try it yourself: {self.name}(**report.case)"]
        return "\n".join(lines)

    def _results(self):
        """What was expected and what came; of several outputs, those that differ."""
        failed = isinstance(self.got, BaseException)
        if len(self.outputs) == 1:
            return [_named("expected", self.expected)] + [_named("got", self.got)] * (not failed)
        expected = [_named(f"expected {n}", e) for n, e in zip(self.outputs, self.expected)]
        if failed:
            return expected
        if not isinstance(self.got, (tuple, list)) or len(self.got) != len(self.outputs):
            return [*expected, _named("got", self.got)]
        results = list(zip(self.outputs, self.expected, self.got))
        differ = [r for r in results if not isinstance(r[2], np.ndarray) or not equal(r[2], r[1])]
        return [
            _named(f"{label} {name}", value)
            for name, *values in differ or results
            for label, value in zip(("expected", "got"), values)
        ]


def _named(name, value):
    """`name = value` on a line, or an array's shape and below it its numbers."""
    if not isinstance(value, np.ndarray) or value.ndim == 0:
        shown = f"{value}" if isinstance(value, (np.ndarray, np.generic)) else repr(value)
        return f"  {name} = {shown}"
    order = "" if value.flags.c_contiguous else ", not contiguous in memory"
    numbers = np.array2string(value, threshold=60, edgeitems=2, precision=6, suppress_small=True)
    body = "\n".join(f"      {line}" for line in numbers.splitlines() if line.strip())
    return f"  {name}, shape {value.shape}{order}:\n{body}"
