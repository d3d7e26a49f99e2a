"""The steps of a recorded pass: a list with a place in it."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Sequence

from minicnn.stepper.step import Step


class Steps(Sequence):
    """The steps of a recorded pass; made by `minicnn.record()`.

    A sequence (`len(steps)`, `steps[0]`, `for step in steps`) with a place in it: `next`, `back`
    and `goto` move it and return the step that is then current.

    Attributes
    ----------
    current : Step or None
        None before the first `next`.
    budget : float
        Bytes that the recording could keep.
    """

    def __init__(self, budget: float = float("inf")):
        self._steps, self._twins, self._place = [], {}, -1
        self.budget = budget

    def _append(self, step):
        self._steps.append(step)
        step.number, step._list = len(self._steps), self._steps
        if step.direction == "forward" and not step.layer:
            step._twins = self._twins.setdefault(step.operation, [])
            step._twins.append(step)

    def __len__(self):
        return len(self._steps)

    def __getitem__(self, k):
        return self._steps[k]

    @property
    def current(self) -> Step | None:
        return self._steps[self._place] if self._place >= 0 else None

    def forward(self) -> list[Step]:
        """The forward steps."""
        return [step for step in self if step.direction == "forward"]

    # -- walking ------------------------------------------------------------
    def next(self) -> Step:
        """Go one step on."""
        self._check_any("next")
        if self._place + 1 == len(self):
            backward = self._steps[-1].direction == "backward"
            hint = "" if backward else " (backward did not run inside the with block)"
            raise IndexError(
                f"next: step {len(self)} is the last one{hint}; go back with steps.back() or "
                "steps.goto(1)"
            )
        self._place += 1
        return self.current

    def back(self) -> Step:
        """Go one step back."""
        self._check_any("back")
        if self._place <= 0:
            raise IndexError("back: there is nothing before step 1; go on with steps.next()")
        self._place -= 1
        return self.current

    def goto(self, where: int | str, direction: str = "forward") -> Step:
        """Go to a step.

        Parameters
        ----------
        where : int or str
            The step's number as shown, from 1; or a layer's name or another label, "conv1".
        direction : "forward" or "backward"
            Which of the two steps of that name.

        Raises
        ------
        IndexError
            If there is no step of that number.
        ValueError
            If there is no step of that name; the message names those there are.
        """
        self._check_any("goto")
        if isinstance(where, str):
            self._place = self._find(where, direction).number - 1
            return self.current
        if isinstance(where, bool) or not hasattr(where, "__index__"):
            raise TypeError(f"goto: expects a step's number or a name, but got {where!r}")
        if not 1 <= where <= len(self):
            raise IndexError(f"goto: there is no step {where}; they run from 1 to {len(self)}")
        self._place = operator.index(where) - 1
        return self.current

    def _find(self, name, direction):
        if direction not in ("forward", "backward"):
            raise ValueError(f"goto: expects 'forward' or 'backward', but got {direction!r}")
        there = [step for step in self if step.direction == direction]
        for matches in (
            lambda step: step.label == name,
            lambda step: step.layer.startswith(f"{name}."),
        ):
            if found := next(filter(matches, there), None):
                return found
        labels = list(dict.fromkeys(step.label for step in there))
        near = difflib.get_close_matches(name, labels, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(
            f"goto: there is no {direction} step named {name!r}; {hint}"
            f"names: {', '.join(labels) or 'none'}"
        )

    def into(self, *index: int, of: str | None = None):
        """Open one number of the current step: see `Step.into`."""
        self._check_any("into")
        if self.current is None:
            raise RuntimeError("into: no step is current yet; call steps.next() or goto first")
        return self.current.into(*index, of=of)

    # -- as a page ----------------------------------------------------------
    def to_html(self, path, title: str = "Recorded steps", threads: bool = False):
        """Write one HTML file to walk through these steps in a browser; it needs no network.

        Over 9 MB of numbers (a net such as ResNet-50) the largest arrays become thumbnails: at most
        16 maps of 8 bits each, with their range. Of every operation they belong to, three elements
        of the output and of each gradient keep all numbers they were computed from.

        Parameters
        ----------
        path : path
            Of the file; an older one is replaced.
        title : str
            What the page is about.
        threads : bool
            Whether to add what the CUDA kernels' threads do, from the emulator (needs a C++
            compiler; some seconds for each kernel that is compiled for the first time).

        Returns
        -------
        Path

        Raises
        ------
        RuntimeError
            If nothing was recorded, or what was recorded has been changed in place since.
        """
        from minicnn.stepper import page

        self._check_page("to_html")
        return page.save(page.page(self, title, threads=threads), path)

    def show(self, title: str = "Recorded steps", height: int = 860):
        """The same page inside a Jupyter notebook, in a frame `height` pixels high.

        To be the last line of a cell. Raises RuntimeError as `to_html` does.
        """
        from minicnn.stepper import page

        self._check_page("show")
        return page.Frame(page.page(self, title), height)

    def _check_page(self, name):
        self._check_any(name)
        if not self.forward():
            raise RuntimeError(
                f"{name}: only backward steps were recorded, so there are no values to show; put "
                "the forward pass into the with block, too"
            )

    def _check_any(self, name):
        if not self._steps:
            raise RuntimeError(
                f"{name}: nothing was recorded, because no operation ran inside the with block; "
                "put the forward pass (and loss.backward()) into it"
            )

    def __repr__(self):
        from minicnn.stepper.cards import overview

        return overview(self)

    def _repr_html_(self):
        from minicnn.stepper.html import overview

        return overview(self)
