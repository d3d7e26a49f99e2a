"""Times of work on a GPU, by CUDA events: what the card took, not what Python took to ask."""

from __future__ import annotations

import statistics

import cupy


def milliseconds(*calls, enough=20.0, most=50):
    """Median time of each call, the calls taking turns: a card that slows down slows all of them.

    Each is run once before (compilation, choice of an algorithm, memory pools), then until it has
    run `enough` ms in all, at least 3 times and at most `most`. Inputs stay where they are, so
    small ones are in the card's cache for every call alike.
    """
    for call in calls:
        call()
    cupy.cuda.Device().synchronize()
    times = [[] for _ in calls]
    while len(times[0]) < 3 or (
        len(times[0]) < most and min(sum(of_one) for of_one in times) < enough
    ):
        for call, of_one in zip(calls, times):
            of_one.append(_once(call))
    return [statistics.median(of_one) for of_one in times]


def _once(call):
    start, end = cupy.cuda.Event(), cupy.cuda.Event()
    start.record()
    call()
    end.record()
    end.synchronize()
    return cupy.cuda.get_elapsed_time(start, end)
