"""A student's function: what it should be like, and how to call it."""

from __future__ import annotations

import inspect

import numpy as np

from minicnn.checks import sandbox
from minicnn.checks.kernels import KernelFunction
from minicnn.checks.references import ALIASES, NAMES, REQUIRED, reference, stand_in


class Student:
    """The function to check, the reference it should be like, and how their arguments match."""

    def __init__(self, function, like=None):
        if isinstance(function, str):
            function = KernelFunction(function, like)
        if not callable(function):
            raise TypeError(f"check: expects a function, but got {function!r}")
        self.function, self.name = function, getattr(function, "__name__", type(function).__name__)
        self.reference = getattr(function, "reference", None) or self._reference(like)
        self.parameters = self._match()

    def _reference(self, like):
        """The reference of that name, or of the function's own."""
        like = self.name.removeprefix("my_") if like is None else like
        if like not in NAMES:
            raise ValueError(
                f"check: like expects one of {', '.join(sorted(NAMES))}, but got {like!r}; "
                "say which is meant, as in check(my_function, like='conv2d')"
            )
        return reference(like)

    def _match(self):
        """{letter: parameter} for the function's arguments; an error if they cannot be filled."""
        ref, letters = self.reference, {}
        known = f"{ref.name}({', '.join(ref.parameters)})"
        for name, parameter in inspect.signature(self.function).parameters.items():
            candidates = (name, *ALIASES.get(name, ()))
            letter = next((c for c in candidates if c in ref.parameters), None)
            if letter is None or letter in letters or parameter.kind in (
                parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD
            ):  # fmt: skip
                raise ValueError(
                    f"check: {self.name} takes an argument {str(parameter)!r}, but the arguments "
                    f"are those of {known}; rename it, or leave it out"
                )
            letters[letter] = parameter
        missing = [n for n, d in ref.parameters.items() if d is REQUIRED and n not in letters]
        if missing:
            raise ValueError(
                f"check: {self.name} takes no argument {' and no '.join(missing)}, but the "
                f"arguments are those of {known}"
            )
        return letters

    def fill(self, args):
        """`args` without None where the function's own default is not None."""
        return {
            letter: stand_in(letter, args)
            if value is None and self.parameters[letter].default is not None
            else value
            for letter, value in args.items()
        }

    def named(self, args):
        """The arguments by the function's own names, in its own order."""
        return {p.name: args[n] for n, p in self.parameters.items() if n in args}

    def call(self, args, time_limit):
        """(outcome, names of changed arguments); `args` themselves stay as they are."""
        positional, keywords = [], {}
        for letter, parameter in self.parameters.items():
            if letter not in args:  # never drawn: the function's own default holds
                continue
            if parameter.kind is parameter.POSITIONAL_ONLY:
                positional.append(args[letter])
            else:
                keywords[parameter.name] = args[letter]
        arrays = {n: a for n, a in args.items() if isinstance(a, np.ndarray)}
        before = {n: a.copy() for n, a in arrays.items()}
        outcome = sandbox.call(self.function, positional, keywords, time_limit)
        outcome.value = _copied(outcome.value)
        changed = []
        for letter, array in arrays.items():
            if not np.array_equal(array, before[letter], equal_nan=array.dtype.kind == "f"):
                array[...] = before[letter]
                changed.append(self.parameters[letter].name)
        return outcome, changed


def _copied(value):
    """The value with its arrays copied: they may share memory with the arguments."""
    if isinstance(value, np.ndarray):
        return value.copy()
    return type(value)(map(_copied, value)) if type(value) in (tuple, list) else value
