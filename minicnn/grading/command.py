"""`minicnn grade`."""

from __future__ import annotations

import os
from pathlib import Path

from minicnn.arguments import COUNT
from minicnn.grading.marks import MEMORY, SECONDS, as_csv, grade

EXAMPLES = """\
examples:
  minicnn grade submissions
  minicnn grade submissions --csv week3.csv --memory 1000

Each notebook's functions run in a process of their own, without files, network or other programs,
and with limits. It keeps mistakes and pranks in; for notebooks of strangers, use a container.
"""
HELP = {
    "help": "mark the exercises in a folder of notebooks",
    "description": "Mark the exercises in a folder of notebooks.",
    "epilog": EXAMPLES,
}


def add_arguments(add):
    """The arguments of the command."""
    add("folder", metavar="FOLDER", type=Path, help="where the notebooks are, at any depth")
    add("--csv", metavar="FILE", type=Path, help="where to write marks (default: FOLDER/marks.csv)")
    text = f"MB of memory for each notebook (default: {MEMORY})"
    add("--memory", metavar="MB", type=COUNT, default=MEMORY, help=text)
    text = f"seconds of processor time for each notebook (default: {SECONDS})"
    add("--seconds", metavar="S", type=COUNT, default=SECONDS, help=text)


def grade_command(options) -> int:
    """Mark a folder, show the table, and write the CSV."""
    target = options.csv or options.folder / "marks.csv"
    try:
        if not target.absolute().parent.is_dir():
            raise FileNotFoundError(f"--csv {target}: there is no such folder")
        marked = grade(options.folder, options.memory, options.seconds, _show)
        partial = target.with_name(f"{target.name}.partial")
        partial.write_text(as_csv(marked), encoding="utf-8")
        os.replace(partial, target)
    except OSError as error:
        return options.parser.fail(error)
    exercises = sum(len(s.marks) for s in marked)
    right = sum(s.right for s in marked)
    print(f"\n{len(marked)} notebooks, {right} of {exercises} exercises right; saved {target}")
    return 0


def _show(submission):
    print("\n".join(submission.lines()), flush=True)
