"""Schedules: the learning rate's factor as a function of progress, from 0 (start) to 1 (end).

`constant` and `cosine` are such functions; the others make one:

    Trainer(model, optimizer, schedule=warm_up(cosine, share=0.05))
"""

from __future__ import annotations

import math
from collections.abc import Callable

from minicnn.functional.arguments import as_count, as_number

Schedule = Callable[[float], float]


def constant(progress: float) -> float:
    """The base learning rate all along."""
    return 1.0


def cosine(progress: float) -> float:
    """From 1 down to 0 along half a cosine: 1/2 (1 + cos(pi progress)).

    Large steps first, to get far; ever smaller ones at the end, to settle.
    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.
    """
    return (1 + math.cos(math.pi * progress)) / 2


def steps(at=(0.5, 0.75), factor: float = 0.1) -> Schedule:
    """Times `factor` at each of the moments `at`: a staircase. PyTorch's MultiStepLR.

    The default is that of He, Zhang, Ren, Sun, "Deep residual learning for image recognition",
    2016, on CIFAR-10: a tenth after 32,000 and again after 48,000 of 64,000 steps.
    """
    at = tuple(_share("steps", f"at[{k}]", moment) for k, moment in enumerate(at))
    factor = _share("steps", "factor", factor)
    return lambda progress: factor ** sum(progress >= moment for moment in at)


def exponential(end: float = 0.01) -> Schedule:
    """From 1 down to `end`, by the same factor in equal times: end^progress."""
    rule = "over 0 and at most 1"
    end = as_number("exponential", "end", end, rule, lambda value: 0 < value <= 1)
    return lambda progress: end**progress


def polynomial(power: float = 1.0) -> Schedule:
    """From 1 down to 0: (1 - progress)^power; a straight line with power 1."""
    power = as_number("polynomial", "power", power, "over 0", lambda value: value > 0)
    return lambda progress: (1 - progress) ** power


def cosine_restarts(cycles: int = 3, growth: float = 2.0) -> Schedule:
    """Several half cosines one after the other, each `growth` times as long as the one before.

    At each restart the factor jumps from 0 to 1. Loshchilov and Hutter, 2017.
    """
    cycles = as_count("cosine_restarts", "cycles", cycles)
    rule = "of 1 or more"
    growth = as_number("cosine_restarts", "growth", growth, rule, lambda value: value >= 1)
    lengths = [growth**k for k in range(cycles)]
    ends = [sum(lengths[: k + 1]) / sum(lengths) for k in range(cycles)]

    def factor(progress):
        begin = 0.0
        for end in ends:
            if progress < end:
                return cosine((progress - begin) / (end - begin))
            begin = end
        return 0.0

    return factor


def warm_up(schedule: Schedule, share: float = 0.05, start: float = 0.0) -> Schedule:
    """From `start` straight up to the schedule's first factor, then the schedule in what is left.

    The first gradients of a random net are the wildest. Goyal et al., "Accurate, large minibatch
    SGD: training ImageNet in 1 hour", 2017.

    Parameters
    ----------
    schedule : function of progress
    share : float
        Of the training, in [0, 1).
    start : float
        Share of the schedule's first factor to begin with, 0 to 1.
    """
    rule = "of 0 or more and under 1"
    share = as_number("warm_up", "share", share, rule, lambda value: 0 <= value < 1)
    start = _share("warm_up", "start", start)

    def factor(progress):
        if progress < share:
            return schedule(0.0) * (start + (1 - start) * progress / share)
        return schedule((progress - share) / (1 - share))

    return factor


def one_cycle(peak: float = 0.3, start: float = 1 / 25, end: float = 1 / 250_000) -> Schedule:
    """Up to 1 and down again, each along half a cosine: PyTorch's OneCycleLR, of the largest lr.

    From `start` at progress 0 to 1 at `peak`, then to `end` at 1. One cycle wants a momentum that
    goes the other way: `callbacks.Vary("momentum", one_cycle_momentum())`.
    Smith and Topin, "Super-convergence", 2018.
    """
    start, end = (_share("one_cycle", name, v) for name, v in (("start", start), ("end", end)))
    return _cycle("one_cycle", peak, start, 1.0, end)


def one_cycle_momentum(peak: float = 0.3, high: float = 0.95, low: float = 0.85) -> Schedule:
    """The momentum itself beside `one_cycle`: from `high` to `low` at `peak`, and back."""
    high, low = (_share("one_cycle_momentum", n, v) for n, v in (("high", high), ("low", low)))
    return _cycle("one_cycle_momentum", peak, high, low, high)


def _cycle(name, peak, first, middle, last) -> Schedule:
    rule = "over 0 and under 1"
    peak = as_number(name, "peak", peak, rule, lambda value: 0 < value < 1)

    def value(progress):
        if progress < peak:
            return middle + (first - middle) * cosine(progress / peak)
        return last + (middle - last) * cosine((progress - peak) / (1 - peak))

    return value


def _share(name, argument, value) -> float:
    return as_number(name, argument, value, "from 0 to 1", lambda v: 0 <= v <= 1)
