"""Resampling."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from minicnn.checks.strategies.cases import Case, arrays


@st.composite
def interpolate(draw, dtype=np.float64):
    """An `interpolate` in any mode: larger and smaller, by size or by eighths as a factor."""
    mode = draw(st.sampled_from(["nearest", "bilinear"]))
    settings = {"mode": mode}
    if mode == "bilinear":
        settings["align_corners"] = draw(st.none() | st.booleans())
    H, W = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    if draw(st.booleans()):
        size = st.integers(1, 9)
        settings["size"] = draw(size | st.tuples(size, size))
    else:
        # At least one pixel must be left.
        factors = [st.integers(-(-8 // n), 20).map(lambda k: k / 8) for n in (H, W)]
        factors.append(st.integers(-(-8 // min(H, W)), 20).map(lambda k: k / 8))
        settings["scale_factor"] = draw(st.tuples(*factors[:2]) | factors[2])
    x = draw(arrays((draw(st.integers(1, 2)), draw(st.integers(1, 2)), H, W), dtype))
    return Case("interpolate", (x,), settings)
