"""How a summary is laid out: a table of at most 100 columns."""

from __future__ import annotations

WIDTH = 100
CUTS = ((2, 15), (1, 16), (2, 12))  # columns that may be cut, and how far, one after the other


def human(number, unit="") -> str:
    """A count in few characters: 950, 61.7 k, 25.6 M, 4.09 G."""
    for scale, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= scale:
            value = number / scale
            text = f"{value:.2f}" if value < 9.995 else f"{value:.1f}"
            return f"{text} {letter}{unit}"
    return f"{number} {unit}".strip()


def table(rows, value_bytes) -> list[str]:
    """The lines of the table; `value_bytes` are those of one number."""
    branched = any(row.branches for row in rows)
    heads = ["", "layer", "", "from" if branched else "", "output", "params", "MACs", "memory",
             "field"]  # fmt: skip
    lines = [heads, *(_cells(row, value_bytes) for row in rows)]
    widths = _widths(lines)
    texts = []
    for cells in lines:
        parts = [
            text[:width].ljust(width) if k in (1, 2, 4) else text.rjust(width)
            for k, (text, width) in enumerate(zip(cells, widths))
            if width
        ]
        texts.append(f"{parts[0]} {'  '.join(parts[1:])}".rstrip())
    rule = "-" * max(map(len, texts))
    return [texts[0], rule, *texts[1:], rule]


def _widths(lines):
    """The columns' widths: what their cells need, less where the lines would get too long."""
    widths = [max(map(len, column)) for column in zip(*lines)]
    spare = WIDTH - sum(w + 2 for w in widths if w) + 3
    for column, least in CUTS:
        if spare < 0:
            cut = min(-spare, max(widths[column] - least, 0))
            widths[column] -= cut
            spare += cut
    return widths


def _cells(row, value_bytes):
    """A row's cells as texts."""
    name = "  " * row.depth + row.layer.rsplit(".", 1)[-1]
    if row.number is None:
        return ["", name, row.kind, *[""] * 6]
    return [
        str(row.number),
        name,
        row.kind,
        _numbers(row.sources) if row.branches else "",
        "×".join(map(str, row.shape)),
        f"{row.parameters:,}" if row.parameters else "",
        human(row.macs).replace(" ", "") if row.macs else "",
        human(row.activations * value_bytes, "B").replace(" ", "") if row.activations else "",
        _size(row.field) if row.sources else "",
    ]


def _numbers(sources):
    """Numbers of rows, the middle ones left out where there are many."""
    if len(sources) > 3:
        return f"{sources[0]}…{sources[-1]}"
    return ", ".join(map(str, sources))


def _size(field):
    """A receptive field: 7 where it is square, 7x9, or "all" of the image."""
    if field is None:
        return "all"
    return "×".join(map(str, field[:1] if field[0] == field[1] else field))
