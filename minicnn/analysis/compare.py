"""Nets side by side: what each costs, and how well it was published to do.

Accuracies are published ones, each with its source, and say nothing about minicnn. What was
measured with minicnn is handed in by whoever measured it, and stands in a column of its own and, in
the chart, in another colour.
"""

from __future__ import annotations

from dataclasses import dataclass

from minicnn import models
from minicnn.analysis.cost import Cost, cost
from minicnn.analysis.table import human
from minicnn.models import Model


@dataclass(frozen=True)
class Entry:
    """One net of a comparison.

    Attributes
    ----------
    info : Model
        Its name and paper, and the published accuracies with their source.
    cost : Cost
        Counted by minicnn at the net's own image size.
    published : bool
        Whether those are on the comparison's data set.
    measured : float or None
        Top-1 accuracy in percent that was measured with minicnn.
    """

    info: Model
    cost: Cost
    published: bool
    measured: float | None = None

    @property
    def top1(self) -> float | None:
        """Published top-1 accuracy in percent."""
        return self.info.top1 if self.published else None

    @property
    def top5(self) -> float | None:
        """Published top-5 accuracy in percent."""
        return self.info.top5 if self.published else None

    @property
    def density(self) -> float | None:
        """Accuracy density: published top-1 percent for each million parameters."""
        return None if self.top1 is None else self.top1 / (self.cost.parameters / 1e6)


class Comparison:
    """What `compare` found: printed, a table; `plot` draws it.

    Attributes
    ----------
    entries : list of Entry
    dataset : str
        What the accuracies are on.
    """

    def __init__(self, entries, dataset):
        self.entries, self.dataset = entries, dataset

    def __str__(self):
        widest = max(len(entry.info.name) for entry in self.entries)
        head = f"{'':{widest}}{'parameters':>13}{'operations':>12}{'top-1':>8}{'top-5':>7}"
        head += f"{'top-1/M':>9}{'measured':>10}  source of top-1, top-5"
        lines = [f"accuracy in percent, {self.dataset}", head, "-" * len(head)]
        for entry in self.entries:
            accuracies = [entry.top1, entry.top5, entry.density, entry.measured]
            cells = ["" if a is None else f"{a:.1f}" for a in accuracies]
            source = entry.info.accuracy_source if entry.published else ""
            lines.append(
                f"{entry.info.name:{widest}}{entry.cost.parameters:>13,}"
                f"{human(entry.cost.operations):>12}"
                f"{cells[0]:>8}{cells[1]:>7}{cells[2]:>9}{cells[3]:>10}  {source}".rstrip()
            )
        return "\n".join(lines)

    __repr__ = __str__

    def plot(self, ax=None):
        """The ball chart: operations against accuracy, a ball's area the number of parameters.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            A new figure if left out.

        Returns
        -------
        matplotlib Figure

        Raises
        ------
        ValueError
            If no net of the comparison has an accuracy.

        References
        ----------
        Canziani, Paszke, Culurciello, "An analysis of deep neural network models for practical
        applications", 2016, figure 2.
        """
        from minicnn.analysis.chart import ball_chart

        return ball_chart(self, ax)


def compare(names=None, measured=None, dataset="ImageNet") -> Comparison:
    """Put nets side by side.

    Parameters
    ----------
    names : list of str, optional
        Names of `minicnn.models`; all that have a published accuracy on the data set if left out.
    measured : dict of str to float, optional
        Top-1 accuracies in percent that were measured with minicnn, by the net's name.
    dataset : str
        How the name of the data set begins that accuracies are on; those on others are left out.

    Returns
    -------
    Comparison
        In the order of history.

    Raises
    ------
    ValueError
        If there is no net of a name, or nothing to compare.
    """
    measured = measured or {}
    for name in (*(names or ()), *measured):
        models.info(name)  # raises if there is none
    entries = []
    for info in map(models.info, models.names()):
        published = info.top1 is not None and info.dataset.startswith(dataset)
        if info.name in measured or (published if names is None else info.name in names):
            entries.append(Entry(info, cost(info.name), published, measured.get(info.name)))
    if not entries:
        raise ValueError(
            f"compare: no net has a published accuracy on {dataset!r}; name the nets, or another "
            "data set"
        )
    return Comparison(entries, dataset)
