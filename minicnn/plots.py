"""Arrays as pictures: what the tutorials show."""

from __future__ import annotations

import numpy as np

NEGATIVE, ZERO, POSITIVE = "#2166ac", "#f7f7f5", "#c2570c"
FEW = 100  # values that are written into their pixels


def show(*arrays, titles=(), cmap=None, columns=8, numbers=None, scale=1.6, same=True,
         squares=False):  # fmt: skip
    """Draw arrays side by side, small ones with their numbers in them.

    An array (H, W) is drawn in grey, 0 black, or if it holds negative numbers from blue through
    white (0) to orange; an array (H, W, 3) in its colours, 0..1 or 0..255.

    Parameters
    ----------
    *arrays : array (H, W) or (H, W, 3), or Tensor
    titles : sequence of str
        One for each array, as far as it goes.
    cmap : str, optional
        A colour map of matplotlib's.
    columns : int
        Arrays in one row.
    numbers : bool, optional
        Whether to write the values; by default where there are at most 100 of them.
    scale : float
        Width of one array, in inches; with `squares`, of the widest or tallest.
    same : bool
        Whether one colour stands for the same number in all of them.
    squares : bool
        Whether a pixel has the same size in all of them, which then stand in one row.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If there is no array, or one is neither (H, W) nor (H, W, 3).
    """
    arrays = [np.asarray(a) for a in arrays]
    if not arrays:
        raise ValueError("show: expects at least one array, but got none")
    for a in arrays:
        if a.ndim != 2 and (a.ndim != 3 or a.shape[2] != 3):
            raise ValueError(f"show: expects arrays (H, W) or (H, W, 3), but got {a.shape}")
    plt = _pyplot()
    columns = min(columns, len(arrays))
    rows = -(-len(arrays) // columns)
    head = 0.3 if titles else 0.05
    if squares:
        axes = _in_a_row(plt, arrays, scale / max(max(a.shape[:2]) for a in arrays), head)
    else:
        tallest = max(a.shape[0] / a.shape[1] for a in arrays)
        size = (scale * columns, (scale * min(tallest, 2) + head) * rows)
        _, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
        axes = list(axes.flat)
    for ax in axes:
        ax.set_axis_off()
    limits = _limits([a for a in arrays if a.ndim == 2])
    for ax, a, title in zip(axes, arrays, [*titles, *[""] * len(arrays)]):
        ax.set_title(title, fontsize=9)
        if a.ndim == 3:
            ax.imshow(np.clip(a, 0, 1) if a.dtype.kind == "f" else a)
            continue
        picture = _draw(ax, a, cmap, limits if same else _limits([a]))
        if numbers or (numbers is None and a.size <= FEW):
            largest = max(max(b.shape[:2]) for b in arrays) if squares else max(a.shape)
            _write(ax, a, picture, scale / largest)
    plt.show()


def _pyplot():
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise ImportError(
            "show needs matplotlib, which is not installed; pip install 'minicnn[plots]'"
        ) from None
    return plt


def _in_a_row(plt, arrays, pixel, head):
    """Axes side by side whose pixels are all `pixel` inches wide, with `head` inches for titles."""
    heights, widths = ([pixel * a.shape[axis] for a in arrays] for axis in (0, 1))
    gap, H = 0.3, max(heights) + head
    W = sum(widths) + gap * len(arrays)
    figure, left, axes = plt.figure(figsize=(W, H)), gap / 2, []
    for h, w in zip(heights, widths):
        bottom = (H - head - h) / 2
        axes.append(figure.add_axes((left / W, bottom / H, w / W, h / H)))
        left += w + gap
    return axes


def _limits(arrays):
    """(low, high) of the colours: symmetrical about 0, if there are negative numbers."""
    finite = [a[np.isfinite(a)] for a in arrays]
    values = np.concatenate([np.zeros(1), *finite])
    low, high = float(values.min()), float(values.max())
    return (-max(high, -low), max(high, -low)) if low < 0 else (0.0, high or 1.0)


def _draw(ax, a, cmap, limits):
    """One array as an image in a thin frame."""
    from matplotlib.colors import LinearSegmentedColormap

    if cmap is None:
        signed = LinearSegmentedColormap.from_list("signed", [NEGATIVE, ZERO, POSITIVE])
        cmap = signed if limits[0] < 0 else "gray"
    picture = ax.imshow(a, cmap, vmin=limits[0], vmax=limits[1])
    ax.set_axis_on()
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(color="#c9cdd2", linewidth=0.8)
    return picture


def _write(ax, a, picture, pixel):
    """Every value into its pixel, `pixel` inches wide: dark on light or light on dark."""
    shown = [[_short(value) for value in row] for row in a]
    longest = max(len(text) for row in shown for text in row)
    size = min(11, 72 * pixel / (0.62 * longest + 0.6))
    for (i, j), value in np.ndenumerate(a):
        red, green, blue, _ = picture.cmap(picture.norm(value))
        ink = "black" if 0.3 * red + 0.6 * green + 0.1 * blue > 0.5 else "white"
        ax.text(j, i, shown[i][j], ha="center", va="center", fontsize=size, color=ink)


def _short(value):
    """A number in a few characters: whole ones as they are, others to three digits, no -0."""
    if float(value).is_integer() and abs(value) < 1e5:
        return f"{int(value)}"
    return f"{value:.3g}"
