"""The source text of operations, as the page's Code tab shows it: loops, numpy, cuda."""

from __future__ import annotations

import inspect
import textwrap
from functools import cache

from minicnn.backends import loops


def sources(steps) -> dict:
    """For each operation that ran, by name: its drawings, and where each of them stands.

    Returns
    -------
    dict
        operation -> {"loops": {...}, "numpy": {...}} with "file", "line" (of the class), "text".
    """
    return {
        step.operation: drawings(type(step.op), step.operation, step.ours)
        for step in steps
        if step.direction == "forward"
    }


@cache
def drawings(cls, name, ours) -> dict:
    """The source of an operation's class, and of its nested loops where there are some."""
    textbook = next(c for c in reversed(cls.__mro__) if c.__name__ == name)
    classes = {"loops": loops.OPERATIONS.get(name) if ours else None, "numpy": textbook}
    found = {key: source(drawn) for key, drawn in classes.items() if drawn}
    return {key: text for key, text in found.items() if text}


def source(cls) -> dict | None:
    """Where an operation is written down, and its text; None if that cannot be read."""
    cls = next(c for c in cls.__mro__ if "forward" in vars(c))  # it may be its parent's
    try:
        lines, first = inspect.getsourcelines(cls)
    except (OSError, TypeError):  # made in an interpreter: there is no file
        return None
    folder, package, inside = inspect.getsourcefile(cls).replace("\\", "/").rpartition("/minicnn/")
    return {
        "file": f"minicnn/{inside}" if package else inside.rpartition("/")[2],
        "line": first,
        "text": textwrap.dedent("".join(lines)),
    }
