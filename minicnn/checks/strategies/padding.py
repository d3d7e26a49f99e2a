"""Padding."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from minicnn.checks.strategies.cases import Case, arrays


@st.composite
def pad(draw, dtype=np.float64):
    """A `pad` in any mode, cutting and adding on any side."""
    mode = draw(st.sampled_from(["constant", "replicate", "reflect", "circular"]))
    size = [draw(st.integers(2, 5)) for _ in "HW"]
    sides = []
    for n in reversed(size):
        most = {"reflect": n - 1, "circular": n}.get(mode, 3)
        least = -1 if mode == "constant" else 0  # PyTorch cuts in this mode only
        sides += [draw(st.integers(least, most)), draw(st.integers(0, most))]
    x = draw(arrays((draw(st.integers(1, 2)), draw(st.integers(1, 2)), *size), dtype))
    settings = {"pad": tuple(sides), "mode": mode}
    if mode == "constant":
        settings["value"] = float(draw(st.integers(-2, 2)))
    return Case("pad", (x,), settings)
