"""Times of work on a GPU, by CUDA events: what the card took, not what Python took to ask.

A kernel that only waits goes first: while it runs, Python asks for everything that is timed. So
small calls are no slower than their kernels, whoever asks for them.
"""

from __future__ import annotations

import statistics
import time

import cupy

WAIT = cupy.RawKernel(
    r"""
    extern "C" __global__ void wait(long long nanoseconds) {
        long long now, start;
        asm volatile("mov.u64 %0, %globaltimer;" : "=l"(start));
        do asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
        while (now - start < nanoseconds);
    }
    """,
    "wait",
)
LONG = 1000.0  # ms in all: nobody waits for the median of a rung that takes a third of a second


def milliseconds(*calls, enough=20.0, most=50):
    """Median time of each call, the calls taking turns: a card that slows down slows all of them.

    Each is run once before (compilation, choice of an algorithm, memory pools), then until it has
    run `enough` ms in all, at least 3 times and at most `most`, or LONG. Inputs stay where they
    are, so small ones are in the card's cache for every call alike.
    """
    for call in calls:
        call()
    cupy.cuda.Device().synchronize()
    lead = 1.5 * max(_seconds_to_ask(call) for call in calls)
    times = [[] for _ in calls]
    while not _is_enough(times, enough, most):
        for call, of_one in zip(calls, times):
            of_one.append(_once(call, lead))
    return [statistics.median(of_one) for of_one in times]


def _is_enough(times, enough, most):
    runs, sums = len(times[0]), [sum(of_one) for of_one in times]
    if not runs:
        return False
    return runs >= most or max(sums) > LONG or (runs >= 3 and min(sums) >= enough)


def _seconds_to_ask(call):
    start = time.perf_counter()
    call()
    seconds = time.perf_counter() - start
    cupy.cuda.Device().synchronize()
    return seconds


def _once(call, lead):
    start, end = cupy.cuda.Event(), cupy.cuda.Event()
    WAIT((1,), (1,), (cupy.int64(lead * 1e9),))
    start.record()
    call()
    end.record()
    end.synchronize()
    return cupy.cuda.get_elapsed_time(start, end)
