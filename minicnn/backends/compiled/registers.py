"""What the registers of this CPU hold."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from minicnn.emulator.native import load_native


@lru_cache(1)
def register_floats() -> int:
    """How many floats a register of this CPU has."""
    text = '#include "lanes.cuh"\nextern "C" __global__ void floats(int* n) { *n = REGISTER; }'
    number = np.zeros(1, np.int32)
    load_native(text, "floats", {"LANES": 8})((1,), (1,), (number,))
    return int(number[0])


def whole_registers(count, width):
    """Lanes that fill a few registers of so many floats and divide `count`, or None."""
    return next((n for n in (2 * width, 3 * width, width) if count % n == 0), None)
