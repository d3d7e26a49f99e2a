"""Recorded steps as one page that opens offline: `Steps.to_html` and `Steps.show`.

The page's own code is plain JavaScript and CSS in this folder. `page` puts all of it and the data
into one file, which asks no network for anything (its content security policy forbids it).
"""

from __future__ import annotations

import json
import os
import re
from html import escape
from pathlib import Path
from typing import NamedTuple

from minicnn.stepper.page.code import sources
from minicnn.stepper.page.export import Export
from minicnn.stepper.page.threads import launches

HERE = Path(__file__).parent
BUDGET = 9_000_000  # bytes for the arrays, so that the whole page stays under 15 MB
# In the order in which they need each other.
SCRIPTS = (
    "dom", "numbers", "arrays", "colour", "follow", "model", "sums", "windows", "endings",
    "conv_lenses", "pool_lenses", "dense_lenses", "pointwise", "norm_lenses", "moving_lenses",
    "loss_lenses", "resampling_lenses", "lenses", "fold", "layout", "graph", "planes", "maps",
    "cards", "grids", "chart", "histogram", "views", "code", "threads", "lens_panel", "header",
    "timeline", "help", "keys", "main",
)  # fmt: skip


def page(steps, title: str, budget: int = BUDGET, threads: bool = False) -> str:
    """The page as text; see `Steps.to_html`."""
    data = Export(steps, budget).data()
    data["title"] = title
    data["sources"] = sources(steps)
    data["launches"] = launches(steps) if threads else []
    parts = {
        "title": escape(title),
        "style": read("page.css") + read("threads.css"),
        "script": "\n".join(script(name) for name in SCRIPTS),
        # A script's text ends at the first "</": JSON can say "/" in another way.
        "data": json.dumps(data, separators=(",", ":"), allow_nan=False).replace("</", "<\\/"),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], read("page.html"))


def read(name: str) -> str:
    """One of the page's own files."""
    return (HERE / name).read_text(encoding="utf-8")


def script(name: str) -> str:
    """A module as a part of one script: a function that returns what the module exports."""
    text = read(f"{name}.js")
    exports = re.findall(r"^export (?:class|const|function) (\w+)", text, flags=re.MULTILINE)
    text = re.sub(r"^export ", "", text, flags=re.MULTILINE)
    text = re.sub(r'^import (\{.*?\}) from "\./(\w+)\.js";', r"const \1 = modules.\2;", text,
                  flags=re.MULTILINE | re.DOTALL)  # fmt: skip
    exports = ", ".join(exports)
    return f"modules.{name} = (() => {{ // {name}.js\n{text}return {{{exports}}};\n}})();"


def save(text: str, path) -> Path:
    """Write a page: to a temporary name first, so that a half-written file has no name."""
    path = Path(path)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


class Frame(NamedTuple):
    """The page in a notebook's output, in a frame of its own."""

    text: str
    height: int

    def _repr_html_(self):
        return (
            f'<iframe srcdoc="{escape(self.text)}" sandbox="allow-scripts" title="minicnn stepper" '
            f'style="width:100%;height:{self.height}px;border:1px solid rgba(128,128,128,.3)">'
            "</iframe>"
        )

    def __repr__(self):
        return "<the steps as a page: a notebook shows it; steps.to_html(path) writes it to a file>"
