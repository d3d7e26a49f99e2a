"""Schedules: the learning rate's factor as a function of progress, from 0 (start) to 1 (end)."""

from __future__ import annotations

import math


def constant(progress: float) -> float:
    """The base learning rate all along."""
    return 1.0


def cosine(progress: float) -> float:
    """From 1 down to 0 along half a cosine: 1/2 (1 + cos(pi progress)).

    Large steps first, to get far; ever smaller ones at the end, to settle.
    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.
    """
    return (1 + math.cos(math.pi * progress)) / 2
