"""Steps as text for a terminal; lenses are in `lens_cards`."""

from __future__ import annotations

import textwrap

import numpy as np

from minicnn.stepper.keep import Sample
from minicnn.stepper.text import (
    BELOW,
    PLAIN,
    SHADES,
    WIDTH,
    bars,
    beside,
    index_text,
    largest_map,
    number,
    picture,
    shades,
)

PARTS = {  # what a fused operation's z begins with
    "BatchNorm": "normalization", "Conv2d": "convolution", "DepthwiseConv2d": "convolution",
    "Linear": "product",
}  # fmt: skip


# ---------------------------------------------------------------------------
# A step
# ---------------------------------------------------------------------------
def card(step, paint=PLAIN) -> str:
    """A step as a compact card."""
    head = f"step {step.number} of {step.total}"
    lines = [f"{paint('dim', head)}   {paint(step.direction, step.title)}"]
    lines.append(source_line(step, paint))
    lines += ["", *step.formula.split("\n")]
    if details := settings_text(step):
        lines.append(paint("dim", details))
    lines += ["", *statistics(step, paint)]
    if letters := step.changed:
        lines.append(f"{' and '.join(letters)}: changed in place since; record again to step into")
    if text := kept_text(step):
        lines += ["", *textwrap.wrap(text, WIDTH)]
    lines += views(step, paint)
    return "\n".join(lines)


def kept_text(step) -> str:
    """What of a step can be opened, where not all of its arrays were kept whole."""
    if step.lenses is None:
        return ""
    names = [
        index_text(letter if letter == "y" else f"d{letter}", k)
        for letter, lenses in step.lenses.items()
        for k in lenses
    ]
    return (
        "Not all of this was kept, for the recording's budget. In full there are "
        f"{', '.join(names) or 'none of its numbers'}."
    )


def source_line(step, paint=PLAIN) -> str:
    """The line that ran the operation; in backward, under it the one that ran backward."""
    text = site_text(step.site, paint)
    if step.run_by and step.run_by != step.site:
        text += "\n" + site_text(step.run_by, paint)
    return text


def site_text(site, paint=PLAIN) -> str:
    """"lenet.py:58   x = self.conv1(x)", cut off where it is too long."""
    most = WIDTH - len(f"{site}   ")
    source = site.source if len(site.source) <= most else site.source[: most - 4] + " ..."
    return f"{site}   {paint('bold', source)}".rstrip()


def settings_text(step) -> str:
    """"stride 1, padding 2, backend loops"."""
    texts = []
    for name, value in step.settings.items():
        if isinstance(value, tuple) and len(value) == 2 and value[0] == value[1]:
            value = value[0]  # (2, 2) is written 2
        if value is not None and (name != "key" or len(str(value)) < 40):
            texts.append(f"{name} {getattr(value, '__name__', value)}")
    return ", ".join([*texts, f"backend {step.backend}"])


def rows(step) -> list[tuple[str, str, np.ndarray]]:
    """(name, what it is, array) of what a step reads and writes, in that order."""
    if step.direction == "backward":
        out = [(f"d{k}", step.long_name(k), g) for k, g in step.grads.items() if g is not None]
        return [("dy", "gradient in", step.dy), *before(step, "dz")] + [
            (name, f"gradient of the {what}" if len(what) > 1 else "gradient", g)
            for name, what, g in out
        ]
    arrays = [
        (k, step.long_name(k), step._array(k)) for k, h in zip(step.letters, step.held) if h
    ]
    return [*((k, what if what != k else "input", a) for k, what, a in arrays),
            *before(step, "z"), ("y", "output", step._array("y"))]  # fmt: skip


def before(step, letter):
    """The row of what lies before a fused operation's activation: nobody stored it."""
    if step.activation is None or step.held is None or step.changed or not step.whole:
        return []
    parts = PARTS.get(step.operation, "sum")
    for k, part in (("b", " + bias"), ("add", " + shortcut")):
        parts += part if step.held[step.letters.index(k)] else ""
    what = "gradient" if letter == "dz" else parts
    text = f"{what} before {step.activation}, computed again"
    return [(letter, text, getattr(step, letter))]


