"""Walk one CUDA thread with single keys, in a terminal or from a pipe."""

from __future__ import annotations

import os
import sys

from minicnn.emulator.values import text_of
from minicnn.emulator.view import card, heading
from minicnn.stepper.keys import reader
from minicnn.stepper.terminal import print_text
from minicnn.stepper.text import Paint

HELP = """\
  n  right    next line, into functions       u          on until a line: asks for its number
  b  left     back one line                   g          go to a step: asks for its number
  v           over: next line of this one     w          the values a variable took: asks for it
  o  Esc      out of this function            l          list all steps
  a           the arrays                      q          quit
"""
BRIEF = "n next  b back  v over  o out  u until  g go to  w values  l list  ? help  q quit"


def walk_kernel(walk, read=None, write=None) -> None:
    """Walk a thread's steps, key by key, until q or the end of the input.

    Where stdin is no terminal and has no keys in it, all steps are printed.

    Parameters
    ----------
    walk : minicnn.emulator.Walk
    read, write : function, optional
        As for `minicnn.stepper.terminal.walk`.
    """
    colour = write is None and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    with reader(read) as keys:
        KernelWalker(walk, keys, write or print_text, Paint(colour)).run()


class KernelWalker:
    """The walk, and what the keys do."""

    def __init__(self, walk, read, write, paint):
        self.walk, self.read, self.write, self.paint = walk, read, write, paint
        self.keys = {
            "n": walk.next, "right": walk.next, "enter": walk.next, "i": walk.next,
            "b": walk.back, "left": walk.back, "v": walk.over, "o": walk.out, "escape": walk.out,
            "u": self.until, "g": self.go,
        }  # fmt: skip
        self.tellers = {
            "w": self.values, "l": self.list, "a": self.arrays, "?": self.help, "h": self.help,
        }  # fmt: skip

    def run(self):
        """Shows the first step, then obeys keys."""
        self.write(f"{len(self.walk)} steps recorded.  {BRIEF}\n")
        try:
            if not len(self.walk):
                self.show()
                return
            key = self.read()
            if key is None:
                self.list()
                return
            self.show()
            while key not in (None, "q"):
                self.obey(key)
                key = self.read()
        except (KeyboardInterrupt, EOFError):
            self.write("")

    def obey(self, key):
        """One key: a move, or something to tell."""
        if key in self.tellers:
            self.tellers[key]()
        elif key not in self.keys:
            self.write(f"{key!r} is no key here; ? shows the keys")
        else:
            before = self.walk.current
            try:
                self.keys[key]()
            except (IndexError, ValueError) as error:
                self.write(str(error))
                return
            if self.walk.current is not before:
                self.show()

    def show(self):
        line = self.paint("dim", "\u2500" * 96)
        self.write(f"{line}\n{card(self.walk, self.paint)}\n")

    # -- moving -------------------------------------------------------------
    def until(self):
        if (line := self.number("on until line: ")) is not None:
            self.walk.until(line)

    def go(self):
        if (number := self.number("go to step: ")) is not None:
            self.walk.goto(number)

    def number(self, question):
        """An answer that is a whole number; None if nothing was answered."""
        answer = (self.read(question) or "").strip()
        if answer and not answer.isdigit():
            raise ValueError(f"a whole number is needed here, but got {answer!r}")
        return int(answer) if answer else None

    # -- telling ------------------------------------------------------------
    def values(self):
        name = (self.read("variable: ") or "").strip()
        step = self.walk.current
        try:
            values = self.walk.history(name, step.function if step.depth else None)
        except KeyError as error:
            self.write(error.args[0].removeprefix("history: "))
            return
        self.write(f"{name}: {', '.join(map(text_of, values))}")

    def list(self):
        self.write(listing(self.walk))

    def arrays(self):
        for array in self.walk.arrays:
            self.write(f"{array.name}: {array.dtype} {array.shape}, {array.memory} memory")

    def help(self):
        self.write(HELP)


def listing(walk) -> str:
    """All steps, one a line: number, line, source, and what it changed, read and wrote."""
    lines = [heading(walk)]
    for step in walk:
        effects = [f"{name} = {text_of(value)}" for name, _, value in step.differences()]
        effects += [f"reads {access}" for access in step.reads]
        effects += [f"writes {access}" for access in step.writes]
        effects += [f"waits at {what}" for what in step.waits]
        source = "  " * step.depth + " ".join(step.source.split())
        lines.append(
            f"{step.number:5d}  {step.line:4d}  {source:<60}  {', '.join(effects)}".rstrip()
        )
    return "\n".join([*lines, *([f"the walk ends here: {walk.stopped}"] if walk.stopped else [])])
