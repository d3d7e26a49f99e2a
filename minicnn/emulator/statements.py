"""Which lines of a C++ source make one statement."""

from __future__ import annotations

import re

from .signature import blank_comments

_HEAD = re.compile(r"(?:\}\s*)?(?:if|else|for|while|do|switch)\b")
_LABEL = re.compile(r"(?:case\b.*|default\s*|\w+\s*):$")


class Statements:
    """The statements of a source text.

    `at(line)` is the statement that a line belongs to, as (first line, last line); `text(line)` is
    what it says.
    """

    def __init__(self, source: str):
        self._lines = source.split("\n")
        self._places: list[tuple[int, int]] = [(0, 0)]
        first, depth, so_far = 1, 0, ""
        for number, line in enumerate(blank_comments(source).split("\n"), 1):
            so_far = f"{so_far} {line}".strip()
            depth += sum(line.count(mark) for mark in "([") - sum(line.count(m) for m in ")]")
            if depth <= 0 and _complete(so_far):
                self._places += [(first, number)] * (number + 1 - first)
                first, depth, so_far = number + 1, 0, ""
        self._places += [(first, len(self._lines))] * (len(self._lines) + 1 - first)

    def at(self, line: int) -> tuple[int, int]:
        return self._places[line] if line < len(self._places) else (line, line)

    def letter(self, line: int, column: int) -> str:
        """The letter at a place, both counted from 1; "" if there is none."""
        return self._lines[line - 1][column - 1 : column] if line <= len(self._lines) else ""

    def text(self, line: int) -> str:
        first, last = self.at(line)
        return "\n".join(self._lines[first - 1 : last])


def _complete(text: str) -> bool:
    """Whether a statement, or the head of an `if` or a loop, ends with this text."""
    if not text or text.startswith("#"):
        return not text.endswith("\\")
    head = _HEAD.match(text) and text.endswith((")", "else", "do"))
    return text[-1] in ";{}" or bool(head or _LABEL.fullmatch(text))
