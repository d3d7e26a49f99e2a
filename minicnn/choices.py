"""The choices of piecewise operations in one pass, and how to make them again."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar

active_choices: ContextVar = ContextVar("minicnn_choices", default=None)


class Choices:
    """What the piecewise operations of one pass chose: which side of 0, which maximum.

    With its choices held fast a net is smooth, so that differences measure the very slope that
    `backward` computes, kink or no kink:

        choices = Choices()
        with choices.record():
            loss = f(x)
        with choices.replay():
            moved = f(x + eps * d)          # the same pieces, the same winners

    An operation is piecewise if it defines `choose(*arrays)`, which gives the choice, and
    `replay(choice, *arrays)`, which computes the output for a given choice.
    """

    def __init__(self):
        self.made = []  # (operation's name, choice), in the order of the pass
        self._left = None  # what a replay has still to use

    @contextmanager
    def record(self):
        """Note every choice made inside; a second recording starts afresh."""
        self.made.clear()
        with self._active():
            yield self

    @contextmanager
    def replay(self):
        """Make the recorded choices again inside. Raises RuntimeError if the pass is another."""
        self._left = list(reversed(self.made))
        try:
            with self._active():
                yield self
        finally:
            self._left = None

    @contextmanager
    def _active(self):
        token = active_choices.set(self)
        try:
            yield
        finally:
            active_choices.reset(token)

    def run(self, op, arrays):
        """The output of a piecewise operation, its choice noted or replayed."""
        if self._left is None:
            self.made.append((op.name, op.choose(*arrays)))
            return op.forward(*arrays)
        name, choice = self._left.pop() if self._left else (None, None)
        if name != op.name:
            raise RuntimeError(
                f"replay: the pass asks for a choice of {op.name}, but recorded was "
                f"{name or 'nothing more'}; replay the same function with inputs of the same shapes"
            )
        return op.replay(choice, *arrays)
