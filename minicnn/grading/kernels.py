"""Marks a CUDA kernel of a notebook, in a process of its own.

A kernel runs as machine code: Python's hooks, which keep a student's functions from files, do not
reach it. So its text is read before it is compiled: no name may stand in it that the operating
system's libraries have (`refused`), but for CUDA's own; and every access to memory goes through the
sanitizer. The text is taken from the notebook as it stands; none of the notebook's Python runs
here. As with the functions, this keeps mistakes and pranks in, not a determined attacker.
"""

from __future__ import annotations

import ast
import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress

from minicnn.grading.remote import CODE, PATIENCE, environment

STARTING = 120.0  # seconds, to compile and to check; processor time is limited besides
FUNCTIONS = """
    abs acos asin atan atan2 ceil copysign cos cosh erf erfc exp exp2 expm1 fabs floor fma fmax fmin
    fmod hypot ldexp log log10 log1p log2 lrint pow remainder rint round sin sinh sqrt tan tanh
    tgamma trunc"""  # of mathematics: the system has them, and so has CUDA
HARMLESS = "isfinite isinf isnan printf assert index rindex div gamma y0 y1 yn j0 j1 jn"
ALLOWED = {*FUNCTIONS.split(), *(f"{name}f" for name in FUNCTIONS.split()), *HARMLESS.split()}
SUSPICIOUS = (  # ways to hide a name, and to do without one
    (r"##|%:|\?\?|\\", "joins or escapes names"),
    (r"""R"|\d'""", "has a raw string, or a quote inside of a number"),
    (r"\b(?:asm|__asm|__asm__)\b", "holds assembly"),
    (r"\b(?:__builtin|__attribute|__declspec|__has_|_Pragma|emu_|EMU_)\w*", "uses {0!r}"),
    (r'\bextern\b(?!\s*"\s*"\s*__global__)', "declares what lies elsewhere"),
    (r'#\s*include(?!\s*"\s*")', "includes a file"),
)


def source_of(cells, name) -> str | None:
    """The text that a notebook gives a name, the last time it does; None if it never does."""
    found = None
    for cell in cells:
        with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
            for node in ast.parse(cell).body:
                if (
                    isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
                    and any(getattr(target, "id", None) == name for target in node.targets)
                ):  # fmt: skip
                    found = node.value.value
    return found if isinstance(found, str) else None


def refused(source) -> str | None:
    """Why a kernel's text is not compiled here, or None."""
    from minicnn.emulator.signature import blank_comments

    for file in re.findall(r'#\s*include\s*"([^"]*)"', source):
        if file != "common.cuh":
            return f"includes {file!r}; only common.cuh is at hand"
    text = blank_comments(source)
    for pattern, words in SUSPICIOUS:
        if (match := re.search(pattern, text)) is not None:
            return words.format(match[0])
    libraries = ctypes.CDLL(None)  # all that this process has loaded: the system's, and Python
    for name in dict.fromkeys(re.findall(r"[^\W\d]\w*", text)):
        if name not in ALLOWED and hasattr(libraries, name):
            return f"uses the name {name!r}, which the operating system has; choose another"
    return None


# ---------------------------------------------------------------------------
# The process
# ---------------------------------------------------------------------------
def marked(source, memory, seconds) -> dict:
    """{"right", "verdict", "hint"} of a kernel's source."""
    if (problem := refused(source)) is not None:
        return {"right": False, "verdict": f"is not compiled here: it {problem}", "hint": ""}
    path = [p for p in sys.path if p] + ([os.getcwd()] if "" in sys.path else [])
    code = CODE.replace("grading.worker", "grading.kernels").format(path=path)
    with tempfile.TemporaryDirectory() as folder:
        kept = {k: v for k, v in os.environ.items() if k in ("CXX", "MINICNN_CACHE", "HOME")}
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", code], cwd=folder, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=environment() | kept | {"TMPDIR": folder},
        )  # fmt: skip
        request = json.dumps({"source": source, "memory": memory, "seconds": seconds})
        try:
            answer, _ = process.communicate(request.encode(), timeout=STARTING)
            return dict(json.loads(answer))
        except subprocess.TimeoutExpired:
            return {"right": False, "verdict": "did not finish in time", "hint": ""}
        except (ValueError, TypeError):
            return {"right": False, "verdict": "ended the process that ran it", "hint": ""}
        finally:
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def main() -> None:
    """Compile and check the source that is read; what comes of it is written."""
    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    request = json.loads(sys.stdin.buffer.read())
    answers.write(json.dumps(checked(**request)).encode())
    answers.flush()


def checked(source, memory, seconds) -> dict:
    """The mark of a source, with the system's limits on from when it is compiled."""
    from minicnn.checks import check
    from minicnn.checks.kernels import KernelFunction
    from minicnn.grading.marks import marked_by
    from minicnn.grading.worker import limit

    try:
        function = KernelFunction(source)
    except (ValueError, RuntimeError) as error:
        return {"right": False, "verdict": f"{error}", "hint": ""}
    limit(memory, seconds)
    return marked_by(check(function, time_limit=PATIENCE))
