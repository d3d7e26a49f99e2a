"""Steps and lenses as text for a terminal."""

from __future__ import annotations

import numpy as np

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
    numbers,
    picture,
    shades,
)

FIRST_TERMS = 12
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
    lines += views(step, paint)
    return "\n".join(lines)


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
            texts.append(f"{name} {value}")
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
    if step.activation is None or step.held is None or step.changed:
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
        lines.append(f"{name:3} {a.shape!s:{wide}}{values}   {paint('dim', what)}")
    return lines


def views(step, paint=PLAIN) -> list[str]:
    """Pictures of what a step reads and what it writes."""
    read, written = main_arrays(step)
    if not is_map(written[1]):
        return flat_view(*written, paint)
    maps = [(name, a, largest_map(a)) for name, a in (read, written) if is_map(a)]
    blocks = [picture(index_text(name, k), a[k], paint) for name, a, k in maps]
    lines = ["", *beside(blocks, gap="      ")]
    if not paint.on and any((a[k] < 0).any() for _, a, k in maps):
        lines.append(f"{SHADES.strip()} above 0, {BELOW.strip()} below")
    return lines


def is_map(array) -> bool:
    """Whether an array has 2-D maps to look at."""
    return array.ndim == 4 and array.size > 0 and 1 not in array.shape[2:]


def flat_view(name, array, paint=PLAIN) -> list[str]:
    """The first row of an array: bars for a few numbers, a strip for many."""
    if not array.ndim or not array.size or array.shape[-1] > 640:
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
        shape = str(step.held_output.array.shape) if step.held_output else ""
        left = paint("forward", f"{numbers_[0]:>8}") if pair[0] else " " * 8
        right = paint("backward", f"{numbers_[1]:>9}") if pair[1] else ""
        line = f"  {left}  {step.label[:22]:24}{step.operation[:19]:20} {shape:18}{right}"
        lines.append(line.rstrip())
    if len(shown) > most:
        lines.append(f"  ... {len(shown) - most} more operations")
    return "\n".join(lines)


def operations(steps):
    """Pairs (forward step or None, backward step or None), in the order of the operations."""
    pairs = [(step, step.partner) for step in steps if step.direction == "forward"]
    return pairs + [
        (None, step) for step in steps if step.direction == "backward" and not step.partner
    ]


# ---------------------------------------------------------------------------
# A lens
# ---------------------------------------------------------------------------
def lens_text(lens, paint=PLAIN, most: int = FIRST_TERMS) -> str:
    """A lens: the formula, the numbers in it, the first terms, the sum."""
    step = lens.step
    head = paint("dim", f"step {step.number} of {step.total}")
    value = paint(step.direction, number(lens.sum))
    lines = [f"{head}   {paint(step.direction, step.title)}", ""]
    lines.append(f"{lens.name} = {lens.formula} = {value}")
    if lens.note:
        lines.append(paint("dim", lens.note))
    for block in (grids(lens, paint), parts_text(lens, paint), terms_text(lens, paint, most)):
        lines += ["", *block] if block else []
    return "\n".join([*lines, "", *result_text(lens, paint)])


def maps_of(lens):
    """(sign, caption, 2-D array) of a lens: window x weights = products, and the index shown."""
    arrays = [lens.window, lens.weights, lens.products]
    if lens.window is None or lens.window.ndim not in (2, 3) or lens.window.size < 2:
        return [], None
    if lens.weights is None and lens.divisor is None:
        arrays[2] = None  # the terms are the window's cells as they are
    outer = None
    if lens.window.ndim == 3:
        weight = lens.window if lens.products is None else lens.products
        outer = int(np.nan_to_num(np.abs(weight)).sum(axis=(1, 2)).argmax())
        arrays = [None if a is None else a[outer] for a in arrays]
    captions = [label.format(k=outer) for label in lens.labels] + ["products"]
    signs = ["", "\u00d7", "="]
    if lens.weights is None:
        arrays[2] = None
    return [m for m in zip(signs, captions, arrays) if m[2] is not None], outer


def grids(lens, paint=PLAIN) -> list[str]:
    """Window, weights and products as matrices (of 3-D ones, the map that weighs most)."""
    maps, outer = maps_of(lens)
    if not maps:
        return []
    blocks, winner = [], lens.winner if lens.products is None else None
    for sign, caption, a in maps:
        caption = f"{sign} {caption}".strip()
        small = max(a.shape) <= 12
        blocks.append(numbers(caption, a, paint, winner) if small else picture(caption, a, paint))
    return [*beside(blocks), *sums_text(lens, outer, paint)]


