"""A walk's current step as text: the source around it, the variables, what the line does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .values import text_of
from .walk import Step, Walk

WIDTH = 96
AROUND = 4  # lines of source shown above and below


def plain(style: str, text: str) -> str:
    """Paints nothing. Styles: "forward" the current line, "bold" what changes, "dim"."""
    return text


def card(walk: Walk, paint: Callable[[str, str], str] = plain) -> str:
    """The walk's current step: its place, the source, the variables, and what the line does.

    A variable that the line changes is marked by `*` and shown with both values.
    """
    if not len(walk):
        return f"{heading(walk)}\nno line was executed: {walk.stopped or 'the kernel is empty'}"
    step = walk.current
    parts = [heading(walk), paint("dim", place(walk, step)), source(walk, step, paint), ""]
    parts += variables(step, paint)
    parts += effects(step, paint)
    if walk.stopped and step.number == len(walk):
        parts.append(f"the walk ends here: {walk.stopped}")
    return "\n".join(parts)


def heading(walk: Walk) -> str:
    """Which thread of which launch."""
    block, thread = tuple(walk.block_index), tuple(walk.thread)
    return f"{walk.kernel}: blockIdx {block}, threadIdx {thread}"


def place(walk: Walk, step: Step) -> str:
    """The step's number, its line, and the calls that led there."""
    text = f"step {step.number} of {len(walk)}, line {step.line} of {Path(step.file).name}"
    for caller in callers(walk, step):
        text += f", in {step.function} called from line {caller.line}"
        step = caller
    return text


def callers(walk: Walk, step: Step) -> list[Step]:
    """The steps of the calls that are going on, the innermost first."""
    found = []
    for earlier in reversed(walk[: step.number - 1]):
        if earlier.depth < step.depth:
            found.append(earlier)
            step = earlier
    return found


def source(walk: Walk, step: Step, paint=plain) -> str:
    """The source around the step, its own lines marked by `>`."""
    lines = walk.sources[step.file].split("\n")
    first, last = max(1, step.line - AROUND), min(len(lines), step.last_line + AROUND)
    shown = []
    for number in range(first, last + 1):
        text = f"{number:5d}  {lines[number - 1]}".rstrip()
        inside = step.line <= number <= step.last_line
        shown.append(paint("forward", f">{text[1:]}") if inside else text)
    return "\n".join(shown)


def variables(step: Step, paint=plain) -> list[str]:
    """The variables, as many on a line as fit; `* rest = 100 -> 33` is about to change."""
    same = {k: v for k, v in step.locals.items() if k not in step.changes}
    cells = [("", f"  {name} = {text_of(value)}") for name, value in same.items()]
    cells += [("bold", f"* {k} = {text_of(a)} -> {text_of(b)}") for k, a, b in step.differences()]
    rows, used = [""], 0
    for style, cell in cells:
        cell = cell if len(cell) <= WIDTH else f"{cell[: WIDTH - 4]} ..."
        if used and used + len(cell) + 2 > WIDTH:
            rows.append("")
            used = 0
        rows[-1] += (paint(style, cell) if style else cell) + "  "
        used += len(cell) + 2
    return [row.rstrip() for row in rows if row]


def effects(step: Step, paint=plain) -> list[str]:
    """What the line reads, writes and waits for."""
    found = []
    for word, accesses in (("reads", step.reads), ("writes", step.writes)):
        shown = [str(access) for access in accesses[:6]]
        more = f", and {len(accesses) - 6} more" if len(accesses) > 6 else ""
        if shown:
            found.append(f"  {word} {', '.join(shown)}{more}")
    if step.waits:
        found.append(paint("dim", f"  waits for other threads at {', '.join(step.waits)}"))
    return found
