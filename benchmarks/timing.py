"""Times of work on a GPU, by CUDA events: what the card took, not what Python took to ask."""

from __future__ import annotations

import statistics

import cupy

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
    times = [[] for _ in calls]
    while not _is_enough(times, enough, most):
        for call, of_one in zip(calls, times):
            of_one.append(_once(call))
    return [statistics.median(of_one) for of_one in times]


def _is_enough(times, enough, most):
    runs, sums = len(times[0]), [sum(of_one) for of_one in times]
    if not runs:
        return False
    return runs >= most or max(sums) > LONG or (runs >= 3 and min(sums) >= enough)


def _once(call):
    start, end = cupy.cuda.Event(), cupy.cuda.Event()
    start.record()
    call()
    end.record()
    end.synchronize()
    return cupy.cuda.get_elapsed_time(start, end)
