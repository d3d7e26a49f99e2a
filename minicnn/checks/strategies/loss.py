"""Losses."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minicnn.checks.strategies.cases import Case, arrays

REDUCTIONS = st.sampled_from(("mean", "sum", "none"))


@st.composite
def _score_shapes(draw):
    """(shape of the scores, number of classes K, shape without the class axis)."""
    K = draw(st.integers(1, 6) | st.integers(31, 40))  # a warp has 32 lanes
    rest = tuple(draw(st.lists(st.integers(1, 3), max_size=3)))
    return (*rest[:1], K, *rest[1:]), K, rest


@st.composite
def _classes(draw, K, shape, settings):
    """Class numbers, some of them ignored if `settings` says so, but never all of them."""
    t = draw(hnp.arrays(np.int64, shape, elements=st.integers(0, K - 1)))
    if draw(st.booleans()):
        ignored = settings["ignore_index"] = draw(st.sampled_from((-100, -1, 0, K - 1)))
        t[draw(hnp.arrays(bool, shape))] = ignored
        if (t == ignored).all() and settings["reduction"] == "mean":
            settings["ignore_index"] = -7
            t[t == ignored] = max(ignored, 0)
    return t


@st.composite
def cross_entropy(draw, dtype=np.float64, weighted=False):
    """A `cross_entropy` of up to four axes, against classes or probabilities, in all its settings.

    Weights of the classes are drawn only if `weighted`: an array among the settings.
    """
    shape, K, rest = draw(_score_shapes())
    x = draw(arrays(shape, dtype))
    numbers = st.integers(0, K - 1)
    if draw(st.booleans()):  # as most nets use it
        return Case("cross_entropy", (x, draw(hnp.arrays(np.int64, rest, elements=numbers))))
    settings = {"reduction": draw(REDUCTIONS)}
    if draw(st.booleans()):
        settings["label_smoothing"] = draw(st.sampled_from((0.0, 0.1, 1.0)))
    settings |= draw(_weights(K)) if weighted else {}
    if draw(st.booleans()):
        return Case("cross_entropy", (x, draw(arrays(shape, dtype))), settings)
    return Case("cross_entropy", (x, draw(_classes(K, rest, settings))), settings)


@st.composite
def nll_loss(draw, dtype=np.float64, weighted=False):
    """An `nll_loss` of up to four axes; weights of the classes only if `weighted`."""
    shape, K, rest = draw(_score_shapes())
    settings = {"reduction": draw(REDUCTIONS)} | (draw(_weights(K)) if weighted else {})
    x, t = draw(arrays(shape, dtype)), draw(_classes(K, rest, settings))
    return Case("nll_loss", (x, t), settings)


@st.composite
def _weights(draw, K):
    elements = st.floats(0.25, 4, width=16)
    return {"weight": draw(hnp.arrays(np.float64, K, elements=elements))}


@st.composite
def margin_loss(draw, dtype=np.float64):
    """A `margin_loss` against one class a row, or against several."""
    N, K = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    several = hnp.arrays(np.int64, (N, K), elements=st.integers(0, 1))
    t = draw(several | hnp.arrays(np.int64, N, elements=st.integers(0, K - 1)))
    settings = {"m_plus": st.sampled_from((0.9, 2.0)), "m_minus": st.sampled_from((0.1, -1.0)),
                "down_weight": st.sampled_from((0.5, 0.0)), "reduction": REDUCTIONS}  # fmt: skip
    chosen = draw(st.fixed_dictionaries({}, optional=settings))
    return Case("margin_loss", (draw(arrays((N, K), dtype)), t), chosen)


@st.composite
def mse_loss(draw, dtype=np.float64):
    """An `mse_loss` of up to four axes."""
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    x, t = draw(arrays(shape, dtype)), draw(arrays(shape, dtype))
    settings = draw(st.fixed_dictionaries({}, optional={"reduction": REDUCTIONS}))
    return Case("mse_loss", (x, t), settings)
