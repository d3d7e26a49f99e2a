"""Reads a submission: its code cells, and which tutorial it is."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

from minicnn.grading.exercises import EXERCISES, tutorial_of

LARGEST = 20_000_000  # bytes


class NotebookError(ValueError):
    """A file that cannot be marked."""


def read(path: Path) -> tuple[str, list[str]]:
    """(tutorial, code of each cell) of a notebook.

    Raises
    ------
    NotebookError
        If it is none, or none of a tutorial with exercises.
    """
    if path.is_symlink() or not path.is_file():
        raise NotebookError("is no plain file")
    if path.stat().st_size > LARGEST:
        raise NotebookError(f"is larger than {LARGEST // 1_000_000} MB")
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        cells = [c["source"] for c in notebook["cells"] if c["cell_type"] == "code"]
        code = ["".join(source) for source in cells]
        named = notebook.get("metadata", {}).get("minicnn", {}).get("tutorial")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise NotebookError("is no Jupyter notebook, or a damaged one") from None
    tutorial = named if named in EXERCISES else tutorial_of(path.name)
    if tutorial is None:
        raise NotebookError(
            "belongs to no tutorial with exercises: its metadata names none, and so does its name"
        )
    return tutorial, [without_magics(text) for text in code]


def without_magics(text: str) -> str:
    """A cell's code without what only IPython understands (%..., !..., ?)."""
    if text.lstrip().startswith("%%"):
        return ""
    try:
        ast.parse(text)
        return text
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return re.sub(r"(?m)^([ \t]*)(?:[%!?].*|.*\?)$", r"\1pass", text)
