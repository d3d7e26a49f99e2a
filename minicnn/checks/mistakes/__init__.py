"""Known mistakes: sentences, and the results that each of them gives.

A mistake is a pair (sentence, function). The function gets the reference's `run`, the arguments by
letters (defaults filled in) and the right outputs, and returns the wrong outputs: a tuple, with
None for an output that the mistake says nothing about. Where it raises, it does not apply.
"""

from __future__ import annotations

from minicnn.checks.mistakes import (
    conv,
    course,
    course_nets,
    loss,
    machine,
    pooling,
    rows,
    shared,
)

TABLES = {
    **conv.TABLES, **course.TABLES, **course_nets.TABLES, **loss.TABLES, **machine.TABLES,
    **pooling.TABLES,
    **rows.TABLES,
}  # fmt: skip


def mistakes_of(reference):
    """The mistakes to try, the special before the general ones."""
    own = TABLES.get(reference.name, ())
    return [*own, *shared.settings(reference), *shared.results(reference)]
