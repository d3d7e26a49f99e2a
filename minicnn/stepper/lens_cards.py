"""Lenses as text for a terminal."""

from __future__ import annotations

import textwrap

import numpy as np

from minicnn.stepper.text import PLAIN, WIDTH, bars, beside, number, numbers, picture

FIRST_TERMS = 12


def lens_text(lens, paint=PLAIN, most: int = FIRST_TERMS) -> str:
    """A lens: the formula, the numbers in it, the first terms, the sum."""
    step = lens.step
    head = paint("dim", f"step {step.number} of {step.total}")
    value = paint(step.direction, number(lens.sum))
    lines = [f"{head}   {paint(step.direction, step.title)}", ""]
    lines += textwrap.wrap(f"{lens.name} = {lens.formula} = {value}", WIDTH, subsequent_indent="  ")
    lines += [paint("dim", line) for line in textwrap.wrap(lens.note, WIDTH)]
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
    last = f"{'recorded':22}{lens.recorded!s:>14}"
    gap = "   " if len(last) + 3 + len(lens.agreement) <= WIDTH else "\n   "
    return [*lines, f"{last}{gap}{paint('dim', lens.agreement)}"]