def statistics(step, paint=PLAIN) -> list[str]:
    """A table of a step's arrays: shape, smallest, mean and largest value."""
    table = rows(step)
    wide = max(len(str(a.shape)) for _, _, a in table) + 2
    lines = [paint("dim", f"{'':3} {'':{wide}}{'min':>11}{'mean':>11}{'max':>11}")]
    for name, what, a in table:
        low, mean, high = (a.min(), a.mean(dtype=np.float64), a.max()) if a.size else (0, 0, 0)
        values = "".join(f"{number(v):>11}" for v in (low, mean, high))
        what += ", a sample in 8 bits" if isinstance(a, Sample) else ""
        lines.append(f"{name:3} {a.shape!s:{wide}}{values}   {paint('dim', what)}")
    return lines


def views(step, paint=PLAIN) -> list[str]:
    """Pictures of what a step reads and what it writes."""
    read, written = main_arrays(step)
    if not is_map(written[1]):
        return flat_view(*written, paint)
    maps = [(name, *one_map(a)) for name, a in (read, written) if is_map(a)]
    blocks = [picture(index_text(name, k), image, paint) for name, k, image in maps]
    lines = ["", *beside(blocks, gap="      ")]
    if not paint.on and any((image < 0).any() for _, _, image in maps):
        lines.append(f"{SHADES.strip()} above 0, {BELOW.strip()} below")
    return lines


def one_map(array):
    """(leading index, map) of an array: the one that holds the largest number."""
    if isinstance(array, Sample):
        return array.shown, array.map(array.shown)
    k = largest_map(array)
    return k, array[k]


def is_map(array) -> bool:
    """Whether an array has 2-D maps to look at."""
    return array.ndim == 4 and array.size > 0 and 1 not in array.shape[2:]


def flat_view(name, array, paint=PLAIN) -> list[str]:
    """The first row of an array: bars for a few numbers, a strip for many."""
    if not array.ndim or not array.size or array.shape[-1] > 640 or isinstance(array, Sample):
        return []
    index = (0,) * (array.ndim - 1)
    row, head = np.nan_to_num(array[index]), index_text(name, index)
    if row.size <= 16:
        return ["", head, *bars(row, paint)]
    strip, top = [row[k : k + 40] for k in range(0, row.size, 40)], np.abs(row).max()
    return ["", f"{head}, 40 numbers a line", *(shades(part, top, 2, paint) for part in strip)]


def main_arrays(step):
    """(name, array) of what is read and of what is written, to be shown as pictures."""
    table = [(name, array) for name, _, array in rows(step) if name != "dz"]
    return table[0], table[-1 if step.direction == "forward" else 1]


# ---------------------------------------------------------------------------
# All steps
# ---------------------------------------------------------------------------
def overview(steps, paint=PLAIN, most: int = 60) -> str:
    """A table with a line for each operation: forward number, name, shape, backward number."""
    if not len(steps):
        return "no steps: no operation ran inside the with block"
    here = steps.current
    lines = [paint("dim", f"  {'forward':>8}  {'':18}{'':22}{'output':22}{'backward':>9}")]
    shown = operations(steps)
    for pair in shown[:most]:
        step = pair[0] or pair[1]
        numbers_ = [
            f"{'>' if s is here and s else ''}{s.number if s else ''}" for s in pair
        ]
        shape = str(step.held_output.shape) if step.held_output else ""
        left = paint("forward", f"{numbers_[0]:>8}") if pair[0] else " " * 8
        right = paint("backward", f"{numbers_[1]:>9}") if pair[1] else ""
        line = f"  {left}  {step.label[:22]:24}{step.operation[:19]:20} {shape:18}{right}"
        lines.append(line.rstrip())
    if len(shown) > most:
        lines.append(f"  ... {len(shown) - most} more operations")
    if text := not_kept(steps):
        lines += ["", text]
    return "\n".join(lines)


def not_kept(steps) -> str:
    """How much of a recording is over its budget; "" if nothing is."""
    count = sum(not step.whole for step in steps)
    if not count:
        return ""
    return (
        f"{count} of {len(steps)} steps were not kept whole, for the budget of "
        f"{steps.budget / 1e6:g} MB: their large arrays are samples in 8 bits"
    )


def operations(steps):
    """Pairs (forward step or None, backward step or None), in the order of the operations."""
    pairs = [(step, step.partner) for step in steps if step.direction == "forward"]
    return pairs + [
        (None, step) for step in steps if step.direction == "backward" and not step.partner
    ]
