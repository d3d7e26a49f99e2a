"""Steps and lenses as HTML for a notebook: one self-contained fragment each, no script.

Orange is positive, blue negative (told apart by the colour-blind too), and zero is transparent, so
that it fades into a light page and a dark one alike.
"""

from __future__ import annotations

import base64
import struct
import zlib
from html import escape

import numpy as np

from minicnn.stepper import cards, lens_cards
from minicnn.stepper.keep import Sample
from minicnn.stepper.text import cell, index_text, number, shrink, unit

PLUS, MINUS = (222, 122, 20), (52, 116, 200)
STRONGEST = 0.6  # opacity of the largest magnitude: text on it stays readable in both themes
HUE = {"forward": "#0f8a80", "backward": "#a8479c"}
MONO = "font-family:ui-monospace,Menlo,Consolas,monospace;font-size:12px;"
PLAIN_CELL = "border:0;background:transparent;padding:1px 12px 1px 0;"


# ---------------------------------------------------------------------------
# Colours and small parts
# ---------------------------------------------------------------------------
def colour(value, top) -> str:
    """CSS colour of a number on a scale from -top to top."""
    if not np.isfinite(value):
        return "rgba(128,128,128,0.6)"
    r, g, b = PLUS if value > 0 else MINUS
    return f"rgba({r},{g},{b},{abs(float(value)) / (top or 1.0) * STRONGEST:.2f})"


def matrix(array, mark=None) -> str:
    """A small matrix as a table of coloured cells; the cell `mark` is framed."""
    power, finite = unit(array), array[np.isfinite(array)]
    top = np.abs(finite).max(initial=0)
    rows = []
    for i, row in enumerate(array):
        tds = []
        for j, value in enumerate(row):
            frame = "2px solid currentColor" if (i, j) == mark else "1px solid rgba(128,128,128,.2)"
            tds.append(
                f'<td style="border:{frame};min-width:34px;height:26px;padding:0;text-align:center;'
                f'background:{colour(value, top)}">{cell(value, power)}</td>'
            )
        rows.append(f'<tr style="background:transparent">{"".join(tds)}</tr>')
    unit_note = f"<div>in 1e{power:+d}</div>" if power else ""
    style = f"{MONO}border-collapse:collapse;margin:0"
    return f'<table style="{style}">{"".join(rows)}</table>{unit_note}'


def heat_map(image, title: str, width: int = 150) -> str:
    """A 2-D map as a picture, a pixel for each number."""
    image, _ = shrink(np.nan_to_num(np.asarray(image, float)), 128)
    top = np.abs(image).max(initial=0) or 1.0
    pixels = np.empty((*image.shape, 4), np.uint8)
    pixels[..., :3] = np.where((image > 0)[..., None], PLUS, MINUS)
    pixels[..., 3] = np.rint(np.abs(image) / top * 255)
    data = base64.b64encode(png(pixels)).decode()
    return (
        f'<img alt="{escape(title)}" src="data:image/png;base64,{data}" style="width:{width}px;'
        "max-width:none;image-rendering:pixelated;border:1px solid rgba(128,128,128,.3);"
        'display:block;margin:0">'
    )


def png(pixels) -> bytes:
    """The bytes of a PNG file of (H, W, 4) uint8 pixels: red, green, blue, opacity."""

    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    height, width, _ = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)  # 0: the line is not filtered
    return b"".join([
        b"\x89PNG\r\n\x1a\n",
        chunk(b"IHDR", header),
        chunk(b"IDAT", zlib.compress(lines)),
        chunk(b"IEND", b""),
    ])  # fmt: skip


def table(head, rows, left) -> str:
    """A plain table; the columns in `left` are texts, the others numbers."""

    def line(tag, cells, style=""):
        return "".join(
            f'<{tag} style="{PLAIN_CELL}text-align:{"left" if k in left else "right"};{style}">'
            f"{escape(text)}</{tag}>"
            for k, text in enumerate(cells)
        )

    body = "".join(f'<tr style="background:transparent">{line("td", row)}</tr>' for row in rows)
    return (
        f'<table style="{MONO}border-collapse:collapse;margin:8px 0">'
        f'<tr style="background:transparent">{line("th", head, "opacity:.6;font-weight:normal;")}'
        f"</tr>{body}</table>"
    )


