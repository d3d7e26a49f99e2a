"""What an experiment is: a question, runs that answer it, and what is claimed of their results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minicnn.training.experiments.results import Results
    from minicnn.training.experiments.work import Work


@dataclass(frozen=True)
class Claim:
    """A sentence about results, and whether they bear it out.

    Attributes
    ----------
    text : str
        In words, with the figures that decide.
    holds : bool
    """

    text: str
    holds: bool


@dataclass(frozen=True)
class Column:
    """A column of the table: a heading, the name of a measure, and how its numbers are shown."""

    heading: str
    measure: str
    form: str = "{:.2%}"


@dataclass(frozen=True)
class Experiment:
    """A question, and the runs that answer it.

    Attributes
    ----------
    name : str
        As in `minicnn experiment NAME`.
    title, question : str
    setup : str
        What all runs have in common: data, epochs, optimiser; what the table says below it.
    variants : dict of str to function
        Each takes a `Work`, and returns its measures by name: numbers, lists of numbers, texts. One
        that trains with `work.fit` gives its "history".
    seeds : sequence of int
        Every variant is run once with each.
    claims : function
        From `Results` to a list of `Claim`.
    columns : sequence of Column
        Of the table; a row is a variant, a number the mean over its seeds.
    draw : function
        `draw(results, figure)` draws into a matplotlib figure.
    costs : dict of str to float
        How long the variants take, in any unit, for the estimate of the time left; 1 if not given.
    size : (float, float)
        Of the figure, in inches.
    """

    name: str
    title: str
    question: str
    setup: str
    variants: dict[str, Callable[[Work], dict]]
    seeds: tuple[int, ...]
    claims: Callable[[Results], list[Claim]]
    columns: tuple[Column, ...]
    draw: Callable
    costs: dict[str, float] = field(default_factory=dict)
    size: tuple[float, float] = (9, 3.6)

    @property
    def runs(self) -> list[tuple[str, int]]:
        """(variant, seed) of all runs, seed by seed: what is interrupted has whole comparisons."""
        return [(variant, seed) for seed in self.seeds for variant in self.variants]

    def cost(self, variant: str) -> float:
        """How long a run takes, beside the others."""
        return self.costs.get(variant, 1.0)
