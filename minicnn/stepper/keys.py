"""Keys and answers: single keys from a terminal, words from a pipe."""

from __future__ import annotations

import codecs
import os
import sys
from contextlib import contextmanager

NAMES = {
    "\n": "enter", "\r": "enter", "\x1b": "escape", "\x04": None,
    "\x1b[C": "right", "\x1b[D": "left", "\x1bOC": "right", "\x1bOD": "left",
}  # fmt: skip
PAUSE = 0.05  # seconds to wait for the rest of an arrow key; Esc alone has no rest


@contextmanager
def reader(read=None):
    """`read` itself, or one for stdin: by key if it is a terminal, else by line.

    In the block a terminal gives its keys at once and unechoed; afterwards it is as it was.
    """
    if read is not None:
        yield read
        return
    try:
        import termios
        import tty
    except ImportError:  # not a Unix: Enter after each key
        yield Words(sys.stdin, prompt=sys.stdin.isatty())
        return
    if not sys.stdin.isatty():
        yield Words(sys.stdin)
        return
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd, termios.TCSADRAIN)  # what was typed ahead stays
        yield Keys(fd)
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


class Keys:
    """Single keys of a terminal that is in cbreak mode."""

    def __init__(self, fd):
        self.fd = fd
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def __call__(self, question=None):
        """The next key by name, or the answer to a question; None at the end."""
        if question is not None:
            return self.line(question)
        key = self.character()
        if key == "\x1b":
            key = self.sequence()
        return NAMES.get(key, key)

    def character(self):
        """The next character; None at the end."""
        while True:
            byte = os.read(self.fd, 1)
            if not byte:
                return None
            if text := self.decoder.decode(byte):
                return text

    def sequence(self):
        """The rest of what began with Esc: an arrow key, or nothing."""
        from select import select

        key = "\x1b"
        while select([self.fd], [], [], PAUSE)[0]:
            key += self.character() or ""
            if len(key) > 2 and (key[-1].isalpha() or key[-1] == "~"):
                break
        return key

    def line(self, question):
        """Ask, and read a line with echo; Backspace works, Esc gives up (an empty answer)."""
        self.echo(question)
        text = ""
        while (key := self.character()) not in ("\n", "\r", "\x04", None):
            if key == "\x1b":
                self.sequence()
                text = ""
                break
            if key in "\x7f\b":
                self.echo("\b \b" * bool(text))
                text = text[:-1]
            elif key.isprintable():
                self.echo(key)
                text += key
        self.echo("\n")
        return text

    @staticmethod
    def echo(text):
        sys.stdout.write(text)
        sys.stdout.flush()


class Words:
    """Words of a text stream, so that `echo n n q | ...` works.

    The answer to a question follows on the same line: a name or a number, and the numbers behind it
    (`i 0 3 5 5 n`). If nothing is left of this line, it is the next line.
    """

    def __init__(self, stream, prompt=False):
        self.stream, self.prompt = stream, prompt
        self.words = []

    def __call__(self, question=None):
        """The next word ("enter" for an empty line), or the answer to a question."""
        if question is not None:
            return self.answer(question)
        if not self.words:
            self.ask("> ")
            line = self.stream.readline()
            if not line:
                return None
            self.words = line.split() or ["enter"]
        return self.words.pop(0)

    def answer(self, question):
        if not self.words:
            self.ask(question)
            return self.stream.readline().strip()
        first, *rest = self.words
        if len(first) == 1 and not first.isdigit() and not (rest and _is_number(rest[0])):
            return ""  # a key, so nothing was answered
        count = 1
        while count < len(self.words) and _is_number(self.words[count]):
            count += 1
        answer, self.words = self.words[:count], self.words[count:]
        return " ".join(answer)

    def ask(self, text):
        if self.prompt:
            print(text, end="", flush=True)


def _is_number(word):
    return word.strip(",").lstrip("-").isdigit()
