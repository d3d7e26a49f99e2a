"""Figures that several experiments share; each draws results into a matplotlib figure."""

from __future__ import annotations

import numpy as np

from minicnn.training.plots import bare

COLORS = ("#2a78b5", "#d1642e", "#3a8f4d", "#7b57a8", "#b3261e", "#8a6d3b", "#4f4f4f")


def colors(results) -> dict[str, str]:
    """A colour for each variant, in their order."""
    variants = list(dict.fromkeys(run["variant"] for run in results.runs))
    return {variant: COLORS[k % len(COLORS)] for k, variant in enumerate(variants)}


def draw_curves(*panels):
    """A drawing of the history: a panel for each (measure, title), lines for the variants."""

    def draw(results, figure):
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for ax, (measure, title) in zip(axes, panels):
            for variant, color in colors(results).items():
                values = results.curve(variant, measure)
                epochs = np.arange(1, len(values) + 1)
                ax.plot(epochs, values, color=color, marker="o", markersize=3, label=variant)
            finish(ax, title, "epoch", "accuracy" in measure)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8,
                      frameon=False)  # fmt: skip

    return draw


def draw_dots(results, ax, measures, title) -> None:
    """A row for each variant, a dot for each of `measures` {name: label}, seeds as small dots."""
    variants = list(colors(results))
    for k, (measure, label) in enumerate(measures.items()):
        for row, variant in enumerate(variants):
            values = [run[measure] for run in results.of(variant) if measure in run]
            if not values:
                continue
            ax.plot(values, [row] * len(values), ".", color=COLORS[k], alpha=0.4, markersize=5)
            ax.plot(np.mean(values), row, "o", color=COLORS[k], label=label if row == 0 else None)
    ax.set_yticks(range(len(variants)), variants)
    ax.set_ylim(len(variants) - 0.5, -0.5)
    finish(ax, title, "", percent=False)
    ax.xaxis.set_major_formatter(_percent())
    if len(measures) > 1:
        legend_above(ax)


def legend_above(ax) -> None:
    """The legend where no dot can be: above the axes, at the right of the title."""
    ax.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1.02, 0.98), ncols=3,
              columnspacing=1, handletextpad=0.2)  # fmt: skip


def finish(ax, title, label, percent=True) -> None:
    """Title, axis label and plain frame."""
    ax.set_title(title, loc="left", fontsize=10)
    ax.set_xlabel(label)
    if label in ("epoch", "nets", "proposal"):
        ax.xaxis.get_major_locator().set_params(integer=True)
    if percent:
        ax.yaxis.set_major_formatter(_percent())
    bare(ax)


def _percent():
    """Shares as percents, with as many decimals as the axis needs."""
    from matplotlib.ticker import PercentFormatter

    return PercentFormatter(1)
