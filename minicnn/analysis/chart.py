"""Canziani's ball chart, drawn with matplotlib."""

from __future__ import annotations

import math
from itertools import product

PUBLISHED, MEASURED = "#2a78b5", "#d1642e"
AREA = 7  # of a ball, in points^2 for each million parameters


def ball_chart(comparison, ax=None):
    """See `Comparison.plot`."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    balls = [
        (entry, accuracy, color)
        for color, kind in ((PUBLISHED, "top1"), (MEASURED, "measured"))
        for entry in comparison.entries
        if (accuracy := getattr(entry, kind)) is not None
    ]
    if not balls:
        raise ValueError("plot: no net of this comparison has an accuracy; measure one, or choose "
                         "others")  # fmt: skip
    if ax is None:
        _, ax = plt.subplots(figsize=(12, 8), layout="constrained")
    balls.sort(key=lambda ball: -ball[0].cost.parameters)  # small balls in front of large ones
    for entry, accuracy, color in balls:
        ax.scatter(
            entry.cost.operations / 1e9, accuracy, s=AREA * entry.cost.parameters / 1e6,
            color=color, alpha=0.35, edgecolors=color, linewidths=1,
        )  # fmt: skip
        ax.plot(entry.cost.operations / 1e9, accuracy, ".", color=color, markersize=3)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.xaxis.set_minor_locator(NullLocator())
    _legends(ax, {color for *_, color in balls})
    ax.set_xlabel("operations for one image, in thousand millions (two for each MAC)")
    ax.set_ylabel("top-1 accuracy in percent")
    ax.set_title(f"What nets cost and how well they do: {comparison.dataset}", loc="left")
    ax.grid(alpha=0.25)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    balls.sort(key=lambda ball: ball[0].cost.parameters)
    write_names(ax, [(e.cost.operations / 1e9, accuracy, e.info.name) for e, accuracy, _ in balls])
    return ax.figure


def _legends(ax, colors):
    """One legend for the balls' sizes, one for their colours."""
    sizes = [
        ax.scatter([], [], s=AREA * millions, color="grey", alpha=0.35, label=f"{millions} M")
        for millions in (5, 25, 60, 140)
    ]
    first = ax.legend(
        handles=sizes, title="parameters", loc="lower right", frameon=False, labelspacing=1.2,
        borderpad=1, handletextpad=1.2,
    )  # fmt: skip
    ax.add_artist(first)
    if MEASURED in colors:
        words = {PUBLISHED: "published", MEASURED: "measured with minicnn"}
        marks = [ax.scatter([], [], color=color, label=text) for color, text in words.items()]
        ax.legend(handles=marks, loc="upper left", frameon=False)


# ---------------------------------------------------------------------------
# Names beside the balls
# ---------------------------------------------------------------------------
HEIGHT, LETTER = 9, 4.6  # of a name's letters, in points
GAPS = (4, 9, 16, 25, 36)  # between a point and its name
DIRECTIONS = [(math.cos(k * math.pi / 8), math.sin(k * math.pi / 8)) for k in range(16)]


def write_names(ax, points):
    """Write a name beside each point (x, y, name), where it covers least of what is there already.

    The first choose first. Call it when the axes are as they will be.
    """
    ax.margins(0.12)
    ax.figure.draw_without_rendering()  # so that the axes are where they will be
    scale = 72 / ax.figure.dpi
    spots = [ax.transData.transform((x, y)) * scale for x, y, _ in points]
    taken = [(x - 3, y - 3, x + 3, y + 3) for x, y in spots]
    for (x, y), (*point, name) in zip(spots, points):
        places = product(GAPS, DIRECTIONS)
        boxes = [_box(x, y, LETTER * len(name), direction, gap) for gap, direction in places]
        box = min(boxes, key=lambda box: sum(_shared(box, other) for other in taken))
        taken.append(box)
        ax.annotate(
            name, point,
            xytext=((box[0] + box[2]) / 2 - x, (box[1] + box[3]) / 2 - y),
            textcoords="offset points", ha="center", va="center", fontsize=7.5,
            arrowprops={"arrowstyle": "-", "lw": 0.4, "color": "grey", "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip


def _box(x, y, width, direction, gap):
    """The place of a name that lies in a direction from a point: (left, bottom, right, top)."""
    middle_x = x + direction[0] * (gap + width / 2)
    middle_y = y + direction[1] * (gap + HEIGHT / 2)
    return middle_x - width / 2, middle_y - HEIGHT / 2, middle_x + width / 2, middle_y + HEIGHT / 2


def _shared(a, b):
    """Area that two boxes share."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0) * max(height, 0)
