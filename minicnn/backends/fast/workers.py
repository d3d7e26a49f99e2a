"""Threads that share the tiles of one operation.

NumPy lets go of Python's lock while it copies or multiplies, so two threads can work on two tiles
at once: one copies while the other multiplies. The caller is worker 0 and does its part; helpers,
started when first needed, are the others.

    def tile(worker, i):
        np.multiply(x[i], 2, out=y[i])

    run(tile, len(x))

Each worker takes the next tile that is left. So what a tile computes may depend on its index, never
on its worker or on the order: sums over tiles are kept apart and added in index order. Then results
are the same bits each time, on any number of threads.

The BLAS beneath NumPy has threads of its own, which would fight with these: it is held to one while
`run` runs, and has its number back afterwards. Waking a helper takes 15 to 50 microseconds, and
Python's lock has to change hands, so work smaller than that is not shared: `run(tile, count,
parallel=False)`. Blocks of a compiled kernel are shared without either, by a team of helpers that
stay awake for a while: `share_blocks`, and `minicnn.emulator.team`.
"""

from __future__ import annotations

import itertools
import os
import threading
from contextlib import suppress
from contextvars import copy_context
from functools import cache
from queue import SimpleQueue

from threadpoolctl import ThreadpoolController

PIECES = 8  # of a launch, for each thread
_chosen: int | None = None  # what set_num_threads said


# ---------------------------------------------------------------------------
# How many
# ---------------------------------------------------------------------------
def allowed_cpus() -> list[int]:
    """The CPUs that this process may run on; empty where the system does not say."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


@cache
def _default_threads():
    asked = os.environ.get("OMP_NUM_THREADS", "")
    threads = len(allowed_cpus()) or os.cpu_count() or 1
    return min(threads, int(asked)) if asked.isdigit() and int(asked) else threads


def get_num_threads() -> int:
    """How many threads an operation of the fast backend may use, the caller's included."""
    return _chosen or _default_threads()


def set_num_threads(threads: int | None) -> None:
    """Let an operation of the fast backend use this many threads.

    None is the number at the start: the CPUs that the process may use, or OMP_NUM_THREADS if that
    is less. Results do not depend on it. Inside, each matrix product has one thread.

    Raises
    ------
    TypeError, ValueError
        If threads is neither None nor an int of 1 or more.
    """
    global _chosen
    if threads is not None:
        if isinstance(threads, bool) or not hasattr(threads, "__index__"):
            raise TypeError(f"set_num_threads: expects an int, but got {threads!r}")
        threads = threads.__index__()
        if threads < 1:
            raise ValueError(f"set_num_threads: expects 1 or more, but got {threads}")
    _chosen = threads


# ---------------------------------------------------------------------------
# BLAS, held to one thread
# ---------------------------------------------------------------------------
@cache
def blas_libraries():
    """What threadpoolctl knows of the BLAS libraries here: each can get and set its threads."""
    return [lib for lib in ThreadpoolController().lib_controllers if lib.user_api == "blas"]


class OneBlasThread:
    """Holds BLAS to one thread, as a `with` block; several threads may be inside at once."""

    def __init__(self):
        self.lock = threading.Lock()
        self.inside = 0
        self.before = []

    def __enter__(self):
        with self.lock:
            self.inside += 1
            if self.inside == 1:
                self.before = [(lib, lib.get_num_threads()) for lib in blas_libraries()]
                for lib, threads in self.before:
                    if threads != 1:
                        lib.set_num_threads(1)

    def __exit__(self, *_):
        with self.lock:
            self.inside -= 1
            if not self.inside:
                self.restore()

    def restore(self):
        """Give each library the number of threads that it had."""
        for lib, threads in self.before:
            if threads != 1:
                lib.set_num_threads(threads)
        self.before = []


# ---------------------------------------------------------------------------
# The pool
# ---------------------------------------------------------------------------
class Job:
    """The calls function(worker, 0) ... function(worker, count - 1), shared by workers."""

    def __init__(self, function, count):
        self.function, self.count = function, count
        self.indices = itertools.count()
        self.finished = SimpleQueue()  # a helper puts something in when it has stopped
        self.error = None

    def work(self, worker):
        """Take calls until none is left; an error stops all workers after their present call."""
        try:
            while (i := next(self.indices)) < self.count:
                self.function(worker, i)
        except BaseException as error:
            self.stop(error)

    def stop(self, error):
        """Hand out no more calls; the first error is the one that the caller sees."""
        self.error = self.error or error
        self.indices = itertools.repeat(self.count)

    def wait(self, helpers):
        """Until so many helpers have stopped. Ctrl-C does not leave them behind with our arrays."""
        while helpers:
            try:
                self.finished.get()
                helpers -= 1
            except KeyboardInterrupt as error:
                self.stop(error)
        if self.error is not None:
            raise self.error