def sums_text(lens, outer, paint=PLAIN) -> list[str]:
    """The part of each channel (filter, image) in the sum; `outer` is the one that is shown."""
    if outer is None or len(lens.window) < 2:
        return []
    letter = lens.axes[0]
    head = f"sums of the products for each {letter} (shown above: {letter} = {outer})"
    return ["", head, *sum_rows(lens.products.sum(axis=(1, 2)), lens.starts[0], paint)]


def sum_rows(sums, start, paint=PLAIN, most: int = 24) -> list[str]:
    """Numbers with their index, six a line."""
    cells = [
        f"{k + start:>4}:{paint.signed(v, number(v).rjust(11))}" for k, v in enumerate(sums[:most])
    ]
    lines = ["".join(cells[k : k + 6]) for k in range(0, len(cells), 6)]
    return lines + ([f"  ... {len(sums) - most} more"] if len(sums) > most else [])


def parts_text(lens, paint=PLAIN) -> list[str]:
    """Numbers on the way: scalars by name; scores and probabilities of the classes as a table."""
    parts = (lens.parts or {}).items()
    lines = [
        f"  {name:18} {paint.signed(v, f'{number(v):>11}')}" for name, v in parts if not np.ndim(v)
    ]
    columns = {name: v for name, v in parts if np.ndim(v) and len(v) <= 32}
    if columns:
        *others, last = columns
        head = "".join(f"{name:>12}" for name in columns)
        extra = [[number(columns[name][k]) for name in others] for k in range(len(columns[last]))]
        names = [f"{k:>5}" + "".join(f"{v:>12}" for v in row) for k, row in enumerate(extra)]
        lines += [paint("dim", f"class{head}"), *bars(columns[last], paint, lens.winner[0], names)]
    return lines


def terms_text(lens, paint=PLAIN, most: int = FIRST_TERMS) -> list[str]:
    """The first terms that are not 0, in the order they are added, with the running total."""
    single = lens.weights is None
    if lens.products is None or lens.products.size < 1 + single:
        return []
    flat = lens.products.ravel()
    nonzero = np.flatnonzero(flat != 0)
    names = [label.split()[0].split("[")[0] for label in lens.labels if label]
    head = "".join(f"{axis:>4}" for axis in lens.axes)
    head += f"{names[0]:>13}" + ("" if single else f"   {names[1]:>11}   {'product':>11}")
    lines = [paint("dim", f"{head}{'total':>14}")]
    for k in nonzero[:most]:
        term = lens.term(int(k))
        line = "".join(f"{p:>4}" for p in term.place) + f"{number(term.factors[0]):>13}"
        if not single:
            line += f" x {number(term.factors[1]):>11} = "
            line += paint.signed(term.product, f"{number(term.product):>11}")
        lines.append(f"{line}{number(term.total):>14}")
    more, zeros = len(nonzero) - most, flat.size - len(nonzero)
    rest = [f"{more} more"] if more > 0 else []
    rest += [f"{zeros} that are 0"] if zeros else []
    return [*lines, *([f"   ... {' and '.join(rest)}"] if rest else [])]


def result_text(lens, paint=PLAIN) -> list[str]:
    """The sum, what is added to it, and how it compares with what was recorded."""
    lines = []
    if lens.running is not None and lens.running.size > 1:
        count = f"sum of {lens.running.size} terms"
        lines.append(f"{count:22}{lens.running[-1]!s:>14}")
        if lens.divisor is not None:
            lines.append(f"{'divided by':22}{lens.divisor:>14}")
        if lens.bias is not None:
            lines.append(f"{'plus the bias':22}{lens.bias!s:>14}")
    if lens.added is not None:
        lines.append(f"{'plus the shortcut':22}{lens.added!s:>14}")
    if lens.activation is not None:
        lines.append(f"{f'before {lens.activation}':22}{lens.z!s:>14}")
    value = paint(lens.step.direction, f"{lens.sum!s:>14}")
    lines.append(f"{lens.name:22}{value}")
    lines.append(f"{'recorded':22}{lens.recorded!s:>14}   {paint('dim', lens.agreement)}")
    return lines