def page(step, *parts) -> str:
    """A fragment with the step's heading."""
    head = (
        f'<div><span style="opacity:.6">step {step.number} of {step.total}</span>&emsp;'
        f'<b style="color:{HUE[step.direction]};font-size:14px">{escape(step.title)}</b></div>'
    )
    return f'<div style="{MONO}line-height:1.5;overflow-x:auto">{head}{"".join(parts)}</div>'


def side_by_side(blocks) -> str:
    """(sign, caption, html) in a row."""
    spans = ""
    for sign, caption, body in blocks:
        if sign:
            spans += f'<div style="align-self:center;font-size:16px">{sign}</div>'
        spans += f"<div><div>{escape(caption)}</div>{body}</div>"
    return spans and f'<div style="display:flex;gap:12px;flex-wrap:wrap;margin:8px 0">{spans}</div>'


def lines_of(text: str, faint: bool = False) -> str:
    style = "margin:6px 0;" + ("opacity:.6;" if faint else "")
    text = escape(text.strip("\n"))
    return f'<div style="{style}white-space:pre-wrap">{text}</div>' if text else ""


# ---------------------------------------------------------------------------
# A step, a lens, all steps
# ---------------------------------------------------------------------------
def card(step) -> str:
    """A step: formula, source line, statistics, what it reads and what it writes."""
    rows = []
    for name, what, a in cards.rows(step):
        values = (a.min(), a.mean(dtype=np.float64), a.max()) if a.size else (0, 0, 0)
        rows.append([name, str(a.shape), *map(number, values), what])
    pictures = []
    for name, a in cards.main_arrays(step):
        if cards.is_map(a):
            index, image = cards.one_map(a)
            caption = index_text(name, index)
            pictures.append(("", caption, heat_map(image, caption)))
        elif a.ndim and 0 < a.shape[-1] <= 32 and not isinstance(a, Sample):
            row = a[(0,) * (a.ndim - 1)]
            pictures.append(("", index_text(name, (0,) * (a.ndim - 1)), matrix(row[None])))
    changed = " and ".join(step.changed)
    return page(
        step,
        lines_of(cards.source_line(step)),
        lines_of(step.formula),
        lines_of(cards.settings_text(step), faint=True),
        table(["", "shape", "min", "mean", "max", ""], rows, left={0, 1, 5}),
        lines_of(f"{changed}: changed in place since; record again" if changed else ""),
        lines_of(cards.kept_text(step)),
        side_by_side(pictures),
    )


def lens_html(lens) -> str:
    """A lens: formula, matrices, first terms, sum."""
    maps, outer = lens_cards.maps_of(lens)
    winner = lens.winner if lens.products is None else None
    blocks = [
        (sign, caption, matrix(a, winner) if max(a.shape) <= 12 else heat_map(a, caption))
        for sign, caption, a in maps
    ]
    return page(
        lens.step,
        f'<div style="margin-top:6px">{escape(lens.name)} = {escape(lens.formula)} = '
        f'<b style="color:{HUE[lens.step.direction]}">{number(lens.sum)}</b></div>',
        lines_of(lens.note, faint=True),
        side_by_side(blocks),
        lines_of("\n".join(lens_cards.sums_text(lens, outer))),
        lines_of("\n".join(lens_cards.parts_text(lens))),
        lines_of("\n".join(lens_cards.terms_text(lens))),
        lines_of("\n".join(lens_cards.result_text(lens))),
    )


def overview(steps) -> str:
    """All operations: forward number, name, output, backward number."""
    rows = []
    for forward, backward in cards.operations(steps):
        step = forward or backward
        shape = str(step.held_output.shape) if step.held_output else ""
        numbers = [str(s.number) if s else "" for s in (forward, backward)]
        rows.append([numbers[0], step.label, step.operation, shape, numbers[1]])
    heading = f"{len(steps)} steps" if rows else "no steps: no operation ran inside the with block"
    body = table(["forward", "", "", "output", "backward"], rows, {1, 2, 3}) if rows else ""
    note = lines_of(cards.not_kept(steps))
    return f'<div style="{MONO}">{heading}{body}{note}</div>'