class Pool:
    """Helper threads, each waiting for jobs at a queue of its own."""

    def __init__(self, team=None):
        self.busy = threading.Lock()
        self.queues = []
        self.team = team

    def share(self, job, threads):
        """Run the job on so many threads, the caller's included."""
        while len(self.queues) < threads - 1:
            self._start()
        helpers = 0
        try:
            for queue in self.queues[: threads - 1]:
                queue.put((copy_context(), job))  # so that helpers see the caller's np.errstate
                if self.team is not None:
                    self.team.call(helpers)
                helpers += 1
            job.work(0)
        except BaseException as error:  # Ctrl-C between two lines
            job.stop(error)
        job.wait(helpers)

    def _start(self):
        queue, worker = SimpleQueue(), len(self.queues) + 1
        name = f"minicnn-worker-{worker}"
        args = queue, worker, self.team
        threading.Thread(target=_serve, args=args, name=name, daemon=True).start()
        self.queues.append(queue)


def _serve(queue, worker, team):
    """The life of a helper thread."""
    _pin(worker)
    for lib in blas_libraries():
        lib.set_num_threads(1)  # for libraries that keep a number for each thread
    for taken in itertools.count():
        if team is not None:
            team.watch(worker - 1, taken)
        context, job = queue.get()
        context.run(job.work, worker)
        job.finished.put(worker)
        del context, job  # their arrays, too, while waiting


def _pin(worker):
    """Tie this thread to a CPU of its own: otherwise two workers often share one."""
    cpus = allowed_cpus()
    if len(cpus) > 1:
        with suppress(OSError):  # a sandbox may forbid it: slower, not wrong
            os.sched_setaffinity(0, {cpus[worker % len(cpus)]})  # 0 is the calling thread


def run(function, count: int, parallel: bool = True) -> None:
    """Call function(worker, i) for every i < count, on as many threads as there may be.

    Parameters
    ----------
    function : callable
        Gets the worker's number (the caller is 0), for scratch memory of its own, and i.
    count : int
    parallel : bool
        False keeps the work on the caller's thread; decide by shape.

    Raises
    ------
    BaseException
        The first error of any call, once all workers have stopped.
    """
    threads, pool = min(get_num_threads(), count) if parallel else 1, _pool
    with _blas:
        # Another thread may be using the helpers, or this may be a helper: then work alone.
        if threads < 2 or not pool.busy.acquire(blocking=False):
            for i in range(count):
                function(0, i)
            return
        try:
            pool.share(Job(function, count), threads)
        finally:
            pool.busy.release()


def share_blocks(code, cells: bytes, blocks: int) -> None:
    """Call code(cells, first, last) for parts of the blocks 0 ... blocks - 1, shared as by `run`.

    Code is a compiled kernel's, which lets go of Python's lock. If there is a team, and its helpers
    are awake, they need not come back to Python for it.
    """
    threads, pool = min(get_num_threads(), blocks), _pool
    pieces = min(blocks, PIECES * threads)
    if threads > 1 and pool.team is not None and pool.busy.acquire(blocking=False):
        try:
            if pool.team.share(code, cells, blocks, pieces, threads - 1):
                return
        finally:
            pool.busy.release()

    def piece(_, k):
        code(cells, blocks * k // pieces, blocks * (k + 1) // pieces)

    run(piece, pieces)


def use_team(team) -> None:
    """Let helpers share compiled kernels as `minicnn.emulator.team.Team` does."""
    global _pool
    _pool = Pool(team)


class PerWorker(dict):
    """`make()` once for each worker that asks: scratch memory that is not shared."""

    def __init__(self, make):
        self.make = make

    def __missing__(self, worker):
        self[worker] = made = self.make()
        return made


def _after_fork():
    """A child has the caller's thread alone: no helpers, and locks that nobody will open."""
    global _pool, _blas
    held, _blas = _blas, OneBlasThread()
    _pool = Pool(_pool.team and _pool.team.anew())
    held.restore()


_blas = OneBlasThread()
_pool = Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
