"""What commands share: a parser with errors of one line, and kinds of arguments."""

from __future__ import annotations

import argparse
import difflib
import sys


class Parser(argparse.ArgumentParser):
    """argparse, with every error in one line."""

    def error(self, message):
        self.exit(2, f"{self.prog}: {message} (try {self.prog} --help)\n")

    def fail(self, error, code: int = 2) -> int:
        """Say what went wrong on stderr, in one line; returns the exit code."""
        print(f"{self.prog}: {' '.join(str(error).split())}", file=sys.stderr)
        return code


def number(kind, rule, holds):
    """An argparse type: a number of this kind that keeps the rule."""

    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not holds(value):
            raise argparse.ArgumentTypeError(f"expects {rule}, but got {text!r}")
        return value

    return parse


def one_of(what, names):
    """An argparse type: one of the names; the error suggests the nearest."""

    def parse(text):
        if text not in names:
            near = difflib.get_close_matches(text, names, n=1)
            choice = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(names)}"
            raise argparse.ArgumentTypeError(f"there is no {what} {text!r}; {choice}")
        return text

    return parse


COUNT = number(int, "a whole number of 1 or more", lambda v: v >= 1)
INDEX = number(int, "a whole number of 0 or more", lambda v: v >= 0)


def image_shape(text: str) -> tuple[int, ...]:
    """An argparse type: "3x224x224" as (3, 224, 224)."""
    parts = text.lower().replace("×", "x").split("x")
    if not parts or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(
            f"expects channels, height and width, such as 3x224x224, but got {text!r}"
        )
    return tuple(map(int, parts))
