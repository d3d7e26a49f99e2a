"""Runs a student's function so that neither an exception nor an endless loop gets out.

The function runs in a thread of its own, and when its time is up an exception is thrown into that
thread. Why not otherwise: a child process would need to pickle the function, which fails for one
written in a notebook, or to fork, which Windows lacks and which may hang after BLAS has started its
threads; `signal.setitimer` works in the main thread alone, and not on Windows.

The exception arrives between two Python instructions. So any loop written in Python ends, and
nothing keeps running behind the reader's back. A single long call into C (a huge matrix product,
`time.sleep`) is left to itself when it lets other threads run: the check goes on, and the thread
ends when the call does. A C call that never does (`sum(itertools.count())`) stops all of Python,
and only the operating system could end it.
"""

from __future__ import annotations

import ctypes
import threading
from contextvars import copy_context
from dataclasses import dataclass

import numpy as np


class TimeIsUp(BaseException):
    """Thrown into the student's function; `except Exception` lets a BaseException by."""


@dataclass
class Outcome:
    """What became of one call.

    Attributes
    ----------
    value : object
        What the function returned.
    error : BaseException or None
        What it raised instead.
    late : bool
        Whether it ran into the time limit.
    stuck : bool
        Whether it could not be stopped then, and still runs.
    """

    value: object = None
    error: BaseException | None = None
    late: bool = False
    stuck: bool = False


def call(function, arguments, keywords, time_limit) -> Outcome:
    """Call a function for at most `time_limit` seconds."""
    outcome = Outcome(late=True)

    def work():
        try:
            with np.errstate(all="ignore"):  # what comes out is judged, warnings would only repeat
                outcome.value = function(*arguments, **keywords)
            outcome.late = False
        except TimeIsUp:
            pass
        except BaseException as error:  # sys.exit() in a student's function, too
            outcome.error, outcome.late = error, False

    thread = threading.Thread(target=copy_context().run, args=(work,), daemon=True)
    thread.start()
    try:
        thread.join(time_limit)
    finally:  # also when the reader presses Ctrl-C
        if thread.is_alive():
            outcome.stuck = not _stop(thread)
    return outcome


def _stop(thread, attempts=20) -> bool:
    """Throw TimeIsUp into a thread until it ends; False if it does not, within a second."""
    ident, error = ctypes.c_ulong(thread.ident), ctypes.py_object(TimeIsUp)
    for _ in range(attempts):  # a bare `except:` inside a loop swallows the first ones
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, error)
        thread.join(0.05)
        if not thread.is_alive():
            return True
    return False
