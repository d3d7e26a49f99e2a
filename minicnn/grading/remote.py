"""The marker's side of a student's process: start it, call its functions, and end it."""

from __future__ import annotations

import builtins
import inspect
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress

from minicnn.checks.sandbox import TimeIsUp
from minicnn.grading.channel import LARGEST, decode, encode

STARTING = 300.0  # seconds for the libraries and the notebook's definitions
CALL = 1.5  # seconds of processor time for a call
PATIENCE = 10.0  # seconds that `check` waits for a call
CODE = "import sys; sys.path[:] = {path!r}; from minicnn.grading.worker import main; main()"


class EndedError(Exception):
    """The student's process ended by itself, or had to be ended."""


class Process:
    """A student's process.

    Parameters
    ----------
    cells : list of str
        The code of the notebook.
    wanted : sequence of str
        Names of the functions that will be called.
    memory : int
        In bytes.
    seconds : int
        Of processor time, for all of it.

    Attributes
    ----------
    functions : dict of str to list
        The parameters of each function that is there.
    problems : list of str
        What went wrong with the notebook's definitions.
    late, gone : bool
        Whether it no longer answers, or has ended: it takes no more calls.

    Raises
    ------
    EndedError
        If it does not live to answer.
    """

    def __init__(self, cells, wanted, memory, seconds):
        self.folder = tempfile.TemporaryDirectory()
        self.buffer, self.ended, self.late, self.gone = b"", False, False, False
        path = [p for p in sys.path if p] + ([os.getcwd()] if "" in sys.path else [])
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-c", CODE.format(path=path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            cwd=self.folder.name, env=environment(), start_new_session=True,
        )  # fmt: skip
        start = {"cells": cells, "wanted": list(wanted), "memory": memory, "seconds": seconds}
        try:
            self.send(start)
            found = self.receive(STARTING)
            self.functions = {n: _as_signature(p) for n, p in found["functions"].items()}
            self.problems = [str(p) for p in found["problems"]]
        except (TimeIsUp, KeyError, TypeError, ValueError, AttributeError):
            self.end()
            raise EndedError("its definitions did not end, or ended the process") from None
        except BaseException:
            self.end()
            raise

    def send(self, message):
        """Write one message; raises EndedError if nobody reads it."""
        try:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()
        except (OSError, ValueError):
            self.gone = True
            raise EndedError("its process has ended") from None

    def receive(self, seconds):
        """One message. Raises TimeIsUp if none comes in time, EndedError if none will."""
        waited, step, out = 0.0, 0.05, self.process.stdout.fileno()
        while b"\n" not in self.buffer:
            if waited > seconds:
                raise TimeIsUp
            # In short steps: `check` throws its own TimeIsUp in between.
            if select.select([out], [], [], step)[0]:
                piece = os.read(out, 1 << 20)
                if not piece or len(self.buffer) > LARGEST:
                    self.gone = True
                    raise EndedError("its process has ended")
                self.buffer += piece
            else:
                waited += step
        line, self.buffer = self.buffer.split(b"\n", 1)
        try:
            return dict(json.loads(line))
        except (ValueError, TypeError):
            self.gone = True
            raise EndedError("its process wrote what is no answer") from None

    def end(self):
        """Kill it, and whatever it may have started.

        Never from a call: there `check` throws TimeIsUp again and again, also into this.
        """
        if not self.ended:
            self.ended = True
            with suppress(OSError, AttributeError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
            self.folder.cleanup()


def environment():
    """Only what Python needs: no secrets of the marker's, and one thread for each process."""
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "LC_ALL", "SYSTEMROOT")}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**kept, **threads, "PYTHONDONTWRITEBYTECODE": "1"}


def _as_signature(parameters):
    """An inspect.Signature of what the worker said about a function."""
    if parameters is None:
        return inspect.Signature()
    return inspect.Signature(
        inspect.Parameter(
            str(name), inspect._ParameterKind(kind),
            default=decode(default) if has_default else inspect.Parameter.empty,
        )
        for name, kind, has_default, default in parameters
    )  # fmt: skip


class RemoteFunction:
    """A student's function, called in the student's process. `check` takes it for a function."""

    def __init__(self, process: Process, name: str):
        self.process, self.__name__, self.seconds = process, name, CALL
        self.__signature__ = process.functions[name]

    def __call__(self, *positional, **keywords):
        if self.process.late:
            raise TimeIsUp
        if self.process.gone:
            raise EndedError("its process has ended")
        try:
            answer = self._ask(positional, keywords)
        except TimeIsUp:  # ours, or that of `check`: it does not even answer that it is late
            self.process.late = True
            raise
        if answer.get("late"):
            self.seconds = CALL / 10  # do not wait that long for each smaller case
            raise TimeIsUp
        if "error" in answer:
            raise _error(str(answer["error"]), str(answer["text"]))
        arrays = [*positional, *keywords.values()]
        try:
            for k, value in answer["changed"].items():
                arrays[int(k)][...] = decode(value)
            return decode(answer["value"])
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            raise EndedError("its process answered with what is no value") from None

    def _ask(self, positional, keywords):
        """Send a call, and wait for the answer."""
        number = secrets.token_hex()  # so that no answer can be written beforehand
        self.process.send({
            "id": number, "name": self.__name__, "seconds": self.seconds,
            "positional": [encode(v) for v in positional],
            "keywords": {name: encode(v) for name, v in keywords.items()},
        })  # fmt: skip
        answer = self.process.receive(PATIENCE)
        if answer.get("id") != number:
            self.process.gone = True
            raise EndedError("its process wrote answers that nobody had asked for")
        return answer


def _error(name, text):
    """An exception of this name: Python's own, if it has one and that takes a text."""
    kind = getattr(builtins, name, None)
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        kind = type(name, (Exception,), {})
    try:
        return kind(text)
    except TypeError:  # such as UnicodeDecodeError, which wants more
        return Exception(f"{name}: {text}")
