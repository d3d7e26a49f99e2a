"""Poolings."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from minicnn.checks.strategies.cases import (
    MEMORY_ORDERS,
    Case,
    arrays,
    both,
    in_memory_order,
    pairs,
)


@st.composite
def _pool2d(draw, name, dtype, distinct, others):
    """A case whose windows fit; `others` draws the settings that only this pooling has."""
    settings = {
        "kernel_size": draw(pairs(1, 4)),
        "stride": draw(st.none() | pairs(1, 4)),
        "ceil_mode": draw(st.booleans()),
        **draw(others),
    }
    kernel = both(settings["kernel_size"])
    settings["padding"] = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    stride, dilation = both(settings["stride"] or kernel), both(settings.get("dilation", 1))
    size = []
    for k, s, p, d in zip(kernel, stride, settings["padding"], dilation, strict=True):
        beyond = s - 1 if settings["ceil_mode"] else 0
        least = max(d * (k - 1) + 1 - 2 * p - beyond, d if p else 1, 1)
        size.append(draw(st.integers(least, max(7, least))))
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 3)), *size)
    return Case(name, (draw(arrays(shape, dtype, distinct)),), settings)


def max_pool2d(dtype=np.float64, distinct=False):
    """A `max_pool2d`: windows of any shape, padded, dilated, hanging over; ties unless `distinct`.

    `return_indices` is left at False.
    """
    others = st.fixed_dictionaries({"dilation": st.just(1) | pairs(1, 3)})
    return _pool2d("max_pool2d", dtype, distinct, others)


def avg_pool2d(dtype=np.float64):
    """An `avg_pool2d`: windows of any shape, padded, hanging over, with every kind of divisor."""
    divisors = st.none() | st.integers(-3, 9).filter(bool)
    others = {"count_include_pad": st.booleans(), "divisor_override": divisors}
    return _pool2d("avg_pool2d", dtype, False, st.fixed_dictionaries(others))


@st.composite
def _adaptive(draw, name, dtype, distinct):
    """A case whose output is smaller than its input, or larger."""
    length = st.integers(1, 7)
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(length), draw(length))
    one = st.none() | st.integers(1, 5)
    size = draw(st.integers(1, 5) | st.tuples(one, one))
    return Case(name, (draw(arrays(shape, dtype, distinct)),), {"output_size": size})


def adaptive_max_pool2d(dtype=np.float64, distinct=False):
    """An `adaptive_max_pool2d` to any size; ties unless `distinct`; `return_indices` is False."""
    return _adaptive("adaptive_max_pool2d", dtype, distinct)


def adaptive_avg_pool2d(dtype=np.float64):
    """An `adaptive_avg_pool2d` to any size."""
    return _adaptive("adaptive_avg_pool2d", dtype, False)


@st.composite
def max_unpool2d(draw, dtype=np.float64):
    """A `max_unpool2d` to any of the sizes its pooling can have had; no place is named twice."""
    N, C = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    H, W = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    kernel, stride = draw(pairs(1, 4)), draw(st.none() | pairs(1, 3))
    padding = tuple(draw(st.integers(0, (k - 1) // 2)) for k in both(kernel))
    steps = both(stride or kernel)
    size = [
        (n - 1) * s + k - 2 * p
        for n, k, s, p in zip((H, W), both(kernel), steps, padding, strict=True)
    ]
    settings = {"kernel_size": kernel, "stride": stride, "padding": padding}
    if draw(st.booleans()):
        size = [
            draw(st.integers(max(n, o - s + 1), max(n, o + s - 1)))
            for n, o, s in zip((H, W), size, steps, strict=True)
        ]
        settings["output_size"] = tuple(size)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    places = [rng.permutation(size[0] * size[1])[: H * W] for _ in range(N * C)]
    indices = np.array(places, np.int64).reshape(N, C, H, W)
    indices = in_memory_order(indices, draw(st.sampled_from(MEMORY_ORDERS)))
    return Case("max_unpool2d", (draw(arrays((N, C, H, W), dtype)), indices), settings)
