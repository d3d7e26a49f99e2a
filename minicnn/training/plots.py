"""Pictures of a training: curves, confusion matrix, worst mistakes, filters.

Every function draws into matplotlib axes that it is given.
"""

from __future__ import annotations

import numpy as np

TRAIN, TEST, WRONG = "#2a78b5", "#d1642e", "#b3261e"
PARTS = ("train", "val")  # of the history's entries


def figure(width, height):
    """A figure of its own, that no window shows and nobody must close; sizes in inches.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(
            "pictures of a training need matplotlib, which is not installed; "
            "pip install 'minicnn[plots]'"
        ) from None
    return Figure((width, height), layout="constrained")


def curves(history, axes) -> None:
    """Loss and accuracy by epoch, into a pair of axes."""
    epochs = [entry["epoch"] for entry in history]
    for ax, name in zip(axes, ("loss", "accuracy")):
        learning, test = ([entry[f"{part}_{name}"] for entry in history] for part in PARTS)
        test_above = test[-1] > learning[-1]
        for values, label, color, above in (
            (learning, "learning", TRAIN, not test_above),
            (test, "test", TEST, test_above),
        ):
            ax.plot(epochs, values, color=color, marker="o", markersize=3, label=label)
            ax.annotate(
                f"{values[-1]:.3g}" if name == "loss" else f"{values[-1]:.1%}",
                (epochs[-1], values[-1]), xytext=(6, 4 if above else -4),
                textcoords="offset points", color=color, va="center", fontsize=8, zorder=3,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
            )  # fmt: skip
        ax.set_title(name, loc="left", fontsize=10)
        ax.set_xlabel("epoch")
        ax.xaxis.get_major_locator().set_params(integer=True)
        bare(ax)
    axes[0].set_ylim(bottom=0)
    axes[1].yaxis.set_major_formatter("{x:.0%}")
    axes[0].legend(frameon=False, fontsize=8)


def confusion(matrix, classes, ax) -> None:
    """Which classes are taken for which: rows are the right ones, columns the net's."""
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    ax.imshow(shares**0.5, cmap="Blues", vmin=0, vmax=1)  # the root: few mistakes are seen, too
    K = len(matrix)
    if K <= 20:  # more would not be legible
        for i, j in zip(*np.nonzero(matrix)):
            color = "white" if shares[i, j] > 0.3 else WRONG if i != j else "black"
            ax.text(j, i, int(matrix[i, j]), ha="center", va="center", fontsize=7, color=color)
        long = max(len(str(name)) for name in classes) > 2
        ax.set_xticks(range(K), classes, rotation=90 if long else 0, fontsize=8)
        ax.set_yticks(range(K), classes, fontsize=8)
    ax.tick_params(length=0)
    ax.set_xlabel("the net's answer")
    ax.set_ylabel("right class")
    for side in ax.spines.values():
        side.set_visible(False)


def image(pixels, ax) -> None:
    """One image (C, H, W) in 0..1, in colour if C is 3, else its first channel, dark on light."""
    if len(pixels) == 3:
        ax.imshow(pixels.transpose(1, 2, 0))
    else:
        ax.imshow(pixels[0], cmap="gray_r", vmin=0, vmax=1)
    ax.set_axis_off()


def filters(weight, columns=8) -> np.ndarray:
    """The filters w (O, C, KH, KW) of a first layer side by side, as one picture (H, W, 3).

    Of one channel: blue for negative, white for 0, red for positive numbers. Of three: their
    colours, grey for 0. Otherwise every channel of every filter stands for itself.
    """
    w = np.asarray(weight, np.float64)
    if w.shape[1] == 3:
        w = 0.5 + w / (2 * max(abs(w).max(), 1e-12))
        tiles = w.transpose(0, 2, 3, 1)
    else:
        w = w.reshape(-1, *w.shape[2:]) / max(abs(w).max(), 1e-12)
        red, green, blue = 1 + np.minimum(w, 0), 1 - abs(w), 1 - np.maximum(w, 0)
        tiles = np.stack([red, green, blue], axis=-1)
    n, KH, KW, _ = tiles.shape
    rows = -(-n // columns)
    picture = np.ones((rows * (KH + 1) - 1, min(n, columns) * (KW + 1) - 1, 3))
    for k, tile in enumerate(tiles):
        top, left = (k // columns) * (KH + 1), (k % columns) * (KW + 1)
        picture[top : top + KH, left : left + KW] = tile
    return picture


def bare(ax) -> None:
    """A light grid, and no frame above and to the right."""
    ax.grid(alpha=0.25)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
