"""The fully connected layer of a small batch: `kernels/matmul/few_rows.cu`, compiled for this CPU.

BLAS arranges its factors anew in each call, so that blocks of them lie in one piece. For a batch of
4 that takes longer than the product: each weight is there for 4 multiplications. Here it is read
once, as it lies, at the speed of memory.
"""

from __future__ import annotations

import numpy as np

from minicnn.backends.compiled.registers import register_floats
from minicnn.backends.cuda.epilogue import CODES
from minicnn.backends.cuda.matmul import FEW_ROWS
from minicnn.backends.fast import linear, memory
from minicnn.backends.fast.tiles import matrix
from minicnn.backends.fast.workers import share_blocks
from minicnn.backends.launch import native

SUMS = {8: 8, 16: 16}  # in registers of so many floats: there are 16 of the first, 32 of the second


class Linear(linear.Linear):
    """One walk through the weights, where there are few rows; backward as in NumPy."""

    def forward(self, x, w, b, add):
        rows = matrix(x)
        contiguous = rows.flags.c_contiguous and w.flags.c_contiguous
        if not 0 < len(rows) <= FEW_ROWS or w.dtype != np.float32 or not contiguous:
            return super().forward(x, w, b, add)
        self.save(x, w)
        y = memory.empty((*x.shape[:-1], len(w)), x.dtype)
        b, add = (None if t is None else np.ascontiguousarray(t) for t in (b, add))
        multiply(rows, w, b, add, matrix(y), self.in_tiles)
        return self.ended(y)


def multiply(rows, w, bias, add, y, activation):
    """y (M, N) = activation(rows (M, K) w' (N, K) + bias + add)."""
    (M, K), N, width = rows.shape, len(w), register_floats()
    at_once = 1 << (min(M, 4) - 1).bit_length()  # 1, 2 or 4 rows
    outputs = min(4, SUMS[width] // at_once)
    macros = {"THREADS": 1, "ROWS": at_once, "OUTPUTS": outputs, "LANES": width}
    kernel = native("matmul/few_rows.cu", "matmul", tuple(macros.items()))
    blocks = -(-M // at_once) * -(-N // outputs)
    args = (rows, w, bias, add, y, M, N, K, K, 1, 1, K, CODES[activation])
    kernel((blocks,), (1,), args, share_blocks)
