"""Is what a student's function did right? If not: what kind of mistake, in plain words."""

from __future__ import annotations

import linecache
import os
import traceback
from dataclasses import dataclass
from pathlib import Path

import numpy as np

TOLERANCE = 1e-8
PACKAGE = str(Path(__file__).parent.parent) + os.sep  # minicnn itself, called by the student


@dataclass
class Problem:
    """A mistake: its kind (for the hints), and a sentence about it that continues "my_relu ..."."""

    kind: str
    text: str
    remedy: str = ""


class RejectedError(Exception):
    """Raised in place of a result by what finds a mistake itself; `problem` is that mistake."""

    def __init__(self, problem):
        super().__init__(problem.text)
        self.problem = problem


def as_outputs(value, count):
    """What a function returned, as a tuple of its outputs."""
    if count > 1 and isinstance(value, (tuple, list)):
        return tuple(value)
    return (value,)


def judge(reference, expected, outcome, changed, time_limit) -> Problem | None:
    """The first thing that is wrong with an outcome, or None.

    Parameters
    ----------
    expected : tuple of arrays
    outcome : Outcome
    changed : list of str
        The arguments that the function changed.
    """
    names = reference.outputs
    if outcome.late:
        still = "; it could not be stopped and still runs" if outcome.stuck else ""
        return Problem(
            "late", f"did not finish within {time_limit:g} seconds{still}",
            "Is there a loop that never ends? In a `while` loop something must change each time",
        )  # fmt: skip
    if isinstance(outcome.error, RejectedError):
        return outcome.error.problem
    if outcome.error is not None:
        blank = isinstance(outcome.error, NotImplementedError)
        remedy = "Your own code takes the place of this line" if blank else ""
        return Problem("raised", _raised(outcome.error), remedy)
    if outcome.value is None:
        return Problem("none", "returned None", f"End it with `return {', '.join(names)}`")
    got = as_outputs(outcome.value, len(names))
    if len(got) != len(names):
        return Problem(
            "count", f"returned {len(got)} outputs instead of {len(names)}: ({', '.join(names)})",
            f"End it with `return {', '.join(names)}`",
        )  # fmt: skip
    for name, g, e in zip(names, got, expected):
        if (problem := _judge_array(name, g, e)) is not None:
            return problem
    if changed:
        return Problem(
            "changed", f"changed its argument {' and '.join(changed)}, which belongs to the caller",
            f"Work on a copy: {changed[0]} = {changed[0]}.copy()",
        )  # fmt: skip
    for name, g, e in zip(names, got, expected):
        if not equal(g, e):
            what = "" if name == "y" else f" in {name}"
            bad = _unexpected(np.asarray(g), e)
            return Problem("values", f"returned {bad or 'wrong values'}{what}")
    return None


def equal(got, expected) -> bool:
    """Same shape, and same values but for rounding."""
    got = np.asarray(got)
    if got.shape != expected.shape:
        return False
    finite = expected[np.isfinite(expected)]
    scale = max(1.0, float(np.abs(finite).max())) if finite.size else 1.0
    return np.allclose(got, expected, rtol=0, atol=TOLERANCE * scale, equal_nan=True)


def _judge_array(name, got, expected):
    """What is wrong with an output's kind, shape or dtype."""
    called = "" if name == "y" else f" for {name}"
    number = isinstance(got, (int, float, np.generic)) and expected.ndim == 0
    if not isinstance(got, np.ndarray) and not number:
        if isinstance(got, (list, tuple)):
            remedy = "Turn it into an array with np.array(...)"
        elif hasattr(got, "numpy"):
            remedy = "Turn it into an array with .numpy()"
        else:
            remedy = f"It should be an array of shape {expected.shape}"
        text = f"returned a {type(got).__name__} instead of an array{called}"
        return Problem("kind", text, remedy)
    got = np.asarray(got)
    if got.shape != expected.shape:
        text = f"returned the shape {got.shape} instead of {expected.shape}{called}"
        return Problem("shape", text)
    if got.dtype != expected.dtype:
        remedy = "Make arrays with the dtype of the input: np.zeros(shape, x.dtype)"
        if expected.ndim == 0 and expected.dtype.kind == "i":
            remedy = "A whole number is wanted: divide with //, which rounds down"
        elif expected.dtype.kind == "i" and got.dtype.kind == "f":
            remedy = "Positions are wanted: np.argsort gives them, np.sort gives the sorted numbers"
        text = f"returned {got.dtype} instead of {expected.dtype}{called}"
        return Problem("dtype", text, remedy)
    return None


def _unexpected(got, expected):
    """NaN or infinity, if there is some where a number should be."""
    if (np.isnan(got) & ~np.isnan(expected)).any():
        return "NaN (not a number)"
    return "infinity" if (np.isinf(got) & np.isfinite(expected)).any() else None


def _raised(error):
    """An exception and the line of the student's that raised it."""
    text = f"raised {type(error).__name__}: {error}"
    frames = [f for f in traceback.extract_tb(error.__traceback__)[1:] if _is_theirs(f.filename)]
    if frames:
        line = linecache.getline(frames[-1].filename, frames[-1].lineno).strip()
        text += f"\n    in line {frames[-1].lineno}" + (f": {line}" if line else "")
    return text


def _is_theirs(filename):
    ours = "site-packages" in filename or filename.startswith(PACKAGE)
    return not ours and "<__array_function__" not in filename
