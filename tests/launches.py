"""How tests launch kernels: in every order of threads, and on arrays too large to fill."""

from __future__ import annotations

import math
import mmap
import sys
from contextlib import contextmanager

import numpy as np
import pytest

from minicnn.emulator.launch import Kernel


def numbers(*shape, dtype=np.float32, seed=0):
    """Normally distributed, the same for the same seed."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@contextmanager
def threads_run(order):
    """Blocks and threads of every launch run in this order: "forward", "reverse", "shuffled"."""
    plain = Kernel.__call__

    def call(kernel, *args, **settings):
        plain(kernel, *args, **settings, order=order, seed=7)

    Kernel.__call__ = call
    try:
        yield
    finally:
        Kernel.__call__ = plain


def vast(*shape, dtype=np.float32):
    """Zeros of any shape; only the pages that are touched take memory."""
    if sys.platform != "linux":
        pytest.skip("needs Linux's MAP_NORESERVE")
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000  # MAP_NORESERVE
    memory = mmap.mmap(-1, math.prod(shape) * np.dtype(dtype).itemsize, flags=flags)
    return np.frombuffer(memory, dtype).reshape(shape)
