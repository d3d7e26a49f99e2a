"""Numbers, small matrices and maps as text, at most 100 columns wide.

`paint` colours words where a terminal shows colours; the plain one leaves them as they are.
"""

from __future__ import annotations

import math

import numpy as np

WIDTH = 100
SHADES, BELOW = " ░▒▓█", " -=≡≣"  # nothing to the largest magnitude; BELOW: negative, uncoloured


class Paint:
    """Wraps text in ANSI colours, if `on`: teal forward, plum backward, orange +, blue -."""

    CODES = {
        "forward": "1;38;5;30", "backward": "1;38;5;133", "bold": "1", "dim": "2",
        "plus": "38;5;172", "minus": "38;5;68",
    }  # fmt: skip

    def __init__(self, on: bool = False):
        self.on = on

    def __call__(self, style: str, text: str) -> str:
        return f"\x1b[{self.CODES[style]}m{text}\x1b[0m" if self.on and text.strip() else text

    def signed(self, value, text: str) -> str:
        """Text in the colour of the value's sign."""
        return self("plus" if value > 0 else "minus" if value < 0 else "dim", text)


PLAIN = Paint()


# ---------------------------------------------------------------------------
# Numbers
# ---------------------------------------------------------------------------
def number(value) -> str:
    """Four digits; "0" is exactly zero."""
    value = value.item() if isinstance(value, np.generic) else value
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def unit(array) -> int:
    """Power of ten to show an array's numbers in: 0 where two digits show them well."""
    size = np.abs(array[np.isfinite(array)]).max(initial=0)
    power = math.floor(math.log10(size)) if size else 0
    return 0 if -1 <= power <= 2 else power


def cell(value, power: int = 0) -> str:
    """Two digits, ".74", "1.0", "-.02"; "0" is exactly zero, ".00" is merely small."""
    value = float(value) / 10.0**power
    if value == 0 or not math.isfinite(value):
        return f"{value:.0f}".replace("-0", "0")
    size = abs(value)
    if size >= 0.995:
        return f"{value:.1f}" if size < 9.95 else f"{value:.0f}"
    return f"{value:.2f}".replace("0.", ".", 1)


def largest_map(array) -> tuple[int, ...]:
    """Leading index of the 2-D map that holds the number of largest magnitude."""
    size = np.nan_to_num(np.abs(array))
    return tuple(int(k) for k in np.unravel_index(size.argmax(), array.shape)[:-2])


def index_text(name, index) -> str:
    return f"{name}[{','.join(map(str, index))}]" if index else name


# ---------------------------------------------------------------------------
# Blocks: (caption, lines, visible width of a line)
# ---------------------------------------------------------------------------
def beside(blocks, gap: str = "   ", most: int = WIDTH) -> list[str]:
    """Blocks (caption, lines, width) next to each other; a new row where they do not fit."""
    rows, used = [[]], 0
    for caption, lines, width in blocks:
        width_all = max(width, len(caption))
        if rows[-1] and used + len(gap) + width_all > most:
            rows.append([])
            used = 0
        rows[-1].append((caption, [line + " " * (width_all - width) for line in lines], width_all))
        used += width_all + len(gap)
    text = []
    for row in rows:
        text += [*([""] if text else []), gap.join(c.ljust(width) for c, _, width in row).rstrip()]
        for k in range(max(len(lines) for _, lines, _ in row)):
            cells = [lines[k] if k < len(lines) else " " * width for _, lines, width in row]
            text.append(gap.join(cells).rstrip())
    return text


def numbers(caption, array, paint=PLAIN, mark=None):
    """A small matrix as a block of cells; the cell `mark` is in brackets."""
    power, lines = unit(array), []
    for i, row in enumerate(array):
        line = []
        for j, value in enumerate(row):
            text = cell(value, power)
            text = f"[{text}]" if (i, j) == mark else text + " " * (mark is not None)
            line.append(paint.signed(value, text.rjust(5 if mark is None else 7)))
        lines.append("".join(line))
    caption += f"  in 1e{power:+d}" if power else ""
    return caption, lines, (5 if mark is None else 7) * array.shape[1]


def shrink(image, most: int) -> tuple[np.ndarray, int]:
    """The image with at most `most` columns: of each square block the largest magnitude."""
    size = -(-image.shape[1] // most)
    return (image if size == 1 else largest_of_blocks(image, size, size)), size


def largest_of_blocks(image, rows, columns):
    H, W = -(-image.shape[0] // rows), -(-image.shape[1] // columns)
    whole = np.zeros((H * rows, W * columns), image.dtype)
    whole[: image.shape[0], : image.shape[1]] = image
    cells = whole.reshape(H, rows, W, columns).swapaxes(1, 2).reshape(H, W, -1)
    place = np.abs(cells).argmax(axis=-1)[..., None]
    return np.take_along_axis(cells, place, axis=-1)[..., 0]


def picture(caption, image, paint=PLAIN, most: int = 32):
    """A 2-D map as a block of shaded characters.

    Characters are twice as high as wide, so a small map has two a pixel, a large one a pixel pair
    in each (the one of larger magnitude).
    """
    image, shrunk = shrink(np.nan_to_num(np.asarray(image, float)), most)
    caption += f" at 1/{shrunk}" if shrunk > 1 else ""
    twice = 2 if image.shape[1] <= 16 else 1
    if twice == 1:
        image = largest_of_blocks(image, 2, 1)
    return caption, [shades(row, np.abs(image).max(), twice, paint) for row in image], (
        twice * image.shape[1]
    )


def shades(row, top, times=1, paint=PLAIN) -> str:
    """Numbers as characters, `times` each: blank for 0, full for a magnitude of `top`."""
    marks = []
    for value in row:
        shade = math.ceil(abs(value) / (top or 1.0) * 4 - 0.2)  # the faintest is left white
        below = value < 0 and not paint.on
        marks.append(paint.signed(value, (BELOW if below else SHADES)[shade] * times))
    return "".join(marks)


def bars(values, paint=PLAIN, mark=None, names=None, width: int = 24) -> list[str]:
    """One line per number: its place, its value, a bar; `mark` has an arrow."""
    top = float(np.abs(np.nan_to_num(values)).max(initial=0)) or 1.0
    lines = []
    for k, value in enumerate(values):
        bar = "█" * round(abs(float(np.nan_to_num(value))) / top * width)
        name = f"{k:>5}" if names is None else names[k]
        arrow = " <- the right class" if k == mark else ""
        lines.append(f"{name}{number(value):>12}  {paint.signed(value, bar)}{arrow}".rstrip())
    return lines
