"""Normalization."""

from __future__ import annotations

from math import prod

import numpy as np
from hypothesis import strategies as st

from minicnn.checks.strategies.cases import Case, arrays, fused


@st.composite
def batch_norm(draw, dtype=np.float64, training=True):
    """A `batch_norm` of (N, C), (N, C, L) or (N, C, H, W), with or without weight and bias.

    In training without running statistics, two rows or more (with training=False: in evaluation
    with running statistics). No channel is constant: its tiny variance would leave nothing to
    compare but the rounding of its mean.
    """
    C = draw(st.integers(1, 4))
    size = draw(st.lists(st.integers(1, 4), max_size=2))
    least = 2 if training and prod(size) == 1 else 1
    x = draw(arrays((draw(st.integers(least, 4)), C, *size), dtype, distinct=True))
    x *= 16  # in place: the memory order stays
    running = (None, None)
    if not training:
        running = draw(arrays((C,), dtype)), np.abs(draw(arrays((C,), dtype)))
    affine = [draw(st.none() | arrays((C,), dtype)) for _ in range(2)]
    settings = {"training": training, "eps": draw(st.sampled_from([1e-5, 1e-3, 0.1]))}
    return Case("batch_norm", (x, *running, *affine), settings)


def fused_batch_norm(dtype=np.float64, distinct=False, training=True):
    """A `batch_norm` with activation and add, no sum near a kink."""
    return fused(batch_norm(dtype, training), distinct)


@st.composite
def local_response_norm(draw, dtype=np.float64):
    """A `local_response_norm`: odd and even windows, also wider than there are channels."""
    shape = tuple(draw(st.integers(1, most)) for most in (2, 6, 3, 3))
    settings = {
        "size": draw(st.integers(1, 7)),
        "alpha": draw(st.sampled_from([1e-4, 0.1, 2.0])),
        "beta": draw(st.sampled_from([0.5, 0.75, 1.0])),
        "k": draw(st.sampled_from([1.0, 2.0])),
    }
    return Case("local_response_norm", (draw(arrays(shape, dtype)),), settings)
