"""The operations in NumPy tuned for a CPU, in code that can be read.

What makes NumPy slow is memory. The readable drawing writes whole matrices of windows and reads
them again; it asks the system for fresh memory for each result; it leaves one core to copy while
the others wait. Here work is cut into tiles that stay in a core's cache, and worker threads share
the tiles. An operation is built from three things:

workers   `run(function, count)` calls function(worker, i) for every i < count, tiles on several
          threads, BLAS held to one thread in each. Small work says `parallel=False`.
          `PerWorker(make)[worker]` is scratch memory of a worker's own.
memory    `empty(shape, dtype)` for outputs, gradients and scratch alike: it lends memory that was
          used before, and has it back when the array's last view has gone. So no plan owns an
          array, nothing that the tape keeps can be overwritten, and all memory is counted.
plans     How to cut: a small frozen value, made from shapes alone by a function under
          `functools.lru_cache` with a bound. Shapes decide, never timings or the number of
          threads, and sums over tiles are added in index order: results repeat bit for bit.

A convolution is computed by one of these, each in a file that opens with its derivation:

tiled      im2col in tiles: any convolution, and its gradients
winograd   F(2x2, 3x3) and F(4x4, 3x3): fewer multiplications
product    1x1: a matrix product, no copy
banded     few channels: several neighbouring outputs at once
depthwise  shifted multiply-adds

`convolution` chooses; `ending` adds bias and shortcut and activates, tile by tile. The code takes
float32 and float64 alike; only Winograd, whose error is larger, keeps to float32.
"""

from __future__ import annotations

from minicnn.backends.fast import (
    activation,
    arithmetic,
    conv,
    joining,
    linear,
    normalization,
    optim,
    pooling,
)

OPERATIONS = {
    operation.__name__: operation
    for family in (activation, arithmetic, conv, joining, linear, normalization, optim, pooling)
    for operation in family.OPERATIONS
}
