"""Arrays from memory that is used again and again.

The system hands out a large fresh block page by page, each filled with zeros when it is first
touched: filling a new 100 MB array takes twice the time of filling an old one. So `empty` lends
blocks from a pool, and a block comes back by itself when the last view of its array has gone.

An array owns its block through a `Block`, an object that is no array. NumPy shortens chains of
views (`b = a[1:]` and `c = b[1:]` both have the base that a has), so an array as the owner could
be dropped from the chain, and memory be given back while it is still in use.

What lies idle is bounded, and `release()` gives it back to the system.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from dataclasses import dataclass
from math import prod

import numpy as np

SMALL = 2**17  # bytes; below this NumPy's own allocation is faster
ALIGNMENT = 64  # bytes: a line of the cache, and the widest vector
limit = 2**30  # bytes that may lie idle; past it, those idle longest go back to the system


@dataclass(frozen=True)
class Usage:
    """Bytes of the pool: `lent` to arrays that live, `idle` and waiting to be lent again."""

    lent: int
    idle: int


class Buffer:
    """So many bytes, from an aligned address on."""

    __slots__ = ("address", "bytes", "size")

    def __init__(self, size):
        self.size, self.bytes = size, np.empty(size + ALIGNMENT, np.uint8)
        start = self.bytes.ctypes.data
        self.address = start + -start % ALIGNMENT


class Block:
    """The memory of one array and of its views; goes back to the pool with the last of them."""

    __slots__ = ("__array_interface__", "__weakref__", "buffer", "pool")
    base = None  # it is the end of a chain of views

    def __init__(self, buffer, pool, shape, dtype):
        self.buffer, self.pool = buffer, pool
        self.__array_interface__ = {
            "shape": shape, "typestr": dtype.str, "data": (buffer.address, False), "version": 3,
        }  # fmt: skip

    def __del__(self):
        self.pool.take_back(self.buffer)


class Pool:
    """Idle buffers by size. Sizes are rounded up, so that similar shapes share buffers."""

    def __init__(self):
        self.lock = threading.Lock()
        self.idle = {}  # size -> buffers, the size asked for last at the end
        self.idle_bytes = self.lent_bytes = 0
        self.returned = deque()  # on their way back

    def lend(self, shape, dtype):
        size = rounded(prod(shape) * dtype.itemsize)
        with self.lock:
            self.sort_in()
            buffers = self.idle.pop(size, None)
            buffer = buffers.pop() if buffers else None  # the last one back: it may be in the cache
            if buffers:
                self.idle[size] = buffers
            if buffer is not None:
                self.idle_bytes -= size
            self.lent_bytes += size
        if buffer is None:
            buffer = Buffer(size)
        return np.asarray(Block(buffer, self, shape, dtype))

    def take_back(self, buffer):
        """Called when an array dies, which may be anywhere: even inside `lend`, lock in hand."""
        self.returned.append(buffer)
        if self.lock.acquire(blocking=False):
            try:
                self.sort_in()
            finally:
                self.lock.release()

    def sort_in(self):
        """Put what came back with the idle ones, and keep to the limit (with the lock held)."""
        while self.returned:
            buffer = self.returned.popleft()
            self.lent_bytes -= buffer.size
            self.idle_bytes += buffer.size
            self.idle.setdefault(buffer.size, []).append(buffer)
        while self.idle_bytes > limit:
            size = next(iter(self.idle))
            self.idle_bytes -= self.idle[size].pop(0).size
            if not self.idle[size]:
                del self.idle[size]

    def release(self):
        with self.lock:
            self.sort_in()
            freed, self.idle_bytes = self.idle_bytes, 0
            self.idle = {}
        return freed


def rounded(size):
    """The next of eight steps between two powers of two."""
    step = 1 << max(size.bit_length() - 4, 0)
    return -(-size // step) * step


_pool = Pool()


# ---------------------------------------------------------------------------
# For the operations
# ---------------------------------------------------------------------------
def empty(shape, dtype=np.float32) -> np.ndarray:
    """An array whose values are whatever was there: for outputs, gradients and scratch."""
    shape = tuple(shape)
    dtype = np.dtype(dtype)
    if prod(shape) * dtype.itemsize < SMALL:
        return np.empty(shape, dtype)
    return _pool.lend(shape, dtype)


def empty_like(array) -> np.ndarray:
    """`empty` with an array's shape and dtype; a 4-D one is in channels-last order."""
    if array.ndim != 4:
        return empty(array.shape, array.dtype)
    N, C, H, W = array.shape
    return empty((N, H, W, C), array.dtype).transpose(0, 3, 1, 2)


def usage() -> Usage:
    """How much memory the pool has lent, and how much lies idle."""
    with _pool.lock:
        _pool.sort_in()
        return Usage(_pool.lent_bytes, _pool.idle_bytes)


def release() -> int:
    """Give idle memory back to the system; returns how many bytes that was."""
    return _pool.release()


def _after_fork():
    """The parent's other threads are not here: nobody will open a lock that one of them held."""
    _pool.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
