"""One step of a recorded pass: an operation, or its gradient."""

from __future__ import annotations

import inspect
import re
from functools import cache, cached_property
from types import SimpleNamespace

import numpy as np

from minicnn.analysis.cost import macs
from minicnn.stepper.elementwise import before_activation
from minicnn.stepper.formula import formula
from minicnn.stepper.keep import on_cpu
from minicnn.stepper.refusals import check_index, no_gradient, not_kept
from minicnn.tensor import Function

_LONG_NAMES = {"x": "input", "w": "weight", "b": "bias", "t": "target", "add": "shortcut"}


# ---------------------------------------------------------------------------
# One step
# ---------------------------------------------------------------------------
class Step:
    """One operation of a recorded pass, or its gradient.

    Attributes
    ----------
    number : int
        Counted from 1, as shown; `steps[number - 1]` is this step.
    direction : str
        "forward" or "backward".
    operation : str
        Name of the operation, "Conv2d".
    layer : str
        Dotted name of the module it ran in, "conv1"; "" if that is the outermost one, or none.
    label : str
        What to call it: the layer, else the operation ("relu2" is the second such).
    formula : str
        What was computed, with the actual sizes.
    settings : dict
        Stride, padding and so on.
    inputs : dict of str to array (None for one left out)
        By the letters of the formula: "x", "w", "b". An array that the budget of the recording had
        no room for is a `Sample` here and below: see `minicnn.record`.
    output : array
    dy : array or None
        Backward: gradient of the loss with respect to the output.
    grads : dict of str to array, or None where no gradient was wanted
        Backward: gradients with respect to the inputs.
    seconds : float
        From the step (or the module's call) before to the end of this one.
    site, run_by : Site
        The line that ran the operation; in backward, also the line that ran `backward`.
    backend : str
    partner : Step or None
        The same operation in the other direction.
    whole : bool
        Whether all its arrays were kept whole.
    lenses : dict of str to dict of tuple to Lens, or None
        If not: the elements that can still be stepped into, by letter and index.
    """

    lenses = None

    def __init__(
        self, direction, op, held, held_output, layer, site, run_by=None, dy=None, grads=(),
        seconds=0.0,
    ):  # fmt: skip
        self.direction, self.op, self.layer = direction, op, layer
        self.held, self.held_output = held, held_output
        self.site, self.run_by, self.seconds = site, run_by, seconds
        self._dy, self._grads = dy, grads  # as they are kept: see `keep`
        self.operation, self.backend = op.name, op.backend
        self.letters = _letters(type(op), len(op.shapes))
        self.partner = None
        self.number, self._list, self._twins = 0, (), []  # set when it joins a list

    # -- what it is ---------------------------------------------------------
    @property
    def label(self) -> str:
        if self.direction == "backward" and self.partner:
            return self.partner.label
        if self.layer or len(self._twins) < 2:
            return self.layer or snake(self.operation)
        return f"{snake(self.operation)}{self._twins.index(self) + 1}"

    @property
    def title(self) -> str:
        """"conv1: Conv2d, forward"."""
        same = self.label.rstrip("0123456789") == snake(self.operation).rstrip("0123456789")
        return f"{self.label}{'' if same else ': ' + self.operation}, {self.direction}"

    @property
    def ours(self) -> bool:
        """Whether the operation is minicnn's: a student's own of the same name may be anything."""
        return any(
            cls.__name__ == self.operation and cls.__module__.startswith("minicnn.ops.")
            for cls in type(self.op).__mro__
        )

    @property
    def formula(self) -> str:
        return formula(self)

    @property
    def settings(self) -> dict:
        return self.op.settings

    @property
    def activation(self) -> str | None:
        """The activation that a fused operation ends in, "relu"."""
        return getattr(self.op, "activation", None) if self.ours else None

    @property
    def z_name(self) -> str:
        """What the formula calls the sum: "z", or "y" if no activation follows."""
        return "y" if self.activation is None else "z"

    # -- what it costs ------------------------------------------------------
    @property
    def macs(self) -> int:
        """Multiplications of the forward pass; see `minicnn.analysis.cost`."""
        shape = self.held_output.array.shape if self.held_output else ()
        return macs(SimpleNamespace(op=self.op, name=self.operation, shape=shape))

    @property
    def memory(self) -> int:
        """Bytes of the output (backward: of the gradients), if it is no view of an input."""
        if self.direction == "backward":
            return sum(g.array.nbytes for g in self._grads if g is not None)
        return 0 if self.op.may_alias or self.held_output is None else self.held_output.array.nbytes

    # -- its arrays ---------------------------------------------------------
    @cached_property
    def z(self) -> np.ndarray:
        """What the activation was given, computed again: nothing stored it. Without one, y."""
        output = self.output  # an error, where the inputs are not there any more
        if self.activation is None:
            return output
        return on_cpu(self.op.preactivation(*[h and h.array for h in self.held]))

    @cached_property
    def dz(self) -> np.ndarray:
        """Backward: the gradient before the activation, computed again. Without one, dy."""
        if self.activation is None:
            return self.dy
        return before_activation(self.activation, self.dy, self.output, self.z)

    @property
    def inputs(self) -> dict:
        self._check_recorded()
        self._check_unchanged()
        return {k: h and on_cpu(h.array) for k, h in zip(self.letters, self.held)}

    @property
    def output(self) -> np.ndarray:
        self._check_recorded()
        self._check_unchanged()
        return on_cpu(self.held_output.array)

    def _array(self, letter) -> np.ndarray:
        """An input or the output ("y") as it is now, changed since or not."""
        held = self.held_output if letter == "y" else self.held[self.letters.index(letter)]
        return on_cpu(held.array)

    @property
    def total(self) -> int:
        """Number of steps in the recording."""
        return len(self._list)

    @property
    def dy(self):
        return self._dy and on_cpu(self._dy.array)

    @property
    def grads(self) -> dict:
        return {k: g and on_cpu(g.array) for k, g in zip(self.letters, self._grads)}

    @property
    def whole(self) -> bool:
        here = [self._dy, *self._grads]
        if self.held is not None:
            here += [h.kept for h in (*self.held, self.held_output) if h is not None]
        return all(kept is None or kept.whole for kept in here)

    def kept_by_letter(self) -> dict:
        """What is kept of y (backward: of dy), and of each input (backward: of its gradient)."""
        if self.direction == "backward":
            return {"y": self._dy, **dict(zip(self.letters, self._grads))}
        held = dict(zip(self.letters, self.held))
        return {"y": self.held_output.kept, **{k: h and h.kept for k, h in held.items()}}

    @property
    def changed(self) -> list[str]:
        """Letters of the arrays that were changed in place since they were recorded."""
        if self.held is None:
            return []
        held = dict(zip((*self.letters, "y"), (*self.held, self.held_output)))
        return [letter for letter, h in held.items() if h is not None and h.changed]

    def _check_recorded(self):
        if self.held is None:
            raise RuntimeError(
                f"step {self.number}: {self.operation} itself ran before the recording, so its "
                "inputs were not kept; put the forward pass inside record() too"
            )

    def _check_unchanged(self):
        if letters := self.changed:
            names = " and ".join(f"{k} ({self.long_name(k)})" for k in letters)
            raise RuntimeError(
                f"step {self.number}: {names} of {self.title} was changed in place after it was "
                "recorded, so the numbers no longer belong together; record again"
            )

    # -- into one number ----------------------------------------------------
    def long_name(self, letter: str) -> str:
        """"weight" for "w", where the operation has weights."""
        if letter == "y":
            return "output"
        return _LONG_NAMES.get(letter, letter) if "x" in self.letters else letter

    def target(self, of: str | None = None) -> tuple[str, np.ndarray]:
        """The array `into` looks into: its letter ("y", "x", "w", ...) and its values.

        Parameters
        ----------
        of : str, optional
            Forward: only "output". Backward: whose gradient, "input", "weight", "bias" or the
            formula's letter; the first input's if left out.
        """
        known = ["y"] if self.direction == "forward" else list(self.letters)
        names = {name: k for k in known for name in (k, self.long_name(k))}
        letter = known[0] if of is None else names.get(of)
        if letter is None:
            choices = ", ".join(repr(self.long_name(k)) for k in known)
            raise ValueError(
                f"into: of expects one of {choices} in {self.title}, but got {of!r}"
            )
        if letter == "y":
            return letter, self.output
        self._check_recorded()
        dx = self.grads[letter]
        if dx is None:
            raise ValueError(no_gradient(self, letter))
        return letter, dx

    def into(self, *index: int, of: str | None = None):
        """Open one number of this step: what it was computed from, term by term.

        Parameters
        ----------
        *index : int
            As many as the array has dimensions; negative ones count from the end.
        of : str, optional
            In backward, whose gradient: "input" (the default), "weight", "bias".

        Returns
        -------
        Lens

        Raises
        ------
        ValueError, IndexError, TypeError
            If there is no such array or element, or the operation has no lens.
        RuntimeError
            If what was recorded has been changed since, or was not kept.
        """
        from minicnn.stepper.lenses import open_lens

        letter, array = self.target(of)
        name = letter if letter == "y" else f"d{letter}"
        self._check_unchanged()
        index = check_index(name, array, index)
        if self.lenses is None or letter not in self.lenses:  # or there is no lens at all
            return open_lens(self, letter, index)
        found = self.lenses[letter]
        if index not in found:
            raise RuntimeError(not_kept(self, name, index, found))
        return found[index].open()

    def largest(self, of: str | None = None) -> tuple[int, ...]:
        """Where the number of largest magnitude is, in the array `into` looks into."""
        letter, array = self.target(of)
        if found := (self.lenses or {}).get(letter):
            return next(iter(found))  # of those that can be opened
        array = np.abs(array)
        return tuple(int(k) for k in np.unravel_index(np.nan_to_num(array).argmax(), array.shape))

    def __repr__(self):
        from minicnn.stepper.cards import card

        return card(self)

    def _repr_html_(self):
        from minicnn.stepper.html import card

        return card(self)


@cache
def _letters(drawing: type, count: int) -> tuple[str, ...]:
    """The names of an operation's inputs, as its readable `forward` calls them."""
    for cls in reversed(drawing.__mro__):
        if issubclass(cls, Function) and cls is not Function and "forward" in vars(cls):
            names = tuple(inspect.signature(cls.forward).parameters)[1:]
            if len(names) == count:
                return names
    return tuple(f"x{k}" for k in range(count))


def snake(name: str) -> str:
    """"max_pool2d" for "MaxPool2d", and "relu" for "ReLU"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", name).lower()
