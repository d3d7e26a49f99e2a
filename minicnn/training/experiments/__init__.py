"""What the course claims about training, each claim as one command on real data.

    minicnn experiment                  what there is
    minicnn experiment flowers          run it; again after Ctrl-C, and it goes on

An experiment is a list of named runs, each with its seeds, and a function from their results to
claims. `experiment.py` says what one is, `work.py` what a run has at hand, `running.py` runs them,
`results.py` keeps what came out; the other files hold the experiments. `results/` holds what
came out where we ran them: numbers (JSON), a table and a figure for each.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from minicnn.training.experiments.experiment import Claim, Experiment
from minicnn.training.experiments.results import Results, committed

FILES = (
    "recipes", "first_nets", "fashion", "flowers", "search", "few", "cifar", "degradation",
)  # fmt: skip

__all__ = ["Claim", "Experiment", "Results", "committed", "load", "names"]


@cache
def _experiments() -> dict[str, Experiment]:
    modules = [import_module(f"{__name__}.{file}") for file in FILES]
    return {e.name: e for module in modules for e in module.EXPERIMENTS}


def names() -> list[str]:
    """The names of all experiments."""
    return list(_experiments())


def load(name: str) -> Experiment:
    """An experiment by name; KeyError if there is none."""
    return _experiments()[name]
