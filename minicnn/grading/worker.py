"""The student's process: runs the definitions of a notebook, and calls its functions when asked.

It reads requests from its standard input and answers on the standard output it was born with; what
the student prints goes nowhere. Before the student's first line runs, limits are set (memory,
processor time, size of files) and a hook refuses to open files outside the libraries, to start
processes and to use the network. Python cannot lock itself up for good: this keeps mistakes and
pranks in, not a determined attacker. For those, run the marking in a container.
"""

from __future__ import annotations

import ast
import inspect
import os
import signal
import sys
import sysconfig
import traceback
from contextlib import suppress
from pathlib import Path

import numpy as np

import minicnn
from minicnn.grading.channel import decode, encode, receive, send

PICTURES = ("matplotlib", "IPython", "ipywidgets")  # left out: slow to import, and nothing to mark
REFUSED = (
    "os.", "subprocess.", "socket.", "ctypes.", "shutil.", "urllib.", "http.", "ftplib.",
    "smtplib.", "webbrowser.", "pty.", "mmap.", "syslog.", "gc.get_", "glob.",
    "tempfile.", "sqlite3.", "signal.pthread_kill", "fcntl.",
)  # fmt: skip
DEFINING = 5.0  # seconds for one import or definition
ALLOWED = ("os.putenv", "os.unsetenv", "os.listdir", "os.scandir", "os.walk", "os.fwalk")


class TimeLimit(BaseException):
    """The time of a call, or of a definition, is up."""


def main() -> None:
    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    requests = sys.stdin.buffer
    start = receive(requests)
    names, problems = {"__name__": "__main__"}, []
    with suppress(ImportError):
        import minicnn.functional  # before files are out of reach  # noqa: F401
    limit(start["memory"], start["seconds"])
    lock()
    for cell in start["cells"]:
        problems += define(cell, names)
    functions = {n: names[n] for n in start["wanted"] if callable(names.get(n))}
    found = {name: parameters(function) for name, function in functions.items()}
    send(answers, {"functions": found, "problems": problems[:20]})
    while (request := receive(requests)) is not None:
        send(answers, answer(functions[request["name"]], request) | {"id": request["id"]})


# ---------------------------------------------------------------------------
# Walls
# ---------------------------------------------------------------------------
def limit(memory, seconds) -> None:
    """Limits that the operating system keeps (Linux and macOS)."""
    with suppress(ImportError):
        import resource

        for what, most in (
            (resource.RLIMIT_AS, memory),
            (resource.RLIMIT_CPU, seconds),
            (resource.RLIMIT_FSIZE, 0),
            (resource.RLIMIT_CORE, 0),
        ):
            with suppress(ValueError, OSError):  # macOS does not limit address space
                resource.setrlimit(what, (most, most))


def lock() -> None:
    """Refuse files, processes and the network, from here on."""
    paths = sysconfig.get_paths()
    roots = {paths[k] for k in ("stdlib", "platstdlib", "purelib", "platlib")}
    roots |= {Path(minicnn.__file__).parent, Path(np.__file__).parent, os.devnull}
    places = tuple(os.path.realpath(root) for root in roots)
    realpath, fspath, separator = os.path.realpath, os.fsdecode, os.sep
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

    def inside(path):
        path = realpath(fspath(path))
        return any(path == place or path.startswith(place + separator) for place in places)

    def hook(event, arguments):
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, int):
                return
            if (isinstance(flags, int) and flags & writing) or not inside(path):
                raise PermissionError(f"no files here: {path!r} may not be opened")
        elif event in ("os.listdir", "os.scandir", "os.walk", "os.fwalk"):
            if isinstance(arguments[0], int) or not inside(arguments[0] or "."):
                raise PermissionError("no files here: folders may not be listed")
        elif event.startswith(REFUSED) and event not in ALLOWED:
            raise PermissionError(f"{event} is not allowed here")

    sys.addaudithook(hook)


# ---------------------------------------------------------------------------
# What the notebook defines
# ---------------------------------------------------------------------------
def define(cell, names) -> list[str]:
    """Run a cell's imports, functions, classes and constants; what went wrong with them."""
    try:
        tree = ast.parse(cell)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        return [f"a cell has a syntax error{f' in line {line}' if line else ''}"]
    problems = []
    for node in tree.body:
        if not is_definition(node):
            continue
        code = compile(ast.Module([node], []), "<notebook>", "exec")
        try:
            start_clock(DEFINING)
            exec(code, names)
            start_clock(0)
        except BaseException as error:  # SystemExit, too
            problems.append(f"line {node.lineno} raised {type(error).__name__}: {error}"[:200])
    return problems


def is_definition(node) -> bool:
    """Whether a statement is kept: an import, a function, a class, or a name for a constant."""
    if isinstance(node, ast.Import):
        return not any(alias.name.split(".")[0] in PICTURES for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").split(".")[0] not in PICTURES
    if isinstance(node, ast.Assign):
        return all(isinstance(part, CONSTANT) for part in ast.walk(node.value))
    return isinstance(node, (ast.FunctionDef, ast.ClassDef))


CONSTANT = (ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.UnaryOp, ast.unaryop, ast.Load)


def parameters(function):
    """[name, kind, default] of each argument, or None if it has no signature."""
    try:
        found = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):
        return None
    return [
        [p.name, int(p.kind), p.default is not p.empty, encode(p.default)] for p in found
    ]  # fmt: skip


# ---------------------------------------------------------------------------
# Calls
# ---------------------------------------------------------------------------
def answer(function, request) -> dict:
    """Call the function as asked; its value, its error, or that it was late."""
    positional = [decode(v) for v in request["positional"]]
    keywords = {name: decode(v) for name, v in request["keywords"].items()}
    arrays = {k: v for k, v in enumerate([*positional, *keywords.values()])
              if isinstance(v, np.ndarray)}  # fmt: skip
    before = {k: a.copy() for k, a in arrays.items()}
    try:
        start_clock(request["seconds"])
        try:
            with np.errstate(all="ignore"):
                value = function(*positional, **keywords)
        finally:
            start_clock(0)
        changed = {str(k): encode(a) for k, a in arrays.items()
                   if not np.array_equal(a, before[k], equal_nan=a.dtype.kind == "f")}  # fmt: skip
        return {"value": encode(value), "changed": changed}
    except TimeLimit:
        return {"late": True}
    except BaseException as error:
        return {"error": type(error).__name__, "text": f"{error}"[:500] + where(error)}


def start_clock(seconds) -> None:
    """Raise TimeLimit after that many seconds of processor time; 0 stops the clock.

    Processor time: on a busy machine nobody is late who would not be on an idle one.
    """
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGPROF, _late)
        signal.setitimer(signal.ITIMER_PROF, seconds)


def _late(*_):
    raise TimeLimit("it did not end in time")


def where(error) -> str:
    """The student's line that raised it."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == "<notebook>"]
    return f"\n    in line {frames[-1].lineno} of its cell" if frames else ""


if __name__ == "__main__":
    main()
