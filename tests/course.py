"""How the files of course facts register their cases."""

from __future__ import annotations


def registrar(cases):
    """A decorator that puts cases into a dict: number -> (function, expected)."""

    def fact(number, *values):
        """Register a case: the function's result, for each of `values`' keys, is the value.

        `values` are (name, expected) pairs, or one expected value for the whole.
        """

        def register(function):
            if len(values) == 1 and not isinstance(values[0], tuple):
                cases[number] = (function, values[0])
            else:
                for name, expected in values:
                    cases[f"{number}-{name}"] = (lambda name=name: function(name), expected)
            return function

        return register

    return fact
