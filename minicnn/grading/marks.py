"""The marks of a folder of notebooks, as a table and as CSV."""

from __future__ import annotations

import csv
import io
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from minicnn.checks import check
from minicnn.grading import kernels
from minicnn.grading.exercises import EXERCISES, KERNELS
from minicnn.grading.notebook import NotebookError, read
from minicnn.grading.remote import PATIENCE, EndedError, Process, RemoteFunction

MEMORY = 2_000  # MB for a student's process; the libraries alone reserve some hundreds
SECONDS = 60  # of processor time for it
COLUMNS = ("file", "tutorial", "exercise", "right", "verdict", "hint")


@dataclass
class Mark:
    """One exercise: whether it is right, and if not, what is wrong and a hint."""

    exercise: str
    right: bool
    verdict: str
    hint: str = ""


@dataclass
class Submission:
    """One notebook.

    Attributes
    ----------
    file : str
        Its path, from the folder on.
    tutorial : str
        Empty, if the file could not be marked.
    marks : list of Mark
    problems : list of str
        What is wrong with the notebook itself.
    seconds : float
        What the marking took.
    """

    file: str
    tutorial: str = ""
    marks: list[Mark] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def right(self) -> int:
        """How many exercises are right."""
        return sum(mark.right for mark in self.marks)

    def lines(self) -> list[str]:
        """The row of the table, and below it what is wrong."""
        marked = f"{self.right} of {len(self.marks)}" if self.tutorial else "not marked"
        lines = [f"{marked:>10}  {self.file}"]
        for mark in self.marks:
            if not mark.right:
                lines.append(f"{'':12}{mark.exercise}: {mark.verdict}")
                lines += [f"{'':14}{mark.hint}"] * bool(mark.hint)
        return lines + [f"{'':12}{problem}" for problem in self.problems]


def grade(folder, memory=MEMORY, seconds=SECONDS, progress=None) -> list[Submission]:
    """Mark all notebooks in a folder and the folders in it.

    Parameters
    ----------
    folder : path
    memory : int
        What a student's process may reserve, in MB (Linux).
    seconds : int
        Processor time it may use.
    progress : callable, optional
        Called with each Submission when it is marked.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or no notebook in it.
    OSError
        On Windows.
    """
    if os.name != "posix":
        raise OSError("grade needs Linux or macOS to fence notebooks in; on Windows, run it in WSL")
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: there is no such folder")
    paths = sorted(p for p in folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
    if not paths:
        raise FileNotFoundError(f"{folder}: there are no notebooks (*.ipynb) in it")
    found = []
    for path in paths:
        submission = grade_notebook(path, memory, seconds)
        submission.file = str(path.relative_to(folder))
        found.append(submission)
        if progress is not None:
            progress(submission)
    return found


def grade_notebook(path, memory=MEMORY, seconds=SECONDS) -> Submission:
    """Mark one notebook; whatever it does, a Submission comes back (see `grade`)."""
    path, start = Path(path), time.monotonic()
    submission = Submission(path.name)
    try:
        submission.tutorial, cells = read(path)
    except (NotebookError, OSError) as error:
        submission.problems.append(str(error))
        return submission
    exercises, process = EXERCISES[submission.tutorial], None
    try:
        for exercise in exercises:
            if exercise in KERNELS:
                submission.marks.append(mark_kernel(cells, exercise, memory, seconds))
                continue
            if process is None or process.late or process.gone:  # brought down by the one before
                if process is not None:
                    process.end()
                process = Process(cells, exercises, memory * 10**6, seconds)
                submission.problems = process.problems
            submission.marks.append(mark(process, exercise))
    except EndedError as error:  # in its definitions
        rest = exercises[len(submission.marks) :]
        submission.marks += [Mark(exercise, False, str(error)) for exercise in rest]
    finally:
        if process is not None:
            process.end()
    submission.seconds = time.monotonic() - start
    return submission


def mark(process, exercise) -> Mark:
    """Try one function of a process on the cases of `check`."""
    if exercise not in process.functions:
        return Mark(exercise, False, "is not in the notebook")
    try:
        report = check(RemoteFunction(process, exercise), time_limit=PATIENCE)
    except (ValueError, TypeError, RuntimeError) as error:  # its arguments are others
        return Mark(exercise, False, one_line(error))
    return Mark(exercise, **marked_by(report))


def mark_kernel(cells, exercise, memory, seconds) -> Mark:
    """Try a kernel, by its text in the notebook."""
    source = kernels.source_of(cells, exercise)
    if source is None:
        return Mark(exercise, False, "is not in the notebook")
    found = kernels.marked(source, memory * 10**6, seconds)
    words = {name: one_line(found.get(name, "")) for name in ("verdict", "hint")}
    return Mark(exercise, found.get("right") is True, **words)


def marked_by(report) -> dict:
    """Right or not, the verdict and a hint, of what `check` found."""
    if report:
        return {"right": True, "verdict": f"right in {report.tried} cases"}
    if isinstance(report.got, NotImplementedError):
        return {"right": False, "verdict": "is blank"}
    if isinstance(report.got, TimeoutError):
        return {"right": False, "verdict": "did not finish in time", "hint": one_line(report.hint)}
    hint = one_line(report.hint or "")
    return {"right": False, "verdict": one_line(report.problem), "hint": hint}


def one_line(text) -> str:
    """A text without line breaks and control characters, and not too long."""
    plain = " ".join(str(text).split())
    return "".join(c for c in plain if c.isprintable())[:300]


def as_csv(submissions) -> str:
    """The marks as CSV, a row for each exercise; also for notebooks that could not be marked."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(COLUMNS)
    for s in submissions:
        rows = [(m.exercise, int(m.right), m.verdict, m.hint) for m in s.marks]
        for row in rows or [("", 0, one_line("; ".join(s.problems)), "")]:
            table.writerow([_harmless(cell) for cell in (s.file, s.tutorial, *row)])
    return out.getvalue()


def _harmless(cell):
    """A cell that no spreadsheet takes for a formula."""
    risky = isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t"))
    return f"'{cell}" if risky else cell
