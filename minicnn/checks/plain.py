"""Functions of NumPy arrays and numbers, as what `check` compares with."""

from __future__ import annotations

import inspect

import numpy as np


class Plain:
    """A function of NumPy arrays and numbers, as a reference (see `references.Forward`)."""

    def __init__(self, function, draws, outputs=("y",)):
        self.name = self.base = function.__name__
        self.function, self.draws, self.outputs = function, draws, outputs
        signature = inspect.signature(function)
        self.parameters = {name: p.default for name, p in signature.parameters.items()}

    def run(self, args):
        """The outputs, a tuple of arrays."""
        value = self.function(**args)
        values = value if isinstance(value, tuple) else (value,)
        return tuple(np.array(v) for v in values)

    def draw(self, draw, taken):
        """Arguments drawn by hypothesis, those in `taken` and no others."""
        return {name: value for name, value in draw(self.draws()).items() if name in taken}

    def mend(self, args):
        """A standard deviation is above 0."""
        if (std := args.get("std")) is not None:
            std[...] = np.where(std == 0, 1, np.abs(std))
